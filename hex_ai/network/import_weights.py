"""Reads weights that other programs wrote with `torch.save`, for networks that we know.

Such a file is a pickle, so it goes through torch's weights-only reader, which builds tensors and
plain containers and calls nothing else. The layers in it are matched by name, or, where the other
program called them otherwise, by kind, shape and order.
"""

import pickle
import re
import struct
import warnings
import zipfile
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

import hex_ai.network.resnet
import hex_ai.network.resnet18  # noqa: F401  (known by name once imported)
from hex_ai.errors import CheckpointError
from hex_ai.network.architecture import architecture
from hex_ai.network.weight_files import (
    PIECE,
    StrPath,
    open_source,
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
# Some programs register the path around a block before the block's own layers, some after.
_SIDE_MARKS = ("shortcut", "downsample", "skip", "proj")
_OPTIONAL = "num_batches_tracked"

# A stranger's bytes can fail anywhere in torch's reader, with whatever error they lead to there.
_READER_ERRORS = (
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
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
      architecture_name: a registered architecture; it is made with its default settings.

    Names may differ from ours, and 1 × 1 convolutions may stand for linear layers. The bias of a
    convolution that a batch norm follows is taken off the norm's running mean, which is the same.

    Raises:
      SettingError: no such architecture.
      CheckpointError: a file that cannot be read, holds more than weights, or whose weights are not
        all of the architecture's and no others; the message names the path and the reason.
    """
    network = architecture(architecture_name).network({})
    wanted = network.state_dict()
    with open_source(path) as source:
        while source.read(PIECE):
            pass  # A bomb is found here, before any of it is kept.
    with open_source(path) as source:
        given = _without_wrappers(_state_in(_unpickled(source.rest())))
        _require_dense(given)
        state = _matched(given, wanted)
        require_fit(specs(state), specs(wanted))
        require_finite(state)
    network.load_state_dict(state)
    return network.eval()


@dataclass(frozen=True)
class _Layer:
    """The tensors of one module under their own names: weight, bias, running_mean, …"""

    name: str
    tensors: State

    @property
    def is_norm(self) -> bool:
        return "running_mean" in self.tensors

    @property
    def likeness(self) -> tuple[bool, bool, tuple[int, ...]]:
        """What layers share that may stand for each other: norm or not, side path or not, shape."""
        weight = self.tensors.get("weight", torch.empty(0))
        marked = any(mark in self.name.lower() for mark in _SIDE_MARKS)
        return self.is_norm, marked and (self.is_norm or weight.dim() == 4), _bare_shape(weight)

    def of(self, leaf: str) -> str:
        """The full name of one of its tensors."""
        return f"{self.name}.{leaf}" if self.name else leaf


def _unpickled(data: bytearray) -> Any:
    """The plain data in a file of `torch.save`."""
    try:
        if zipfile.is_zipfile(BytesIO(data)):
            _require_unpacked(data)
        with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")  # Nobody here can change what they are about.
            return torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except _READER_ERRORS as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if foreign:
            reason = f"holds {foreign[1]!r}, which is more than weights; nothing of it was run"
        else:
            reason = "is not a file of torch.save, or is damaged"
        raise CheckpointError(reason) from error


def _require_unpacked(data: bytearray) -> None:
    # torch.save packs nothing, so a packed record is there to fill the memory.
    with zipfile.ZipFile(BytesIO(data)) as archive:
        if any(record.file_size > record.compress_size for record in archive.infolist()):
            raise CheckpointError("is not a file of torch.save: a record in it is packed")


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


def _require_dense(state: State) -> None:
    for name, tensor in state.items():
        plain = type(tensor) in (Tensor, nn.Parameter) and tensor.layout is torch.strided
        if not plain or tensor.is_quantized or tensor.is_nested or tensor.device.type != "cpu":
            raise CheckpointError(f"{name!r} is not an ordinary tensor")


def _matched(given: State, wanted: State) -> State:
    """The given weights under the wanted names, in the wanted shapes and dtypes."""
    pairs = _pairs(_layers(given), _layers(wanted))
    state = {
        ours.of(leaf): _leaf(theirs, leaf, like)
        for theirs, ours in pairs
        for leaf, like in ours.tensors.items()
    }
    followers = [ours for _, ours in pairs[1:]]
    for (theirs, ours), after in zip_longest(pairs, followers):
        for leaf in theirs.tensors.keys() - ours.tensors.keys():
            if leaf != "bias" or after is None or not after.is_norm:
                raise CheckpointError(f"{theirs.of(leaf)!r} has no place in the architecture")
            _fold_bias(theirs.tensors[leaf], state, after.of("running_mean"))
    return state


def _layers(state: Mapping[str, Tensor]) -> list[_Layer]:
    """The layers of a state dict in order of appearance."""
    layers: dict[str, _Layer] = {}
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        layers.setdefault(module, _Layer(module, {})).tensors[leaf] = tensor
    return list(layers.values())


def _pairs(given: list[_Layer], wanted: list[_Layer]) -> list[tuple[_Layer, _Layer]]:
    """For each wanted layer, in their order: the given one that stands for it, and itself."""
    by_name = {layer.name: layer for layer in given}
    if by_name.keys() == {layer.name for layer in wanted}:
        return [(by_name[layer.name], layer) for layer in wanted]
    _require_same_kinds(given, wanted)
    queues: dict[Any, deque[_Layer]] = defaultdict(deque)
    for layer in given:
        queues[layer.likeness].append(layer)
    return [(queues[layer.likeness].popleft(), layer) for layer in wanted]


def _require_same_kinds(given: list[_Layer], wanted: list[_Layer]) -> None:
    have = Counter(layer.likeness for layer in given)
    want = Counter(layer.likeness for layer in wanted)
    for layer in (*wanted, *given):
        kind = layer.likeness
        if have[kind] != want[kind]:
            what = f"{'norms' if layer.is_norm else 'layers'} like {layer.name!r} {list(kind[2])}"
            raise CheckpointError(f"has {have[kind]} {what}, the architecture has {want[kind]}")


def _leaf(layer: _Layer, leaf: str, like: Tensor) -> Tensor:
    """The layer's tensor of this name, in the shape and dtype of `like`."""
    tensor, name = layer.tensors.get(leaf), layer.of(leaf)
    if tensor is None:
        if leaf == _OPTIONAL:
            return like
        raise CheckpointError(f"lacks the tensor {name!r}")
    if _bare_shape(tensor) != _bare_shape(like):
        raise CheckpointError(f"{name!r} is {list(tensor.shape)}, want {list(like.shape)}")
    if tensor.is_complex() or tensor.is_floating_point() != like.is_floating_point():
        raise CheckpointError(f"{name!r} is {tensor.dtype}, want {like.dtype}")
    return tensor.detach().reshape(like.shape).to(like.dtype)


def _fold_bias(bias: Tensor, state: State, mean: str) -> None:
    """Takes a convolution's bias off the mean that the norm after it subtracts."""
    if bias.shape != state[mean].shape:
        raise CheckpointError(f"has a bias of {list(bias.shape)} before {mean!r}")
    if not bias.is_floating_point():
        raise CheckpointError(f"has a bias of {bias.dtype} before {mean!r}")
    state[mean] = (state[mean].double() - bias.detach().double()).to(state[mean].dtype)


def _bare_shape(tensor: Tensor) -> tuple[int, ...]:
    """The shape, where a 1 × 1 convolution counts as the linear layer that it is."""
    shape = tuple(tensor.shape)
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape
