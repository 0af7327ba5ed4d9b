"""Boards of hexgame-server, as of its version 0.4.3.

Two seats play, -1 ("red") and 1 ("blue"). A cell is (q, r), column and row from 0, and touches the
same six as ours. Seat -1 joins left to right and seat 1 top to bottom, whoever starts. With us the
one who starts joins top to bottom, so games that seat -1 starts are transposed.
"""

from collections.abc import Sequence

import torch

from hex_ai.errors import EngineError
from hex_ai.game.positions import Positions
from hex_ai.game.records import RED

SEATS = LEFT_RIGHT, TOP_BOTTOM = -1, 1


class ArenaBoard:
    """The board of one game.

    Args:
      size: N.
      number: of the game in its series, from 1.
      starter: the seat that moves first.

    Attributes:
      moves: of both, cells of the board as the starter sees it.
      position: `Positions` of one game.
    """

    def __init__(self, size: int, number: int, starter: int) -> None:
        self.number, self.starter = number, starter
        self.moves: list[int] = []
        self.position = Positions.empty(1, size)

    @property
    def mover(self) -> int:
        """The seat to move."""
        return self.starter if len(self.moves) % 2 == 0 else -self.starter

    @property
    def winner(self) -> int:
        """The seat that has won, or 0."""
        return self.starter * RED * int(self.position.winner())

    def cell(self, q: int, r: int) -> int:
        """The cell that the arena calls (q, r)."""
        row, column = (r, q) if self.starter == TOP_BOTTOM else (q, r)
        return row * self.position.size + column

    def place(self, cell: int) -> tuple[int, int]:
        """What the arena calls a cell: (q, r)."""
        row, column = divmod(cell, self.position.size)
        return (column, row) if self.starter == TOP_BOTTOM else (row, column)

    def play(self, cell: int) -> None:
        """Plays a move. Raises `IllegalMoveError`."""
        move = self.position.to_board_cells(torch.tensor([cell]))
        self.position.require_legal(move)
        self.position = self.position.play(move)
        self.moves.append(cell)

    def catch_up(self, board: Sequence[Sequence[int]], known: Sequence[int]) -> None:
        """Plays the moves that lead to a board: those that are known, then others that fit.

        Args:
          board: rows of stones, seats or 0.
          known: cells in the order in which they were played, as far as we know.

        Raises:
          EngineError: no moves lead there.
        """
        places = [(q, r) for r, row in enumerate(board) for q, stone in enumerate(row) if stone]
        left = {self.cell(q, r): board[r][q] for q, r in places}
        while left:
            fitting = [cell for cell in (*known, *left) if left.get(cell) == self.mover]
            if not fitting or self.winner:
                raise EngineError("sent a board that no moves lead to")
            del left[fitting[0]]
            self.play(fitting[0])
