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
from hex_ai.network.told_weights import told, told_tensors
from hex_ai.network.torch_state import undisturbed
from hex_ai.network.weight_files import (
    LIMIT,
    PIECE,
    StrPath,
    named,
    open_source,
    require_finite,
    require_fit,
    specs,
)
from hex_ai.network.weight_names import State, with_our_names

# Where training programs keep the state dict, next to their optimizer and notes; running averages
# of the weights, which some keep besides, come last.
_STATE_KEYS = (
    *("model_state_dict", "state_dict", "model_state", "model", "network", "net", "module"),
    *("ema_state_dict", "model_ema", "ema_model", "ema", "averaged_model"),
)
_NESTING = 4

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


@undisturbed(gradients=True)
def import_weights(path: StrPath, architecture_name: str) -> nn.Module:
    """A network of this architecture, in evaluation mode, with the weights of a `torch.save` file.

    Args:
      path: gzip-ed or not; a state dict, or a dict that has one under a usual name. What stands in
        front of all names is taken off, see `hex_ai.network.weight_names`.
      architecture_name: a known architecture; it is made with its default settings.

    Raises:
      SettingError: no such architecture.
      CheckpointError: a file that cannot be read, holds more than weights, or whose weights are not
        all of the architecture's and no others; the message names the path and the reason, and what
        the file holds.
    """
    network = architecture(architecture_name).network({})
    content = _content(path)
    with named(path):
        given = _state_in(content)
        if not given:
            raise CheckpointError(f"holds no weights: it {told(content)}")
        found = with_our_names(given, network.state_dict(), getattr(network, "other_names", {}))
        try:
            state = _state_for(network, found)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; it {told_tensors(given)}") from error
        require_finite(state)
    network.load_state_dict(state)
    return network.eval()


def told_content(path: StrPath) -> str:
    """What a file of `torch.save` holds, in a few words that go on after its name.

    Raises:
      CheckpointError: a file that cannot be read, or holds more than weights.
    """
    content = _content(path)
    given = _state_in(content)
    return told_tensors(given) if given else told(content)


def _content(path: StrPath) -> Any:
    with open_source(path) as source:
        while piece := source.start(PIECE):
            source.take(len(piece))  # A bomb is found here, before any of it is kept.
    with open_source(path) as source:
        return _unpickled(source.rest())


def _state_for(network: nn.Module, found: State) -> State:
    """What `network` loads, made from tensors under its names.

    Raises:
      CheckpointError: they are not its weights.
    """
    wanted = network.state_dict()
    state = {name: _like(wanted.get(name), name, found[name]) for name in found}
    # Older versions of torch did not count the batches of a norm.
    state = {name: wanted[name] for name in wanted if name.endswith("_tracked")} | state
    require_fit(specs(state), specs(wanted))
    return state


def _unpickled(data: bytearray) -> Any:
    """The plain data in a file of `torch.save`."""
    try:
        if zipfile.is_zipfile(BytesIO(data)):
            records = zipfile.ZipFile(BytesIO(data)).infolist()
            if (size := sum(record.file_size for record in records)) > LIMIT:
                raise CheckpointError(f"holds {size} bytes, the limit is {LIMIT}")
        with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")  # Nobody here can change what they are about.
            return torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except _READER_ERRORS as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        reason = "is not a file of torch.save, or is damaged"
        if data[8:9] == b"{":
            reason = "is a file of safetensors, not of torch.save"
        if foreign:
            reason = f"holds {foreign[1]!r}, which is more than weights; nothing of it was run"
        raise CheckpointError(reason) from error


def _state_in(content: Any, depth: int = _NESTING) -> State:
    """The state dict in what was unpickled: under a usual name, or the tensors on top."""
    if not isinstance(content, dict) or depth == 0:
        return {}
    # Not content.items(): an unpickled dict may carry an attribute that hides the method.
    items = dict(dict.items(content))
    for key in _STATE_KEYS:
        if inner := _state_in(items.get(key), depth - 1):
            return inner
    return {
        name: value
        for name, value in items.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


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
