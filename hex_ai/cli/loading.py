"""The loading of what takes seconds, or memory and files that a process may lack."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from hex_ai.interrupts import interrupts_end_at_once

# How a process whose memory or files do not suffice fails to load a module.
_LOAD_ERRORS = (ImportError, OSError, MemoryError, SystemError)


@contextmanager
def loading() -> Iterator[None]:
    """Ends the process with one line where the block cannot load a module, and at once by a signal.

    There is nothing to lose yet, and libraries that are half loaded might hide an exception.
    """
    try:
        with interrupts_end_at_once():
            yield
    except _LOAD_ERRORS as error:
        give_up_loading(" ".join(str(error).split()) or type(error).__name__)


def give_up_loading(reason: str) -> NoReturn:
    """Ends the process: what it needs cannot be loaded."""
    if sys.stderr is not None:
        print(f"error: cannot load hex-ai: {reason}", file=sys.stderr, flush=True)
    os._exit(1)
