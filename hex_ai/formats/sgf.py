"""SGF for Hex, read and written, in the dialects of HexGui, PlayHex and Little Golem.

Source: red-bean.com/sgf/hex.html. Black is Red here, White is Blue. docs/formats.md lists what is
read and written, and how the dialects differ.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hex_ai import __version__
from hex_ai.errors import NotationError
from hex_ai.formats.moves import (
    STOPPED,
    Move,
    PlayedGame,
    SetUp,
    Stones,
    Word,
    moves_of,
    played_game,
    position_after,
    short,
    square_size,
)
from hex_ai.formats.sgf_text import Node, Property, escaped, place_name, plain_text, read_main_lines
from hex_ai.game.notation import cell_index, cell_name
from hex_ai.game.records import BLUE, RED

DEFAULT_SIZE = 11
HEX = "11"

_SIZE = re.compile(r"([0-9]{1,4})(?::([0-9]{1,4}))?")
_RESULT = re.compile(r"(b|black|w|white)(?:\+(.*))?")
_REASONS = {"r": "resign", "t": "time", "f": "forfeit"}

# HexGui up to 0.9 wrote swap-pieces for a swap that changes sides.
_OLD_HEXGUI = re.compile(r"HexGui:0\.[0-9](?![0-9])")

_COLOURS = {"B": RED, "W": BLUE}
_PLAYERS = {"b": RED, "black": RED, "w": BLUE, "white": BLUE}
_STONES = {"AB": RED, "AW": BLUE, "AE": 0}
_SIGNS = {RED: "B", BLUE: "W"}


@dataclass(frozen=True)
class SgfGame:
    """The main line of a game in a file, in the colours of stones.

    Attributes:
      board_size: N.
      moves: in their order, each with its colour in the file, in turn or not.
      setup: stones set up by hand, in their order.
      winner: `RED`, `BLUE`, or None where not given.
      reason: what follows the winner, such as `resign`, in lower case; may be empty.
      red_name: the player of PB.
      blue_name: the player of PW.
    """

    board_size: int
    moves: tuple[Move, ...] = ()
    setup: tuple[SetUp, ...] = ()
    winner: int | None = None
    reason: str = ""
    red_name: str = ""
    blue_name: str = ""

    def played(self) -> PlayedGame:
        """The game as the package plays it (see `played_game`).

        Raises:
          NotationError: it cannot be played: stones set up, passes, moves out of turn.
        """
        if any(item.cell is not None or item.colour != RED or item.after for item in self.setup):
            raise NotationError("the game has stones set up by hand, or a turn given away")
        end = self.reason if self.reason in STOPPED else "join"
        return played_game(self.board_size, self.moves, self.winner, end)

    def position(self, count: int | None = None) -> tuple[Stones, int]:
        """The board int8 `[N, N]` after `count` moves, and who moves next (see `position_after`).

        Raises:
          NotationError: a move on an occupied cell, or more moves asked for than there are.
        """
        return position_after(self.board_size, self.moves, self.setup, count)


def read_sgf(text: str) -> list[SgfGame]:
    """Reads all games of a text, of each the main line.

    A value of two letters is a cell as in Go, column then row; every other cell is a letter and a
    number. Turns and occupied cells are checked by `SgfGame.played` and `SgfGame.position`.

    Raises:
      NotationError: not SGF, not Hex, or a board that is not supported; the message names the
        place.
    """
    return [_game(text, line) for line in read_main_lines(text)]


def _game(text: str, line: list[Node]) -> SgfGame:
    root = {item.name: item for item in reversed(line[0])}
    _require_hex(text, root.get("GM"))
    size = _size(text, root.get("SZ"))
    info = {name: plain_text(item.values[0]).strip() for name, item in root.items()}
    winner, reason = _result(info.get("RE", ""))
    reader = _LineReader(text, size, _dialect(info, line))
    for node in line:
        for item in node:
            reader.take(item)
    names = info.get("PB", ""), info.get("PW", "")
    return SgfGame(size, tuple(reader.moves), tuple(reader.setup), winner, reason, *names)


def _require_hex(text: str, game: Property | None) -> None:
    if game is not None and plain_text(game.values[0]).strip() != HEX:
        place = place_name(text, game.places[0])
        raise NotationError(
            f"{place}: GM[{short(game.values[0])[1:-1]}] is not Hex, want GM[{HEX}]"
        )


def _size(text: str, item: Property | None) -> int:
    if item is None:
        return DEFAULT_SIZE
    try:
        match = _SIZE.fullmatch(item.values[0].strip())
        if match is None:
            raise NotationError(f"{short(item.values[0])} is not a board size")
        return square_size(*match.groups())
    except NotationError as error:
        raise NotationError(f"{place_name(text, item.places[0])}: {error}") from error


def _result(value: str) -> tuple[int | None, str]:
    match = _RESULT.fullmatch(value.lower())
    if match is None:
        return None, ""
    reason = (match[2] or "").strip()
    return _PLAYERS[match[1]], _REASONS.get(reason, reason)


@dataclass(frozen=True)
class _Dialect:
    """Who `B` is among the moves, and what two words mean."""

    colours: dict[str, int]
    words: dict[str, Word]


def _dialect(info: dict[str, str], line: list[Node]) -> _Dialect:
    """Little Golem names no game and lets White move first; its header calls the first mover B."""
    words = {str(word): word for word in Word} | {"swap": Word.SWAP_SIDES}
    first = next((item.name for node in line for item in node if item.name in _COLOURS), None)
    if first == "W" and not info.keys() & {"GM", "PL", *_STONES}:
        return _Dialect({"W": RED, "B": BLUE}, words | {"swap": Word.SWAP_PIECES})
    if _OLD_HEXGUI.match(info.get("AP", "")):
        words[Word.SWAP_PIECES] = Word.SWAP_SIDES
    return _Dialect(_COLOURS, words)


class _LineReader:
    """Collects moves and set-up from the properties of a line, in their order."""

    def __init__(self, text: str, size: int, dialect: _Dialect) -> None:
        self.moves: list[Move] = []
        self.setup: list[SetUp] = []
        self._text, self._size, self._dialect = text, size, dialect

    def take(self, item: Property) -> None:
        """Reads a property; those that are no move or set-up are ignored."""
        if item.name in _COLOURS:
            self._require_one_value(item)
            self.moves.append(Move(self._dialect.colours[item.name], self._what(item, 0)))
        elif item.name in _STONES:
            self.setup += self._stones(item)
        elif item.name == "PL":
            self._require_one_value(item)
            self.setup.append(SetUp(len(self.moves), None, self._turn(item)))

    def _require_one_value(self, item: Property) -> None:
        if len(item.values) > 1:
            raise self._error(item, 1, f"{item.name} has {len(item.values)} values, want one")

    def _what(self, item: Property, k: int) -> int | Word:
        word = self._dialect.words.get(plain_text(item.values[k]).strip().lower())
        return self._cell(item, k) if word is None else word

    def _stones(self, item: Property) -> Iterator[SetUp]:
        for k in range(len(item.values)):
            yield SetUp(len(self.moves), self._cell(item, k), _STONES[item.name])

    def _turn(self, item: Property) -> int:
        player = item.values[0].strip().lower()
        if player not in _PLAYERS:
            raise self._error(item, 0, f"PL is {short(player)}, want B or W")
        return _PLAYERS[player]

    def _cell(self, item: Property, k: int) -> int:
        name = item.values[k].strip()
        if len(name) == 2 and name.isascii() and name.isalpha():
            name = f"{name[0]}{ord(name[1].lower()) - ord('a') + 1}"
        try:
            return cell_index(name, self._size)
        except NotationError as error:
            raise self._error(item, k, str(error)) from error

    def _error(self, item: Property, k: int, trouble: str) -> NotationError:
        return NotationError(f"{place_name(self._text, item.places[k])}: {trouble}")


def write_sgf(
    board_size: int,
    moves: Sequence[int],
    winner: int | None = None,
    end: str = "join",
    red_name: str = "",
    blue_name: str = "",
) -> str:
    """One game as one line of SGF; `read_sgf` reads it back.

    Args:
      board_size: N.
      moves: board cells, with `SWAP` at most at the second place.
      winner: `RED`, `BLUE`, or None where not known.
      end: how the game ended; written with a winner only.
      red_name: and `blue_name`, of the players, written where given; white space becomes spaces.
    """
    reason = "" if end == "join" else end.capitalize()
    result = "" if winner is None else f"{_SIGNS[winner]}+{reason}"
    info = {"PB": red_name, "PW": blue_name, "RE": result}
    head = f"FF[4]CA[UTF-8]AP[hex_ai:{__version__}]GM[{HEX}]SZ[{board_size}]"
    head += "".join(f"{name}[{escaped(value)}]" for name, value in info.items() if value)
    body = "".join(
        f";{_SIGNS[move.colour]}[{_said(move.what, board_size)}]" for move in moves_of(moves)
    )
    return f"(;{head}{body})"


def _said(what: int | Word, size: int) -> str:
    return str(what) if isinstance(what, Word) else cell_name(what, size)
