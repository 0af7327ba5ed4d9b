"""What reading any file of weights has in common.

A file comes from anywhere, so nothing in it is believed: it is never decoded past `LIMIT`, and
every fault is a `CheckpointError` of one line that names the path.
"""

import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO

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


def read_file(path: StrPath) -> bytes:
    """The bytes of a file of weights, unpacked if its first bytes are those of gzip.

    Raises:
      OSError: it cannot be read.
      CheckpointError: not a file, larger than `LIMIT`, or a damaged gzip stream.
    """
    try:
        status = os.stat(path)
    except ValueError as error:
        raise CheckpointError(f"is not a path: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError("is not a file")
    if status.st_size > LIMIT:
        raise CheckpointError(f"has {status.st_size} bytes, the limit is {LIMIT}")
    with open(path, "rb") as file:
        data = file.read()
    return _unpacked(data) if data.startswith(_GZIP_MAGIC) else data


def _unpacked(data: bytes) -> bytes:
    size = 0
    for piece in _pieces(data):  # none is kept before their sum is known
        size += len(piece)
        if size > LIMIT:
            raise CheckpointError(f"holds more than {LIMIT} bytes")
    return b"".join(_pieces(data))


def _pieces(packed: bytes) -> Iterator[bytes]:
    # Not the gzip module, which reads on into whatever follows the stream.
    inflate, file = zlib.decompressobj(zlib.MAX_WBITS + 16), BytesIO(packed)
    try:
        while not inflate.eof and (waiting := inflate.unconsumed_tail or file.read(PIECE // 16)):
            yield inflate.decompress(waiting, PIECE)
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
