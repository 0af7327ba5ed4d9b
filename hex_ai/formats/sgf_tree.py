"""SGF with all its variations, read into trees and written from them."""

import re
from collections.abc import Sequence
from dataclasses import replace

from hex_ai.formats.game_tree import (
    LABEL,
    GameTree,
    Mark,
    TreeNode,
    first_children,
    first_line,
    turn_after,
)
from hex_ai.formats.moves import Move, Word
from hex_ai.formats.sgf import move_text, root_text
from hex_ai.formats.sgf_collection import FoundGame, find_games
from hex_ai.formats.sgf_drafts import KINDS, read_drafts
from hex_ai.formats.sgf_nodes import (
    SIGNS,
    STONES,
    Head,
    PropertyReader,
    dialect_of,
    read_head,
    read_result,
)
from hex_ai.formats.sgf_text import ROOT_START, escaped, many_lines, one_line, well_escaped
from hex_ai.game.notation import cell_name

_LIKE_A_ROOT = re.compile(ROOT_START)


def read_sgf_tree(text: str | bytes) -> GameTree:
    """The first game of a text, or of the bytes of a file, with all its variations.

    Raises:
      NotationError: not SGF, not Hex, or a main line that cannot be read; the message names the
        place. A variation that cannot be read is cut off where that begins, and the note says so.
    """
    games = find_games(text)
    tree = sgf_tree(next(games))
    if next(games, None) is None:
        return tree
    return replace(tree, note=_joined(tree.note, "the first of several games"))


def sgf_tree(found: FoundGame) -> GameTree:
    """One game of a file with all its variations. Raises `NotationError` as `read_sgf_tree`."""
    game = found.read()
    head = read_head(game, game.tree.main_line())
    drafts, troubles = read_drafts(game.tree, PropertyReader(game.source, head))
    nodes = [draft.node() for draft in drafts]
    swaps = {place: draft.swap for place, draft in enumerate(drafts) if draft.swap}
    result = _settle_swaps(nodes, swaps, head)
    note = _joined(game.note, _cut_off(troubles))
    return GameTree(head.board_size, tuple(nodes), head.red_name, head.blue_name, result, note)


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _cut_off(troubles: Sequence[str]) -> str:
    many = len(troubles) > 1
    what = (
        f"{len(troubles)} variations are cut off, the first" if many else "a variation is cut off"
    )
    return f"{what}: {troubles[0]}" if troubles else ""


def _settle_swaps(nodes: list[TreeNode], swaps: dict[int, str], head: Head) -> str:
    """Gives every swap its meaning, by who moves next in its first variation.

    Args:
      nodes: of the tree; those that swap are replaced.
      swaps: which these are, and their words.
      head: of the game.

    Returns:
      the result by the colour of stones; where seats changed by another word than swap-sides, the
      file has it by who began.
    """
    first, changed = first_children(nodes), set[int]()
    for place, word in swaps.items():
        move = nodes[place].move
        if move is None:
            continue
        what = head.dialect.swap_meant(word, move.colour, turn_after(nodes, first, place))
        nodes[place] = replace(nodes[place], move=Move(move.colour, what))
        if what is Word.SWAP_SIDES and word != Word.SWAP_SIDES:
            changed.add(place)
    winner, _ = read_result(head.result)
    if winner is None or changed.isdisjoint(first_line(first)):
        return head.result
    _, plus, reason = head.result.partition("+")
    return f"{SIGNS[-winner]}{plus}{reason}"


def write_sgf_tree(tree: GameTree) -> str:
    """A tree as one game of SGF; `read_sgf_tree` reads it back, nodes in the order of the file."""
    writer, children = _NodeWriter(tree), tree.children()
    head = root_text(tree.board_size, tree.red_name, tree.blue_name, tree.result)
    parts = ["(;", head]
    # Nodes to write, and brackets; the last is the next.
    waiting: list[int | str] = [0]
    while waiting:
        place = waiting.pop()
        if isinstance(place, str):
            parts.append(place)
            continue
        parts.append((";" if place else "") + writer.text(place))
        if len(children[place]) == 1:
            waiting += children[place]
        else:
            for child in reversed(children[place]):
                waiting += [")", child, "("]
    return "".join([*parts, ")"])


class _NodeWriter:
    """Writes nodes of a tree."""

    def __init__(self, tree: GameTree) -> None:
        self._tree, self._first = tree, first_children(tree.nodes)
        used = next((values[0] for name, values in tree.nodes[0].other if name == "US"), "")
        self._dialect = dialect_of(used)

    def text(self, place: int) -> str:
        """The properties of a node."""
        node, size = self._tree.nodes[place], self._tree.board_size
        parts = [self._move(place)]
        for name, colour in STONES.items():
            cells = [f"[{cell_name(cell, size)}]" for cell, stone in node.setup if stone == colour]
            parts += [name, *cells] if cells else []
        parts.append(f"PL[{SIGNS[node.turn]}]" if node.turn is not None else "")
        parts.append(f"C[{escaped(many_lines(node.comment))}]" if node.comment else "")
        for name, kind in KINDS.items():
            values = [_mark_value(mark, size) for mark in node.marks if mark.kind == kind]
            parts += [name, *values] if values else []
        for name, raw in node.other:
            parts += [name, *(f"[{well_escaped(value)}]" for value in raw)]
        text = "".join(parts)
        # A variation that begins so would be taken for another game.
        return f"C[]{text}" if place and _LIKE_A_ROOT.match(f"(;{text}") else text

    def _move(self, place: int) -> str:
        """The move; after swap-pieces the turn, where what follows would make it swap-sides."""
        node, size = self._tree.nodes[place], self._tree.board_size
        if node.move is None:
            return ""
        text, colour = move_text(node.move, size), node.move.colour
        if node.move.what is not Word.SWAP_PIECES:
            return text
        turn = turn_after(self._tree.nodes, self._first, place)
        if self._dialect.swap_meant(node.move.what, colour, turn) is Word.SWAP_PIECES:
            return text
        return f"{text}PL[{SIGNS[-colour]}]" + (";" if node.turn is not None else "")


def _mark_value(mark: Mark, size: int) -> str:
    text = escaped(one_line(mark.text)).replace(":", "\\:")
    return f"[{cell_name(mark.cell, size)}{':' if mark.kind == LABEL else ''}{text}]"
