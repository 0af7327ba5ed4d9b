"""SGF for Hex, read and written, in the dialects of HexGui, PlayHex and Little Golem.

Source: red-bean.com/sgf/hex.html. Black is Red here, White is Blue. docs/formats.md lists what is
read and written, and how the dialects differ.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hex_ai import __version__
from hex_ai.errors import NotationError
from hex_ai.formats.moves import (
    STOPPED,
    SWAPS,
    Move,
    PlayedGame,
    SetUp,
    Step,
    Stones,
    Word,
    moves_of,
    played_game,
    position_after,
    short,
    square_size,
)
from hex_ai.formats.sgf_collection import FoundGame, find_games
from hex_ai.formats.sgf_text import Node, Property, Source, escaped, one_line, plain_text
from hex_ai.game.notation import cell_index, cell_name
from hex_ai.game.records import BLUE, RED

DEFAULT_SIZE = 11
HEX = "11"

_SIZE = re.compile(r"([0-9]{1,4})(?::([0-9]{1,4}))?")
_RESULT = re.compile(r"(b|black|w|white)(?:\+(.*))?")
_REASONS = {"r": "resign", "t": "time", "f": "forfeit"}

# Programs that write swap-pieces for a swap that moves no stone: HexGui up to 0.9, and the 1.0 that
# came before that, benzene, and its referee.
_CHANGES_SEATS = re.compile(r"HexGui:(?:0\.[0-9](?![0-9])|1\.)|benzene|twogtp", re.IGNORECASE)

_COLOURS = {"B": RED, "W": BLUE}
_PLAYERS = {"b": RED, "black": RED, "w": BLUE, "white": BLUE}
_STONES = {"AB": RED, "AW": BLUE, "AE": 0}
_SIGNS = {RED: "B", BLUE: "W"}
_MARKS = {
    "LB": "labels",
    "MA": "crosses",
    "CR": "circles",
    "TR": "triangles",
    "SQ": "squares",
    "SL": "selected",
}


@dataclass(frozen=True)
class SgfGame:
    """The main line of a game in a file, in the colours of stones.

    Attributes:
      board_size: N.
      moves: in their order, each with its colour in the file, in turn or not.
      setup: stones set up by hand, in their order.
      winner: `RED`, `BLUE`, or None where not given; by the colour of stones at the end.
      reason: what follows the winner, such as `resign`, in lower case; may be empty.
      red_name: the player of PB.
      blue_name: the player of PW.
      steps: the boards of the game that can be looked at, in their order.
      note: how the text was read where the file did not say how; else empty.
    """

    board_size: int
    moves: tuple[Move, ...] = ()
    setup: tuple[SetUp, ...] = ()
    winner: int | None = None
    reason: str = ""
    red_name: str = ""
    blue_name: str = ""
    steps: tuple[Step, ...] = field(default=(), compare=False)
    note: str = field(default="", compare=False)

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


def read_sgf(text: str | bytes) -> list[SgfGame]:
    """Reads all games of a text, or of the bytes of a file, of each the main line.

    A value of two letters is a cell as in Go, column then row; every other cell is a letter and a
    number. Turns and occupied cells are checked by `SgfGame.played` and `SgfGame.position`.

    Raises:
      NotationError: not SGF, not Hex, or a board that is not supported; the message names the
        place. `find_games` and `sgf_game` read the other games of a file that holds such a one.
    """
    return [sgf_game(found) for found in find_games(text)]


def sgf_game(found: FoundGame) -> SgfGame:
    """Reads one game of a file. Raises `NotationError`, as `read_sgf` does, for this one alone."""
    game = found.read()
    source, line = game.source, game.line
    root = {item.name: item for item in reversed(line[0])}
    _require_hex(source, root.get("GM"))
    size = _size(source, root.get("SZ"))
    dialect = _dialect(root, line)
    # Little Golem writes names as they are.
    text = one_line if dialect.is_golem else plain_text
    info = {name: text(item.values[0]).strip() for name, item in root.items()}
    reader = _LineReader(source, size, dialect)
    for node in line:
        reader.take_node(node)
    winner, reason = _result(info.get("RE", ""))
    moves, seats_changed = _with_swaps(reader.moves, reader.setup, reader.swaps, dialect)
    if winner is not None and seats_changed:
        winner = -winner
    return SgfGame(
        size,
        moves,
        tuple(reader.setup),
        winner,
        reason,
        info.get("PB", ""),
        info.get("PW", ""),
        tuple(reader.steps),
        game.note,
    )


def _with_swaps(
    moves: Sequence[Move], setup: Sequence[SetUp], swaps: dict[int, str], dialect: "_Dialect"
) -> tuple[tuple[Move, ...], bool]:
    """The moves with the swaps as they were meant, and whether one changed seats by another word.

    Whose turn comes next shows it: after swap-sides the colour that swapped moves on.

    Args:
      moves: and `setup`, of the file.
      swaps: places of swaps among the moves, and their words.
      dialect: what a word means where nothing follows it.
    """
    meant, seats_changed = list(moves), False
    for place, word in swaps.items():
        given = [item.colour for item in setup if item.cell is None and item.after == place + 1]
        turns = [*given[-1:], *(move.colour for move in moves[place + 1 : place + 2])]
        what = dialect.words[word]
        if turns and word != Word.SWAP_SIDES:
            same = turns[0] == moves[place].colour
            what = Word.SWAP_SIDES if same else Word.SWAP_PIECES
        meant[place] = Move(moves[place].colour, what)
        seats_changed |= what is Word.SWAP_SIDES and word != Word.SWAP_SIDES
    return tuple(meant), seats_changed


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


def _result(value: str) -> tuple[int | None, str]:
    match = _RESULT.fullmatch(value.lower())
    if match is None:
        return None, ""
    reason = (match[2] or "").strip()
    return _PLAYERS[match[1]], _REASONS.get(reason, reason)


@dataclass(frozen=True)
class _Dialect:
    """Who `B` is among the moves, and what words mean where nothing that follows shows it."""

    colours: dict[str, int]
    words: dict[str, Word]
    is_golem: bool = False


def _dialect(root: dict[str, Property], line: list[Node]) -> _Dialect:
    """Little Golem names no game and lets White move first; its header calls the first mover B."""
    words = {str(word): word for word in Word} | {"swap": Word.SWAP_SIDES}
    first = next((item.name for node in line for item in node if item.name in _COLOURS), "W")
    if first == "W" and not root.keys() & {"AP", "GM", "PL", *_STONES}:
        golem = words | {"swap": Word.SWAP_PIECES}
        return _Dialect({"W": RED, "B": BLUE}, golem, is_golem=True)
    program = " ".join(root[name].values[0] for name in ("AP", "US") if name in root)
    if _CHANGES_SEATS.search(program):
        words[Word.SWAP_PIECES] = Word.SWAP_SIDES
    return _Dialect(_COLOURS, words)


class _LineReader:
    """Collects moves and set-up from the nodes of a line, in their order.

    Attributes:
      moves: as they are written; a swap is swap-pieces, whatever its word.
      setup: stones and turns.
      swaps: the places of swaps among the moves, and their words.
      steps: the boards that can be looked at.
    """

    def __init__(self, source: Source, size: int, dialect: _Dialect) -> None:
        self.moves: list[Move] = []
        self.setup: list[SetUp] = []
        self.swaps: dict[int, str] = {}
        self.steps = [Step(0)]
        self._source, self._size, self._dialect = source, size, dialect

    def take_node(self, node: Node) -> None:
        """Reads a node. One that sets up stones before the first move belongs to the start."""
        moves, setup = len(self.moves), len(self.setup)
        for item in node:
            self._take(item)
        for count in range(moves + 1, len(self.moves) + 1):
            self.steps.append(Step(count, setup))
        stones_set = any(item.cell is not None for item in self.setup[setup:])
        if moves and moves == len(self.moves) and stones_set:
            self.steps.append(Step(moves, setup))
        marks = [_mark_line(item, self._size) for item in node if item.name in _MARKS]
        last = self.steps[-1]
        self.steps[-1] = Step(last.moves, len(self.setup), (*last.marks, *marks))

    def _take(self, item: Property) -> None:
        """Reads a property; those that are no move or set-up are ignored."""
        if item.name in _COLOURS:
            self._require_one_value(item)
            self.moves.append(Move(self._dialect.colours[item.name], self._what(item)))
        elif item.name in _STONES:
            self.setup += self._stones(item)
        elif item.name == "PL":
            self._require_one_value(item)
            self.setup.append(SetUp(len(self.moves), None, self._turn(item)))

    def _require_one_value(self, item: Property) -> None:
        if len(item.values) > 1:
            raise self._error(item, 1, f"{item.name} has {len(item.values)} values, want one")

    def _what(self, item: Property) -> int | Word:
        name = plain_text(item.values[0]).strip().lower()
        word = self._dialect.words.get(name)
        if name == "swap" or word in SWAPS:
            self.swaps[len(self.moves)] = name
        return self._cell(item, 0) if word is None else word

    def _stones(self, item: Property) -> Iterator[SetUp]:
        for k in range(len(item.values)):
            yield SetUp(len(self.moves), self._cell(item, k), _STONES[item.name])

    def _turn(self, item: Property) -> int:
        player = item.values[0].strip().lower()
        if player not in _PLAYERS:
            raise self._error(item, 0, f"PL is {short(player)}, want B or W")
        return _PLAYERS[player]

    def _cell(self, item: Property, k: int) -> int:
        try:
            return _cell_of(item.values[k], self._size)
        except NotationError as error:
            raise self._error(item, k, str(error)) from error

    def _error(self, item: Property, k: int, trouble: str) -> NotationError:
        return NotationError(f"{self._source.place_name(item.places[k])}: {trouble}")


def _cell_of(value: str, size: int) -> int:
    """A cell by its name, or by two letters as in Go. Raises `NotationError`."""
    name = value.strip()
    if len(name) == 2 and name.isascii() and name.isalpha():
        name = f"{name[0]}{ord(name[1].lower()) - ord('a') + 1}"
    return cell_index(name, size)


def _mark_line(item: Property, size: int) -> str:
    """What a property marks, as a line of text; a mark in no known place is told as it stands."""
    parts = []
    for value in item.values:
        place, colon, label = plain_text(value).partition(":")
        with suppress(NotationError):
            place = cell_name(_cell_of(place, size), size)
        parts.append(f"{place} {label}" if colon else place)
    return f"{_MARKS[item.name]}: {', '.join(parts)}"


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
