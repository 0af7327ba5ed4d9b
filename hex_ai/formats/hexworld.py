"""Links of hexworld.org: `https://hexworld.org/board/#11c1,b3:sc6:rw`.

After `#` come the size, options of the display, the moves shown, and perhaps moves ahead that the
site goes forward to. Colours follow from the order, Red first; a resignation names its own. The
grammar is that of the site's own reader, except that what it ignores is refused here.
"""

import re
from collections.abc import Iterable, Sequence

from hex_ai.errors import NotationError
from hex_ai.formats.moves import (
    ENDING,
    Move,
    PlayedGame,
    Word,
    moves_of,
    next_colour,
    played_game,
    short,
    split_tokens,
    square_size,
)
from hex_ai.game.notation import cell_index, cell_name
from hex_ai.game.records import BLUE, RED

ADDRESS = "https://hexworld.org/board/"

_LINK = re.compile(
    r"(?:https?://(?:www\.)?hexworld\.org/board/?(?:index\.html)?)?#"
    r"(?P<columns>[0-9]{1,4})(?:x(?P<rows>[0-9]{1,4}))?(?:r[0-9]{1,4}|m|n|c[0-9]{1,4})*+"
    r"(?:,(?P<shown>[^,\s]*)(?:,(?P<ahead>[^,\s]*))?)?"
)
_TOKEN = re.compile(r"[a-z]+[1-9][0-9]*|:s|:S|:p|:[rf][bw]")
_WORDS = {":s": Word.SWAP_PIECES, ":S": Word.SWAP_SIDES, ":p": Word.PASS}
_TOKENS = {word: token for token, word in _WORDS.items()}
_ENDS = {"r": Word.RESIGN, "f": Word.FORFEIT}
_COLOURS = {"b": RED, "w": BLUE}


def read_hexworld(link: str) -> PlayedGame:
    """The game of a link, with or without the address in front, and with the moves ahead.

    Raises:
      NotationError: not a link, a size that is not supported, a pass, or moves that the site would
        not take: on an occupied cell, a swap that is not the second move, anything after the end.
    """
    size, moves = hexworld_moves(link)
    try:
        return played_game(size, moves)
    except NotationError as error:
        raise NotationError(f"{short(link)}: {error}") from error


def hexworld_moves(link: str) -> tuple[int, list[Move]]:
    """The board size and all moves of a link as the site shows them, passes among them.

    Raises:
      NotationError: as `read_hexworld`, except for passes and occupied cells.
    """
    match = _LINK.fullmatch(link.strip())
    if match is None:
        raise NotationError(f"{short(link)} is not a HexWorld link: want '#11,a1b2…'")
    try:
        size = square_size(match["columns"], match["rows"])
        moves = list[Move]()
        for part in (match["shown"], match["ahead"]):
            for token in split_tokens(_TOKEN, part or ""):
                moves.append(_move(token, moves, size))
        return size, moves
    except NotationError as error:
        raise NotationError(f"{short(link)}: {error}") from error


def _move(token: str, before: Sequence[Move], size: int) -> Move:
    """The move of a token that follows the moves given."""
    number = len(before) + 1
    if before and before[-1].what in _ENDS.values():
        raise NotationError(f"move {number}, {short(token)}, comes after the end of the game")
    turn = next_colour(before[-1]) if before else RED
    if token[0] != ":":
        return Move(turn, cell_index(token, size))
    if token[1] in _ENDS:
        return Move(_COLOURS[token[2]], _ENDS[token[1]])
    word = _WORDS[token]
    if word is not Word.PASS and (number != 2 or before[0].what is Word.PASS):
        raise NotationError(f"move {number} is a swap, which only the second move can be")
    return Move(turn, word)


def write_hexworld(
    board_size: int, moves: Sequence[int], winner: int | None = None, end: str = "join"
) -> str:
    """The link of a game, with all moves shown.

    Args:
      board_size: N.
      moves: board cells, with `SWAP` at most at the second place.
      winner: `RED`, `BLUE`, or None where not known.
      end: how the game ended. A link can hold a resignation or forfeit, and nothing else.
    """
    all_moves = moves_of(moves)
    if winner is not None and end in ENDING:
        all_moves.append(Move(-winner, Word(end)))
    return hexworld_link(board_size, all_moves)


def hexworld_link(board_size: int, moves: Iterable[Move]) -> str:
    """The link of moves whose colours follow from their order; `hexworld_moves` reads it back.

    Args:
      board_size: N.
      moves: of a file; all of them are shown.
    """
    # c1 makes the site draw the stones red and blue.
    return f"{ADDRESS}#{board_size}c1," + "".join(_token(move, board_size) for move in moves)


def _token(move: Move, size: int) -> str:
    if not isinstance(move.what, Word):
        return cell_name(move.what, size)
    if move.what in _TOKENS:
        return _TOKENS[move.what]
    return f":{move.what[0]}{'b' if move.colour == RED else 'w'}"
