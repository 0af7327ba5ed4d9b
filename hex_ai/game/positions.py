"""The rules of Hex on a batch of positions.

Axes: `B` positions of one board size `N`, with `A = N * N` moves. Every position is kept as its
mover sees it: the mover joins the top row to the bottom row. So a move ends by changing sides: the
board is transposed and all signs change.

The whole state is one tensor of group labels on a board with a rim. A label is positive for the
mover's stones and negative for the opponent's, equal for stones of one group, and 0 on empty cells.
The rim stands for the four edges: the top and bottom rim hold the mover's labels TOP and BOTTOM,
the left and right rim the opponent's, and the corners nothing. A group that touches an edge takes
over that edge's label, so a stone that touches both labels wins. A move relabels at most six
groups; the number of tensor operations depends on neither `B` nor `N`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import torch
from torch import Tensor

from hex_ai.errors import IllegalMoveError, SettingError, ShapeError
from hex_ai.game.records import MAX_SIZE
from hex_ai.game.svg import boards_svg
from hex_ai.numbers import whole

# The six cells that touch (row, column). The set is its own transpose, and so is Hex.
NEIGHBOURS = ((-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0))

# Stands for "no stone of the mover" where labels are compared; no group ever has it.
_NO_LABEL = -(2**15)

# How many boards a notebook draws of a batch.
_BOARDS_SHOWN = 6

_SIGNED = (torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True, slots=True)
class Positions:
    """`B` positions of one size `N` on one device, each as its mover sees it.

    Attributes:
      labels: int16 `[B, N + 2, N + 2]`, group labels with the rim (see the module's docstring).
      blue_to_move: bool `[B]`; where true, the real board is the transpose of what is kept here.
      finished: bool `[B]`; the player who moved last has joined, so the mover has lost.
    """

    labels: Tensor
    blue_to_move: Tensor
    finished: Tensor

    @staticmethod
    def empty(batch: int, size: int, device: torch.device | str = "cpu") -> "Positions":
        """`batch` empty boards of `size` × `size`, Red to move.

        Raises:
          SettingError: size outside 1 … 19, or a negative batch.
        """
        batch, size = whole("batch size", batch), whole("board size", size)
        if not 1 <= size <= MAX_SIZE:
            raise SettingError(f"board size {size} is outside 1 to {MAX_SIZE}")
        if batch < 0:
            raise SettingError(f"batch size {batch} is negative")
        labels = _empty_board(size, torch.device(device)).repeat(batch, 1, 1)
        no = torch.zeros(batch, dtype=torch.bool, device=device)
        return Positions(labels, no, no.clone())

    @staticmethod
    def from_stones(stones: Tensor, blue_to_move: Tensor) -> "Positions":
        """Positions with any stones, whoever placed them, in whatever order and number.

        Args:
          stones: signed integer `[B, N, N]` as the board lies: +1 Red, -1 Blue, 0 empty.
          blue_to_move: bool `[B]`.

        The position counts as finished where the opponent has joined. Slow: for set-up, not play.

        Raises:
          ShapeError: not integers of -1, 0, +1 `[B, N, N]` and bool `[B]`.
          IllegalMoveError: the mover has joined already, so it cannot be the mover's turn.
        """
        if stones.dim() != 3 or stones.shape[1] != stones.shape[2]:
            raise ShapeError(f"stones have shape {list(stones.shape)}, want [B, N, N]")
        if stones.dtype not in _SIGNED or bool(((stones < -1) | (stones > 1)).any()):
            raise ShapeError("stones must be integers of -1, 0 and +1")
        if blue_to_move.shape != stones.shape[:1] or blue_to_move.dtype != torch.bool:
            raise ShapeError(
                f"blue_to_move is {blue_to_move.dtype} {list(blue_to_move.shape)}, "
                f"want bool [{len(stones)}]"
            )
        blue = blue_to_move[:, None, None]
        own = torch.where(blue, -stones.mT, stones)
        size = stones.shape[1]
        base = Positions.empty(len(stones), size, stones.device).labels
        inner = torch.arange(1, size + 1, device=stones.device)
        ids = (inner[:, None] * (size + 2) + inner).to(torch.int16)
        labels = base.clone()
        # A stone's own label is its index as its owner sees it: `play` counts on that.
        labels[:, 1:-1, 1:-1] = torch.where(own > 0, ids, ids.T) * own.to(torch.int16)
        magnitude = _join_groups(labels)
        _, bottom = _edge_labels(size)
        joined = (magnitude[:, 0, 1] == bottom) & (magnitude[:, -1, 1] == bottom)
        if bool(joined.any()):
            raise IllegalMoveError("the mover has joined already: the game is over")
        lost = (magnitude[:, 1, 0] == bottom) & (magnitude[:, 1, -1] == bottom)
        return Positions(magnitude * labels.sign(), blue_to_move.clone(), lost)

    @staticmethod
    def cat(parts: Sequence["Positions"]) -> "Positions":
        """One batch of all parts, which must share size and device, in order."""
        if len(parts) == 1:
            return parts[0]
        return Positions(
            torch.cat([part.labels for part in parts]),
            torch.cat([part.blue_to_move for part in parts]),
            torch.cat([part.finished for part in parts]),
        )

    @staticmethod
    def where(rows: Tensor, one: "Positions", other: "Positions") -> "Positions":
        """The rows of `one` where `rows` (bool `[B]`) is true, else those of `other`."""
        return Positions(
            torch.where(rows[:, None, None], one.labels, other.labels),
            torch.where(rows, one.blue_to_move, other.blue_to_move),
            torch.where(rows, one.finished, other.finished),
        )

    def __len__(self) -> int:
        return self.labels.shape[0]

    def _repr_svg_(self) -> str:
        """The first boards as they lie, for notebooks."""
        shown = self[:_BOARDS_SHOWN].board().tolist()
        return boards_svg(shown, len(self) - len(shown))

    def __getitem__(self, rows: Tensor | slice) -> "Positions":
        """The chosen rows: a slice, or an int64 or bool tensor `[K]`."""
        return Positions(self.labels[rows], self.blue_to_move[rows], self.finished[rows])

    def to(self, device: torch.device | str) -> "Positions":
        """The same positions on another device."""
        return Positions(
            self.labels.to(device), self.blue_to_move.to(device), self.finished.to(device)
        )

    def put(self, rows: Tensor, parts: "Positions") -> "Positions":
        """The batch with `parts` (K positions) in the place of rows int64 `[K]`."""
        return Positions(
            self.labels.index_copy(0, rows, parts.labels),
            self.blue_to_move.index_copy(0, rows, parts.blue_to_move),
            self.finished.index_copy(0, rows, parts.finished),
        )

    @property
    def size(self) -> int:
        """Cells along one side, N."""
        return self.labels.shape[1] - 2

    @property
    def moves(self) -> int:
        """Cells of the board, A = N * N."""
        return self.size**2

    @property
    def device(self) -> torch.device:
        """Where the state lives and every operation runs."""
        return self.labels.device

    def stones(self) -> Tensor:
        """int8 `[B, N, N]` as the mover sees it: +1 the mover's stones, -1 the opponent's."""
        return self.labels[:, 1:-1, 1:-1].sign().to(torch.int8)

    def board(self) -> Tensor:
        """int8 `[B, N, N]` as the board lies: +1 Red, -1 Blue, 0 empty."""
        seen = self.stones()
        return torch.where(self.blue_to_move[:, None, None], -seen.mT, seen)

    def planes(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """What a network sees: `[B, 2, N + 2, N + 2]` of 0 and 1, edges drawn as stones.

        Plane 0 has the mover's stones and the top and bottom rim, plane 1 the opponent's stones and
        the left and right rim. The corners are 0 in both.
        """
        return torch.stack((self.labels > 0, self.labels < 0), 1).to(dtype)

    def legal_moves(self) -> Tensor:
        """bool `[B, A]`: the empty cells as the mover sees them, none in a finished game."""
        empty = self.labels[:, 1:-1, 1:-1].flatten(1) == 0
        return empty & ~self.finished[:, None]

    def winner(self) -> Tensor:
        """int8 `[B]`: +1 Red has joined top to bottom, -1 Blue left to right, 0 nobody yet."""
        last_mover = torch.where(self.blue_to_move, 1, -1)
        return (last_mover * self.finished).to(torch.int8)

    def require_legal(self, moves: Tensor) -> None:
        """Checks moves from outside before they are played. Reads from the device.

        Raises:
          ShapeError: not int64 `[B]`.
          IllegalMoveError: a move that is off the board, occupied, or after the end.
        """
        if moves.shape != (len(self),) or moves.dtype != torch.int64:
            raise ShapeError(
                f"moves are {moves.dtype} {list(moves.shape)}, want int64 [{len(self)}]"
            )
        on_board = (moves >= 0) & (moves < self.moves)
        legal = self.legal_moves().gather(1, moves.clamp(0, self.moves - 1)[:, None])[:, 0]
        wrong = ~(on_board & legal)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            reason = "the game is over" if bool(self.finished[row]) else "not an empty cell"
            raise IllegalMoveError(f"move {int(moves[row])} in position {row}: {reason}")

    def play(self, moves: Tensor) -> "Positions":
        """The positions after one move each, seen by the other side.

        Args:
          moves: int64 `[B]`, cells as the mover sees them. They must be legal (`require_legal`
            checks). Finished games stay as they are, whatever their move, which must be a cell.
        """
        size, flat = self.size, self.labels.flatten(1)
        cell = _rim_index(moves, size)
        near = flat.gather(1, cell[:, None] + _offsets(size, self.device))
        own = torch.where(near > 0, near, _NO_LABEL)
        label = torch.maximum(own.amax(1), cell.to(torch.int16))[:, None]
        merged = reduce(torch.logical_or, (flat == own[:, k : k + 1] for k in range(6)))
        played = torch.where(merged, label, flat).scatter(1, cell[:, None], label)
        top, bottom = _edge_labels(size)
        joined = (own == top).any(1) & (own == bottom).any(1)
        kept = self.finished[:, None, None]
        return Positions(
            torch.where(kept, self.labels, -played.view_as(self.labels).mT),
            self.blue_to_move ^ ~self.finished,
            self.finished | joined,
        )

    def swap(self, rows: Tensor) -> "Positions":
        """Plays swap-pieces in the rows given (bool `[B]`), which must hold exactly one stone.

        The stone changes colour and is mirrored on the long diagonal, and the other side moves
        next. As the mover sees it, the position stays the same.
        """
        return Positions(self.labels, self.blue_to_move ^ rows, self.finished)

    def retire(self, rows: Tensor) -> "Positions":
        """Marks rows (bool `[B]`) as finished, as after a resignation."""
        return Positions(self.labels, self.blue_to_move, self.finished | rows)

    def to_board_cells(self, cells: Tensor) -> Tensor:
        """Cells as the mover sees them (`[B]` or `[B, K]`) to cells as the board lies.

        Its own inverse. Negative entries, which stand for "none", stay as they are.
        """
        transposed = cells % self.size * self.size + cells // self.size
        blue = self.blue_to_move.view(-1, *(1,) * (cells.dim() - 1))
        return torch.where(blue & (cells >= 0), transposed, cells)


def _join_groups(labels: Tensor) -> Tensor:
    """Spreads the largest label through each group: magnitudes `[B, N + 2, N + 2]`."""
    sign, magnitude = labels.sign(), labels.abs()
    same = [near == sign for near in _neighbours(sign)]
    while True:
        near = (torch.where(*pair, 0) for pair in zip(same, _neighbours(magnitude), strict=True))
        spread = reduce(torch.maximum, near, magnitude)
        if torch.equal(spread, magnitude):
            return magnitude
        magnitude = spread


def _neighbours(cells: Tensor) -> list[Tensor]:
    """For each of the six directions, what lies there of every cell; 0 outside."""
    width = cells.shape[1]
    padded = torch.nn.functional.pad(cells, (1, 1, 1, 1))
    return [
        padded[:, 1 + row : 1 + row + width, 1 + column : 1 + column + width]
        for row, column in NEIGHBOURS
    ]


def _edge_labels(size: int) -> tuple[int, int]:
    """TOP and BOTTOM: larger than the rim index of any cell, so that edges win every merge."""
    cells = (size + 2) ** 2
    return cells, cells + 1


def _rim_index(cells: Tensor, size: int) -> Tensor:
    """Cells of the board to indices on the flat board with the rim."""
    return (cells // size + 1) * (size + 2) + cells % size + 1


@lru_cache
def _empty_board(size: int, device: torch.device) -> Tensor:
    """int16 `[N + 2, N + 2]`: an empty board with its rim. Shared, so never written to."""
    top, bottom = _edge_labels(size)
    board = torch.zeros(size + 2, size + 2, dtype=torch.int16, device=device)
    board[0, 1:-1], board[-1, 1:-1] = top, bottom
    board[1:-1, 0], board[1:-1, -1] = -top, -bottom
    return board


@lru_cache
def _offsets(size: int, device: torch.device) -> Tensor:
    """int64 `[6]`: steps to the neighbours on the flat board with the rim."""
    steps = [row * (size + 2) + column for row, column in NEIGHBOURS]
    return torch.tensor(steps, device=device)
