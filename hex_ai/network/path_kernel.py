"""Distances from the edges a position at a time, compiled by numba: the same bits as by tensors.

What is computed is told in `paths`. To be imported only where `compilation.has_numba` says so.

Axes: `B` positions of size `N`, `K` prices of a cell for each player. A position has `4 * K`
boards with a rim, `(N + 2)²` cells each, one for each distance, and all of them lie in one row. So
a relaxation is one loop over all cells, the rim's included: what an edge gives away is 0 and costs
nothing, and so stays 0; what is out of reach costs that much more, and so stays out of reach.
"""

import numpy as np

from hex_ai.compilation import Array, kernel


@kernel
def distance_planes(
    prices: Array, planes: Array, times: int, reach: np.float32, scale: np.float32, found: Array
) -> None:
    """Fills in `paths.distance_planes`.

    Args:
      prices, planes: float32 `[B, 2 * K, N, N]` and `[B, 2, N + 2, N + 2]`.
      times: relaxations of every cell.
      reach, scale: the largest distance and what it is multiplied by.
      found: float32 `[B, 6 * K, N, N]`, written to.
    """
    count, maps, width = len(prices), prices.shape[1] // 2, planes.shape[2]
    cost = np.empty(4 * maps * width * width, np.float32)
    board = np.empty_like(cost)
    pairs = np.empty_like(cost)
    for row in range(count):
        for number in range(4 * maps):
            _start(prices[row], planes[row], number, reach, cost, board)
        for _ in range(times):
            _least(board[:-1], board[1:], pairs[:-1])
            _relax(board, cost, pairs, width)
        _tell(board, cost, reach, scale, found[row])


@kernel
def _start(
    prices: Array, planes: Array, number: int, reach: np.float32, cost: Array, board: Array
) -> None:
    """Writes one board before the first relaxation, and what its cells cost."""
    size, width, maps = prices.shape[1], planes.shape[1], len(prices) // 2
    player, edge, first = number // (2 * maps), number // maps % 2, number * width * width
    for cell in range(first, first + width * width):
        cost[cell] = board[cell] = reach
    for k in range(1, width - 1):
        rim = (width - 1) * edge
        cell = first + (k * width + rim if player else rim * width + k)
        cost[cell] = board[cell] = 0
    for row in range(size):
        for column in range(size):
            price = prices[player * maps + number % maps, row, column]
            if planes[player, row + 1, column + 1] > 0:
                price = np.float32(0)
            if planes[1 - player, row + 1, column + 1] > 0:
                price = reach
            cost[first + (row + 1) * width + column + 1] = price


@kernel
def _least(first: Array, second: Array, least: Array) -> None:
    """Writes the smaller one of each two numbers."""
    for k in range(len(least)):
        one, other = first[k], second[k]
        least[k] = other if other < one else one


@kernel
def _relax(board: Array, cost: Array, pairs: Array, width: int) -> None:
    """Writes what each cell costs by way of the nearest around it; see `paths._nearest`."""
    last = len(board) - width
    _add_least(
        pairs[: last - width],
        pairs[2 * width - 1 : last + width - 1],
        pairs[width - 1 : last - 1],
        pairs[width:last],
        cost[width:last],
        board[width:last],
    )


@kernel
def _add_least(
    above: Array, below: Array, left: Array, right: Array, cost: Array, board: Array
) -> None:
    for k in range(len(board)):
        one, other = above[k], below[k]
        near = other if other < one else one
        one, other = left[k], right[k]
        same = other if other < one else one
        board[k] = (same if same < near else near) + cost[k]


@kernel
def _tell(board: Array, cost: Array, reach: np.float32, scale: np.float32, found: Array) -> None:
    """Writes the planes of a position."""
    maps, size = len(found) // 6, found.shape[1]
    cells = len(board) // (4 * maps)
    for row in range(size):
        for column in range(size):
            cell = (row + 1) * (size + 2) + column + 1
            for player in range(2):
                for k in range(maps):
                    number = 2 * player * maps + k
                    here, opposite = number * cells + cell, (number + maps) * cells + cell
                    one, other = min(board[here], reach), min(board[opposite], reach)
                    way = min(one + other - cost[here], reach)
                    found[number, row, column] = one * scale
                    found[number + maps, row, column] = other * scale
                    found[(4 + player) * maps + k, row, column] = way * scale
