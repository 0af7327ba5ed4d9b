"""What reading and writing any file of weights has in common.

A file comes from anywhere, so nothing in it is believed: it is decoded a piece at a time, never
past `LIMIT`, and every fault is a `CheckpointError` of one line that names the path.
"""

import os
import stat
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from gzip import GzipFile
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from hex_ai.atomic_files import atomic_file
from hex_ai.errors import CheckpointError

StrPath = str | os.PathLike[str]

# The most bytes a file of weights may have, unpacked: 1 GiB. Gzip makes what does not pack longer
# by 0.03 %, so a file on disk may have a piece more.
LIMIT = 2**30
PIECE = 2**20

_GZIP_MAGIC = b"\x1f\x8b"
_LONGEST_REASON = 500

# dtype and shape of a tensor.
Spec = tuple[torch.dtype, tuple[int, ...]]


@contextmanager
def named(path: StrPath) -> Iterator[None]:
    """Turns what goes wrong inside into a `CheckpointError` of one line that names `path`."""
    try:
        yield
    except CheckpointError as error:
        # Names and settings from the file may hold anything, of any length.
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise CheckpointError(f"{os.fspath(path)!r}: {reason}") from error
    except OSError as error:
        raise CheckpointError(f"{os.fspath(path)!r}: {error.strerror or error}") from error


class Source:
    """The decoded bytes of an open file, in order and never more than `LIMIT`.

    Whether the file is gzip-ed is seen from its first bytes, never from its name.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        file.seek(0)
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS + 16) if packed else None
        self._given = 0

    def read(self, most: int) -> bytes:
        """From 1 to `most` bytes; none only at the end of the file.

        Raises:
          CheckpointError: a damaged or cut gzip stream, bytes after it, or more than `LIMIT`.
        """
        inflate = self._inflate
        data = self._file.read(most) if inflate is None else self._inflated(inflate, most)
        self._given += len(data)
        if self._given > LIMIT:
            raise CheckpointError(f"holds more than {LIMIT} bytes")
        return data

    def take(self, count: int) -> bytearray:
        """Exactly `count` bytes. Memory grows as they come, so a false count costs nothing.

        Raises:
          CheckpointError: there are fewer, or any fault that `read` finds.
        """
        taken = bytearray()
        while len(taken) < count:
            piece = self.read(min(count - len(taken), PIECE))
            if not piece:
                raise CheckpointError(f"is cut off after {self._given} bytes")
            taken += piece
        return taken

    def rest(self) -> bytearray:
        """Everything up to the end of the file."""
        taken = bytearray()
        while piece := self.read(PIECE):
            taken += piece
        return taken

    def _inflated(self, inflate: "zlib._Decompress", most: int) -> bytes:
        # Not GzipFile: it reads on into further members and skips zeros after them.
        while not inflate.eof:
            packed = inflate.unconsumed_tail or self._file.read(PIECE)
            try:
                data = inflate.decompress(packed, most)
            except zlib.error as error:
                raise CheckpointError(f"is a damaged gzip stream: {error}") from error
            if data:
                return data
            if not packed:
                raise CheckpointError("is a gzip stream that is cut off")
        if inflate.unused_data or self._file.read(1):
            raise CheckpointError("goes on after the end of its gzip stream")
        return b""


@contextmanager
def open_source(path: StrPath) -> Iterator[Source]:
    """The file's `Source`; whatever goes wrong while it is open names the path.

    Raises:
      CheckpointError: no such file, not a file, not readable, larger than `LIMIT`.
    """
    with named(path):
        try:
            status = os.stat(path)
        except ValueError as error:
            raise CheckpointError(f"is not a path: {error}") from error
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError("is not a file")
        if status.st_size > LIMIT + PIECE:
            raise CheckpointError(f"has {status.st_size} bytes, the limit is {LIMIT}")
        with open(path, "rb") as file:
            yield Source(file)


def write_atomically(path: StrPath, pieces: Iterable[bytes], packed: bool) -> None:
    """Writes the pieces, gzip-ed or plain: the path holds the old file or the whole new one.

    Raises:
      OSError: the file cannot be written; nothing of it is left.
    """
    with atomic_file(Path(path)) as file:
        if packed:
            # Weights hardly pack: the first level saves as much as the last. With no name and no
            # time in it, equal content gives an equal file.
            with GzipFile("", "wb", 1, file, mtime=0) as stream:
                stream.writelines(pieces)
        else:
            file.writelines(pieces)


def specs(state: Mapping[str, Tensor]) -> dict[str, Spec]:
    """dtype and shape of each tensor of a state dict."""
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in state.items()}


def require_fit(given: Mapping[str, Spec], wanted: Mapping[str, Spec]) -> None:
    """Checks that both have the same names, shapes and dtypes.

    Raises:
      CheckpointError: the first difference.
    """
    for name in wanted:
        if name not in given:
            raise CheckpointError(f"lacks the tensor {name!r}")
    for name, (dtype, shape) in given.items():
        if name not in wanted:
            raise CheckpointError(f"holds the tensor {name!r}, which its architecture has not")
        wanted_dtype, wanted_shape = wanted[name]
        if shape != wanted_shape:
            raise CheckpointError(f"{name!r} is {list(shape)}, want {list(wanted_shape)}")
        if dtype != wanted_dtype:
            raise CheckpointError(f"{name!r} is {dtype}, want {wanted_dtype}")


def require_finite(state: Mapping[str, Tensor]) -> None:
    """Checks that no weight is infinite or not a number.

    Raises:
      CheckpointError: the first tensor with such a weight.
    """
    for name, tensor in state.items():
        if not tensor.is_floating_point() or tensor.numel() == 0:
            continue
        # Either extreme is NaN where any weight is; much faster than looking at all of them.
        if not bool(torch.stack(torch.aminmax(tensor.detach())).isfinite().all()):
            raise CheckpointError(f"{name!r} holds weights that are not finite")
