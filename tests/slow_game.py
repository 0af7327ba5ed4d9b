"""The board of an HTP session once more, on the slow reference, with a referee's strictness.

Written apart from `hex_ai.htp`; colours and cells are told apart by simple means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from reference import BLUE, RED, SlowBoard, cell_name

COLOURS = {"b": RED, "black": RED, "red": RED, "w": BLUE, "white": BLUE, "blue": BLUE}


@dataclass(frozen=True)
class SlowState:
    """A board, whether it had its swap, and who gave up."""

    board: SlowBoard
    swapped: bool = False
    resigned: int = 0

    @property
    def winner(self) -> int:
        return -self.resigned if self.resigned else self.board.winner()

    def stones(self) -> list[int]:
        return [stone for line in self.board.stones for stone in line]


class SlowGame:
    """Plays what is legal and says of the rest that it is not."""

    def __init__(self, size: int, rule: str) -> None:
        self.rule = rule
        self.restart(size)

    def restart(self, size: int) -> None:
        self.state = SlowState(SlowBoard.empty(size))
        self.past: list[SlowState] = []

    def play(self, colour: int, word: str) -> bool:
        """Whether it is legal; if so it is played."""
        after = None if self.state.winner else self._after(colour, word.lower())
        if after is None:
            return False
        self.past.append(self.state)
        self.state = after
        return True

    def undo(self) -> bool:
        if not self.past:
            return False
        self.state = self.past.pop()
        return True

    def may_swap(self, colour: int) -> bool:
        lonely = sorted(self.state.stones()) == [*([0] * (self.state.board.size**2 - 1)), RED]
        fresh = not self.state.swapped and not self.state.winner
        return self.rule != "off" and colour == BLUE and lonely and fresh

    def legal_words(self) -> list[str]:
        size = self.state.board.size
        if self.state.winner:
            return []
        words = [cell_name(k, size) for k, stone in enumerate(self.state.stones()) if not stone]
        swap = ["swap-" + self.rule] if self.may_swap(self.state.board.mover) else []
        return words + swap

    def _after(self, colour: int, word: str) -> SlowState | None:
        board = SlowBoard(self.state.board.stones, colour)
        if word == "resign":
            return replace(self.state, board=board, resigned=colour)
        if word in ("swap", "swap-sides", "swap-pieces"):
            if not self.may_swap(colour):
                return None
            pieces = self.rule == "pieces" and word == "swap-pieces"
            return SlowState(board.swap() if pieces else board, swapped=True)
        place = self._place(word)
        if place is None or board.stones[place[0]][place[1]]:
            return None
        row, col = place if colour == RED else place[::-1]
        return replace(self.state, board=board.play(row * board.size + col))

    def _place(self, word: str) -> tuple[int, int] | None:
        match = re.fullmatch("([a-z])([1-9][0-9]?)", word)
        size = self.state.board.size
        if match is None:
            return None
        row, col = int(match[2]) - 1, "abcdefghijklmnopqrstuvwxyz".index(match[1])
        return (row, col) if row < size and col < size else None
