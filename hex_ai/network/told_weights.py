"""What a file of foreign weights holds, in words: for the messages that refuse it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hex_ai.errors import HexAIError
from hex_ai.network.architecture import architecture, known_architectures
from hex_ai.network.weight_names import State, with_our_names

# The names that a message shows.
_SHOWN = 6
_LONGEST_NAME = 60

# Other names, or an architecture of somebody else's that cannot be made without more.
_NO_FIT = (
    *(ArithmeticError, AttributeError, HexAIError, LookupError),
    *(RuntimeError, TypeError, ValueError),
)


def told_tensors(given: State) -> str:
    """How many tensors there are, what one is like, and which architecture has such."""
    name, tensor = next(iter(given.items()))
    several = f"{len(given)} tensors" if len(given) > 1 else "1 tensor"
    known = known_architectures()
    fitting = [each for each in known if _fits(each, given)]
    meant = f"they fit {fitting[0]}" if fitting else f"this is none of {', '.join(known)}"
    return f"holds {several} such as {_short(name)} {list(tensor.shape)}; {meant}"


def told(content: Any) -> str:
    """What was found in the place of tensors with names."""
    if isinstance(content, Tensor):
        return f"holds a tensor {list(content.shape)} without a name"
    if not isinstance(content, dict):
        length = f" of {len(content)}" if isinstance(content, list | tuple | str) else ""
        return f"holds a {type(content).__name__}{length}"
    # Not content.keys(): an unpickled dict may carry an attribute that hides the method.
    keys = list(dict.keys(content))
    if not keys:
        return "holds an empty dict"
    if "param_groups" in keys:
        return "holds the state of an optimizer"
    more = ", …" if len(keys) > _SHOWN else ""
    return f"holds a dict of {', '.join(_short(str(key)) for key in keys[:_SHOWN])}{more}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def _fits(name: str, given: State) -> bool:
    """Whether names and shapes are those of an architecture with its default settings."""
    try:
        with torch.random.fork_rng(devices=[]):
            network = architecture(name).network({})
        wanted = network.state_dict()
        found = with_our_names(given, wanted, getattr(network, "other_names", {}))
    except _NO_FIT:
        return False
    return _shapes(found) == _shapes(wanted)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """A 1 × 1 convolution counts as a linear layer, and batches need not be counted."""
    shapes = {}
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            shape = tuple(tensor.shape)
            shapes[name] = shape[:2] if shape[2:] == (1, 1) else shape
    return shapes
