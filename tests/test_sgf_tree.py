"""Game trees: SGF with variations both ways, and lines and links as trees and back."""

import time
from dataclasses import replace

import pytest
import test_sgf
import test_sgf_files
from hypothesis import example, given
from hypothesis import strategies as st
from random_games import exact, games, mutants, refusal_of
from random_trees import few, trees

from hex_ai.errors import NotationError, SettingError
from hex_ai.formats.game_tree import GameTree, Mark, TreeNode
from hex_ai.formats.games import read_line, tree_of_text
from hex_ai.formats.moves import Move, PlayedGame, Word
from hex_ai.formats.sgf import SgfGame, read_sgf, sgf_game
from hex_ai.formats.sgf_collection import find_games
from hex_ai.formats.sgf_tree import read_sgf_tree, write_sgf_tree
from hex_ai.formats.tree_lines import main_game, tree_of_game, tree_of_moves, write_main_line
from hex_ai.formats.trmph import read_trmph
from hex_ai.game.notation import cell_index
from hex_ai.game.records import BLUE, RED

TEXTS = [
    *test_sgf.FILES,
    *test_sgf_files.BROKEN,
    "(;FF[4]GM[11]SZ[5](;B[a1]C[one](;W[b2]LB[c3:x])(;W[swap-pieces];B[b2])(;W[swap];W[b2]))(;B[b1]))",
    "(;GM[11]SZ[5]US[twogtp.py]RE[B+R];B[a1];W[swap-pieces];PL[W];C[x];W[b1]B[b2]PL[W]AB[c1];W[e5])",
    "(;SZ[5]PB[a\\]b]GC[x\\y];W[aa];B[swap](;W[bb]C[z])(;W[cc]TR[aa][zz]))",
]


def node(moves: str, size: int = 5) -> GameTree:
    return read_sgf_tree(f"(;GM[11]SZ[{size}]{moves})")


def move(colour: int, name: str, size: int = 5) -> Move:
    return Move(colour, cell_index(name, size))


def as_played(game: SgfGame) -> tuple[object, ...]:
    """All that a tree keeps of a main line: of several stones on one cell, the last."""
    stones: dict[tuple[int, int], int] = {}
    turns: dict[int, list[int]] = {}
    for item in game.setup:
        if item.cell is None:
            turns.setdefault(item.after, []).append(item.colour)
        else:
            stones[item.after, item.cell] = item.colour
    return replace(game, setup=()), stones, turns


def require_same_main_line(data: str | bytes) -> None:
    tree = read_sgf_tree(data)
    assert as_played(main_game(tree)) == as_played(sgf_game(next(find_games(data))))
    assert read_sgf_tree(write_sgf_tree(tree)) == tree


def test_everything_that_a_node_can_have() -> None:
    tree = node(
        "PB[one]PW[two]RE[B+R]EV[a \\] b][c]AB[a1]AW[b2]PL[W]C[two\r\nlines\\] and \\\na\ttab]"
        "(;W[c3]LB[d4:x\\:y][ae:2]TR[a1]MA[b1]CR[zz]BL[30];B[pass])(;AE[a1]SL[e5]SQ[e4])"
    )
    assert (tree.board_size, tree.red_name, tree.blue_name, tree.result) == (5, "one", "two", "B+R")
    event = ("EV", ("a \\] b", "c"))
    comment = "two\nlines] and a tab"
    marks = (
        *(Mark("label", cell_index("d4", 5), "x:y"), Mark("label", cell_index("a5", 5), "2")),
        *(Mark("cross", 1), Mark("triangle", 0)),
    )
    assert tree.nodes == (
        TreeNode(None, None, ((0, RED), (6, BLUE)), BLUE, comment, (), (event,)),
        TreeNode(0, move(BLUE, "c3"), marks=marks, other=(("CR", ("zz",)), ("BL", ("30",)))),
        TreeNode(1, Move(RED, Word.PASS)),
        TreeNode(0, setup=((0, 0),), marks=(Mark("square", 19), Mark("selected", 24))),
    )
    assert read_sgf_tree(write_sgf_tree(tree)) == tree


def test_a_tree_to_the_letter() -> None:
    text = write_sgf_tree(node("(;B[a1](;W[b1]C[x])(;W[swap-pieces]LB[b1:\\]]))(;W[c3];B[d4])"))
    head, _, rest = text.partition("SZ[5]")
    assert head.startswith("(;FF[4]CA[UTF-8]AP[hex_ai:")
    assert rest == "(;B[a1](;W[b1]C[x])(;W[swap-pieces]LB[b1:\\]]))(;W[c3];B[d4]))"


def test_a_node_with_several_moves_becomes_several() -> None:
    """Its comment and marks belong to the board after all of them."""
    tree = node("EV[x]AB[a1]C[y];B[b1]AW[b2]W[c1]TR[c1]PL[B]PL[W](;B[d1])(;W[d2])")
    assert [(item.parent, item.move) for item in tree.nodes] == [
        *((None, None), (0, move(RED, "b1")), (1, move(BLUE, "c1")), (2, None)),
        *((3, move(RED, "d1")), (3, move(BLUE, "d2"))),
    ]
    assert [item.turn for item in tree.nodes] == [None, None, RED, BLUE, None, None]
    assert tree.nodes[1].setup == ((6, BLUE),)
    assert [item.marks for item in tree.nodes if item.marks] == [(Mark("triangle", 2),)]
    assert tree.nodes[3].marks


def test_a_swap_means_what_its_first_variation_shows() -> None:
    for after, meant in (
        ("(;B[c3])(;W[c3])", Word.SWAP_PIECES),
        ("(;W[c3])(;B[c3])", Word.SWAP_SIDES),
        ("PL[W](;B[c3])(;W[c3])", Word.SWAP_SIDES),
        (";C[x];PL[B];W[c3]", Word.SWAP_PIECES),
        ("", Word.SWAP_PIECES),
    ):
        tree = node(f";B[a1](;W[b2])(;W[swap-pieces]{after})")
        assert Move(BLUE, meant) in [item.move for item in tree.nodes]
        assert read_sgf_tree(write_sgf_tree(tree)) == tree


def test_a_result_is_that_of_the_stones() -> None:
    for moves, result in (
        (";B[a1];W[swap];W[b1]", "W+Resign"),
        (";B[a1];W[swap-sides];W[b1]", "Black+Resign"),
        (";B[a1](;W[b2])(;W[swap];W[b1])", "Black+Resign"),
    ):
        tree = node(f"RE[Black+Resign]{moves}")
        assert tree.result == result
        assert read_sgf_tree(write_sgf_tree(tree)) == tree


def test_a_swap_of_pieces_stays_one_whoever_is_said_to_move_next() -> None:
    """The turn is written where a reader would else take it for a swap of sides."""
    swap = TreeNode(1, Move(BLUE, Word.SWAP_PIECES))
    start = (TreeNode(None), TreeNode(0, Move(RED, 0)))
    tree = GameTree(5, (*start, swap, TreeNode(2, Move(BLUE, 7))))
    back = read_sgf_tree(write_sgf_tree(tree))
    assert [item.move for item in back.nodes] == [item.move for item in tree.nodes]
    given = TreeNode(1, Move(BLUE, Word.SWAP_PIECES), turn=BLUE, comment="x")
    back = read_sgf_tree(write_sgf_tree(GameTree(5, (*start, given))))
    assert [(item.move, item.turn) for item in back.nodes[2:]] == [(swap.move, RED), (None, BLUE)]
    root = TreeNode(None, other=(("US", ("twogtp.py",)),))
    back = read_sgf_tree(write_sgf_tree(GameTree(5, (root, start[1], swap))))
    assert back.nodes[2].move == swap.move


@pytest.mark.parametrize(
    ("text", "kept", "trouble"),
    [
        ("(;B[a1](;W[b1])(;W[z9];B[c1]))", 3, "line 1, column 32: 'z9' is not on a board of 5x5"),
        ("(;B[a1])(;C[x;B[b1];W[b2])(;B[c1])", 3, "column 25: the value of C runs on into 'B['"),
        ("(;B[a1])(;C[x](;PL[x];B[a1])(;B[b1]))", 4, "PL is 'x', want B or W"),
        (
            "(;B[a1])(;B[x])(;W[y])",
            2,
            "2 variations are cut off, the first: line 1, column 25: 'x'",
        ),
    ],
)
def test_a_variation_that_cannot_be_read_is_cut_off_and_told(
    text: str, kept: int, trouble: str
) -> None:
    tree = node(text)
    assert tree.note.startswith(("a variation is cut off: line 1", "2 variations"))
    assert trouble in tree.note
    assert len(tree.nodes) == kept
    require_same_main_line(f"(;GM[11]SZ[5]{text})")


@pytest.mark.parametrize("text", test_sgf.FILES + TEXTS[-3:])
def test_the_main_line_is_that_of_the_game(text: str) -> None:
    require_same_main_line(text)


@pytest.mark.parametrize("charset", test_sgf_files.NAMES)
def test_character_sets(charset: str) -> None:
    name = test_sgf_files.NAMES[charset]
    data = test_sgf_files.game_text(name, charset).encode(charset)
    require_same_main_line(data)
    assert [item.comment for item in read_sgf_tree(data).nodes] == ["", name, "", ""]
    two = read_sgf_tree(data + b"\n" + data)
    assert two.note == "the first of several games"


def test_text_without_escapes_is_kept() -> None:
    tree = read_sgf_tree("(;GM[11]SZ[5]C[a\\b];B[a1]C[d:\\]N[x\\];W[b2])")
    assert [item.comment for item in tree.nodes] == ["a\\b", "d:\\", ""]
    assert tree.nodes[1].other == (("N", ("x\\\\",)),)
    assert read_sgf_tree(write_sgf_tree(tree)) == tree


@exact
@given(mutants(TEXTS))
@example("(;GM[11]SZ[5];B[a1];W[swap]PL[B]PL[W];C[x];PL[W])")
def test_whatever_is_read_as_a_game_is_read_as_a_tree(text: str) -> None:
    refusal = refusal_of(lambda: sgf_game(next(find_games(text))))
    assert refusal_of(lambda: read_sgf_tree(text)) == refusal
    if refusal is None:
        require_same_main_line(text)


@few
@given(trees())
def test_trees_round_trip(tree: GameTree) -> None:
    text = write_sgf_tree(tree)
    assert read_sgf_tree(text) == tree
    assert read_sgf_tree(text.encode()) == tree
    assert as_played(main_game(tree)) == as_played(read_sgf(text)[0])


@pytest.mark.parametrize(
    "comment",
    [
        "B[",
        "see AB [c",
        "(;FF[4",
        "(;SZ [x[y",
        ")(;GM[1]",
        "\\",
        "]",
        "\\]",
        "a\n\n",
        "[",
        "a:b\\\n",
    ],
)
@pytest.mark.parametrize("name", ["SZ", "FF", "ST", "N"])
def test_text_that_looks_like_sgf_and_names_of_a_root_in_variations(
    comment: str, name: str
) -> None:
    raw = comment.replace("\\", "\\\\").replace("]", "\\]").replace("[", "\\[")
    leaf = TreeNode(0, other=((name, (raw,)),))
    marked = TreeNode(0, comment=comment, marks=(Mark("label", 3, comment.replace("\n", " ")),))
    tree = GameTree(5, (TreeNode(None, comment=comment), leaf, marked))
    assert read_sgf_tree(write_sgf_tree(tree)) == tree


def test_long_and_deep_trees_take_no_recursion_and_little_time() -> None:
    line = tuple(TreeNode(k - 1 if k else None, Move(RED, k % 361)) for k in range(10_000))
    comb = [TreeNode(None)]
    for k in range(10_000):
        comb += [TreeNode(len(comb) - 1, Move(RED, k % 361)), TreeNode(len(comb) - 1)]
    started = time.process_time()
    for tree in (GameTree(19, line), GameTree(19, tuple(comb))):
        assert preorder_moves(read_sgf_tree(write_sgf_tree(tree))) == preorder_moves(tree)
    nested = node("(;C[x]" * 10_000 + ";B[c3]" + ")" * 10_000, 19)
    assert [item.move for item in nested.nodes[-1:]] == [Move(RED, 40)]
    assert len(nested.nodes) == 10_002
    assert time.process_time() - started < 20


def test_many_faults_in_a_large_file_take_little_time() -> None:
    text = f"(;GM[11]SZ[5]C[{'x' * 5_000_000}](;B[a1]){'(;W[z9])' * 10_000})"
    started = time.process_time()
    assert read_sgf_tree(text).note.startswith("10000 variations are cut off, the first: line 1")
    assert time.process_time() - started < 3


def preorder_moves(tree: GameTree) -> list[Move | None]:
    children, waiting, found = tree.children(), [0], list[Move | None]()
    while waiting:
        place = waiting.pop()
        found.append(tree.nodes[place].move)
        waiting += reversed(children[place])
    return found


@exact
@given(games(longest=25), st.sampled_from(["join", "resign", "proven"]))
def test_games_of_the_package_as_trees_and_lines(
    game: tuple[int, list[int], int | None], end: str
) -> None:
    size, moves, winner = game
    played = PlayedGame(size, tuple(moves), winner, end if winner else "join")
    tree = tree_of_game(played)
    assert main_game(tree).played() == played
    assert read_trmph(write_main_line(tree, "trmph")) == played
    assert tree_of_text(write_main_line(tree, "trmph")) == tree
    link = read_line(write_main_line(tree, "hexworld"))
    assert link.moves == played.moves
    assert read_sgf_tree(write_sgf_tree(tree)) == tree


@pytest.mark.parametrize(
    ("text", "to", "line"),
    [
        ("#5,a1:sb2:rb", "hexworld", "https://hexworld.org/board/#5c1,a1:sb2:rb"),
        (
            "hexworld.org/board/#5r3,a1:S,b2:p",
            "hexworld",
            "https://hexworld.org/board/#5c1,a1:Sb2:p",
        ),
        (
            "(;GM[11]SZ[5]RE[W+R](;B[a1];W[b1]C[x])(;W[a1]))",
            "hexworld",
            "hexworld.org/board/#5c1,a1b1:rb",
        ),
        ("(;GM[11]SZ[5]RE[W+R];B[a1];W[b1])", "trmph", "#5,a1b1 b resign"),
        ("#5,b1:Sc2", "trmph", "#5,b1b1b3"),
        ("11,a1a1b1 r", "trmph", "#11,a1a1b1 r"),
    ],
)
def test_main_lines_to_the_letter(text: str, to: str, line: str) -> None:
    assert write_main_line(tree_of_text(text), to).endswith(line)


@pytest.mark.parametrize("to", ["trmph", "hexworld"])
@pytest.mark.parametrize(
    ("moves", "trouble"),
    [
        ("AB[a1]", "stones set up by hand"),
        (";B[a1]PL[B]", "a turn given away"),
        (";B[a1];W[b1]AE[a1]", "stones set up by hand"),
        (";B[a1];B[b1]", "out of turn|it is Blue's turn"),
        (";W[a1]", "out of turn|it is Red's turn"),
        (";B[a1];W[a1]", "move 2, a1, is on an occupied cell"),
        (";B[a1];W[b1];B[swap-pieces]", "move 3 is a swap, which only the second move can be"),
        (";B[a1];W[resign];B[b1]", "after the end of the game"),
    ],
)
def test_main_lines_that_no_line_can_hold(moves: str, trouble: str, to: str) -> None:
    with pytest.raises(NotationError, match=trouble) as refusal:
        write_main_line(node(moves), to)
    assert str(refusal.value).startswith(f"the main line cannot be written as {to}: ")


def test_other_formats_and_passes_are_refused() -> None:
    passing = tree_of_moves(5, [Move(RED, 0), Move(BLUE, Word.PASS)])
    assert write_main_line(passing, "hexworld").endswith("#5c1,a1:p")
    with pytest.raises(NotationError, match="move 2 is a pass"):
        write_main_line(passing, "trmph")
    with pytest.raises(SettingError, match="format 'sgf' is not one of trmph, hexworld"):
        write_main_line(passing, "sgf")


def test_a_move_that_gives_up_decides_the_result() -> None:
    assert tree_of_text("#5,a1:rb").result == "W+Resign"
    assert tree_of_text("#5,a1:p:fw").result == "B+Forfeit"
    assert tree_of_text("#5,a1b1 b time").result == "W+Time"
    assert tree_of_text("#5,a1b1").result == ""
