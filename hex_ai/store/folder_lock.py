"""The lock of a run's folder: one process writes there at a time, and others see that it does."""

import fcntl
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from hex_ai.errors import StoreError
from hex_ai.store.output_files import errors_named

# Whoever asks whether a folder is in use holds its lock for less than this.
_LOCK_TRIES, _LOCK_PAUSE = 10, 0.02


def lock_folder(folder: Path) -> BinaryIO:
    """The folder's lock, which the system takes back when the process ends, however it ends.

    Raises:
      StoreError: another process holds it, or the folder cannot be written.
    """
    path = folder / ".lock"
    with errors_named(path), ExitStack() as unless_locked:
        file = unless_locked.enter_context(open(path, "ab"))
        try:
            _lock(file)
        except BlockingIOError as error:
            raise StoreError(f"{folder}: another process is writing here") from error
        unless_locked.pop_all()
    return file


def is_in_use(folder: Path) -> bool:
    """Whether a process is writing there now. To ask keeps nobody from it."""
    path = folder / ".lock"
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # nobody can lock it, or it is gone
        return False
    return False


def _lock(file: BinaryIO) -> None:
    """Locks a file. Raises `BlockingIOError` if another process has it, and not just to look."""
    for _ in range(_LOCK_TRIES - 1):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_LOCK_PAUSE)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
