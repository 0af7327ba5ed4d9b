"""`Positions.play` a position at a time, compiled: the same labels as the tensors give.

To be imported only where `compilation.has_numba` says so. Axes: see `kernels`.
"""

import math

import numpy as np

from hex_ai.compilation import Array, kernel
from hex_ai.game.kernels import steps


@kernel
def play(labels: Array, finished: Array, moves: Array, played: Array) -> None:
    """Plays a move in each position, as `Positions.play` does.

    Args:
      labels: int16 `[B, F]`, before the moves.
      finished: bool `[B]`; becomes true where a move ends the game.
      moves: int64 `[B]`, cells as the mover sees them.
      played: int16 `[B, F]`, written to: after the moves, as the other side sees it.
    """
    count, cells = labels.shape
    width = int(math.sqrt(cells))
    near = np.empty(6, np.int16)
    for row in range(count):
        before = labels[row]
        if finished[row]:
            for cell in range(cells):
                played[row, cell] = before[cell]
            continue
        size = width - 2
        cell = (moves[row] // size + 1) * width + moves[row] % size + 1
        label, top, bottom = cell, False, False
        for k, step in enumerate(steps(width)):
            near[k] = max(before[cell + step], 0)
            label = max(label, near[k])
            top, bottom = top or near[k] == cells, bottom or near[k] == cells + 1
        finished[row] = top and bottom
        _turn_over(before, near, label, width, played[row])
        played[row, cell % width * width + cell // width] = -label


@kernel
def _turn_over(before: Array, near: Array, label: int, width: int, after: Array) -> None:
    """Writes a board as the other side sees it, with one label for the groups of those `near`."""
    for cell in range(len(before)):
        kept = before[cell]
        if kept > 0:
            for other in near:
                if kept == other:
                    kept = label
        after[cell % width * width + cell // width] = -kept
