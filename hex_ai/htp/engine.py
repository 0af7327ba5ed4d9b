"""`HtpEngine`: the commands of the Hex Text Protocol, on one board, with one network.

The commands are methods that take the arguments and return the text of the reply; `commands` gives
them their names. What a command may raise is a `HexAIError`, and then nothing has changed.
"""

import math
import time
from dataclasses import replace

import torch

from hex_ai import __version__
from hex_ai.errors import CommandError
from hex_ai.game.notation import cell_name
from hex_ai.htp.analysis import (
    ANALYZE_COMMANDS,
    board_lines,
    chance_text,
    policy_pairs,
    value_pairs,
    variation_text,
)
from hex_ai.htp.chooser import Choice, make_chooser, make_onlooker
from hex_ai.htp.clock import Clock
from hex_ai.htp.game import BLACK, RESIGN, SWAP_RULES, WHITE, Board, Game, parse_colour
from hex_ai.htp.protocol import Arguments, Command, expect, read_text
from hex_ai.htp.settings import HtpSettings, list_or_change
from hex_ai.htp.sgf import board_from_sgf
from hex_ai.inference.position_collector import Evaluator

NAME = "hex_ai"


class HtpEngine:
    """A player and analyst that is told what to do by commands.

    Args:
      evaluator: evaluates positions.
      device: where it wants them.
      settings: how moves are chosen.
      board_size: to start with.

    Attributes:
      game: the board and what was before.
      settings: as they are now.

    Raises:
      SettingError: a board size outside 1 to 19.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        device: torch.device,
        settings: HtpSettings,
        board_size: int,
    ) -> None:
        self.game = Game(board_size, settings.swap)
        self._evaluator, self._device = evaluator, device
        self._onlooker = make_onlooker(evaluator, device)
        self._sizes = set[int]()  # boards that the network has been seen to play on
        self._full_clock: Clock | None = None
        self._clocks: dict[int, Clock | None] = {BLACK: None, WHITE: None}
        self._use(settings)

    @property
    def commands(self) -> dict[str, Command]:
        """Every command by its name."""
        return {
            "name": lambda _: NAME,
            "version": lambda _: __version__,
            "boardsize": self.set_board_size,
            "clear_board": self.clear_board,
            "play": self.play,
            "undo": self.undo,
            "genmove": self.genmove,
            "reg_genmove": self.reg_genmove,
            "showboard": lambda _: board_lines(self.game.board),
            "loadsgf": self.load_sgf,
            "all_legal_moves": self.all_legal_moves,
            "final_score": self.final_score,
            "time_settings": self.time_settings,
            "time_left": self.time_left,
            "param_search": self.param_search,
            "param_game": self.param_game,
            "hexgui-analyze_commands": lambda _: ANALYZE_COMMANDS,
            "hexai-policy": self.policy,
            "hexai-values": self.values,
            "hexai-search_values": self.search_values,
            "hexai-variation": self.variation,
            "hexai-win_probability": self.win_probability,
        }

    def set_board_size(self, arguments: Arguments) -> str:
        """`boardsize W [H]`: an empty board, if the network plays on such ones."""
        if len(arguments) == 1:
            arguments *= 2
        width, height = (_whole(word) for word in expect(arguments, "a width", "a height"))
        if width != height:
            raise CommandError(f"unacceptable size: {width}x{height} has unequal sides")
        self._start(Board.empty(width))
        return ""

    def clear_board(self, arguments: Arguments) -> str:
        """`clear_board`: an empty board of the same size."""
        expect(arguments)
        self._start(Board.empty(self.game.board.size))
        return ""

    def load_sgf(self, arguments: Arguments) -> str:
        """`loadsgf F [N]`: the board after N moves of a file's first game, by default after all."""
        if len(arguments) == 1:
            self._start(board_from_sgf(read_text(arguments[0])))
        else:
            name, count = expect(arguments, "a file", "a number of moves")
            self._start(board_from_sgf(read_text(name), _whole(count)))
        return ""

    def play(self, arguments: Arguments) -> str:
        """`play C P`: a move of a colour, whoever's turn it is."""
        colour, word = expect(arguments, "a color", "a point")
        self.game.play(parse_colour(colour), word)
        return ""

    def undo(self, arguments: Arguments) -> str:
        """`undo`: takes the last move back."""
        expect(arguments)
        self.game.undo()
        return ""

    def genmove(self, arguments: Arguments) -> str:
        """`genmove C`: chooses a move of a colour and plays it; `resign` after the end."""
        (word,) = expect(arguments, "a color")
        colour = parse_colour(word)
        started = time.monotonic()
        move = self._decide(colour)
        clock = self._clocks[colour]
        self._clocks[colour] = clock and clock.after(time.monotonic() - started)
        if move != RESIGN:
            self.game.play(colour, move)
        return move

    def reg_genmove(self, arguments: Arguments) -> str:
        """`reg_genmove C`: tells what `genmove` would play, and changes nothing."""
        (word,) = expect(arguments, "a color")
        return self._decide(parse_colour(word))

    def all_legal_moves(self, arguments: Arguments) -> str:
        """`all_legal_moves`: of the colour to move, the swap last."""
        expect(arguments)
        board = self.game.board
        names = [cell_name(cell, board.size) for cell in board.empty_cells()]
        if self.game.may_swap(board.mover):
            names.append(SWAP_RULES[self.settings.swap])
        return " ".join(names)

    def final_score(self, arguments: Arguments) -> str:
        """`final_score`: `B+` or `W+`; `cannot score` before the end, which is no failure."""
        expect(arguments)
        return {BLACK: "B+", WHITE: "W+", 0: "cannot score"}[self.game.board.winner]

    def time_settings(self, arguments: Arguments) -> str:
        """`time_settings MAIN PERIOD STONES`, seconds; a period for no stones means no limit."""
        words = expect(arguments, "main seconds", "period seconds", "stones")
        main, period, stones = _seconds(words[0]), _seconds(words[1]), _whole(words[2])
        unlimited = not stones and (period > 0 or main == 0)
        first = (main, 0) if main else (period, stones)
        self._full_clock = None if unlimited else Clock(*first, period, stones)
        self._clocks = dict.fromkeys(self._clocks, self._full_clock)
        return ""

    def time_left(self, arguments: Arguments) -> str:
        """`time_left C SECONDS [STONES]`: no stones means that the time is for the whole game."""
        if len(arguments) == 2:
            arguments = (*arguments, "0")
        colour, seconds, stones = expect(arguments, "a color", "seconds", "stones")
        full = self._full_clock or Clock(0.0)
        left = replace(full, seconds=_seconds(seconds), stones=_whole(stones))
        self._clocks[parse_colour(colour)] = left
        return ""

    def param_search(self, arguments: Arguments) -> str:
        """`param_search [seconds|widths|level [VALUE]]`."""
        return self._param(("seconds", "widths", "level"), arguments)

    def param_game(self, arguments: Arguments) -> str:
        """`param_game [swap [VALUE]]`."""
        return self._param(("swap",), arguments)

    def policy(self, arguments: Arguments) -> str:
        """`hexai-policy [C]`: the network's policy, as `pspairs`."""
        board = self._analysed(arguments)
        return policy_pairs(board, self._onlooker.choose(board.position(), None))

    def values(self, arguments: Arguments) -> str:
        """`hexai-values [C]`: the network's view of the position after each move, as `pspairs`."""
        board = self._analysed(arguments)
        return value_pairs(board, self._onlooker.choose(board.position(), None))

    def search_values(self, arguments: Arguments) -> str:
        """`hexai-search_values [C]`: the search's view of the moves it looks at, as `pspairs`."""
        board = self._analysed(arguments)
        return value_pairs(board, self._search(board))

    def variation(self, arguments: Arguments) -> str:
        """`hexai-variation [C]`: the search's principal variation, as `var`."""
        board = self._analysed(arguments)
        return variation_text(board, self._search(board))

    def win_probability(self, arguments: Arguments) -> str:
        """`hexai-win_probability [C]`: by the search, as a `string`."""
        board = self._analysed(arguments)
        return chance_text(board, self._search(board))

    def _decide(self, colour: int) -> str:
        """The word of the move that the engine makes for a colour.

        Swaps where the rule allows it and the position without it is worth less than 0 to White:
        after swap-pieces the canonical position is the same with the other side to move, and after
        swap-sides the board is the same with the other player to move, so the worth changes its
        sign either way.
        """
        if self.game.board.winner:
            return RESIGN
        board = self.game.board.seen_by(colour)
        if self._opens(board):
            return self._fairest(board)
        choice = self._search(board)
        if self.game.may_swap(colour) and choice.value < 0:
            return SWAP_RULES[self.settings.swap]
        return board.name_of(choice.cell)

    def _opens(self, board: Board) -> bool:
        """Whether the move is one that the opponent may answer by a swap."""
        return self.settings.swap != "off" and board.mover == BLACK and not any(board.stones)

    def _fairest(self, board: Board) -> str:
        """The move that leaves neither side ahead: the opponent takes the better side."""
        values = self._onlooker.choose(board.position(), None).values
        return board.name_of(min(values, key=lambda cell: (abs(values[cell]), cell)))

    def _search(self, board: Board) -> Choice:
        return self._chooser.choose(board.position(), self._time_for(board))

    def _time_for(self, board: Board) -> float | None:
        clock = self._clocks[board.mover]
        if self.settings.seconds is not None or clock is None:
            return self.settings.seconds
        return clock.share(board.stones.count(0))

    def _analysed(self, arguments: Arguments) -> Board:
        """The board as a colour sees it, by default the one to move."""
        board = self.game.board
        if board.winner:
            raise CommandError("the game is over")
        if not arguments:
            return board
        (colour,) = expect(arguments, "a color")
        return board.seen_by(parse_colour(colour))

    def _start(self, board: Board) -> None:
        """Begins a game, if the network plays on boards of its size."""
        if board.size not in self._sizes:
            self._onlooker.choose(Board.empty(board.size).position(), None)
            self._sizes.add(board.size)
        self.game.restart(board)
        self._clocks = dict.fromkeys(self._clocks, self._full_clock)

    def _param(self, names: tuple[str, ...], arguments: Arguments) -> str:
        settings, text = list_or_change(self.settings, names, arguments)
        if settings != self.settings:
            self._use(settings)
        return text

    def _use(self, settings: HtpSettings) -> None:
        self.settings = settings
        self.game.rule = settings.swap
        self._chooser = make_chooser(self._evaluator, self._device, settings.widths, settings.level)


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
        raise CommandError(f"syntax error: {word[:20]!r} are no seconds")
    return seconds
