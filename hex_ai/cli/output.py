"""What commands print, and how they end: results, complaints, and exit statuses."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer
from rich.console import Console

from hex_ai.errors import HexAIError, SettingError, StoreError
from hex_ai.interrupts import Interrupted, interrupts_raised


class _Results(Console):
    """Standard output for what is formatted."""

    def on_broken_pipe(self) -> None:
        raise  # as `print` does


class _Progress(Console):
    """Standard error for what is formatted; that nobody reads it is no error."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


# A table needs its width also where nobody tells how wide the terminal is.
out = _Results(
    soft_wrap=True,
    highlight=False,
    markup=False,
    width=None if sys.stdout and sys.stdout.isatty() else 100,
)
err = _Progress(stderr=True, soft_wrap=True, highlight=False, markup=False)


@contextmanager
def exit_with_status() -> Iterator[None]:
    """Ends the process after the block, with the status of what stopped it: one line says why."""
    status = 0
    try:
        if sys.stdout is None:
            raise StoreError("standard output is closed")
        with interrupts_raised(), suppress(typer.Exit):  # by which `--help` ends
            yield
        sys.stdout.flush()
    except HexAIError as error:
        status = _complain(error, error.exit_status)
    except Interrupted as interrupt:
        status = interrupt.exit_status
    except OSError as error:
        status = _give_up_output(error)
    except Exception as error:
        said = _usage_or_lack(error)
        if said is None:
            raise
        status = _complain(said, SettingError.exit_status)
    sys.exit(status)


def _give_up_output(error: OSError) -> int:
    """Nothing more can be said on standard output; that a reader has had enough is no error."""
    # Python writes what it still holds when it ends, and would end with a status of its own.
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM):
        return _complain(error.strerror, StoreError.exit_status)
    return _complain(f"{error.filename or 'output'}: {error.strerror}", StoreError.exit_status)


def _usage_or_lack(error: Exception) -> str | None:
    """What to say where a flag is wrong, or the process lacks memory or threads; else None."""
    usage = getattr(error, "format_message", None)
    if usage is not None:
        return str(usage())
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "out of memory"
    return "no more threads can be started" if "start new thread" in str(error) else None


def _complain(error: object, status: int) -> int:
    with suppress(BrokenPipeError):
        if sys.stderr is not None:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
    return status
