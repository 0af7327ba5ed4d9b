"""Files that are written whole or not at all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

DRAFT_PATTERN = ".hex_ai-*.tmp"


@contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends without an error.

    The content is on the disk before its name is: even a power cut leaves the old file or the whole
    new one. Of a symbolic link, the target is replaced.

    Args:
      path: where to.
      durable: false does not wait for the disk, for what a power cut may take.

    Raises:
      OSError: the file cannot be written; nothing of it is left.
    """
    path = Path(os.path.realpath(path))
    draft = path.with_name(DRAFT_PATTERN.replace("*", secrets.token_hex(8)))
    try:
        with open(draft, "xb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    if durable:
        _sync_folder(path.parent)


def append_whole(path: Path, data: bytes) -> None:
    """Appends to a file in one step, so that a process killed meanwhile leaves all of it or none.

    Raises:
      OSError: it cannot be written; the file is as it was.
    """
    with open(path, "ab", buffering=0) as file:
        size = file.tell()
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(size)
            raise


def _sync_folder(folder: Path) -> None:
    """Writes the new name to the disk; only POSIX can open a folder for that."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
