"""`HtpEngine`: the commands of the Hex Text Protocol, on one board, with one network."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

import torch

from hex_ai.errors import CommandError
from hex_ai.formats.moves import SWAP_RULES
from hex_ai.game.notation import cell_name
from hex_ai.htp.analysis import (
    ANALYZE_COMMANDS,
    board_lines,
    chance_text,
    dismissed_pairs,
    graphics,
    policy_pairs,
    value_pairs,
    variation_text,
)
from hex_ai.htp.board import BLACK, RESIGN, WHITE, Board, board_from_sgf, parse_colour
from hex_ai.htp.chooser import ALL_MOVES, Choice, MoveChooser, fairest
from hex_ai.htp.clock import Clock, game_clock
from hex_ai.htp.identity import IDENTITY
from hex_ai.htp.openings import OpeningValues
from hex_ai.htp.protocol import Arguments, Command, command, read_text
from hex_ai.htp.settings import ALLOW_SWAP, HtpSettings
from hex_ai.inference.position_collector import Evaluator

SCORES = {BLACK: "B+", WHITE: "W+", 0: "cannot score"}

Found = TypeVar("Found")


class HtpEngine:
    """A player and analyst that is told what to do by commands.

    Args:
      evaluator: evaluates positions.
      device: where it wants them.
      settings: how moves are chosen.
      board_size: to start with.
      interrupted: whether the asker wants the command under way to end; asked while it runs.
      openings: what is known of first moves; without a level they are judged by that.

    Attributes:
      board: as it is now, with those before it.
      settings: as they are now.
      commands: every command by its name: takes its arguments and returns the reply's text, or
        raises a `HexAIError` and has changed nothing. docs/htp.md says what each does.

    Raises:
      SettingError: a board size outside 1 to 19.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        device: torch.device,
        settings: HtpSettings,
        board_size: int,
        interrupted: Callable[[], bool] = lambda: False,
        openings: OpeningValues = MappingProxyType({}),
    ) -> None:
        self.board, self.settings = Board.empty(board_size), settings
        self._chooser = MoveChooser(evaluator, device, interrupted)
        self._own_opening, self._openings = "", openings
        self._sizes = set[int]()  # boards that the network has been seen to play on
        self._full_clock: Clock | None = None
        self._clocks: dict[int, Clock | None] = {BLACK: None, WHITE: None}
        self.commands: dict[str, Command] = {
            **IDENTITY,
            "boardsize": command(self._set_board_size, "a width", "a height", least=1),
            "clear_board": command(self._clear_board),
            "loadsgf": command(self._load_sgf, "a file", "a number of moves", least=1),
            "play": command(self._play, "a color", "a point"),
            "play-game": self._play_game,
            "set_position": self._set_position,
            "undo": command(self._undo),
            "genmove": command(self._genmove, "a color"),
            "reg_genmove": command(lambda word: self._decide(parse_colour(word)), "a color"),
            "showboard": lambda _: board_lines(self.board),
            "all_legal_moves": command(self._all_legal_moves),
            "final_score": command(lambda: SCORES[self.board.winner]),
            "time_settings": command(self._time_settings, "main time", "period time", "stones"),
            "kgs-time_settings": self._kgs_time_settings,
            "time_left": command(self._time_left, "a color", "seconds", "stones", least=2),
            "param_search": lambda words: self._param(("seconds", "widths", "level"), words),
            "param_game": lambda words: self._param(("swap", ALLOW_SWAP), words),
            "hexgui-analyze_commands": lambda _: ANALYZE_COMMANDS,
            "hexai-policy": self._analysis(self._chooser.policy, policy_pairs),
            "hexai-values": self._analysis(self._look, value_pairs),
            "hexai-search_values": self._analysis(self._search, value_pairs),
            "hexai-variation": self._analysis(self._search, variation_text),
            "hexai-win_probability": self._analysis(self._search, chance_text),
            "gogui-gfx-analyze": self._analysis(self._search, graphics),
            "vc-build": self._analysis(self._chooser.policy, dismissed_pairs),
            # Says to programs that ask for it that `# interrupt` is understood.
            "gogui-interrupt": command(lambda: ""),
        }

    def _set_board_size(self, width: str, height: str | None = None) -> None:
        size = _whole(width)
        if height is not None and _whole(height) != size:
            raise CommandError(f"unacceptable size: {width}x{height} has unequal sides")
        self._start(Board.empty(size))

    def _clear_board(self) -> None:
        """The opening stays known while it lies alone: HexGui may be about to put it back."""
        lies_alone = sum(map(abs, self.board.stones)) == 1 and self._opened(self.board)
        own_opening = self._own_opening if lies_alone else ""
        self._start(Board.empty(self.board.size))
        self._own_opening = own_opening

    def _load_sgf(self, name: str, count: str | None = None) -> None:
        text = read_text(name)
        self._start(board_from_sgf(text, None if count is None else _whole(count)))

    def _start(self, board: Board) -> None:
        """Begins a game, if the network plays on boards of its size."""
        if board.size not in self._sizes:
            self._look(Board.empty(board.size))
            self._sizes.add(board.size)
        self.board, self._own_opening = board, ""
        self._clocks = dict.fromkeys(self._clocks, self._full_clock)

    def _play(self, colour: str, word: str) -> None:
        self.board = self.board.play(parse_colour(colour), word, self.settings.swap)

    def _play_game(self, words: Arguments) -> str:
        """Moves of either side in turn, from the empty board on; all, or none if one is wrong."""
        board = Board.empty(self.board.size)
        for word in words:
            board = board.play(board.mover, word, self.settings.swap)
        self._start(board)
        return ""

    def _set_position(self, words: Arguments) -> str:
        """Stones on an empty board; White moves next if Black has more of them, else Black."""
        if len(words) % 2:
            raise CommandError("syntax error: want a color and a point for each stone")
        board = Board.empty(self.board.size)
        for colour, word in zip(words[::2], words[1::2], strict=True):
            board = board.with_stone(parse_colour(colour), word)
        self._start(board.seen_by(WHITE if sum(board.stones) > 0 else BLACK))
        return ""

    def _undo(self) -> None:
        if self.board.before is None:
            raise CommandError("cannot undo")
        self.board = self.board.before

    def _genmove(self, word: str) -> str:
        colour, started = parse_colour(word), time.monotonic()
        move = self._decide(colour)
        clock = self._clocks[colour]
        self._clocks[colour] = clock and clock.after(time.monotonic() - started)
        if move != RESIGN:
            if not any(self.board.stones):
                self._own_opening = move
            self._play(word, move)
        return move

    def _all_legal_moves(self) -> str:
        board, rule = self.board, self.settings.swap
        names = [cell_name(cell, board.size) for cell in board.empty_cells()]
        return " ".join([*names, SWAP_RULES[rule]] if board.may_swap(rule) else names)

    def _time_settings(self, main: str, period: str, stones: str) -> None:
        self._full_clock = game_clock(_seconds(main), _seconds(period), _whole(stones))
        self._clocks = dict.fromkeys(self._clocks, self._full_clock)
        if self._full_clock:
            self._chooser.make_ready()

    def _kgs_time_settings(self, words: Arguments) -> str:
        """The same by the name of a system of time; of byo-yomi every move has a whole period."""
        match words:
            case ["none"]:
                self._time_settings("0", "0", "0")
            case ["absolute", main]:
                self._time_settings(main, "0", "0")
            case ["canadian", main, period, stones]:
                self._time_settings(main, period if _whole(stones) else "0", stones)
            case ["byoyomi", main, period, periods]:
                some = _whole(periods) > 0
                self._time_settings(main, period if some else "0", str(int(some)))
            case _:
                raise CommandError(
                    "syntax error: want none, absolute and the main time, byoyomi, main time,"
                    " period time and periods, or canadian, main time, period time and stones"
                )
        return ""

    def _time_left(self, colour: str, seconds: str, stones: str = "0") -> None:
        """No stones means that the time is for the whole game; below 0 there is none left."""
        full = self._full_clock or Clock(0.0)
        left = replace(full, seconds=_seconds(seconds.removeprefix("-")), stones=_whole(stones))
        if seconds.startswith("-"):
            left = replace(left, seconds=0.0)
        self._clocks[parse_colour(colour)] = left

    def _param(self, names: tuple[str, ...], arguments: Arguments) -> str:
        """Lists all values, tells that of a name, or sets it."""
        if not arguments:
            return "\n".join(map(self.settings.line, names))
        name, *values = arguments
        if name not in names or len(values) > 1:
            raise CommandError(f"syntax error: want {' or '.join(names)}, and a value")
        if not values:
            return self.settings.text(name)
        self.settings = self.settings.changed(name, values[0])
        return ""

    def _analysis(
        self, look: Callable[[Board], Found], text: Callable[[Board, Found], str]
    ) -> Command:
        """A command about the board as a colour sees it, by default the one to move."""

        def analyse(colour: str | None = None) -> str:
            board = self.board
            if board.winner:
                raise CommandError("the game is over")
            board = board if colour is None else board.turn_of(parse_colour(colour))
            return text(board, look(board))

        return command(analyse, "a color", least=0)

    def _decide(self, colour: int) -> str:
        """The word of the move that the engine makes for a colour.

        Swaps where the rule allows it and the position without it is worth less than 0 to White:
        after swap-pieces the canonical position is the same with the other side to move, and after
        swap-sides the board is the same with the other player to move, so the worth changes its
        sign either way. Its own opening it leaves: players who change sides need no swap too.
        """
        if self.board.winner:
            return RESIGN
        board, rule = self.board.turn_of(colour), self.settings.swap
        if rule != "off" and colour == BLACK and not any(board.stones):
            return board.name_of(fairest(self._known(board) or self._look(board).values))
        may_swap = board.may_swap(rule) and not self._opened(board)
        known = self._known(board).get(board.stones.index(BLACK)) if may_swap else None
        if known is not None and known < 0:
            return SWAP_RULES[rule]
        choice = self._search(board)
        if known is None and choice.value < 0 and may_swap:
            return SWAP_RULES[rule]
        return board.name_of(choice.cell)

    def _known(self, board: Board) -> Mapping[int, float]:
        """What is known of the first moves of a board; weaker players judge them by themselves."""
        return {} if self.settings.level is not None else self._openings.get(board.size, {})

    def _opened(self, board: Board) -> bool:
        """Whether the one stone on a board is the engine's own opening."""
        return BLACK in board.stones and self._own_opening == cell_name(
            board.stones.index(BLACK), board.size
        )

    def _look(self, board: Board) -> Choice:
        """What the network alone thinks of a position and of every move."""
        return self._chooser.by_widths(board, ALL_MOVES)

    def _search(self, board: Board) -> Choice:
        settings, clock = self.settings, self._clocks[board.mover]
        if settings.level is not None:
            return self._chooser.by_level(board, settings.level)
        seconds = settings.seconds
        if seconds is None and clock is not None:
            seconds = clock.share(board.stones.count(0))
        if seconds is None:
            return self._chooser.by_widths(board, settings.widths)
        return self._chooser.by_time(board, seconds)


def _whole(word: str) -> int:
    if not word.isdecimal() or len(word) > 9:
        raise CommandError(f"syntax error: {word[:20]!r} is not a whole number")
    return int(word)


def _seconds(word: str) -> float:
    try:
        seconds = float(word)
    except ValueError as error:
        raise CommandError(f"syntax error: {word[:20]!r} is not a number") from error
    if not 0 <= seconds < math.inf:
        raise CommandError(f"syntax error: {word[:20]!r} is no number of seconds")
    return seconds
