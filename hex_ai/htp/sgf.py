"""A board of the protocol from a game in SGF."""

from hex_ai.errors import IllegalMoveError, NotationError
from hex_ai.formats.moves import ENDING, Word
from hex_ai.formats.sgf import read_sgf
from hex_ai.htp.game import Board

_SWAPS = (Word.SWAP_PIECES, Word.SWAP_SIDES)


def board_from_sgf(text: str, count: int | None = None) -> Board:
    """The board after `count` moves of a text's first game, or after all if it has not so many.

    Raises:
      NotationError: not a game of Hex in SGF, or moves on occupied cells.
    """
    games = read_sgf(text)
    if not games:
        raise NotationError("holds no game")
    game = games[0]
    played = game.moves[:count]
    stones, mover = game.position(len(played))
    gave_up = played[-1].colour if played and played[-1].what in ENDING else 0
    swapped = any(move.what in _SWAPS for move in played)
    board = Board(game.board_size, tuple(stones.flatten().tolist()), mover, swapped, gave_up)
    try:
        board.position()
    except IllegalMoveError:  # the mover has joined: over, and so the turn of the one who lost
        board = board.seen_by(-mover)
    return board
