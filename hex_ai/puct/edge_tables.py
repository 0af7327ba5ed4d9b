"""What a node's search knows of the moves looked at, as one table, and what is asked of it.

A table is float64 `[5, E]` for `E` moves, which may be more than are there yet. The rows are called
`VISITS`, `PENDING`, `VALUE`, `PRIOR` and `LEFT`; see `tree.Edge`. Both functions have a twin in
`kernels`, which answers the same, bit for bit: it does the same sums in the same order.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

from numpy.typing import NDArray

from hex_ai.compilation import has_numba

VISITS, PENDING, VALUE, PRIOR, LEFT = range(5)

Table = NDArray[Any]
Chooser = Callable[[Table, int, float, float, float], int]
Averager = Callable[[Table, int, float], float]


@cache
def functions() -> tuple[Chooser, Averager]:
    """`best_move` and `mean_value`, compiled where numba is installed."""
    if has_numba():
        from hex_ai.puct import kernels

        return kernels.best_move, kernels.mean_value
    return best_move, mean_value


def best_move(table: Table, moves: int, scale: float, value: float, unseen: float) -> int:
    """The move with the largest sum of value and exploration (PUCT; Silver et al. 2017).

    Args:
      table: see above.
      moves: how many are there.
      scale: of exploration.
      value: of a move that no leaf was valued or sent through yet.
      unseen: the sum for the best move that nobody looked at, or minus infinity.

    Returns:
      The first of the best that are not ruled out, or -1 if the unseen one is better than all.
    """
    best, best_score = -1, -math.inf
    # Python's own floats are several times as fast as those of an array, one at a time.
    for move, (visits, pending, behind, prior, left) in enumerate(table[:, :moves].T.tolist()):
        if left:
            count, mean = visits + pending, value
            if count:
                # A pending leaf counts as a loss for whoever sends it.
                mean = -(behind * visits + pending) / count
            score = mean + scale * prior / (1 + count)
            if score > best_score:
                best, best_score = move, score
    return -1 if unseen > best_score else best


def mean_value(table: Table, moves: int, network: float) -> float:
    """The mean of the network's value and those of all leaves below, the node's own mover's view.

    Takes a table, how many moves are there, and the network's value of the node.
    """
    total, count = network, 1.0
    for visits, value in table[[VISITS, VALUE], :moves].T.tolist():
        total -= visits * value
        count += visits
    return total / count
