"""The way from tensors on the CPU to the compiled `kernels` and back, where numba is installed."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hex_ai.compilation import has_numba
from hex_ai.game.positions import Positions

Tables = tuple[Tensor, Tensor]


def usable(device: torch.device) -> bool:
    """Whether what lives on this device may go through kernels.

    But for the proofs of `hsearch`, only speed depends on it.
    """
    return device.type == "cpu" and has_numba()


def lost_positions(positions: Positions, templates: Tables) -> Tensor:
    """bool `[B]`: see `connections.opponent_has_won`."""
    from hex_ai.game import kernels

    lost = positions.finished.clone()
    stones, carriers = map(_array, templates)
    kernels.lost_positions(_array(positions.labels), stones, carriers, _array(lost))
    return lost


def verdicts(positions: Positions, templates: Tables) -> tuple[Tensor, ...]:
    """The fields of `threats.Verdicts`, in their order."""
    from hex_ai.game import kernels

    count = len(positions)
    marks = torch.zeros(3, count, positions.moves, dtype=torch.bool)
    proven, moves = torch.zeros(count, dtype=torch.int8), torch.zeros(count, dtype=torch.int64)
    places = (positions.labels, positions.finished, *templates, marks, proven, moves)
    kernels.verdicts(*map(_array, places))
    return proven, *marks, moves


def play(positions: Positions, moves: Tensor) -> Positions:
    """See `Positions.play`, which needs no import that takes a second, but more time a call."""
    from hex_ai.game import play_kernel

    labels, finished = positions.labels.flatten(1), positions.finished.clone()
    played = torch.empty(labels.shape, dtype=torch.int16)
    play_kernel.play(*map(_array, (labels, finished, moves, played)))
    return Positions(
        played.view(positions.labels.shape), positions.blue_to_move ^ ~positions.finished, finished
    )


def _array(tensor: Tensor) -> NDArray[np.generic]:
    """The same memory where it is in the common order, as kernels want it; else a copy."""
    return np.ascontiguousarray(tensor.numpy())
