"""The board that a session of the protocol plays on: stones in any order, swaps, and undo.

Black is Red: Black joins top to bottom and, in a game, moves first. White is Blue. Programs set up
positions by `play`, so the colours need not take turns: whoever plays, the other side is to move.

White, to move for the first time, may swap while one black stone is all there is. After
`swap-pieces` the stone is white and mirrored on the long diagonal, and Black moves next. After
`swap-sides` (HexGui says `swap`) the *players* have changed colours: the board is what it was, and
White moves next. By the rules `sides` and `benzene` either word means swap-sides. By the rule
`pieces` too, `swap-pieces` turns out to have meant that once White is the next to move.

Stones may be put down after the end, as HexGui and benzene do; they change nothing but the board.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch

from hex_ai.errors import CommandError, IllegalMoveError, SettingError
from hex_ai.formats.moves import ENDING, SWAPS, Word, joined_colour
from hex_ai.formats.sgf import sgf_game
from hex_ai.formats.sgf_collection import find_games
from hex_ai.game.notation import cell_index, cell_name, mirror
from hex_ai.game.positions import Positions
from hex_ai.game.records import BLUE, MAX_SIZE, RED

BLACK, WHITE = RED, BLUE
COLOUR_NAMES = {BLACK: "black", WHITE: "white"}
_COLOURS = dict.fromkeys(("b", "black", "red"), BLACK) | dict.fromkeys(
    ("w", "white", "blue"), WHITE
)

RESIGN = "resign"
SWAP_PIECES, SWAP_SIDES = Word.SWAP_PIECES.value, Word.SWAP_SIDES.value


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
      won: the colour that had won before the latest move, else 0.
      before: the board that `undo` goes back to.
      line: the latest moves in which the sides took turns, as their movers saw the cells.
      line_start: stones and mover before `line`; None where it is empty.
    """

    size: int
    stones: tuple[int, ...]
    mover: int = BLACK
    swapped: bool = False
    resigned: int = 0
    won: int = 0
    before: "Board | None" = field(default=None, compare=False, repr=False)
    line: tuple[int, ...] = ()
    line_start: tuple[tuple[int, ...], int] | None = None

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
        return self.won or -self.resigned or self._joined()

    def may_swap(self, rule: str) -> bool:
        """Whether the colour to move may swap, by the rule and the stones."""
        fits = rule != "off" and self.mover == WHITE and self._stones_alone() == [BLACK]
        return fits and not self.swapped and not self.winner

    def seen_by(self, colour: int) -> "Board":
        """The same stones with `colour` to move."""
        if colour == self.mover:
            return self
        return replace(self, mover=colour, line=(), line_start=None)

    def turn_of(self, colour: int) -> "Board":
        """The board on which `colour` makes the next move.

        That White moves right after swap-pieces shows that the players changed colours instead,
        and that the stone stays where it was: so benzene's referee and HexGui mean it.
        """
        if colour == WHITE and self.swapped and self._stones_alone() == [WHITE]:
            return replace(self, stones=self._mirrored(), mover=WHITE)
        return self.seen_by(colour)

    def moves_since(self, earlier: "Board") -> tuple[int, ...] | None:
        """What the sides played in turn from an earlier board to this one, as each mover saw it.

        None where moves out of turn, or moves taken back, lie between the two.
        """
        known = len(earlier.line)
        if earlier._start() != self._start() or self.line[:known] != earlier.line:
            return None
        return self.line[known:]

    def empty_cells(self) -> list[int]:
        """Cells as the board lies, lowest first; none once the game is over."""
        return [] if self.winner else [k for k, stone in enumerate(self.stones) if not stone]

    def play(self, colour: int, word: str, rule: str) -> "Board":
        """The board after a move of `colour`, in any case: a cell, `resign`, or a word for a swap.

        Raises:
          IllegalMoveError: the cell is occupied, a swap that the rule, the stones or the end of the
            game forbid, or a pass, which Hex does not know.
          NotationError: another word, or a cell off the board.
        """
        after = self.turn_of(colour)._after(word.lower(), rule)
        return replace(after, won=self.winner, before=self)

    def with_stone(self, colour: int, word: str) -> "Board":
        """The board with one stone more, put there by hand: no move, and nothing to take back.

        Raises:
          NotationError, IllegalMoveError: not a cell, off the board, or occupied.
        """
        placed = self.seen_by(colour)._with_stone(cell_index(word, self.size))
        return replace(placed, line=(), line_start=None)

    def cell_of(self, canonical: int) -> int:
        """Where a cell that the mover sees lies on the board, and the other way round."""
        return mirror(canonical, self.size) if self.mover == WHITE else canonical

    def name_of(self, canonical: int) -> str:
        """Name of a cell that the mover sees."""
        return cell_name(self.cell_of(canonical), self.size)

    def _start(self) -> tuple[tuple[int, ...], int]:
        return self.line_start or (self.stones, self.mover)

    def _after(self, word: str, rule: str) -> "Board":
        if word == RESIGN:
            return replace(self, resigned=self.mover)
        if word == "pass":
            raise IllegalMoveError("illegal move: there is no pass in Hex")
        if word not in ("swap", SWAP_PIECES, SWAP_SIDES):
            return self._with_stone(cell_index(word, self.size))
        if not self.may_swap(rule):
            raise IllegalMoveError(f"illegal move: {word} is not possible now")
        if word == SWAP_PIECES and rule == "pieces":
            return replace(self, stones=self._mirrored(), mover=BLACK, swapped=True)
        return replace(self, swapped=True)

    def _joined(self) -> int:
        try:
            return int(self.position().winner()[0])
        except IllegalMoveError:  # the colour to move has joined
            return self.mover

    def _stones_alone(self) -> list[int]:
        return [stone for stone in self.stones if stone]

    def _mirrored(self) -> tuple[int, ...]:
        """The stones of the other colour on the mirrored cells."""
        return tuple(-self.stones[mirror(k, self.size)] for k in range(self.size**2))

    def _with_stone(self, cell: int) -> "Board":
        if self.stones[cell]:
            raise IllegalMoveError(f"illegal move: {cell_name(cell, self.size)} is occupied")
        return replace(
            self,
            stones=(*self.stones[:cell], self.mover, *self.stones[cell + 1 :]),
            mover=-self.mover,
            line=(*self.line, self.cell_of(cell)),
            line_start=self._start(),
        )


def board_from_sgf(text: str | bytes, count: int | None = None) -> Board:
    """The board after `count` moves of a text's first game, or after all if it has not so many.

    A chain from edge to edge decides who won, whatever was played or resigned after it.

    Args:
      text: SGF, or the bytes of a file of it.
      count: how many moves to play; None: all.

    Raises:
      NotationError: not a game of Hex in SGF, or moves on occupied cells.
    """
    game = sgf_game(next(find_games(text)))
    played = game.moves[:count]
    stones, mover = game.position(len(played))
    chain = joined_colour(stones)
    gave_up = played[-1].colour if played and played[-1].what in ENDING and not chain else 0
    swapped = any(move.what in SWAPS for move in played)
    # Who has joined has moved last, whoever's turn the file says it is.
    mover = -chain or mover
    return Board(game.board_size, tuple(stones.flatten().tolist()), mover, swapped, gave_up)
