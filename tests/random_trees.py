"""Random game trees in the order in which a file has their nodes."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from random_games import exact

from hex_ai.formats.game_tree import MARK_KINDS, GameTree, Mark, TreeNode, tidy_marks
from hex_ai.formats.moves import Move, Word
from hex_ai.formats.sgf_text import many_lines, one_line, well_escaped
from hex_ai.game.records import BLUE, RED

few = settings(exact, max_examples=60)

_SIGNS = st.sampled_from("\\[]();:BFG \n\tx")
_TEXTS = st.text(st.one_of(_SIGNS, st.characters(exclude_categories=["Cs"])))
_WORDS = [Word.SWAP_SIDES, Word.PASS, Word.RESIGN, Word.FORFEIT]
_NAMES = ["N", "BL", "KM", "XX", "Dummy1", "SZ", "ST", "PB"]


@st.composite
def trees(draw: st.DrawFn) -> GameTree:
    """Trees of up to 30 nodes; moves need not be playable."""
    texts = draw(st.lists(_TEXTS, min_size=4, max_size=12))
    chance = random.Random(draw(st.integers(0, 2**32)))
    size = chance.randint(1, 19)
    nodes, line = [_node(chance, size, None, texts)], [0]
    for _ in range(draw(st.integers(0, 30))):
        # On from the last node or from one before it: the order of a file.
        del line[max(1, len(line) - chance.choice([0, 0, 0, 1, 3])) :]
        nodes.append(_node(chance, size, line[-1], texts))
        line.append(len(nodes) - 1)
    names = [one_line(chance.choice(texts)).strip() for _ in range(3)]
    return GameTree(size, tuple(nodes), *names)


def _node(chance: random.Random, size: int, parent: int | None, texts: list[str]) -> TreeNode:
    cells = range(size * size)
    colours = chance.sample(cells, min(size * size, chance.choice([0, 0, 3])))
    marks = [_mark(chance, chance.choice(cells), texts) for _ in range(chance.choice([0, 0, 4]))]
    return TreeNode(
        parent,
        chance.choice([None, Move(chance.choice([RED, BLUE]), _what(chance, cells))]),
        tuple((cell, chance.choice([RED, BLUE, 0])) for cell in sorted(colours)),
        chance.choice([None, None, RED, BLUE]),
        chance.choice(["", many_lines(chance.choice(texts))]),
        tidy_marks(marks),
        tuple(_other(chance, parent is None, texts) for _ in range(chance.choice([0, 0, 2]))),
    )


def _what(chance: random.Random, cells: range) -> int | Word:
    return chance.choice([*[chance.choice(cells)] * 4, chance.choice(_WORDS)])


def _mark(chance: random.Random, cell: int, texts: list[str]) -> Mark:
    kind = chance.choice(MARK_KINDS)
    return Mark(kind, cell, one_line(chance.choice(texts)) if kind == "label" else "")


def _other(chance: random.Random, is_root: bool, texts: list[str]) -> tuple[str, tuple[str, ...]]:
    values = [well_escaped(chance.choice(texts)) for _ in range(chance.randint(1, 3))]
    return chance.choice(_NAMES[:5] if is_root else _NAMES), tuple(values)
