"""The slow reference: the rules and the search of Hex, one cell and one node at a time.

Written apart from the package, from the rules alone, so that a fast path and this file agree only
if both are right. Plain Python: no tensors, no batches, and nothing here imports `hex_ai`.

A cell index is `row * size + col`. An *absolute* cell is where the stone lies on the board; a
*canonical* cell is the same cell as the mover sees it, which for Blue means row and column
exchanged. Every cell index below is canonical.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

RED = 1
BLUE = -1
IMPROVED_POLICY_WEIGHT = 16.0

# Cell (row, col) touches (±1, 0), (0, ±1), (−1, +1) and (+1, −1).
TOUCHING = ((+1, 0), (-1, 0), (0, +1), (0, -1), (-1, +1), (+1, -1))

# (board) -> (logits of the N*N canonical cells, value for the mover)
Evaluate = Callable[["SlowBoard"], tuple[Sequence[float], float]]


@dataclass(frozen=True)
class SlowBoard:
    """One position: `stones[row][col]` is absolute, +1 Red, -1 Blue, 0 empty."""

    stones: tuple[tuple[int, ...], ...]
    mover: int = RED

    @classmethod
    def empty(cls, size: int) -> SlowBoard:
        """The start: no stones, Red to move."""
        return cls(tuple((0,) * size for _ in range(size)))

    @property
    def size(self) -> int:
        """The number of rows, and of columns."""
        return len(self.stones)

    def place_of(self, cell: int) -> tuple[int, int]:
        """The absolute (row, col) of a cell that the mover sees."""
        if not 0 <= cell < self.size * self.size:
            raise ValueError(f"cell {cell} is off a board of size {self.size}")
        row, col = divmod(cell, self.size)
        return (row, col) if self.mover == RED else (col, row)

    def winner(self) -> int:
        """+1 if Red joins top to bottom, -1 if Blue joins left to right, else 0."""
        return self._winner

    @cached_property
    def _winner(self) -> int:
        edge = range(self.size)
        red = self._flood(RED, [(0, col) for col in edge])
        if any((self.size - 1, col) in red for col in edge):
            return RED
        blue = self._flood(BLUE, [(row, 0) for row in edge])
        if any((row, self.size - 1) in blue for row in edge):
            return BLUE
        return 0

    def legal(self) -> list[int]:
        """The cells the mover may take, lowest first; none once the game is won."""
        if self.winner():
            return []
        view = canonical(self)
        return [
            row * self.size + col
            for row in range(self.size)
            for col in range(self.size)
            if view[row][col] == 0
        ]

    def play(self, cell: int) -> SlowBoard:
        """The position after the mover takes a cell."""
        row, col = self.place_of(cell)
        if self.winner():
            raise ValueError("the game is over")
        if self.stones[row][col]:
            raise ValueError(f"row {row}, column {col} is taken")
        return SlowBoard(self._with(row, col, self.mover), -self.mover)

    def swap(self) -> SlowBoard:
        """Swap-pieces: the first stone becomes Blue's, mirrored, and Red moves next."""
        edge = range(self.size)
        taken = [(row, col) for row in edge for col in edge if self.stones[row][col]]
        if self.mover != BLUE or len(taken) != 1 or self.winner():
            raise ValueError("only the second move may be a swap")
        row, col = taken[0]
        return SlowBoard(SlowBoard.empty(self.size)._with(col, row, BLUE), RED)

    def _with(self, row: int, col: int, colour: int) -> tuple[tuple[int, ...], ...]:
        rows = [list(line) for line in self.stones]
        rows[row][col] = colour
        return tuple(tuple(line) for line in rows)

    def _flood(self, colour: int, starts: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
        waiting = [(row, col) for row, col in starts if self.stones[row][col] == colour]
        reached = set(waiting)
        while waiting:
            row, col = waiting.pop()
            for down, right in TOUCHING:
                near = (row + down, col + right)
                on_board = 0 <= near[0] < self.size and 0 <= near[1] < self.size
                if on_board and near not in reached and self.stones[near[0]][near[1]] == colour:
                    reached.add(near)
                    waiting.append(near)
        return reached


def canonical(board: SlowBoard) -> list[list[int]]:
    """Rows as the mover sees them, who joins top to bottom: +1 the mover's, -1 the other's."""
    edge = range(board.size)
    if board.mover == RED:
        return [[board.stones[row][col] for col in edge] for row in edge]
    return [[-board.stones[col][row] for col in edge] for row in edge]


def cell_name(cell: int, size: int) -> str:
    """The name of an absolute cell: letters for the column (past `z` come `aa`, `ab`), then row."""
    row, col = divmod(cell, size)
    letters = "abcdefghijklmnopqrstuvwxyz"
    before = letters[col // 26 - 1] if col >= 26 else ""
    return f"{before}{letters[col % 26]}{row + 1}"


def reachable(size: int) -> Iterator[SlowBoard]:
    """Every position (stones and side to move) of games without swap, each once, ply by ply."""
    ply = {SlowBoard.empty(size)}
    while ply:
        yield from ply
        ply = {board.play(cell) for board in ply for cell in board.legal()}


def count_reachable(size: int) -> int:
    """How many positions `reachable` gives, the empty board included."""
    return sum(1 for _ in reachable(size))


def solve(board: SlowBoard) -> int:
    """+1 if the mover of this position wins with best play and no swap, else -1."""
    size = board.size

    def mask(colour: int) -> int:
        cells = [stone for line in board.stones for stone in line]
        return sum(1 << cell for cell, stone in enumerate(cells) if stone == colour)

    return +1 if _mover_wins(size, mask(RED), mask(BLUE), board.mover) else -1


@cache
def _mover_wins(size: int, red: int, blue: int, mover: int) -> bool:
    """Exact, on bit masks of absolute cells; the side that just moved may have won already."""
    if _joins(size, blue, BLUE) if mover == RED else _joins(size, red, RED):
        return False
    for cell in _middle_first(size):
        stone = 1 << cell
        if (red | blue) & stone:
            continue
        after = (red | stone, blue) if mover == RED else (red, blue | stone)
        if not _mover_wins(size, *after, -mover):
            return True
    return False


@cache
def _middle_first(size: int) -> list[int]:
    """All cells; good moves first make the memo short."""
    middle = (size - 1) / 2
    return sorted(
        range(size * size),
        key=lambda cell: abs(cell // size - middle) + abs(cell % size - middle),
    )


@cache
def _touching_masks(size: int) -> list[int]:
    """For each cell the mask of the cells it touches."""
    return [
        sum(
            1 << (row + down) * size + col + right
            for down, right in TOUCHING
            if 0 <= row + down < size and 0 <= col + right < size
        )
        for row in range(size)
        for col in range(size)
    ]


def _joins(size: int, stones: int, colour: int) -> bool:
    """Says whether a mask of stones joins the two edges of its colour."""
    top = (1 << size) - 1
    left = sum(1 << row * size for row in range(size))
    first, last = (top, top << size * (size - 1)) if colour == RED else (left, left << (size - 1))
    waiting = reached = stones & first
    touching = _touching_masks(size)
    while waiting:
        lowest = waiting & -waiting
        found = touching[lowest.bit_length() - 1] & stones & ~reached
        reached |= found
        waiting = (waiting ^ lowest) | found
    return bool(reached & last)


@dataclass(frozen=True)
class SlowSearch:
    """What the search of one position found; lists over candidates are in candidate order."""

    candidates: list[int]
    priors: list[float]
    q: list[float]
    chosen: int
    root_value: float
    requests: int
    improved_policy: list[float]


def slow_search(
    board: SlowBoard,
    widths: Sequence[int],
    evaluate: Evaluate,
    prior_noise: Sequence[float] | None = None,
    temperature: float = 0.0,
    value_weight: float = math.inf,
) -> SlowSearch:
    """Fixed-width search of one position: policy picks the children, negamax backs values up.

    Args:
      board: the root; its game is not over.
      widths: children kept per node at each level.
      evaluate: gives logits `[N*N]` in canonical order and the mover's value in [-1, 1].
      prior_noise: Gumbel draws `[N*N]` in canonical order, unused at temperature 0.
      temperature: how much of the noise is added to the log prior at the root.
      value_weight: the c of `s + c * q`; infinity is pure minimax.
    """
    if board.winner():
        raise ValueError("the game is over")
    logits, network_value = evaluate(board)
    log_prior = _log_softmax({cell: float(logits[cell]) for cell in board.legal()})
    perturbed = dict(log_prior)
    if temperature > 0 and prior_noise is not None:
        for cell in perturbed:
            perturbed[cell] += temperature * prior_noise[cell]
    order = sorted(log_prior, key=lambda cell: (-perturbed[cell], -log_prior[cell], cell))
    candidates = order[: widths[0]]

    requests = 1
    q = {}
    for cell in candidates:
        value, asked = _value_below(board.play(cell), widths[1:], evaluate)
        q[cell] = -value
        requests += asked

    def preference(cell: int) -> float:
        return q[cell] if math.isinf(value_weight) else perturbed[cell] + value_weight * q[cell]

    chosen = min(candidates, key=lambda cell: (-preference(cell), -log_prior[cell], cell))
    return SlowSearch(
        candidates=candidates,
        priors=[math.exp(log_prior[cell]) for cell in candidates],
        q=[q[cell] for cell in candidates],
        chosen=chosen,
        root_value=max(q.values()),
        requests=requests,
        improved_policy=_improved_policy(board.size, log_prior, q, network_value),
    )


def _value_below(board: SlowBoard, widths: Sequence[int], evaluate: Evaluate) -> tuple[float, int]:
    """The mover's value of a node below the root, and how many requests it took."""
    if board.winner():
        return -1.0, 0  # the move that led here won, so the mover has lost; nobody is asked
    logits, network_value = evaluate(board)
    if not widths:
        return network_value, 1
    children = sorted(board.legal(), key=lambda cell: (-logits[cell], cell))[: widths[0]]
    results = [_value_below(board.play(cell), widths[1:], evaluate) for cell in children]
    return max(-value for value, _ in results), 1 + sum(asked for _, asked in results)


def _improved_policy(
    size: int, log_prior: dict[int, float], q: dict[int, float], network_value: float
) -> list[float]:
    """Softmax of log prior + c' * q, where moves that were not searched get a mixed value."""
    prior = {cell: math.exp(log_prior[cell]) for cell in q}
    searched = math.fsum(prior[cell] * q[cell] for cell in q) / math.fsum(prior.values())
    mixed = 0.5 * (network_value + searched)
    improved = _log_softmax(
        {cell: log_prior[cell] + IMPROVED_POLICY_WEIGHT * q.get(cell, mixed) for cell in log_prior}
    )
    return [math.exp(improved[cell]) if cell in improved else 0.0 for cell in range(size * size)]


def _log_softmax(logits: dict[int, float]) -> dict[int, float]:
    highest = max(logits.values())
    total = math.fsum(math.exp(logit - highest) for logit in logits.values())
    return {cell: logit - highest - math.log(total) for cell, logit in logits.items()}
