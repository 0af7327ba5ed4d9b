"""The board of an HTP session once more, on the slow reference, with a referee's strictness.

Written apart from `hex_ai.htp`; colours and cells are told apart by simple means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from reference import BLUE, RED, SlowBoard, cell_name

SWAPS = {"pieces": "swap-pieces", "sides": "swap-sides", "benzene": "swap-pieces"}
COLOURS = {"b": RED, "black": RED, "red": RED, "w": BLUE, "white": BLUE, "blue": BLUE}


@dataclass(frozen=True)
class SlowState:
    """A board, whether it had its swap, who gave up, and who had won before the latest move."""

    board: SlowBoard
    swapped: bool = False
    resigned: int = 0
    won: int = 0

    @property
    def winner(self) -> int:
        if self.won:
            return self.won
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
        after = self._after(colour, word.lower())
        if after is None:
            return False
        self.past.append(self.state)
        self.state = replace(after, won=self.state.winner)
        return True

    def undo(self) -> bool:
        if not self.past:
            return False
        self.state = self.past.pop()
        return True

    def turn_to(self, colour: int) -> None:
        """Gives the turn to a colour; nothing before it can be taken back."""
        self.state = replace(self.state, board=SlowBoard(self.state.board.stones, colour))
        self.past = []

    def may_swap(self, colour: int) -> bool:
        lonely = sorted(self.state.stones()) == [*([0] * (self.state.board.size**2 - 1)), RED]
        fresh = not self.state.swapped and not self.state.winner
        return self.rule != "off" and colour == BLUE and lonely and fresh

    def legal_words(self) -> list[str]:
        size = self.state.board.size
        if self.state.winner:
            return []
        words = [cell_name(k, size) for k, stone in enumerate(self.state.stones()) if not stone]
        swap = [SWAPS[self.rule]] if self.may_swap(self.state.board.mover) else []
        return words + swap

    def _after(self, colour: int, word: str) -> SlowState | None:
        board = SlowBoard(self.state.board.stones, colour)
        lonely = sorted(self.state.stones()) == [BLUE, *([0] * (board.size**2 - 1))]
        if self.state.swapped and lonely and colour == BLUE:  # the stone never moved
            board = SlowBoard(board.swap().stones, BLUE)
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
        return replace(self.state, board=SlowBoard(board._with(*place, colour), -colour))

    def _place(self, word: str) -> tuple[int, int] | None:
        match = re.fullmatch("([a-z])([1-9][0-9]?)", word)
        size = self.state.board.size
        if match is None:
            return None
        row, col = int(match[2]) - 1, "abcdefghijklmnopqrstuvwxyz".index(match[1])
        return (row, col) if row < size and col < size else None
