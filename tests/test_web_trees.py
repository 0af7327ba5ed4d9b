"""Game trees as JSON and as pasted texts: what is hostile is refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from random_games import exact, mutants
from random_trees import few, trees

from hex_ai.errors import NotationError, SettingError
from hex_ai.formats.game_tree import GameTree
from hex_ai.formats.sgf_tree import read_sgf_tree
from hex_ai.web.trees import MAX_NODES, read_any, tree_json, tree_of_json, write_any

ROOT = {"parent": None, "move": None}


def refusal_of(read: Any, *arguments: object) -> str | None:
    """The line of a typed error; any other error is let through."""
    try:
        read(*arguments)
    except (NotationError, SettingError) as error:
        (line,) = str(error).splitlines()
        assert len(line) < 300
        return line
    return None


def tree_with(**fields: object) -> dict[str, object]:
    """A tree of 5x5 whose second node has these fields."""
    return {"size": 5, "nodes": [ROOT, {"parent": 0, "move": None, **fields}]}


@few
@given(trees())
def test_trees_round_trip_through_json(tree: GameTree) -> None:
    text = json.dumps(tree_json(tree))
    assert tree_of_json(json.loads(text)) == tree


def test_json_to_the_letter() -> None:
    sgf = (
        "(;GM[11]SZ[5]PB[one]RE[B+R];B[a1]BL[3];W[swap-pieces]C[x]LB[b2:y]CR[a1];AW[e5]AE[a1]PL[B])"
    )
    empty = {"setup": {}, "turn": None, "comment": "", "marks": [], "other": []}
    label = {"kind": "label", "cell": "b2", "text": "y"}
    circle = {"kind": "circle", "cell": "a1", "text": ""}
    swap = {"colour": "blue", "what": "swap-pieces"}
    stones = {"a1": "empty", "e5": "blue"}
    wanted = {
        **{"size": 5, "red": "one", "blue": "", "result": "B+R", "note": ""},
        "nodes": [
            {"parent": None, "move": None, **empty},
            {
                "parent": 0,
                "move": {"colour": "red", "what": "a1"},
                **empty,
                "other": [["BL", ["3"]]],
            },
            {"parent": 1, "move": swap, **empty, "comment": "x", "marks": [label, circle]},
            {"parent": 2, "move": None, **empty, "setup": stones, "turn": "red"},
        ],
    }
    tree = read_any(sgf)
    assert tree_json(tree) == wanted
    assert tree_of_json(wanted) == tree
    assert read_any(write_any(tree, "sgf")) == tree


def test_fields_may_be_missing_and_nodes_come_in_any_order_of_lines() -> None:
    nodes = [{}, {"parent": 0}, {"parent": 0}, {"parent": 1}]
    tree = tree_of_json({"size": 5, "nodes": nodes})
    assert [node.parent for node in tree.nodes] == [None, 0, 0, 1]
    assert [node.parent for node in read_any(write_any(tree, "sgf")).nodes] == [None, 0, 1, 0]


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (None, "the tree is null, want an object"),
        ([], "the tree is a list, want an object"),
        ({}, "size is null, want a whole number from 1 to 19"),
        *(
            ({"size": size, "nodes": [ROOT]}, "size is ")
            for size in (0, 20, 11.0, True, "11", 10**9999)
        ),
        ({"size": 5}, "nodes is null, want a list"),
        ({"size": 5, "nodes": []}, "nodes is empty"),
        (
            {"size": 5, "nodes": [ROOT] * (MAX_NODES + 1)},
            "nodes has 20001 entries, more than 20000",
        ),
        ({"size": 5, "nodes": [None]}, "nodes[0]: a node is null"),
        ({"size": 5, "nodes": [{"parent": 0}]}, "nodes[0]: parent is 0, want null at the root"),
        *(
            (tree_with(parent=bad), "nodes[1]: parent is ")
            for bad in (None, 1, -1, 2, "0", False, 0.0)
        ),
        (tree_with(move="a1"), "nodes[1]: move is 'a1', want an object"),
        (tree_with(move={"colour": "Red", "what": "a1"}), "colour is 'Red', want red or blue"),
        (tree_with(move={"colour": ["red"], "what": "a1"}), "colour is a list"),
        (tree_with(move={"colour": "red", "what": "f1"}), "'f1' is not on a board of 5x5"),
        (tree_with(move={"colour": "red", "what": "swap"}), "'swap' is not a cell"),
        (tree_with(move={"colour": "red", "what": 7}), "what is 7, want a text"),
        (tree_with(setup={"a6": "red"}), "'a6' is not on a board"),
        (tree_with(setup={"a1": "green"}), "want red or blue or empty"),
        (tree_with(setup=["a1"]), "setup is a list, want an object"),
        (tree_with(turn="empty"), "turn is 'empty', want red or blue"),
        (tree_with(comment=None), "comment is null, want a text"),
        (tree_with(comment="x" * 100_001), "comment has 100001 characters, more than 100000"),
        (tree_with(comment="x\ud800"), "the text has half a character"),
        (tree_with(marks=[{"kind": "LB", "cell": "a1"}]), "kind is 'LB', want label or cross"),
        (tree_with(marks=[{"kind": "label"}]), "cell is null, want a text"),
        (tree_with(marks=[{"kind": "cross", "cell": "a1", "text": "x"}]), "none but for a label"),
        (tree_with(marks=[{}] * 2001), "marks has 2001 entries, more than 2000"),
        (tree_with(other=[["N"]]), "a property has 1 parts"),
        (tree_with(other=[["N", []]]), "N has no value"),
        (tree_with(other=[["N[x]B", ["a1"]]]), "'N[x]B' is not the name of a property"),
        (tree_with(other=[["B", ["a1"]]]), "B has a field of its own"),
        ({"size": 5, "nodes": [{"other": [["SZ", ["9"]]]}]}, "SZ has a field of its own"),
        ({"size": 5, "red": 1, "nodes": [ROOT]}, "red is 1, want a text"),
    ],
    ids=lambda value: None if isinstance(value, dict | list) else ascii(value)[:40],
)
def test_what_is_no_tree_is_refused_with_its_place(data: object, trouble: str) -> None:
    refusal = refusal_of(tree_of_json, data)
    assert refusal is not None
    assert trouble in refusal


@pytest.mark.parametrize("raw", ["]", "a];B[a1", "\\", "x\\", "B[", "](;B[a1]", "a]b", "]]"])
def test_raw_values_cannot_break_out_of_their_property(raw: str) -> None:
    tree = tree_of_json(tree_with(other=[["N", [raw, raw]]], comment=raw))
    assert len(tree.nodes) == 2
    assert read_any(write_any(tree, "sgf")) == tree


scalars = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    st.sampled_from(["a1", "e5", "red", "blue", "empty", "pass", "label", "N", "\ud800", 10**4000]),
)
KEYS = [
    *("size", "nodes", "red", "parent", "move", "colour", "what", "setup", "a1", "turn"),
    *("comment", "marks", "kind", "cell", "text", "other", "result", "note"),
]
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=3)), inner, max_size=5),
    ),
    max_leaves=12,
)


@exact
@given(anything)
def test_no_json_raises_another_error(data: object) -> None:
    refusal_of(tree_of_json, data)


@few
@given(trees(), st.data())
def test_a_tree_with_anything_put_into_it_is_read_or_refused(
    tree: GameTree, data: st.DataObject
) -> None:
    """What is read can be written, and read again as the same."""
    value = tree_json(tree)
    place: Any = value
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(anything)
            break
        place = place[key]
    if refusal_of(tree_of_json, value) is None:
        read = tree_of_json(value)
        text = write_any(read, "sgf")
        text.encode()
        assert read_any(text).board_size == read.board_size
        for to in ("trmph", "hexworld"):
            refusal_of(write_any, read, to)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("(;GM[11]SZ[5];B[a1](;W[b1])(;W[c1]))", 4),
        ("\ufeff a letter about #3\n(;GM[11]SZ[5];B[a1])", 2),
        ("#11,a1b2", 3),
        ("11,a1b2 r", 3),
        ("%2311,a1b2", 3),
        ("\n# a remark\n  https://trmph.com/hex/board#11,a1b2\n#11,a1\n", 3),
        ("hexworld.org/board/#11c1,a1:sb2:p:rb", 6),
        ("https://hexworld.org/board/#11", 1),
    ],
)
def test_texts_are_told_apart(text: str, count: int) -> None:
    tree = read_any(text)
    assert len(tree.nodes) == count
    assert read_any(write_any(tree, "sgf")) == tree
    assert tree.note == ("the first of several lines" if text.startswith("\n") else "")


def test_a_text_is_never_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("game.sgf", "11,a1", "#11,a1b1"):
        (tmp_path / name).write_text("(;GM[11]SZ[3];B[a1];W[b2])")
    assert refusal_of(read_any, "game.sgf") == (
        "'game.sgf' is no game: want a TRMPH line, a HexWorld link or SGF"
    )
    assert refusal_of(read_any, str(tmp_path / "game.sgf")) is not None
    assert len(read_any("11,a1").nodes) == 2
    assert read_any("#11,a1b1").board_size == 11


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("", "'' is no game"),
        ("a1b2c3", "want the size of their board in front of moves, such as '11,a1b2'"),
        ("#11,a1z9", "'z9' is not on a board of 11x11"),
        ("(;GM[1])", "GM[1] is not Hex"),
        ("(;C[\ud800])", "half a character"),
        *((sign * 10**5, "is no game") for sign in (" ", "(", "%", "#", "\n", "11,")[:3]),
        (" " * 10**6 + "x", "is no game"),
        ("\ufeff" * 10**5 + "( " * 10**5, "is no game"),
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_texts_that_are_no_game_are_refused_at_once(text: str, trouble: str) -> None:
    refusal = refusal_of(read_any, text)
    assert refusal is not None
    assert trouble in refusal


@exact
@given(
    st.one_of(
        st.text(),
        mutants(["#11,a1a1b2 r", "hexworld.org/board/#5,a1:sb2", "(;SZ[5];B[a1](;W[b1]))"]),
    )
)
@example("#")
@example("1,")
def test_any_text_is_read_or_refused(text: str) -> None:
    if refusal_of(read_any, text) is None:
        tree = read_any(text)
        assert tree_of_json(json.loads(json.dumps(tree_json(tree)))) == tree
        assert read_any(write_any(tree, "sgf")) == tree


def test_games_of_too_many_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hex_ai.web.trees.MAX_NODES", 100)
    assert len(read_any(f"(;GM[11]{';' * 99})").nodes) == 100
    trouble = refusal_of(read_any, f"(;GM[11]{';' * 100})")
    assert trouble == "the game has 101 nodes, more than 100"


def test_formats_are_those_of_the_page() -> None:
    tree = read_sgf_tree("(;GM[11]SZ[5];B[a1](;W[b1])(;W[c1]))")
    assert write_any(tree, "trmph") == "#5,a1b1"
    assert write_any(tree, "hexworld") == "https://hexworld.org/board/#5c1,a1b1"
    assert refusal_of(write_any, tree, "png") == "format 'png' is not one of sgf, trmph, hexworld"
