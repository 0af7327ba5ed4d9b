"""An exact solver for small boards, on bit masks. It judges searches, so it shares no code.

A board is kept with a rim and one column more, so that nothing is near what lies beyond a border.
A set of cells is the integer with their bits set. Red owns the top and bottom rim and joins them,
Blue the left and right one. The corners are nobody's.

Every win is found with its *carrier*: the empty cells that it depends on. Whatever stands
elsewhere, the win holds. So if a move loses to a win with carrier C, all moves outside C lose to it
as well, and only those within every carrier found so far remain to be tried.
"""

from collections.abc import Iterable

RED, BLUE = 0, 1
NODE_LIMIT = 10**9


class TooHard(Exception):
    """More nodes were needed than allowed."""


class ExactSolver:
    """Solves positions of one size; what it finds is remembered.

    Args:
      size: N.
      node_limit: nodes that one question may take; beyond it `TooHard` is raised.
    """

    def __init__(self, size: int, node_limit: int = NODE_LIMIT) -> None:
        self.size, self.width = size, size + 3
        self.board = sum(self.cell(k) for k in range(size * size))
        inner = range(1, size + 1)
        last = size + 1
        self.first = (self._rim((0, k) for k in inner), self._rim((k, 0) for k in inner))
        self.last = (self._rim((last, k) for k in inner), self._rim((k, last) for k in inner))
        self.node_limit, self.nodes = node_limit, 0
        self._known: dict[tuple[int, int, int], tuple[bool, int, int]] = {}

    def _rim(self, places: Iterable[tuple[int, int]]) -> int:
        return sum(1 << row * self.width + column for row, column in places)

    def cell(self, index: int) -> int:
        """The set of one cell, counted row by row on the bare board."""
        row, column = divmod(index, self.size)
        return 1 << (row + 1) * self.width + column + 1

    def near(self, cells: int) -> int:
        """All cells that touch some of these."""
        w = self.width
        return (
            cells << 1 | cells >> 1 | cells << w | cells >> w | cells << (w - 1) | cells >> (w - 1)
        )

    def group(self, seed: int, stones: int) -> int:
        """The stones joined to `seed`, with it."""
        reached = seed
        while True:
            more = reached | (self.near(reached) & stones)
            if more == reached:
                return reached
            reached = more

    def winning_moves(self, red: int, blue: int, mover: int) -> list[int]:
        """The indices of all moves that win for the mover of an unfinished position."""
        self.nodes = 0
        open_cells = self.board & ~(red | blue)
        lost, wins = 0, []
        for index in range(self.size**2):
            move = self.cell(index)
            if not move & open_cells or move & lost:
                continue
            after = (red | move, blue) if mover == RED else (red, blue | move)
            opponent_wins, carrier, _ = self.solve(*after, 1 - mover)
            if opponent_wins:
                lost |= open_cells & ~carrier
            else:
                wins.append(index)
        return wins

    def solve(self, red: int, blue: int, mover: int) -> tuple[bool, int, int]:
        """Whether the mover wins, the carrier of the winner's win, and a winning move or 0."""
        key = (red, blue, mover)
        if key not in self._known:
            self._known[key] = self._solve(red, blue, mover)
        return self._known[key]

    def _solve(self, red: int, blue: int, mover: int) -> tuple[bool, int, int]:
        self.nodes += 1
        if self.nodes > self.node_limit:
            raise TooHard
        sides = (red, blue)
        chain = self.chain(1 - mover, sides[1 - mover], red | blue)
        if chain is not None:
            return False, chain, 0
        chain = self.chain(mover, sides[mover], red | blue)
        if chain is not None:
            return True, chain, 0
        return self._try_moves(red, blue, mover)

    def _try_moves(self, red: int, blue: int, mover: int) -> tuple[bool, int, int]:
        must, union = self.board & ~(red | blue), 0
        order = self._ordered(red, blue)
        while must:
            # What refuted the last move is often the point that both sides want.
            move = next(cell for cell in order if cell & must)
            after = (red | move, blue) if mover == RED else (red, blue | move)
            lost, carrier, reply = self.solve(*after, 1 - mover)
            if not lost:
                return True, carrier | move, move
            must &= carrier
            union |= carrier
            if reply:
                order.insert(0, reply)
        return False, union, 0

    def chain(self, side: int, stones: int, taken: int) -> int | None:
        """The cells of a chain of two-cell links from edge to edge that no move cuts, or None."""
        free, used = self.board & ~taken, 0
        owned = stones | self.first[side] | self.last[side]
        tied = self.group(self.first[side], owned)
        goal = self.group(self.last[side], owned)
        if tied & goal:
            return 0
        loose = self._groups(owned & ~tied, goal)
        while True:
            edge = self.near(tied) & free & ~used
            for place, (group, around) in enumerate(loose):
                common = edge & around
                if common & (common - 1):
                    low = common & -common
                    rest = common ^ low
                    used |= low | (rest & -rest)
                    if group == goal:
                        return used
                    tied |= group
                    del loose[place]
                    break
            else:
                return None

    def _groups(self, stones: int, goal: int) -> list[tuple[int, int]]:
        """Groups with the cells around them, the goal first."""
        groups, rest = [(goal, self.near(goal))], stones & ~goal
        while rest:
            group = self.group(rest & -rest, stones)
            groups.append((group, self.near(group)))
            rest &= ~group
        return groups

    def _ordered(self, red: int, blue: int) -> list[int]:
        """The empty cells, those first that lie on short paths of both sides."""
        empty = self.board & ~(red | blue)
        far = 4 * self.size
        total: dict[int, int] = dict.fromkeys(_bits(empty), 0)
        for stones, side in ((red, RED), (blue, BLUE)):
            for start in (self.first[side], self.last[side]):
                left, steps, reached = empty, 0, self.group(start, stones | start)
                while layer := self.near(reached) & left:
                    for cell in _bits(layer):
                        total[cell] += steps
                    left &= ~layer
                    reached = self.group(reached | layer, stones | layer)
                    steps += 1
                for cell in _bits(left):
                    total[cell] += far
        return sorted(total, key=total.__getitem__)


def _bits(cells: int) -> list[int]:
    found = []
    while cells:
        low = cells & -cells
        found.append(low)
        cells ^= low
    return found
