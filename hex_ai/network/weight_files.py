"""What reading any file of weights has in common.

A file comes from anywhere, so nothing in it is believed: it is never decoded past `LIMIT`, and
every fault is a `CheckpointError` of one line that names the path.
"""

import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO

import torch
from torch import Tensor

from hex_ai.errors import CheckpointError

StrPath = str | os.PathLike[str]

# The most bytes that a file of weights may have, unpacked: 1 GiB.
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
    """The bytes of an open file in order, unpacked if its first bytes are those of gzip.

    Memory grows as the bytes come, so a false count or a gzip bomb costs little.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.is_packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        file.seek(0)
        self._pieces = _unpacked(file) if self.is_packed else iter(lambda: file.read(PIECE), b"")
        self._waiting = bytearray()
        self._come = 0

    def start(self, count: int) -> bytearray:
        """The next bytes, up to `count`, which stay to be taken.

        Raises:
          CheckpointError: a damaged gzip stream, or more than `LIMIT` bytes.
        """
        while len(self._waiting) < count and (piece := next(self._pieces, b"")):
            self._waiting += piece
            self._come += len(piece)
            if self._come > LIMIT:
                raise CheckpointError(f"holds more than {LIMIT} bytes")
        return self._waiting[:count]

    def take(self, count: int) -> bytearray:
        """The next `count` bytes. Raises `CheckpointError` if there are fewer."""
        taken = self.start(count)
        if len(taken) < count:
            raise CheckpointError(f"is cut off after {self._come} bytes")
        del self._waiting[:count]
        return taken

    def rest(self) -> bytearray:
        """All that is left."""
        rest = self.start(LIMIT + 1)
        self._waiting.clear()
        return rest


@contextmanager
def open_source(path: StrPath) -> Iterator[Source]:
    """The file's `Source`; what goes wrong while it is open is told in one line with the path.

    Raises:
      CheckpointError: not a file, not readable, or larger than `LIMIT`.
    """
    with named(path):
        try:
            status = os.stat(path)
        except ValueError as error:
            raise CheckpointError(f"is not a path: {error}") from error
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError("is not a file")
        if status.st_size > LIMIT:
            raise CheckpointError(f"has {status.st_size} bytes, the limit is {LIMIT}")
        with open(path, "rb") as file:
            yield Source(file)


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    # Not the gzip module, which reads on into whatever follows the stream.
    inflate = zlib.decompressobj(zlib.MAX_WBITS + 16)
    try:
        while not inflate.eof and (packed := inflate.unconsumed_tail or file.read(PIECE)):
            if piece := inflate.decompress(packed, PIECE):
                yield piece
    except zlib.error as error:
        raise CheckpointError(f"is a damaged gzip stream: {error}") from error
    if not inflate.eof or inflate.unused_data or file.read(1):
        raise CheckpointError("is a gzip stream that is cut off, or goes on after its end")


def specs(state: Mapping[str, Tensor]) -> dict[str, Spec]:
    """dtype and shape of each tensor of a state dict."""
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in state.items()}


def require_fit(given: Mapping[str, Spec], wanted: Mapping[str, Spec]) -> None:
    """Raises `CheckpointError` for the first difference in names, shapes or dtypes."""
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
    """Raises `CheckpointError` for the first tensor with a weight that is infinite or NaN."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{name!r} holds weights that are not finite")
