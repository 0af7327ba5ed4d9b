"""Random games by the slow rules, and other things that tests of text formats share.

Hypothesis is derandomised, so no test can fail by chance.
"""

import random
from collections.abc import Callable, Sequence

from hypothesis import settings
from hypothesis import strategies as st
from reference import RED, SlowBoard

from hex_ai.errors import NotationError
from hex_ai.game.records import BLUE, SWAP

exact = settings(derandomize=True, deadline=None, max_examples=150)


def mirror(cell: int, size: int) -> int:
    """The cell on the other side of the long diagonal."""
    row, column = divmod(cell, size)
    return column * size + row


@st.composite
def games(
    draw: st.DrawFn, sizes: tuple[int, int] = (1, 19), longest: int = 40, swaps: bool = True
) -> tuple[int, list[int], int | None]:
    """Size, moves and winner of a game by the slow rules, swap included, ended or not."""
    size = draw(st.integers(*sizes))
    chance = random.Random(draw(st.integers(0, 2**32)))
    length = draw(st.integers(0, min(size * size, longest)))
    board, moves = SlowBoard.empty(size), list[int]()
    while len(moves) < length and (legal := board.legal()):
        if swaps and len(moves) == 1 and chance.random() < 0.5:
            moves.append(SWAP)
            board = board.swap()
            continue
        cell = chance.choice(legal)
        moves.append(cell if board.mover == RED else mirror(cell, size))
        board = board.play(cell)
    winners = [board.winner()] if board.winner() else [RED, BLUE]
    return size, moves, draw(st.sampled_from([*winners, None]))


def slow_replay(size: int, moves: Sequence[int]) -> SlowBoard:
    """The board after board cells and `SWAP`; `ValueError` where the slow rules forbid it."""
    board = SlowBoard.empty(size)
    for move in moves:
        if move == SWAP:
            board = board.swap()
        else:
            board = board.play(move if board.mover == RED else mirror(move, size))
    return board


def refusal_of(read: Callable[[], object]) -> str | None:
    """What `NotationError` says; any other error is let through."""
    try:
        read()
    except NotationError as error:
        return str(error)
    return None


def mutants(texts: Sequence[str]) -> st.SearchStrategy[str]:
    """Texts with a piece cut out, doubled, or replaced by characters that formats care about."""

    def mutate(text: str, start: int, length: int, put: str, copies: int) -> str:
        start %= len(text) + 1
        piece = text[start : start + length]
        return text[:start] + put + piece * copies + text[start + length :]

    return st.builds(
        mutate,
        st.sampled_from(texts),
        st.integers(0, 400),
        st.integers(0, 30),
        st.text(st.sampled_from("();[]\\:#,abBWswSrc0123456789 \n\t٣²K\ud800\0"), max_size=4),
        st.integers(0, 3),
    )
