"""Links of hexworld.org: `https://hexworld.org/board/#11c1,b3:sc6:rw`.

Behind `#` stand the size, options of the display, the moves played, and perhaps moves ahead that
the site keeps for going forward. Colours follow from the order, Red first; a resignation names its
own. The grammar is that of the site's own reader, which however ignores what it does not know.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hex_ai.errors import NotationError
from hex_ai.formats.moves import (
    Move,
    PlayedGame,
    Word,
    moves_of,
    next_colour,
    played_game,
    position_after,
    short,
    square_size,
)
from hex_ai.game.notation import cell_index, cell_name
from hex_ai.game.records import BLUE, RED

ADDRESS = "https://hexworld.org/board/"

_LINK = re.compile(
    r"(?:https?://(?:www\.)?hexworld\.org/board/?(?:index\.html)?)?#"
    r"(?P<columns>[0-9]{1,4})(?:x(?P<rows>[0-9]{1,4}))?(?:r[0-9]{1,4}|m|n|c[0-9]{1,4})*+"
    r"(?:,(?P<played>[^,\s]*)(?:,(?P<ahead>[^,\s]*))?)?"
)
_TOKEN = re.compile(r"[a-z]+[1-9][0-9]*|:s|:S|:p|:[rf][bw]")
_WORDS = {":s": Word.SWAP_PIECES, ":S": Word.SWAP_SIDES, ":p": Word.PASS}
_TOKENS = {word: token for token, word in _WORDS.items()}
_ENDS = {"r": Word.RESIGN, "f": Word.FORFEIT}
_COLOURS = {"b": RED, "w": BLUE}


@dataclass(frozen=True)
class HexWorldGame:
    """What a link says: all moves, in the colours of stones, and how many the site shows played."""

    board_size: int
    moves: tuple[Move, ...]
    shown: int

    def played(self) -> PlayedGame:
        """The game as the package plays it, with the moves ahead (see `played_game`).

        Raises:
          NotationError: it cannot be played here, as it has a pass.
        """
        return played_game(self.board_size, self.moves)


def read_hexworld(link: str) -> HexWorldGame:
    """Reads a link, with or without the address in front.

    Raises:
      NotationError: not a link, a board that is unknown here, or moves that the site would not
        take: on an occupied cell, a swap that is not the second move, anything after the end.
    """
    match = _LINK.fullmatch(link.strip())
    if match is None:
        raise NotationError(f"{short(link)} is not a HexWorld link: want '#11,a1b2…'")
    try:
        size = square_size(match["columns"], match["rows"])
        played, ahead = _split(match["played"] or ""), _split(match["ahead"] or "")
        moves = list[Move]()
        for token in played + ahead:
            moves.append(_move(token, moves, size))
        position_after(size, moves)
    except NotationError as error:
        raise NotationError(f"{short(link)}: {error}") from error
    return HexWorldGame(size, tuple(moves), len(played))


def _split(text: str) -> list[str]:
    tokens, end = [], 0
    for match in _TOKEN.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        tokens.append(match[0])
    if end != len(text):
        raise NotationError(f"cannot read the moves from {short(text[end:])} on")
    return tokens


def _move(token: str, before: Sequence[Move], size: int) -> Move:
    """The move that a token means after the moves before it."""
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
    """The link of a game, all of its moves shown as played.

    Args:
      board_size: N.
      moves: board cells, with `SWAP` at most at the second place.
      winner: `RED`, `BLUE`, or None where not known.
      end: how the game ended. A link can tell a resignation or forfeit, and nothing else.
    """
    tokens = [_token(move, board_size) for move in moves_of(moves)]
    if winner is not None and end in ("resign", "forfeit"):
        tokens.append(_token(Move(-winner, Word(end)), board_size))
    # c1 lets the site draw the stones red and blue.
    return f"{ADDRESS}#{board_size}c1," + "".join(tokens)


def _token(move: Move, size: int) -> str:
    if not isinstance(move.what, Word):
        return cell_name(move.what, size)
    if move.what in _TOKENS:
        return _TOKENS[move.what]
    return f":{move.what[0]}{'b' if move.colour == RED else 'w'}"
