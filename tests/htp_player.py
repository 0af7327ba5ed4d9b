"""An HTP engine asked in words, and what must be true of its answers."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from evaluators import Hashed, Toy
from reference import BLUE, RED, SlowBoard, cell_name, slow_search
from slow_game import SlowGame

from hex_ai.htp.engine import HtpEngine
from hex_ai.htp.protocol import Session
from hex_ai.htp.settings import HtpSettings
from hex_ai.inference.position_collector import Evaluator

CPU = torch.device("cpu")
RULES = ("pieces", "sides", "benzene", "off")
WIDTHS = (3, 2)

Share = Callable[[int, int], int]


class Player:
    """An engine with its session, asked in words."""

    def __init__(
        self,
        evaluator: Evaluator | None = None,
        size: int = 4,
        rule: str = "pieces",
        widths: tuple[int, ...] = WIDTHS,
        seconds: float | None = None,
        level: int | None = None,
    ) -> None:
        settings = HtpSettings(widths, seconds, rule, level)
        self.engine = HtpEngine(evaluator or Hashed(1), CPU, settings, size)
        self.session = Session(self.engine.commands)

    def reply(self, line: str) -> tuple[str, str]:
        """Sign and text of the one reply to a line, which must be well formed."""
        whole = self.session.answer(line)
        assert whole is not None
        match = re.fullmatch(r"([=?])([0-9]*) (.*)\n\n", whole, re.DOTALL)
        assert match
        assert "\n\n" not in match[3]
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", match[3])
        return match[1], match[3]

    def ask(self, line: str) -> str:
        """The text of a reply that says that all is well."""
        sign, text = self.reply(line)
        assert sign == "=", (line, text)
        return text

    def refused(self, line: str) -> str:
        """The text of a reply that says no, in one line; the board is as it was."""
        before = self.engine.board
        sign, text = self.reply(line)
        assert sign == "?", (line, text)
        assert text
        assert "\n" not in text
        assert self.engine.board == before
        return text

    def script(self, *lines: str) -> list[str]:
        return [self.ask(line) for line in lines]


def agree(player: Player, slow: SlowGame) -> None:
    """The board, who moves, who has won and what is legal are as the slow reference has them."""
    board, state = player.engine.board, slow.state
    assert list(board.stones) == state.stones()
    assert (board.mover, board.winner) == (state.board.mover, state.winner)
    assert player.ask("all_legal_moves").split() == slow.legal_words()
    score = {RED: "B+", BLUE: "W+", 0: "cannot score"}[state.winner]
    assert player.ask("final_score") == score


def stones_shown(text: str) -> list[int]:
    """The stones in a reply to `showboard`."""
    rows = [re.fullmatch(r" *(\d+) ((?:[.BW] )+)(\d+)", line) for line in text.splitlines()[2:-1]]
    signs = {".": 0, "B": RED, "W": BLUE}
    return [signs[sign] for row in rows if row for sign in row[2].split()]


def slow_choice(board: SlowBoard, toy: Toy, widths: tuple[int, ...]) -> tuple[str, float]:
    """Cell and value that the slow search finds."""
    found = slow_search(board, widths, toy.slow)
    row, col = board.place_of(found.chosen)
    return cell_name(row * board.size + col, board.size), found.root_value
