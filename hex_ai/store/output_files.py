"""Files written whole or not at all, and errors of files that name them."""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pyarrow as pa

from hex_ai.atomic_files import append_whole, atomic_file
from hex_ai.errors import RecordError, StoreError


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Makes what goes wrong with a file or in it a `StoreError` that names it."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or ' '.join(str(error).split())}") from error
    except (RecordError, KeyError, UnicodeDecodeError, pa.ArrowException) as error:
        raise StoreError(f"{path}: {error}") from error


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Writes JSON whole or not at all. Raises `StoreError` if it cannot be written."""
    write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text whole or not at all; to a pipe or a device as it comes.

    Raises:
      StoreError: it cannot be written.
    """
    with errors_named(path), open(path, "wb") if _is_special(path) else atomic_file(path) as file:
        file.write(text.encode())


def keep_lines(path: Path, lines: str, *, first: bool) -> None:
    """Writes lines behind those of a file, whole or not at all; the first take an old file's place.

    Does nothing for a pipe or a device, which `write_text` tells the whole text at the end.

    Raises:
      StoreError: they cannot be written.
    """
    if _is_special(path):
        return
    if first:
        write_text(path, lines)
        return
    with errors_named(path):
        append_whole(path, lines.encode())


def require_writable(path: Path) -> None:
    """Raises `StoreError` if no file can be written there, before work is put into it."""
    with errors_named(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
        if not _is_special(path):
            TemporaryFile(dir=path.resolve().parent).close()


def _is_special(path: Path) -> bool:
    """Whether this is a pipe, a terminal or the like."""
    return path.exists() and not path.is_file() and not path.is_dir()
