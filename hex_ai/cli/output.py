"""What commands print, and how they end: results, complaints, and exit statuses."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rich.console import Console

from hex_ai.errors import HexAIError, SettingError, StoreError
from hex_ai.interrupts import Interrupted, interrupts_raised


class _Output(Console):
    """Standard output for what is formatted."""

    def on_broken_pipe(self) -> None:
        raise _OutputLost(BrokenPipeError())


class _Complaints(Console):
    """Standard error for what is formatted; that nobody reads it is no error."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


# A table needs its width also where nobody tells how wide the terminal is.
out = _Output(
    soft_wrap=True, highlight=False, markup=False, width=None if sys.stdout.isatty() else 100
)
err = _Complaints(stderr=True, soft_wrap=True, highlight=False, markup=False)


def run_safely(command: Callable[[], Any]) -> int:
    """Runs a command, reports what stops it, and returns the exit status."""
    try:
        with interrupts_raised():
            status = command()
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except HexAIError as error:
        return _complain(error, error.exit_status)
    except Interrupted as interrupt:
        return interrupt.exit_status
    except _OutputLost as error:
        return _give_up_output(error.cause)
    except OSError as error:
        return _give_up_output(error)
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is None:
            raise
        return _complain(usage(), SettingError.exit_status)


class _OutputLost(Exception):
    """Standard output cannot be written. Not an `OSError`, which typer would deal with itself."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def ignore(_: str) -> None:
    """Tells nobody."""


def say(line: str) -> None:
    """Prints a line of a result that may be long, and be piped."""
    try:
        print(line)
    except OSError as error:
        raise _OutputLost(error) from error


def _give_up_output(error: OSError) -> int:
    """Nothing more can be said on standard output; that a reader has had enough is no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    return _complain(f"{error.filename or 'output'}: {error.strerror}", StoreError.exit_status)


def _complain(error: object, status: int) -> int:
    with suppress(BrokenPipeError):
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
    return status
