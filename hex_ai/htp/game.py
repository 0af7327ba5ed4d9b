"""The board that a session of the protocol plays on: stones in any order, swaps, and undo.

Black is Red: Black joins top to bottom and, in a game, moves first. White is Blue. Programs set up
positions by `play`, so the colours need not take turns: whoever plays, the other side is to move.

**Swap.** White, to move for the first time, may swap while one black stone is all there is.

- `swap-pieces`: the stone turns white and is mirrored on the long diagonal; Black moves next. The
  players keep their colours.
- `swap-sides` (HexGui says `swap` for it): the stone stays; the *players* change colours. So the
  board is what it was and White moves next, who is now the player that was Black.

By the rule `pieces` both words mean what they say. By the rule `sides` both mean swap-sides, for
there are programs (benzene) that say `swap-pieces` and move no stone. By the rule `off` neither is
allowed. Either way a swap is a move that `undo` takes back, and there is no second one.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from hex_ai.errors import CommandError, IllegalMoveError, SettingError
from hex_ai.game.notation import cell_index, cell_name
from hex_ai.game.positions import Positions
from hex_ai.game.records import MAX_SIZE

BLACK, WHITE = 1, -1
COLOUR_NAMES = {BLACK: "black", WHITE: "white"}
_COLOURS = dict.fromkeys(("b", "black", "red"), BLACK) | dict.fromkeys(
    ("w", "white", "blue"), WHITE
)

RESIGN = "resign"
SWAP_PIECES, SWAP_SIDES = "swap-pieces", "swap-sides"

# The rules of the swap, and the word by which each announces one.
SWAP_RULES = {"pieces": SWAP_PIECES, "sides": SWAP_SIDES, "off": ""}


def parse_colour(word: str) -> int:
    """+1 for `b`, `black` or `red`, -1 for `w`, `white` or `blue`, in any case.

    Raises:
      CommandError: another word.
    """
    colour = _COLOURS.get(word.lower())
    if colour is None:
        raise CommandError(f"invalid color: {word[:20]!r}")
    return colour


@dataclass(frozen=True)
class Board:
    """One position with what the protocol must know of its past.

    Attributes:
      size: N.
      stones: N * N of them, row by row as the board lies: +1 black, -1 white, 0 empty.
      mover: +1 or -1, the colour to move.
      swapped: the game had its swap.
      resigned: the colour that gave up, else 0.
    """

    size: int
    stones: tuple[int, ...]
    mover: int = BLACK
    swapped: bool = False
    resigned: int = 0

    @staticmethod
    def empty(size: int) -> "Board":
        """No stones, Black to move.

        Raises:
          SettingError: a size outside 1 … 19.
        """
        if not 1 <= size <= MAX_SIZE:
            raise SettingError(f"unacceptable size: {size} is outside 1 to {MAX_SIZE}")
        return Board(size, (0,) * size**2)

    def position(self) -> Positions:
        """The same for rules and search, B = 1."""
        stones = torch.tensor(self.stones, dtype=torch.int8).view(1, self.size, self.size)
        return Positions.from_stones(stones, torch.tensor([self.mover == WHITE]))

    @cached_property
    def winner(self) -> int:
        """The colour that has joined its edges or whose opponent gave up, else 0."""
        return -self.resigned or int(self.position().winner()[0])

    @property
    def may_swap(self) -> bool:
        """Whether the stones allow the colour to move a swap."""
        taken = [stone for stone in self.stones if stone]
        fits = self.mover == WHITE and taken == [BLACK]
        return fits and not self.swapped and not self.winner

    def seen_by(self, colour: int) -> "Board":
        """The same stones with `colour` to move."""
        return replace(self, mover=colour)

    def empty_cells(self) -> list[int]:
        """Cells as the board lies, lowest first; none once the game is over."""
        return [] if self.winner else [k for k, stone in enumerate(self.stones) if not stone]

    def with_stone(self, cell: int) -> "Board":
        """The mover takes a cell, and the other side is to move.

        Raises:
          IllegalMoveError: the cell is occupied.
        """
        if self.stones[cell]:
            name = cell_name(cell, self.size)
            raise IllegalMoveError(f"illegal move: {name} is occupied")
        stones = (*self.stones[:cell], self.mover, *self.stones[cell + 1 :])
        return replace(self, stones=stones, mover=-self.mover)

    def with_pieces_swapped(self) -> "Board":
        """The stone turns white and is mirrored; Black to move."""
        mirrored = [-self.stones[mirror(k, self.size)] for k in range(self.size**2)]
        return replace(self, stones=tuple(mirrored), mover=BLACK, swapped=True)

    def with_sides_swapped(self) -> "Board":
        """The same stones and colour to move; the players are others."""
        return replace(self, swapped=True)

    def cell_of(self, canonical: int) -> int:
        """Where a cell that the mover sees lies on the board, and the other way round."""
        return mirror(canonical, self.size) if self.mover == WHITE else canonical

    def name_of(self, canonical: int) -> str:
        """Name of a cell that the mover sees."""
        return cell_name(self.cell_of(canonical), self.size)


def mirror(cell: int, size: int) -> int:
    """The cell with row and column exchanged."""
    return cell % size * size + cell // size


class Game:
    """The board of a session and the boards before it.

    Args:
      size: N, 1 to 19.
      rule: of the swap, one of `SWAP_RULES`.

    Attributes:
      board: as it is now.
      rule: as given; it may be changed in mid-game.
    """

    def __init__(self, size: int, rule: str) -> None:
        self.board = Board.empty(size)
        self._past: list[Board] = []
        self.rule = rule

    def restart(self, board: Board) -> None:
        """A game that starts from `board`."""
        self.board, self._past = board, []

    def play(self, colour: int, word: str) -> None:
        """A move of `colour`, in any case: a cell, `resign`, or a word for a swap.

        Raises:
          IllegalMoveError: the game is over, the cell is occupied, a swap that the rule or the
            stones forbid, or a pass, which Hex does not know.
          NotationError: another word, or a cell off the board.
        """
        if self.board.winner:
            raise IllegalMoveError("illegal move: the game is over")
        board = self._after(self.board.seen_by(colour), word.lower())
        self._past.append(self.board)
        self.board = board

    def undo(self) -> None:
        """Takes the last move back.

        Raises:
          CommandError: there is none.
        """
        if not self._past:
            raise CommandError("cannot undo")
        self.board = self._past.pop()

    def may_swap(self, colour: int) -> bool:
        """Whether `colour` may swap now, by the rule and the stones."""
        return self.rule != "off" and self.board.seen_by(colour).may_swap

    def _after(self, board: Board, word: str) -> Board:
        if word == RESIGN:
            return replace(board, resigned=board.mover)
        if word == "pass":
            raise IllegalMoveError("illegal move: there is no pass in Hex")
        if word in ("swap", SWAP_PIECES, SWAP_SIDES):
            return self._after_swap(board, word)
        return board.with_stone(cell_index(word, board.size))

    def _after_swap(self, board: Board, word: str) -> Board:
        if not self.may_swap(board.mover):
            raise IllegalMoveError(f"illegal move: {word} is not possible now")
        if word == SWAP_PIECES and self.rule == "pieces":
            return board.with_pieces_swapped()
        return board.with_sides_swapped()
