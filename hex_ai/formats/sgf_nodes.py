"""What the properties of an SGF file for Hex say, in the dialects of several programs.

Source: red-bean.com/sgf/hex.html. Black is Red here, White is Blue. docs/formats.md tells how the
dialects differ.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hex_ai.errors import NotationError
from hex_ai.formats.moves import SWAPS, Move, Word, short, square_size
from hex_ai.formats.sgf_collection import ReadGame
from hex_ai.formats.sgf_text import Node, Property, Source, one_line, plain_text, unescaped
from hex_ai.game.notation import cell_index
from hex_ai.game.records import BLUE, RED

DEFAULT_SIZE = 11
HEX = "11"

COLOURS = {"B": RED, "W": BLUE}
SIGNS = {RED: "B", BLUE: "W"}
STONES = {"AB": RED, "AW": BLUE, "AE": 0}

_WORDS = {word.value: word for word in Word} | {"swap": Word.SWAP_SIDES}

_SIZE = re.compile(r"([0-9]{1,4})(?::([0-9]{1,4}))?")
_RESULT = re.compile(r"(b|black|w|white)(?:\+(.*))?")
_REASONS = {"r": "resign", "t": "time", "f": "forfeit"}
_PLAYERS = {"b": RED, "black": RED, "w": BLUE, "white": BLUE}

# Programs that write swap-pieces for a swap that moves no stone: HexGui up to 0.9, and the 1.0 that
# came before that, benzene, and its referee.
_CHANGES_SEATS = re.compile(r"HexGui:(?:0\.[0-9](?![0-9])|1\.)|benzene|twogtp", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How a program writes.

    Attributes:
      colours: who `B` and `W` are among the moves.
      words: what words mean where nothing that follows shows it.
      escapes: whether names and comments have escapes.
    """

    colours: dict[str, int]
    words: dict[str, Word]
    escapes: bool = True

    def text(self, value: str) -> str:
        """A value with line breaks, as it was meant."""
        return unescaped(value) if self.escapes else value

    def swap_meant(self, word: str, colour: int, turn: int | None) -> Word:
        """The swap that a word means where the player of a colour swaps.

        Whose turn comes next shows it: after swap-sides the colour that swapped moves on.

        Args:
          word: in the file.
          colour: of the player.
          turn: who moves next by the file, or None where nothing tells.
        """
        if turn is None or word == Word.SWAP_SIDES:
            return self.words[word]
        return Word.SWAP_SIDES if turn == colour else Word.SWAP_PIECES


@dataclass(frozen=True)
class Head:
    """What the root of a game tells about all of it.

    Attributes:
      board_size: N.
      dialect: of the game.
      red_name: the player of PB.
      blue_name: the player of PW.
      result: RE as it stands.
    """

    board_size: int
    dialect: Dialect
    red_name: str
    blue_name: str
    result: str


def read_head(game: ReadGame, line: list[Node]) -> Head:
    """Reads the root.

    Args:
      game: that it belongs to.
      line: the main line, whose first move tells Little Golem.

    Raises:
      NotationError: not Hex, or a board that is not supported.
    """
    root = {item.name: item for item in reversed(line[0])}
    _require_hex(game.source, root.get("GM"))
    size = _size(game.source, root.get("SZ"))
    dialect = _dialect(root, line, game.escapes)
    info = {
        name: one_line(dialect.text(root[name].values[0])).strip() if name in root else ""
        for name in ("PB", "PW", "RE")
    }
    return Head(size, dialect, info["PB"], info["PW"], info["RE"])


def _require_hex(source: Source, game: Property | None) -> None:
    if game is not None and plain_text(game.values[0]).strip() != HEX:
        place = source.place_name(game.places[0])
        raise NotationError(
            f"{place}: GM[{short(game.values[0])[1:-1]}] is not Hex, want GM[{HEX}]"
        )


def _size(source: Source, item: Property | None) -> int:
    if item is None:
        return DEFAULT_SIZE
    try:
        match = _SIZE.fullmatch(item.values[0].strip())
        if match is None:
            raise NotationError(f"{short(item.values[0])} is not a board size")
        return square_size(*match.groups())
    except NotationError as error:
        raise NotationError(f"{source.place_name(item.places[0])}: {error}") from error


def _dialect(root: dict[str, Property], line: list[Node], escapes: bool) -> Dialect:
    """Little Golem names no game and lets White move first; its header calls the first mover B.

    It writes names as they are.
    """
    first = next((item.name for node in line for item in node if item.name in COLOURS), "W")
    if first == "W" and not root.keys() & {"AP", "GM", "PL", *STONES}:
        golem = _WORDS | {"swap": Word.SWAP_PIECES}
        return Dialect({"W": RED, "B": BLUE}, golem, escapes=False)
    program = " ".join(root[name].values[0] for name in ("AP", "US") if name in root)
    return dialect_of(program, escapes)


def dialect_of(program: str, escapes: bool = True) -> Dialect:
    """How a program writes, by what a root says of it in AP and US."""
    seats = {Word.SWAP_PIECES.value: Word.SWAP_SIDES} if _CHANGES_SEATS.search(program) else {}
    return Dialect(COLOURS, _WORDS | seats, escapes)


def read_result(value: str) -> tuple[int | None, str]:
    """The winner by RE, or None, and what follows it, such as `resign`, in small letters."""
    match = _RESULT.fullmatch(value.lower())
    if match is None:
        return None, ""
    reason = (match[2] or "").strip()
    return _PLAYERS[match[1]], _REASONS.get(reason, reason)


def result_text(winner: int | None, end: str) -> str:
    """RE for a winner, and how the game ended; empty without a winner."""
    reason = "" if end == "join" else end.capitalize()
    return "" if winner is None else f"{SIGNS[winner]}+{reason}"


@dataclass(frozen=True)
class PropertyReader:
    """Reads moves, stones and turns of one game.

    Each of its functions raises `NotationError` with the place of what cannot be read.
    """

    source: Source
    head: Head

    def move(self, item: Property) -> tuple[Move, str]:
        """A move, and its word if that is one for a swap, else nothing."""
        self._require_one_value(item)
        dialect = self.head.dialect
        colour = dialect.colours[item.name]
        name = plain_text(item.values[0]).strip().lower()
        word = dialect.words.get(name)
        if word is None:
            return Move(colour, self._cell(item, 0)), ""
        return Move(colour, word), name if word in SWAPS else ""

    def stones(self, item: Property) -> Sequence[int]:
        """The cells of stones set up or taken off."""
        return [self._cell(item, k) for k in range(len(item.values))]

    def turn(self, item: Property) -> int:
        """Who moves next by PL."""
        self._require_one_value(item)
        player = item.values[0].strip().lower()
        if player not in _PLAYERS:
            raise self._error(item, 0, f"PL is {short(player)}, want B or W")
        return _PLAYERS[player]

    def _require_one_value(self, item: Property) -> None:
        if len(item.values) > 1:
            raise self._error(item, 1, f"{item.name} has {len(item.values)} values, want one")

    def _cell(self, item: Property, k: int) -> int:
        try:
            return cell_of(item.values[k], self.head.board_size)
        except NotationError as error:
            raise self._error(item, k, str(error)) from error

    def _error(self, item: Property, k: int, trouble: str) -> NotationError:
        return NotationError(f"{self.source.place_name(item.places[k])}: {trouble}")


def cell_of(value: str, size: int) -> int:
    """A cell by its name, or by two letters as in Go. Raises `NotationError`."""
    name = value.strip()
    if len(name) == 2 and name.isascii() and name.isalpha():
        name = f"{name[0]}{ord(name[1].lower()) - ord('a') + 1}"
    return cell_index(name, size)
