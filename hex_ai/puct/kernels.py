"""The functions of `edge_tables`, compiled. To be imported only where `has_numba` says so."""

import math

from hex_ai.compilation import kernel
from hex_ai.puct.edge_tables import LEFT, PENDING, PRIOR, VALUE, VISITS, Table


@kernel
def best_move(table: Table, moves: int, scale: float, value: float, unseen: float) -> int:
    """See `edge_tables.best_move`."""
    best, best_score = -1, -math.inf
    for move in range(moves):
        if table[LEFT, move]:
            visits, pending = table[VISITS, move], table[PENDING, move]
            count, mean = visits + pending, value
            if count:
                # A pending leaf counts as a loss for whoever sends it.
                mean = -(table[VALUE, move] * visits + pending) / count
            score = mean + scale * table[PRIOR, move] / (1 + count)
            if score > best_score:
                best, best_score = move, score
    return -1 if unseen > best_score else best


@kernel
def mean_value(table: Table, moves: int, network: float) -> float:
    """See `edge_tables.mean_value`."""
    total, count = network, 1.0
    for move in range(moves):
        total -= table[VISITS, move] * table[VALUE, move]
        count += table[VISITS, move]
    return total / count
