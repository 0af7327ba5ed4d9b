"""TRMPH lines: `#11,f6e7d8 r` is a game of 11 × 11 that Red won.

The cells stand in the order played, Red first. A second cell equal to the first is swap-pieces. The
winner at the end, `r` or `b`, may be missing where a line is read. One of `STOPPED`, a word of this
package, may follow it: `#11,f6e7d8 r resign`.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from hex_ai.errors import NotationError
from hex_ai.formats.moves import (
    STOPPED,
    PlayedGame,
    colour_name,
    joined_colour,
    moves_of,
    position_after,
    short,
    split_tokens,
    square_size,
)
from hex_ai.game.notation import CELL, cell_index, cell_name
from hex_ai.game.records import BLUE, RED, SWAP

_LINE = re.compile(
    r"(?:https?://(?:www\.)?trmph\.com/hex/board)?#(?P<size>[0-9]{1,4}),(?P<cells>\S*)"
    rf"(?:[ \t]+(?P<winner>\S+)(?:[ \t]+(?P<end>{'|'.join(STOPPED)}))?)?"
)
_WINNERS: dict[str | None, int] = {"r": RED, "b": BLUE}


def write_trmph(
    board_size: int, moves: Sequence[int], winner: int | None = None, end: str = "join"
) -> str:
    """The line of a game; the inverse of `read_trmph`.

    Args:
      board_size: N.
      moves: board cells, with `SWAP` at most at the second place.
      winner: `RED`, `BLUE`, or None for a line without one.
      end: how the game ended; written with a winner only, and only if it is one of `STOPPED`.
    """
    cells = [moves[0] if move == SWAP else move for move in moves]
    line = f"#{board_size}," + "".join(cell_name(int(cell), board_size) for cell in cells)
    if winner is None:
        return line
    line = f"{line} {'r' if winner == RED else 'b'}"
    return f"{line} {end}" if end in STOPPED else line


def read_trmph(line: str, *, winner_from_board: bool = False) -> PlayedGame:
    """Reads one line, with or without the address in front and the winner behind.

    Does not check whether the game goes on after a win; see `hex_ai.store.replay`.

    Args:
      line: the text.
      winner_from_board: where a chain on the board contradicts the winner named, believe the board.

    Raises:
      NotationError: not a TRMPH line, a cell that is off the board or occupied, or a winner whose
        opponent has joined.
    """
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise NotationError(f"{short(line)} is not a TRMPH line: want '#11,a1b2… r'")
    winner = match["winner"]
    if winner is not None and winner not in _WINNERS:
        raise NotationError(f"{short(line)}: the winner is {short(winner)}, want 'r' or 'b'")
    try:
        size = square_size(match["size"])
        moves = _moves(match["cells"], size)
        game = PlayedGame(size, moves, _WINNERS.get(winner), match["end"] or "join")
        return _with_sure_winner(game, winner_from_board)
    except NotationError as error:
        raise NotationError(f"{short(line)}: {error}") from error


def _with_sure_winner(game: PlayedGame, winner_from_board: bool) -> PlayedGame:
    """The game, if a chain on its board does not contradict its winner."""
    if game.winner is None:
        return game
    chain = joined_colour(position_after(game.board_size, moves_of(game.moves))[0])
    if chain != -game.winner:
        return game
    if not winner_from_board:
        said, joined = colour_name(game.winner), colour_name(chain)
        raise NotationError(f"says that {said} won, but on the board {joined} has joined")
    return replace(game, winner=chain, end="join")


def _moves(text: str, size: int) -> tuple[int, ...]:
    moves: list[int] = []
    occupied: set[int] = set()
    for name in split_tokens(CELL, text):
        cell = cell_index(name, size)
        if moves == [cell]:
            row, column = divmod(cell, size)
            moves, occupied = [cell, SWAP], {column * size + row}
            continue
        if cell in occupied:
            raise NotationError(f"move {len(moves) + 1}, {name}, is on an occupied cell")
        moves.append(cell)
        occupied.add(cell)
    return tuple(moves)
