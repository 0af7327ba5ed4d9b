"""Game trees as JSON, and as texts that somebody pastes into the page."""

import json
import re
from typing import Any, TypeVar

from hex_ai.errors import NotationError, SettingError
from hex_ai.formats.game_tree import LABEL, MARK_KINDS, GameTree, Mark, TreeNode, tidy_marks
from hex_ai.formats.games import tree_of_text
from hex_ai.formats.moves import Move, Word, short
from hex_ai.formats.sgf_drafts import NODE_NAMES, ROOT_NAMES
from hex_ai.formats.sgf_text import many_lines, one_line, well_escaped
from hex_ai.formats.sgf_tree import write_sgf_tree
from hex_ai.formats.tree_lines import LINE_FORMATS, write_main_line
from hex_ai.game.notation import cell_index, cell_name
from hex_ai.game.records import BLUE, MAX_SIZE, RED

MAX_NODES = 20_000
# Characters of a comment or another property, and of a name, a result or a label.
LONGEST_TEXT, LONGEST_NAME = 100_000, 1000
# Marks and other properties of a node, and values of one of these.
MOST_ITEMS = 2000

FORMATS = ("sgf", *LINE_FORMATS)

_COLOURS = {"red": RED, "blue": BLUE}
_STONES = {**_COLOURS, "empty": 0}
_STONE_NAMES = {colour: name for name, colour in _STONES.items()}
_WORDS = {word.value: word for word in Word}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,99}")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")

_Read = TypeVar("_Read")


def read_any(text: str) -> GameTree:
    """The first game of SGF, of TRMPH lines or of HexWorld links; never a file of that name.

    Raises:
      NotationError: a text that cannot be read, or a game of more than `MAX_NODES` nodes.
    """
    _require_whole_characters(text)
    tree = tree_of_text(text)
    if len(tree.nodes) > MAX_NODES:
        raise NotationError(f"the game has {len(tree.nodes)} nodes, more than {MAX_NODES}")
    return tree


def write_any(tree: GameTree, to: str) -> str:
    """A tree in one of `FORMATS`; a line or link has the main line alone.

    Raises:
      SettingError: no such format; NotationError: the format has no sign for something in the tree.
    """
    if to not in FORMATS:
        raise SettingError(f"format {short(to)} is not one of {', '.join(FORMATS)}")
    return write_sgf_tree(tree) if to == "sgf" else write_main_line(tree, to)


def tree_json(tree: GameTree) -> dict[str, Any]:
    """A tree as JSON; `tree_of_json` reads it back."""
    return {
        "size": tree.board_size,
        "red": tree.red_name,
        "blue": tree.blue_name,
        "result": tree.result,
        "nodes": [_node_json(node, tree.board_size) for node in tree.nodes],
        "note": tree.note,
    }


def _node_json(node: TreeNode, size: int) -> dict[str, Any]:
    return {
        "parent": node.parent,
        "move": None if node.move is None else _move_json(node.move, size),
        "setup": {cell_name(cell, size): _STONE_NAMES[colour] for cell, colour in node.setup},
        "turn": None if node.turn is None else _STONE_NAMES[node.turn],
        "comment": node.comment,
        "marks": [
            {"kind": mark.kind, "cell": cell_name(mark.cell, size), "text": mark.text}
            for mark in node.marks
        ],
        "other": [[name, list(values)] for name, values in node.other],
    }


def _move_json(move: Move, size: int) -> dict[str, str]:
    what = move.what.value if isinstance(move.what, Word) else cell_name(move.what, size)
    return {"colour": _STONE_NAMES[move.colour], "what": what}


def tree_of_json(data: object) -> GameTree:
    """The tree of JSON that was parsed, whatever it is.

    Whether the moves can be played is not asked: a tree may hold a game with faults.

    Raises:
      NotationError: it is no tree; one line that names the place.
    """
    tree = _object(data, "the tree")
    size = _whole(tree.get("size"), "size", 1, MAX_SIZE)
    nodes = _list(tree.get("nodes"), "nodes", MAX_NODES)
    if not nodes:
        raise NotationError("nodes is empty, want a root at least")
    red, blue, result = (
        one_line(_text(tree.get(key, ""), key, LONGEST_NAME)).strip()
        for key in ("red", "blue", "result")
    )
    note = _text(tree.get("note", ""), "note", LONGEST_TEXT)
    found = tuple(_numbered_node(node, place, size) for place, node in enumerate(nodes))
    return GameTree(size, found, red, blue, result, note)


def _numbered_node(data: object, place: int, size: int) -> TreeNode:
    try:
        return _node(data, place, size)
    except NotationError as error:
        raise NotationError(f"nodes[{place}]: {error}") from error


def _node(data: object, place: int, size: int) -> TreeNode:
    node = _object(data, "a node")
    setup = _object(node.get("setup", {}), "setup")
    turn, move = node.get("turn"), node.get("move")
    marks = _list(node.get("marks", []), "marks", MOST_ITEMS)
    other = _list(node.get("other", []), "other", MOST_ITEMS)
    stones = {
        _cell(name, size): _choice(colour, f"setup of {short(name)}", _STONES)
        for name, colour in setup.items()
    }
    return TreeNode(
        _parent(node.get("parent"), place),
        None if move is None else _move(move, size),
        tuple(sorted(stones.items())),
        None if turn is None else _choice(turn, "turn", _COLOURS),
        many_lines(_text(node.get("comment", ""), "comment", LONGEST_TEXT)),
        tidy_marks([_mark(mark, size) for mark in marks]),
        tuple(_other(item, is_root=not place) for item in other),
    )


def _parent(data: object, place: int) -> int | None:
    if place:
        return _whole(data, "parent", 0, place - 1)
    if data is not None:
        raise NotationError(f"parent is {_shown(data)}, want null at the root")
    return None


def _move(data: object, size: int) -> Move:
    move = _object(data, "move")
    colour = _choice(move.get("colour"), "colour", _COLOURS)
    what = _text(move.get("what"), "what", LONGEST_NAME)
    return Move(colour, _WORDS[what] if what in _WORDS else _cell(what, size))


def _mark(data: object, size: int) -> Mark:
    mark = _object(data, "a mark")
    kind = _choice(mark.get("kind"), "kind", {kind: kind for kind in MARK_KINDS})
    text = one_line(_text(mark.get("text", ""), "text", LONGEST_NAME))
    if text and kind != LABEL:
        raise NotationError(f"text is {short(text)}, want none but for a label")
    return Mark(kind, _cell(mark.get("cell"), size), text)


def _other(data: object, is_root: bool) -> tuple[str, tuple[str, ...]]:
    pair = _list(data, "a property", 2)
    if len(pair) != 2:
        raise NotationError(f"a property has {len(pair)} parts, want its name and its values")
    name = _text(pair[0], "name", LONGEST_NAME)
    if not _NAME.fullmatch(name):
        raise NotationError(f"{short(name)} is not the name of a property")
    if name in NODE_NAMES or (is_root and name in ROOT_NAMES):
        raise NotationError(f"{name} has a field of its own, and is not one of the others")
    values = _list(pair[1], f"values of {name}", MOST_ITEMS)
    if not values:
        raise NotationError(f"{name} has no value")
    return name, tuple(well_escaped(_text(value, name, LONGEST_TEXT)) for value in values)


def _object(data: object, name: str) -> dict[str, object]:
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise NotationError(f"{name} is {_shown(data)}, want an object")
    return data


def _list(data: object, name: str, most: int) -> list[object]:
    if not isinstance(data, list):
        raise NotationError(f"{name} is {_shown(data)}, want a list")
    if len(data) > most:
        raise NotationError(f"{name} has {len(data)} entries, more than {most}")
    return data


def _text(data: object, name: str, longest: int) -> str:
    if not isinstance(data, str):
        raise NotationError(f"{name} is {_shown(data)}, want a text")
    if len(data) > longest:
        raise NotationError(f"{name} has {len(data)} characters, more than {longest}")
    return _require_whole_characters(data)


def _require_whole_characters(text: str) -> str:
    """Refuses half of a pair of UTF-16, which no file can hold."""
    half = _HALF_CHARACTER.search(text)
    if half:
        raise NotationError(f"the text has half a character, {short(half[0])}")
    return text


def _whole(data: object, name: str, low: int, high: int) -> int:
    if isinstance(data, bool) or not isinstance(data, int) or not low <= data <= high:
        raise NotationError(f"{name} is {_shown(data)}, want a whole number from {low} to {high}")
    return data


def _choice(data: object, name: str, choices: dict[str, _Read]) -> _Read:
    if not isinstance(data, str) or data not in choices:
        raise NotationError(f"{name} is {_shown(data)}, want {' or '.join(choices)}")
    return choices[data]


def _cell(data: object, size: int) -> int:
    return cell_index(_text(data, "cell", LONGEST_NAME), size)


def _shown(data: object) -> str:
    """A value to quote in a message, however large it is."""
    if isinstance(data, str):
        return short(data)
    if isinstance(data, dict | list):
        return "an object" if isinstance(data, dict) else "a list"
    if isinstance(data, int) and abs(data) >= 10**9:
        return "a huge number"
    return json.dumps(data) if data is None or isinstance(data, int | float) else "no JSON"
