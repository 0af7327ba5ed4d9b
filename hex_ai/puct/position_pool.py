"""Positions kept by row, for trees that come back to their nodes."""

import torch
from torch import Tensor

from hex_ai.game.positions import Positions


class PositionPool:
    """Up to `capacity` positions of one size; memory grows as it is needed.

    Attributes:
      room: rows that can still be taken.
    """

    def __init__(self, size: int, capacity: int, device: torch.device) -> None:
        self.capacity = capacity
        self._kept = Positions.empty(min(capacity, 1024), size, device)
        self._free: list[int] = []
        self._used = 0

    @property
    def room(self) -> int:
        """Rows that can still be taken."""
        return self.capacity - self._used + len(self._free)

    def keep(self, positions: Positions) -> list[int]:
        """Stores positions, no more than there is room for: the row of each."""
        again = [self._free.pop() for _ in range(min(len(positions), len(self._free)))]
        first = self._used
        self._used += len(positions) - len(again)
        rows = again + list(range(first, self._used))
        self._grow(self._used)
        where = self._index(rows)
        self._kept.labels[where] = positions.labels
        self._kept.blue_to_move[where] = positions.blue_to_move
        self._kept.finished[where] = positions.finished
        return rows

    def read(self, rows: list[int]) -> Positions:
        """The positions of these rows."""
        return self._kept[self._index(rows)]

    def drop(self, rows: list[int]) -> None:
        """Gives rows back."""
        self._free.extend(rows)

    def _grow(self, wanted: int) -> None:
        have = len(self._kept)
        if wanted > have:
            more = min(max(wanted, 2 * have), self.capacity) - have
            blank = Positions.empty(more, self._kept.size, self._kept.device)
            self._kept = Positions.cat([self._kept, blank])

    def _index(self, rows: list[int]) -> Tensor:
        return torch.tensor(rows, dtype=torch.int64, device=self._kept.device)
