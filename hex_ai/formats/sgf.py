"""SGF for Hex, read and written, in the dialects of HexGui, PlayHex and Little Golem.

Source: red-bean.com/sgf/hex.html. Black is Red here, White is Blue. docs/formats.md lists what is
read and written, and how the dialects differ.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from hex_ai import __version__
from hex_ai.errors import NotationError
from hex_ai.formats.moves import (
    STOPPED,
    Move,
    PlayedGame,
    SetUp,
    Step,
    Stones,
    Word,
    moves_of,
    played_game,
    position_after,
)
from hex_ai.formats.sgf_collection import FoundGame, find_games
from hex_ai.formats.sgf_nodes import (
    COLOURS,
    HEX,
    SIGNS,
    STONES,
    Dialect,
    PropertyReader,
    cell_of,
    read_head,
    read_result,
    result_text,
)
from hex_ai.formats.sgf_text import Node, Property, escaped, one_line, plain_text
from hex_ai.game.notation import cell_name
from hex_ai.game.records import RED

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
        self.require_no_setup()
        end = self.reason if self.reason in STOPPED else "join"
        return played_game(self.board_size, self.moves, self.winner, end)

    def require_no_setup(self) -> None:
        """Raises `NotationError` where stones are set up, or a turn is given."""
        if any(item.cell is not None or item.colour != RED or item.after for item in self.setup):
            raise NotationError("the game has stones set up by hand, or a turn given away")

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
    line = game.tree.main_line()
    head = read_head(game, line)
    reader = _LineReader(PropertyReader(game.source, head))
    for node in line:
        reader.take_node(node)
    winner, reason = read_result(head.result)
    moves, seats_changed = _with_swaps(reader.moves, reader.setup, reader.swaps, head.dialect)
    if winner is not None and seats_changed:
        winner = -winner
    return SgfGame(
        head.board_size,
        moves,
        tuple(reader.setup),
        winner,
        reason,
        head.red_name,
        head.blue_name,
        tuple(reader.steps),
        game.note,
    )


def _with_swaps(
    moves: Sequence[Move], setup: Sequence[SetUp], swaps: dict[int, str], dialect: Dialect
) -> tuple[tuple[Move, ...], bool]:
    """The moves with the swaps as they were meant, and whether one changed seats by another word.

    Args:
      moves: and `setup`, of the file.
      swaps: places of swaps among the moves, and their words.
      dialect: of the file.
    """
    meant, seats_changed = list(moves), False
    for place, word in swaps.items():
        given = [item.colour for item in setup if item.cell is None and item.after == place + 1]
        turns = [*given[:1], *(move.colour for move in moves[place + 1 : place + 2])]
        colour = moves[place].colour
        what = dialect.swap_meant(word, colour, turns[0] if turns else None)
        meant[place] = Move(colour, what)
        seats_changed |= what is Word.SWAP_SIDES and word != Word.SWAP_SIDES
    return tuple(meant), seats_changed


class _LineReader:
    """Collects moves and set-up from the nodes of a line, in their order.

    Attributes:
      moves: as they are written; a swap is what its word means by itself.
      setup: stones and turns.
      swaps: the places of swaps among the moves, and their words.
      steps: the boards that can be looked at.
    """

    def __init__(self, reader: PropertyReader) -> None:
        self.moves: list[Move] = []
        self.setup: list[SetUp] = []
        self.swaps: dict[int, str] = {}
        self.steps = [Step(0)]
        self._reader = reader

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
        marks = [
            _mark_line(item, self._reader.head.board_size) for item in node if item.name in _MARKS
        ]
        last = self.steps[-1]
        self.steps[-1] = Step(last.moves, len(self.setup), (*last.marks, *marks))

    def _take(self, item: Property) -> None:
        """Reads a property; those that are no move or set-up are ignored."""
        count = len(self.moves)
        if item.name in COLOURS:
            move, swap = self._reader.move(item)
            self.moves.append(move)
            if swap:
                self.swaps[count] = swap
        elif item.name in STONES:
            colour = STONES[item.name]
            self.setup += [SetUp(count, cell, colour) for cell in self._reader.stones(item)]
        elif item.name == "PL":
            self.setup.append(SetUp(count, None, self._reader.turn(item)))


def _mark_line(item: Property, size: int) -> str:
    """What a property marks, as a line of text; a mark in no known place is told as it stands."""
    parts = []
    for value in item.values:
        place, colon, label = plain_text(value).partition(":")
        with suppress(NotationError):
            place = cell_name(cell_of(place, size), size)
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
    head = root_text(board_size, red_name, blue_name, result_text(winner, end))
    body = "".join(f";{move_text(move, board_size)}" for move in moves_of(moves))
    return f"(;{head}{body})"


def root_text(board_size: int, red_name: str, blue_name: str, result: str) -> str:
    """The properties of a root; names and result are left out where they are empty."""
    info = {"PB": red_name, "PW": blue_name, "RE": result}
    head = f"FF[4]CA[UTF-8]AP[hex_ai:{__version__}]GM[{HEX}]SZ[{board_size}]"
    return head + "".join(
        f"{name}[{escaped(one_line(value))}]" for name, value in info.items() if value
    )


def move_text(move: Move, size: int) -> str:
    """The property of a move."""
    what = str(move.what) if isinstance(move.what, Word) else cell_name(move.what, size)
    return f"{SIGNS[move.colour]}[{what}]"
