"""Reads weights that other programs wrote with `torch.save`, for networks that we know.

Such a file goes through torch's weights-only reader, which builds tensors and plain containers and
calls nothing else. Tensors are matched by name; an architecture tells in `other_names` what other
programs call its parts.
"""

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any

import torch
from torch import Tensor, nn

import hex_ai.network.resnet
import hex_ai.network.resnet18  # noqa: F401  (known by name once imported)
from hex_ai.errors import CheckpointError
from hex_ai.network.architecture import architecture
from hex_ai.network.weight_files import (
    LIMIT,
    StrPath,
    named,
    read_file,
    require_finite,
    require_fit,
    specs,
)

State = dict[str, Tensor]

# Where training programs keep the state dict, next to their optimizer and notes.
_STATE_KEYS = ("model_state_dict", "state_dict", "model_state", "model", "network", "net")
_NESTING = 3
# What torch.nn.DataParallel and torch.compile put in front of every name.
_WRAPPERS = ("module.", "_orig_mod.")

# A damaged file can fail anywhere in torch's reader, with whatever error it leads to there.
_READER_ERRORS = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, ArithmeticError, AssertionError, AttributeError),
    *(EOFError, ImportError, LookupError, MemoryError, RuntimeError, TypeError, ValueError),
    struct.error,
)


class _Dropped:
    """Stands in for NumPy's numbers, which training notes hold and nobody here needs."""

    def __init__(self, *parts: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


_STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Dropped, name)
    for name in ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
]


def import_weights(path: StrPath, architecture_name: str) -> nn.Module:
    """A network of this architecture, in evaluation mode, with the weights of a `torch.save` file.

    Args:
      path: gzip-ed or not; a state dict, or a dict that has one under a usual name.
      architecture_name: a known architecture; it is made with its default settings.

    Raises:
      SettingError: no such architecture.
      CheckpointError: a file that cannot be read, holds more than weights, or whose weights are not
        all of the architecture's and no others; the message names the path and the reason.
    """
    network = architecture(architecture_name).network({})
    wanted = network.state_dict()
    with named(path):
        given = _without_wrappers(_state_in(_unpickled(read_file(path))))
        for theirs, ours in getattr(network, "other_names", {}).items():
            given = _renamed(given, theirs, ours)
        state = {name: _like(wanted.get(name), name, given[name]) for name in given}
        # Older versions of torch did not count the batches of a norm.
        state = {name: wanted[name] for name in wanted if name.endswith("_tracked")} | state
        require_fit(specs(state), specs(wanted))
        require_finite(state)
    network.load_state_dict(state)
    return network.eval()


def _unpickled(data: bytes) -> Any:
    """The plain data in a file of `torch.save`."""
    try:
        if zipfile.is_zipfile(BytesIO(data)):
            _require_room(zipfile.ZipFile(BytesIO(data)))
        with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")  # Nobody here can change what they are about.
            return torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except _READER_ERRORS as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        reason = "is not a file of torch.save, or is damaged"
        if foreign:
            reason = f"holds {foreign[1]!r}, which is more than weights; nothing of it was run"
        raise CheckpointError(reason) from error


def _require_room(archive: zipfile.ZipFile) -> None:
    size = sum(record.file_size for record in archive.infolist())
    if size > LIMIT:
        raise CheckpointError(f"holds {size} bytes, the limit is {LIMIT}")


def _state_in(content: Any) -> State:
    """The state dict in what was unpickled: under a usual name, or the tensors on top."""
    found = _find_state(content, _NESTING)
    if not found:
        raise CheckpointError(f"holds no weights, neither on top nor in {', '.join(_STATE_KEYS)}")
    return found


def _find_state(content: Any, depth: int) -> State:
    if not isinstance(content, dict) or depth == 0:
        return {}
    # Not content.items(): an unpickled dict may carry an attribute that hides the method.
    items = dict(dict.items(content))
    for key in _STATE_KEYS:
        if inner := _find_state(items.get(key), depth - 1):
            return inner
    return {
        name: value
        for name, value in items.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _without_wrappers(state: State) -> State:
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in state):
            return _without_wrappers({name[len(wrapper) :]: state[name] for name in state})
    return state


def _renamed(state: State, theirs: str, ours: str) -> State:
    renamed: State = {}
    for name, tensor in state.items():
        new = re.sub(theirs, ours, name)
        if new in renamed:
            raise CheckpointError(f"holds the tensor {new!r} under two names")
        renamed[new] = tensor
    return renamed


def _like(wanted: Tensor | None, name: str, tensor: Tensor) -> Tensor:
    """An ordinary tensor in the precision of the one wanted; a 1 × 1 convolution may stand for a
    linear layer. One of another shape is left as it is: a few bytes can claim any number of rows.
    """
    plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided
    if not plain or tensor.is_quantized or tensor.is_nested or tensor.device.type != "cpu":
        raise CheckpointError(f"{name!r} is not an ordinary tensor")
    if wanted is None or tensor.shape not in (wanted.shape, (*wanted.shape, 1, 1)):
        return tensor
    if tensor.is_floating_point() and wanted.is_floating_point():
        tensor = tensor.to(wanted.dtype)
    return tensor.detach().reshape(wanted.shape)
