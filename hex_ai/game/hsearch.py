"""Deeper proofs than those of `threats`, for positions that are worth some milliseconds: H-search.

H-search (V. V. Anshelevich, "A hierarchical approach to computer Hex", Artificial Intelligence 134,
2002) looks for virtual connections between all pairs of groups and empty cells. It starts from
cells that touch and has two rules. AND: two connections with a node in common, whose carriers are
apart, make one if that node is a group, and if it is an empty cell, a *semi-connection*, which
holds if its owner moves first. OR: semi-connections of one pair that share no cell make a
connection. What connects the edges is a win, and a semi-connection of the edges a threat.

There is no twin of it in tensors: it runs only where `compiled.usable` says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from hex_ai.game.positions import Positions
from hex_ai.game.threats import Verdicts

# Cells of larger boards do not fit into the words of a set.
MAX_HSEARCH_SIZE = 11

if TYPE_CHECKING:
    from hex_ai.game.hsearch_kernels import Work


class HSearch:
    """Searches positions of one size, one after the other, in memory of its own.

    On 11×11 a position takes some milliseconds, and the memory is 3 MB.

    Args:
      size: N, up to `MAX_HSEARCH_SIZE`.
    """

    def __init__(self, size: int) -> None:
        self._work = _work(size)

    def resolve(self, positions: Positions) -> Verdicts:
        """As `threats.resolve`, for positions on the CPU, none of them finished.

        Each answer depends on its own row alone.
        """
        from hex_ai.game import hsearch_kernels as kernels

        count = len(positions)
        marks = np.zeros((3, count, positions.moves), np.bool_)
        proven, moves = np.zeros(count, np.int8), np.zeros(count, np.int64)
        labels = np.ascontiguousarray(positions.labels.numpy())
        kernels.verdicts(labels, self._work, marks, proven, moves)
        carriers, must, threats = torch.from_numpy(marks)
        return Verdicts(torch.from_numpy(proven), carriers, must, threats, torch.from_numpy(moves))


def _work(size: int) -> Work:
    from hex_ai.game import hsearch_kernels as kernels
    from hex_ai.game.set_kernels import WORDS

    cells, nodes = (size + 2) ** 2, size**2 + 2
    pairs = nodes * (nodes - 1) // 2
    rows = kernels.PAIR_SETS + pairs * (kernels.VIRTUAL + kernels.SEMI)
    return kernels.Work(
        board=np.empty(cells, np.int32),
        nodes=np.empty(cells, np.int32),
        cells=np.empty(nodes, np.int32),
        near=np.empty((nodes, nodes + 1), np.int32),
        counts=np.empty((pairs, kernels.SIZES + kernels.VIRTUAL), np.int32),
        sets=np.empty((rows, WORDS), np.uint64),
        first=np.empty(size**2 + 1, np.int32),
        queue=np.empty((kernels.QUEUE, 3), np.int32),
        state=np.empty(5, np.int64),
    )
