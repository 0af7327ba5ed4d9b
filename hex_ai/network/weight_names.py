"""Names of tensors as other programs write them, made those of an architecture.

What holds a network puts a word in front of all its names: `module.` (parallel and averaged ones),
`_orig_mod.` (compiled ones), `model.` and the like (trainers), in any order and number.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from hex_ai.errors import CheckpointError

State = dict[str, Tensor]

# How often a file may hold the weights wanted, under as many prefixes, before it is refused.
_MOST_COPIES = 8

_COUNTED = "num_batches_tracked"


def with_our_names(given: State, wanted: State, other_names: Mapping[str, str]) -> State:
    """The tensors under the names of `wanted`, as far as there are such.

    Args:
      given: as a file has them.
      wanted: the architecture's.
      other_names: regular expressions for how others call its parts, and what replaces a match.

    Raises:
      CheckpointError: a tensor under two names, or all of them under two prefixes.
    """
    # A part of a network may be compiled too, so not only in front.
    state = _renamed(given, r"(^|\.)(_orig_mod\.)+", r"\1")
    # Of how many networks an average is.
    state = {name: state[name] for name in state if name.split(".")[-1] != "n_averaged"}

    def ours(prefix: str) -> State:
        found = {name[len(prefix) :]: state[name] for name in state if name.startswith(prefix)}
        for theirs, our in other_names.items():
            found = _renamed(found, theirs, our)
        return found

    needed = {name for name in wanted if not name.endswith(_COUNTED)}
    prefixes = [prefix for prefix in _prefixes(state, wanted) if needed <= ours(prefix).keys()]
    if len(prefixes) > 1 and "" not in prefixes:
        raise CheckpointError(f"holds the weights twice: under {' and '.join(map(repr, prefixes))}")
    return ours(prefixes[0] if prefixes else _shared_prefix(state, wanted))


def _prefixes(state: State, wanted: State) -> list[str]:
    """What may stand in front of all names, the shortest first: by the last name that is wanted."""
    last = list(wanted)[-1]
    found = [name.removesuffix(last) for name in state if name == last or name.endswith(f".{last}")]
    return sorted(found, key=len)[:_MOST_COPIES]


def _shared_prefix(state: State, wanted: State) -> str:
    """The words that all names begin with, up to where a name is one that is wanted."""
    names, prefix = list(state), ""
    while not any(name in wanted for name in names):
        first, dot, _ = names[0].partition(".")
        if not dot or not all(name.startswith(first + dot) for name in names):
            break
        prefix += first + dot
        names = [name.removeprefix(first + dot) for name in names]
    return prefix


def _renamed(state: State, theirs: str, ours: str) -> State:
    renamed: State = {}
    for name, tensor in state.items():
        new = re.sub(theirs, ours, name)
        if new in renamed:
            raise CheckpointError(f"holds the tensor {new!r} under two names")
        renamed[new] = tensor
    return renamed
