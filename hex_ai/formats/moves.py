"""Moves as game files have them, and the games among them that the package can play.

Files know two kinds of swap, passes, stones set up by hand and any order of colours. The package
knows board cells, Red first, and `SWAP`, which is swap-pieces, at the second place.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from hex_ai.errors import NotationError
from hex_ai.game.notation import cell_name
from hex_ai.game.positions import NEIGHBOURS
from hex_ai.game.records import BLUE, MAX_SIZE, RED, SWAP

Stones = NDArray[np.int8]


class Word(StrEnum):
    """A move that is no cell, by its name in SGF."""

    SWAP_PIECES = "swap-pieces"
    SWAP_SIDES = "swap-sides"
    PASS = "pass"
    RESIGN = "resign"
    FORFEIT = "forfeit"


# The word for a swap by each rule: of pieces; of sides, where the players change colours; or of
# sides by the word for pieces, as benzene has it.
SWAP_RULES = {
    "pieces": Word.SWAP_PIECES.value,
    "sides": Word.SWAP_SIDES.value,
    "benzene": Word.SWAP_PIECES.value,
    "off": "",
}

SWAPS = (Word.SWAP_PIECES, Word.SWAP_SIDES)
ENDING = (Word.RESIGN, Word.FORFEIT)

# How a game can end other than by a chain of stones.
STOPPED = ("proven", "resign", "forfeit", "time")


@dataclass(frozen=True)
class Move:
    """One move of a file: `colour` is `RED` or `BLUE`, `what` a board cell or a word."""

    colour: int
    what: int | Word


@dataclass(frozen=True)
class SetUp:
    """A stone put on the board by hand, or taken off, or the turn given to somebody.

    Attributes:
      after: how many moves stand before it.
      cell: a board cell, or None where only the turn is given.
      colour: `RED`, `BLUE`, or 0 for a cell that becomes empty.
    """

    after: int
    cell: int | None
    colour: int


@dataclass(frozen=True)
class Step:
    """A place in a game whose board can be looked at: the start, a move, or a set-up by itself.

    Attributes:
      moves: how many moves stand up to it.
      setup: how many set-ups.
      marks: what is marked on the board there, a line each.
    """

    moves: int
    setup: int = 0
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlayedGame:
    """A game that the package can play.

    Attributes:
      board_size: N.
      moves: board cells, Red's first, with `SWAP` at most at the second place.
      winner: `RED`, `BLUE`, or None where not given.
      end: how the game ended: `join`, also where nothing is said about it, or one of `STOPPED`.
    """

    board_size: int
    moves: tuple[int, ...]
    winner: int | None
    end: str = "join"


def short(text: str) -> str:
    """A text to quote in a message: at most 40 characters of it, between quotes."""
    return repr(text if len(text) <= 40 else text[:39] + "…")


def split_tokens(pattern: re.Pattern[str], text: str) -> list[str]:
    """A text cut into matches of a pattern.

    Raises:
      NotationError: something in the text does not match.
    """
    tokens, end = [], 0
    for match in pattern.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        tokens.append(match[0])
    if end != len(text):
        raise NotationError(f"cannot read the moves from {short(text[end:])} on")
    return tokens


def square_size(columns: str, rows: str | None = None) -> int:
    """N from the digits of one or two sides.

    Raises:
      NotationError: sides that differ, or a size that is not supported.
    """
    if rows is not None and int(columns) != int(rows):
        raise NotationError(f"a board of {columns}x{rows} has unequal sides, want a square one")
    size = int(columns)
    if not 1 <= size <= MAX_SIZE:
        raise NotationError(f"board size {size} is outside 1 to {MAX_SIZE}")
    return size


def colour_name(colour: int) -> str:
    """`Red` or `Blue`."""
    return "Red" if colour == RED else "Blue"


def next_colour(move: Move) -> int:
    """Whose turn it is after a move, by the colour of stones.

    After swap-sides Blue is still to move: the board stays, and the players change colours.
    """
    stays = move.what is Word.SWAP_SIDES or move.what in ENDING
    return move.colour if stays else -move.colour


def moves_of(cells: Iterable[int]) -> list[Move]:
    """The moves of a game of the package for a file: colours in turn, `SWAP` as swap-pieces."""
    return [
        Move(BLUE if ply % 2 else RED, Word.SWAP_PIECES if cell == SWAP else int(cell))
        for ply, cell in enumerate(cells)
    ]


def position_after(
    size: int, moves: Sequence[Move], setup: Sequence[SetUp] = (), count: int | None = None
) -> tuple[Stones, int]:
    """The board after some moves of a file, in whatever order of colours, and who moves next.

    Args:
      size: N.
      moves: of the file.
      setup: of the file, in its order.
      count: how many moves to play; None: all. What is set up right after them counts.

    Returns:
      int8 `[N, N]`, row then column, +1 Red, -1 Blue; and the colour to move: that of the next move
      in the file, else what the set-up says, else what follows from the last move, else Red.

    Raises:
      NotationError: a move on an occupied cell, a swap that answers no opening, a move by the
        wrong player after a swap, or more moves asked for than there are.
    """
    count = len(moves) if count is None else count
    if not 0 <= count <= len(moves):
        raise NotationError(f"the game has {len(moves)} moves, not {count}")
    stones = np.zeros((size, size), np.int8)
    turn, waiting = RED, [item for item in reversed(setup) if item.after <= count]
    for number in range(count + 1):
        if number:
            _require_turn_after_swap(moves, number)
            _require_swap_possible(stones, moves, number)
            stones = _play(stones, moves[number - 1], number)
            turn = next_colour(moves[number - 1])
        while waiting and waiting[-1].after <= number:
            turn = _set_up(stones, waiting.pop(), turn)
    return stones, moves[count].colour if count < len(moves) else turn


def _require_turn_after_swap(moves: Sequence[Move], number: int) -> None:
    """Who moves after a swap shows what it was: the other player is a sign of another meaning."""
    if number < 2 or moves[number - 2].what not in SWAPS or moves[number - 1].what in ENDING:
        return
    turn = next_colour(moves[number - 2])
    if moves[number - 1].colour != turn:
        swap = moves[number - 2].what
        raise _out_of_turn(number, turn, f" after {swap}")


def _require_swap_possible(stones: Stones, moves: Sequence[Move], number: int) -> None:
    """A swap answers the opening: one stone played, or stones set up and none played since."""
    if moves[number - 1].what in SWAPS:
        before = [move.what for move in moves[: number - 1]]
        played = sum(not isinstance(what, Word) for what in before)
        if played > 1 or not stones.any() or any(what in SWAPS for what in before):
            raise NotationError(f"move {number} is a swap, which only the second move can be")


def _out_of_turn(number: int, turn: int, when: str = "") -> NotationError:
    names = colour_name(-turn), colour_name(turn)
    return NotationError(f"move {number} is {names[0]}'s, but it is {names[1]}'s turn{when}")


def joined_colour(stones: Stones) -> int:
    """Who has joined two edges by a chain of stones: `RED`, `BLUE`, or 0.

    Args:
      stones: int8 `[N, N]`, row then column, +1 Red, -1 Blue.
    """
    return RED if _joins_rows(stones == RED) else BLUE if _joins_rows(stones.T == BLUE) else 0


def _joins_rows(stones: NDArray[np.bool_]) -> bool:
    """Whether stones join the first row to the last."""
    size = len(stones)
    reached = {(0, column) for column in range(size) if stones[0, column]}
    waiting = list(reached)
    while waiting:
        row, column = waiting.pop()
        if row == size - 1:
            return True
        for down, right in NEIGHBOURS:
            cell = row + down, column + right
            on_board = 0 <= cell[0] < size and 0 <= cell[1] < size
            if on_board and stones[cell] and cell not in reached:
                reached.add(cell)
                waiting.append(cell)
    return False


def _play(stones: Stones, move: Move, number: int) -> Stones:
    """The board after a move; may write to `stones`."""
    if move.what is Word.SWAP_PIECES:
        return np.ascontiguousarray(-stones.T)
    if not isinstance(move.what, Word):
        if stones.flat[move.what]:
            name = cell_name(move.what, len(stones))
            raise NotationError(f"move {number}, {name}, is on an occupied cell")
        stones.flat[move.what] = move.colour
    return stones


def _set_up(stones: Stones, item: SetUp, turn: int) -> int:
    """Puts a stone on the board, in place, and says who moves next."""
    if item.cell is None:
        return item.colour
    stones.flat[item.cell] = item.colour
    return turn


def played_game(
    size: int, moves: Sequence[Move], winner: int | None = None, end: str = "join"
) -> PlayedGame:
    """The game of a file as the package plays it.

    Swap-pieces is `SWAP`. So is swap-sides, after which the first stone stays in the file, while
    here it becomes Blue's at the mirrored cell. The two boards are each other's transpose with
    colours exchanged, which in Hex is the same position. So all later cells are transposed, and Red
    and Blue are exchanged, in the result as well: the first player is Red throughout.

    Args:
      size: N.
      moves: of the file; a resignation or forfeit may stand last.
      winner: as the file says it, by the colour of stones at the end.
      end: how the game ended; a resignation or forfeit among the moves overrides it, and a chain
        from edge to edge overrides both.

    Raises:
      NotationError: a pass, a move out of turn or on an occupied cell, a swap that is not the
        second move, a move after the end, or a winner who resigned.
    """
    chain = joined_colour(position_after(size, moves)[0])
    over = bool(moves) and moves[-1].what in ENDING
    cells = _require_turns(moves[:-1] if over else moves)
    if over:
        if winner == moves[-1].colour and not chain:
            raise NotationError(f"{colour_name(winner)} resigns, but the result says that it won")
        winner, end = -moves[-1].colour, str(moves[-1].what)
    if chain and winner == -chain:
        winner, end = chain, "join"
    if len(moves) > 1 and moves[1].what is Word.SWAP_SIDES:
        cells[2:] = [cell % size * size + cell // size for cell in cells[2:]]
        winner = None if winner is None else -winner
    return PlayedGame(size, tuple(cells), winner, end)


def _require_turns(moves: Sequence[Move]) -> list[int]:
    """Cells and `SWAP` of moves that come in turn, Red first."""
    cells, turn = list[int](), RED
    for number, move in enumerate(moves, 1):
        if move.what in ENDING:
            raise NotationError(f"move {number + 1} comes after the end of the game")
        if move.what is Word.PASS:
            raise NotationError(f"move {number} is a pass, which is not supported")
        if move.colour != turn:
            raise _out_of_turn(number, turn)
        if isinstance(move.what, Word) and number != 2:
            raise NotationError(f"move {number} is a swap, which only the second move can be")
        cells.append(SWAP if isinstance(move.what, Word) else move.what)
        turn = next_colour(move)
    return cells
