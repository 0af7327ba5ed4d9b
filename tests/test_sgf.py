"""SGF both ways, against the slow rules; nothing but `NotationError` for what cannot be read."""

import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from random_games import exact, games, mirror, mutants, refusal_of, slow_replay

from hex_ai import __version__
from hex_ai.errors import NotationError
from hex_ai.formats.moves import Move, PlayedGame, Word
from hex_ai.formats.sgf import SgfGame, read_sgf, write_sgf
from hex_ai.game.notation import cell_index, cell_name
from hex_ai.game.records import BLUE, RED, SWAP

PLAYHEX = (
    "(;FF[4]CA[UTF-8]AP[PlayHex:0.0.0]GM[11]SZ[11]PB[one]PW[two]RE[B+Resign]"
    ";B[a2]BL[600];W[swap-pieces]WL[598];B[f6];W[d3])"
)
HEXGUI = "(;FF[4]AP[HexGui:0.9]GM[11]SZ[5];B[b1];W[swap-pieces];W[c3];B[d2])"
BRANCHES = (
    "(;FF[4]GM[11]SZ[5]AB[a1][e5]AW[c2]LB[a1:x][b2:y]PL[W]C[a \\] b \\\\];W[b3]\n"
    "(;B[d4];W[c4](;B[a5])(;B[b5]))(;B[d1];W[d2]))"
)
# Shortened from games played on Little Golem: the player who resigns shows what RE means there.
GOLEM = (
    "(;FF[4]EV[hex.mc.2010.oct.1.11]PB[first]PW[second]SZ[13]RE[B]GC[ game]SO[];W[mf];B[gg]"
    ";W[de];B[df];W[ji];B[if];W[ld];B[jg];W[jf];B[resign])"
)
GOLEM_SWAPPED = (
    "(;FF[4]EV[hex.ch.23.1.1]PB[first]PW[second]SZ[13]RE[W]GC[ game]SO[];W[mf];B[swap];W[kj]"
    ";B[ie];W[fh];B[ed];W[cd];B[cb];W[resign])"
)
FILES = [PLAYHEX, HEXGUI, BRANCHES, GOLEM, GOLEM_SWAPPED, "(;GM[11]SZ[3];B[a1])\n(;GM[11]SZ[4])"]


def cells(names: str, size: int) -> list[int]:
    return [SWAP if name == "swap" else cell_index(name, size) for name in names.split()]


def only(text: str) -> SgfGame:
    (game,) = read_sgf(text)
    return game


def written(game: PlayedGame, *names: str) -> str:
    return write_sgf(game.board_size, game.moves, game.winner, game.end, *names)


def body(moves: str, size: int = 5) -> SgfGame:
    return only(f"(;GM[11]SZ[{size}]{moves})")


def test_a_playhex_file() -> None:
    game = only(PLAYHEX)
    moves = (Move(RED, 11), Move(BLUE, Word.SWAP_PIECES), Move(RED, 60), Move(BLUE, 25))
    assert game == SgfGame(11, moves, (), RED, "resign", "one", "two")
    assert game.played() == PlayedGame(11, tuple(cells("a2 swap f6 d3", 11)), RED, "resign")


def test_a_written_game_to_the_letter() -> None:
    game = PlayedGame(11, (11, SWAP, 60, 25), BLUE, "resign")
    text = written(game, "o[n]e", "two\\")
    head = f"(;FF[4]CA[UTF-8]AP[hex_ai:{__version__}]GM[11]SZ[11]"
    head += "PB[o[n\\]e]PW[two\\\\]RE[W+Resign]"
    assert text == head + ";B[a2];W[swap-pieces];B[f6];W[d3])"
    assert (only(text).red_name, only(text).blue_name) == ("o[n]e", "two\\")


@pytest.mark.parametrize(
    "name", ["ends in B[", "AB [c", "(;FF[4", "(;SZ[x[y", "(;GM[1];", "\\", "a\\]", "]", "B[x]"]
)
def test_names_that_look_like_properties_are_read_back(name: str) -> None:
    game = only(write_sgf(5, (0, 1), None, "join", name, name))
    assert (game.red_name, game.blue_name, len(game.moves)) == (name, name, 2)


@pytest.mark.parametrize(
    ("end", "result"), [("join", "B+"), ("proven", "B+Proven"), ("resign", "B+Resign")]
)
def test_how_a_game_ended_is_said_and_read(end: str, result: str) -> None:
    game = PlayedGame(3, (0, 1), RED, end)
    text = written(game)
    assert f"RE[{result}]" in text
    assert only(text).played() == game
    assert "RE[" not in write_sgf(3, (0, 1), None, end)


@pytest.mark.parametrize(
    ("result", "winner", "reason"),
    [
        *(("B+R", RED, "resign"), ("w+resign", BLUE, "resign"), ("White+Time", BLUE, "time")),
        *(("B", RED, ""), ("W+", BLUE, ""), ("W+F", BLUE, "forfeit"), ("Black+3.5", RED, "3.5")),
        *((bad, None, "") for bad in ("", "?", "0", "Void", "Draw", "r", "B-", "1-0")),
    ],
)
def test_results(result: str, winner: int | None, reason: str) -> None:
    game = body(f"RE[{result}];B[a1]")
    assert (game.winner, game.reason) == (winner, reason)
    assert game.played().end == (reason if reason in ("resign", "time", "forfeit") else "join")


def test_sizes() -> None:
    assert only("(;GM[11])").board_size == 11
    assert only("(;GM[11]SZ[ 7 ])").board_size == 7
    assert only("(;GM[11]SZ[19:19])").board_size == 19
    for size, trouble in (
        ("11:13", "line 1, column 11: a board of 11x13 has unequal sides"),
        ("20", "board size 20 is outside 1 to 19"),
        ("0", "board size 0"),
        *((bad, "is not a board size") for bad in ("", "x", "-3", "1.5", "11:", "1:1:1", "٣")),
        ("9" * 10**5, "is not a board size"),
    ):
        with pytest.raises(NotationError, match=trouble) as refusal:
            read_sgf(f"(;GM[11]SZ[{size}])")
        assert len(str(refusal.value)) < 200


def test_other_games_are_refused_by_number() -> None:
    with pytest.raises(NotationError, match=r"line 2, column 3: GM\[1\] is not Hex"):
        read_sgf("(;FF[4]\nGM[1];B[aa])")


def test_words_and_cells_in_any_case_and_manner() -> None:
    game = body(";B[E4];W[SWAP-Pieces];B[ae];W[Pass];B[Ea];W[ReSign]")
    assert [move.what for move in game.moves] == [
        *(cell_index("e4", 5), Word.SWAP_PIECES, cell_index("a5", 5)),
        *(Word.PASS, cell_index("e1", 5), Word.RESIGN),
    ]
    assert body(";B[forfeit]").moves == (Move(RED, Word.FORFEIT),)


def test_every_cell_in_the_manner_of_go() -> None:
    for cell in range(19 * 19):
        row, column = divmod(cell, 19)
        letters = chr(ord("a") + column) + chr(ord("a") + row)
        assert body(f";B[{letters}]", 19) == body(f";B[{cell_name(cell, 19)}]", 19)


def test_a_swap_that_nothing_follows_means_what_its_program_means() -> None:
    for head, word, meant in (
        ("AP[HexGui:0.9]", "swap-pieces", Word.SWAP_SIDES),
        ("AP[HexGui:0.9.GIT]", "swap-pieces", Word.SWAP_SIDES),
        ("AP[HexGui:0.2]", "swap-sides", Word.SWAP_SIDES),
        ("AP[HexGui:0.10]", "swap-pieces", Word.SWAP_PIECES),
        ("AP[HexGui:1.0.]", "swap-pieces", Word.SWAP_SIDES),
        ("AP[Hex-benzene:0.1]", "swap-pieces", Word.SWAP_SIDES),
        ("US[twogtp.py]", "swap-pieces", Word.SWAP_SIDES),
        ("AP[Other:0.9]", "swap-pieces", Word.SWAP_PIECES),
        ("", "swap-sides", Word.SWAP_SIDES),
        ("", "swap", Word.SWAP_SIDES),
    ):
        assert body(f"{head};B[a1];W[{word}]").moves[1].what is meant


@pytest.mark.parametrize("head", ["", "AP[HexGui:0.9]", "AP[HexGui:1.0.]", "AP[PlayHex:0.0.0]"])
@pytest.mark.parametrize("word", ["swap-pieces", "swap"])
def test_who_moves_after_a_swap_shows_what_it_was(head: str, word: str) -> None:
    """A stone that moved is White's, and Black is next; where seats changed, White moves on."""
    swap = f"{head};B[b1];W[{word}]"
    for after in (";B[c3]", "PL[B]", ";PL[B];B[c3]", ";B[resign]", ";B[pass]"):
        assert body(swap + after).moves[1].what is Word.SWAP_PIECES
        assert body(swap + after).position()[0][1, 0] == BLUE
    for after in (";W[c3]", "PL[W]", ";PL[W];W[c3]", ";W[resign]", ";W[pass]"):
        assert body(swap + after).moves[1].what is Word.SWAP_SIDES
        assert body(swap + after).position()[0][0, 1] == RED
    set_up = body(f"{head}AB[b1]PL[W];W[{word}];W[c3]")
    assert set_up.position()[0][0, 1] == RED


def test_where_seats_changed_the_result_names_who_began_as_black() -> None:
    """He has the white stones then. A chain on the board is surer, and so is who gives up."""
    moves = ";B[a1];W[swap-pieces];W[b1];B[b2];W[a2]"
    for result, reason in (("B+", "join"), ("W+", "join"), ("B+R", "resign")):
        game = body(f"RE[{result}]{moves}", 2)
        assert game.position()[0].tolist() == [[RED, BLUE], [BLUE, RED]]
        assert game.winner == (BLUE if result[0] == "B" else RED)
        assert game.played() == PlayedGame(2, (0, SWAP, 2, 3, 1), RED, reason)
    unfinished = body("RE[W+];B[a1];W[swap-pieces];W[b1]")
    assert (unfinished.winner, unfinished.played().winner) == (RED, BLUE)
    # Under the word that says so itself, the result is that of the stones.
    assert body("RE[W+];B[a1];W[swap-sides];W[b1]").winner == BLUE


def test_what_no_meaning_of_a_swap_allows_is_refused() -> None:
    for moves, trouble in (
        (";B[b1];W[swap-sides];B[c3]", "move 3 is Red's, but it is Blue's turn after swap-sides"),
        (";B[b1];W[swap-pieces];W[b1]", "move 3, b1, is on an occupied cell"),
        (";B[b1];W[swap-pieces];B[a2]", "move 3, a2, is on an occupied cell"),
        (";B[b1];W[c1];B[swap-pieces]", "move 3 is a swap"),
        (";W[swap-sides]", "move 1 is a swap"),
        (";B[b1];W[swap-pieces];B[swap-pieces]", "move 3 is a swap"),
    ):
        for use in (body(moves).position, body(moves).played):
            with pytest.raises(NotationError, match=trouble):
                use()


def test_a_chain_decides_whatever_is_said_or_resigned_after_it() -> None:
    chain = ";B[a1];W[b1];B[a2]"
    for rest in ("RE[W+]", "RE[W+R]", ";B[resign]", ";W[resign]", "RE[W+];B[resign]"):
        head, moves = (
            (rest[: rest.find(";")], rest[rest.find(";") :]) if ";" in rest else (rest, "")
        )
        played = body(f"{head}{chain}{moves}", 2).played()
        assert played.winner in (RED, None)
        assert played.moves == (0, 1, 2)
    assert body(f"RE[B+]{chain};B[resign]", 2).played() == PlayedGame(2, (0, 1, 2), RED, "join")


def test_little_golem_lets_white_move_first_and_calls_the_first_mover_b() -> None:
    game = only(GOLEM).played()
    names = "m6 g7 d5 d6 j9 i6 l4 j7 j6"
    assert game == PlayedGame(13, tuple(cells(names, 13)), RED, "resign")
    assert (only(GOLEM).red_name, only(GOLEM).blue_name) == ("first", "second")
    swapped = only(GOLEM_SWAPPED).played()
    names = "m6 swap k10 i5 f8 e4 c4 c2"
    assert swapped == PlayedGame(13, tuple(cells(names, 13)), BLUE, "resign")
    # With the game named, or stones set up, W is White.
    for head in ("GM[11]", "PL[W]", "AB[a1]"):
        assert only(f"(;SZ[5]{head};W[b1])").moves == (Move(BLUE, 1),)


def test_the_main_line_is_the_first_of_all_branches() -> None:
    game = only(BRANCHES)
    named = [(move.colour, cell_name(int(move.what), 5)) for move in game.moves]
    assert named == [(BLUE, "b3"), (RED, "d4"), (BLUE, "c4"), (RED, "a5")]
    stones = [(item.after, item.cell, item.colour) for item in game.setup]
    assert stones == [(0, 0, RED), (0, 24, RED), (0, 7, BLUE), (0, None, BLUE)]


def test_the_boards_that_can_be_looked_at() -> None:
    """The start with its set-up, every move, and what is set up by itself later."""
    game = body("AB[a1];PL[W]AW[b1];B[c1]AE[a1]TR[c1];PL[B];AW[d1];C[x]LB[ab:y];B[e1]W[e2];AB[e3]")
    assert [(step.moves, step.setup) for step in game.steps] == [
        *((0, 3), (1, 5), (1, 6), (2, 6), (3, 6), (3, 7))
    ]
    marks = [(), ("triangles: c1",), ("labels: a2 y",), (), (), ()]
    assert [step.marks for step in game.steps] == marks


def test_text_is_unescaped() -> None:
    game = only("(;GM[11]PB[a\\]b\\\\c\\:d]PW[two\nlines and a \\\nsoft one];B[a1]C[;W[b2\\](])")
    assert (game.red_name, game.blue_name) == ("a]b\\c:d", "two lines and a soft one")
    assert game.moves == (Move(RED, 0),)


def test_the_position_after_some_moves() -> None:
    game = only(BRANCHES)
    for count, turn, names in (
        (0, BLUE, "a1 e5 -c2"),
        (1, RED, "a1 e5 -c2 -b3"),
        (2, BLUE, "a1 e5 -c2 -b3 d4"),
        (4, BLUE, "a1 e5 -c2 -b3 d4 -c4 a5"),
    ):
        stones, mover = game.position(count)
        assert (stones.dtype, stones.shape) == (np.int8, (5, 5))
        wanted = np.zeros(25, int)
        for name in names.split():
            wanted[cell_index(name.lstrip("-"), 5)] = BLUE if name[0] == "-" else RED
        assert stones.flatten().tolist() == wanted.tolist()
        assert mover == turn
    assert game.position()[0].tolist() == game.position(4)[0].tolist()
    for count in (-1, 5):
        with pytest.raises(NotationError, match="the game has 4 moves, not"):
            game.position(count)


def test_whose_turn_it_is() -> None:
    for moves, turn in (
        ("", RED),
        ("PL[W]", BLUE),
        ("AB[a1]PL[Black]", RED),
        (";B[a1]", BLUE),
        (";B[a1];B[b1];B[c1]", BLUE),
        (";B[a1];W[swap-pieces]", RED),
        (";B[a1];W[swap-sides]", BLUE),
        (";B[a1];W[pass]", RED),
        (";B[a1];AE[a1]AW[b1]PL[W]", BLUE),
        (";B[a1];W[resign]", BLUE),
    ):
        assert body(moves).position()[1] == turn
    assert body(";B[a1];B[b1]").position(1)[1] == RED
    stones, _ = body(";B[a1];AE[a1]AW[b1];W[c1]").position()
    assert stones[0].tolist() == [0, BLUE, BLUE, 0, 0]
    stones, _ = body("AB[b1]AW[c2];W[swap-pieces]").position()
    assert (stones[1, 0], stones[1, 2], np.abs(stones).sum()) == (BLUE, 0, 2)
    assert stones[2, 1] == RED


@pytest.mark.parametrize(
    ("moves", "trouble"),
    [
        ("AB[a1];W[b1]", "stones set up by hand"),
        ("PL[W];W[b1]", "a turn given away"),
        (";B[a1];W[pass]", "move 2 is a pass"),
        (";W[a1]AP[x]", "move 1 is Blue's, but it is Red's turn"),
        (";B[a1];B[a2]", "move 2 is Red's, but it is Blue's turn"),
        (";B[a1];W[swap-sides];B[b1]", "move 3 is Red's, but it is Blue's turn"),
        (";B[a1];W[a1]", "move 2, a1, is on an occupied cell"),
        (";B[b1];W[swap-pieces];B[a2]", "move 3, a2, is on an occupied cell"),
        (";B[b1];W[swap-sides];W[b1]", "move 3, b1, is on an occupied cell"),
        (";B[swap-pieces]", "move 1 is a swap"),
        (";B[a1];W[b1];B[swap-sides]", "move 3 is a swap"),
        (";B[a1];W[resign];B[b1]", "move 3 comes after the end"),
        ("RE[W+R];B[a1];W[resign]", "Blue resigns, but the result says that it won"),
    ],
)
def test_what_cannot_be_played_is_refused(moves: str, trouble: str) -> None:
    with pytest.raises(NotationError, match=trouble):
        body(moves).played()


def test_a_turn_given_to_red_at_the_start_changes_nothing() -> None:
    assert body("PL[B];B[a1]").played() == PlayedGame(5, (0,), None)


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("", "'' is not SGF"),
        ("junk", "is not SGF"),
        ("()", "is not SGF"),
        ("(;", "line 1, column 3: the text ends inside a game"),
        ("(;GM[11]\n;B[a1]", "line 2, column 7: the text ends"),
        ("(;GM[11];B[a1)", "column 11: cannot read '[a1)'"),
        ("(;GM[11]PB[x;B[a1];W[b1])", "column 11: the value of PB runs on into 'B['"),
        ("(;GM[11]C[a]b;B[a1];W[b1])", "column 10: the value of C runs on into 'B['"),
        ("(;GM)", "column 5: got ')', want a value in brackets"),
        ("(;GM[11]())", "column 10: got ')', want ';'"),
        ("(;GM[11](;B[a1]);W[b1])", "column 17: got ';', want '(' or ')'"),
        ("(;GM[11]) x", "column 11: got 'x', want '('"),
        ("(;GM[11]))", "column 10: got ')', want '('"),
        ("(;GM[11];B[a1]\n;W[z9])", "line 2, column 3: 'z9' is not on a board of 11x11"),
        ("(;GM[11];B[zz])", "column 11: 'z26' is not on a board"),
        ("(;GM[11];B[])", "column 11: '' is not a cell"),
        ("(;GM[11];B[a1][a2])", "column 15: B has 2 values"),
        ("(;GM[11]AB[a1][x])", "column 15: 'x' is not a cell"),
        ("(;GM[11]PL[x])", "column 11: PL is 'x'"),
        ("(;GM[11];B[a" + "9" * 10**5 + "])", "is not on a board"),
    ],
    ids=lambda text: ascii(text)[:24],
)
def test_what_is_wrong_is_named_with_its_place(text: str, trouble: str) -> None:
    with pytest.raises(NotationError, match=re.escape(trouble)) as refusal:
        read_sgf(text)
    (line,) = str(refusal.value).splitlines()
    assert len(line) < 200


@pytest.mark.parametrize(
    "text",
    [
        "(;B[a1]" * 10**5,
        "(;GM[11]" + "(;B[a1]" * 10**5 + ")" * 10**5,
        *("(" * 10**6, "(;B" + "[" * 10**6, "(;C[" + "\\" * 10**6, "(;" + "A" * 10**6),
        *("(;" + " " * 10**6, "(" + " " * 10**6, "(;C[" + "x]\n[" * 10**5, "\n" * 10**6),
    ],
    ids=range(10),
)
def test_a_megabyte_of_junk_takes_no_time(text: str) -> None:
    """The time is that of the whole suite's limit: what is quadratic would need hours."""
    assert refusal_of(lambda: read_sgf(text)) is not None


def test_variations_may_be_nested_deeply() -> None:
    deep = "(;GM[11]SZ[19]" + "(;C[x]" * 10**4 + ";B[c3]" + ")" * 10**4 + ")"
    assert only(deep).moves == (Move(RED, 40),)


def test_a_collection_keeps_its_order() -> None:
    texts = [write_sgf(size, (0,)) for size in (3, 9, 5)]
    found = read_sgf("a letter about\n" + "\n".join(texts) + "\n")
    assert [game.board_size for game in found] == [3, 9, 5]


@exact
@given(games(), st.sampled_from(["join", "resign", "proven"]), st.text(), st.text())
def test_games_round_trip(
    game: tuple[int, list[int], int | None], end: str, red: str, blue: str
) -> None:
    size, moves, winner = game
    played = PlayedGame(size, tuple(moves), winner, end if winner else "join")
    text = written(played, red, blue)
    back = only(text)
    assert back.played() == played
    assert back.red_name.split() == red.split()
    assert back.blue_name.split() == blue.split()
    assert "\n" not in text


@exact
@given(games(sizes=(2, 5), longest=25))
def test_swap_pieces_is_that_of_the_slow_rules(game: tuple[int, list[int], int | None]) -> None:
    size, moves, _ = game
    sgf = only(write_sgf(size, moves))
    for count in range(len(moves) + 1):
        board = slow_replay(size, moves[:count])
        stones, mover = sgf.position(count)
        assert stones.tolist() == [list(row) for row in board.stones]
        assert mover == board.mover


@exact
@given(games(sizes=(2, 5), longest=25, swaps=False))
def test_swap_sides_goes_on_where_it_was_and_is_played_in_the_mirror(
    game: tuple[int, list[int], int | None],
) -> None:
    """On the board of the file nothing happens at a swap; on ours each player keeps his colour."""
    size, moves, _ = game
    if not moves:
        return
    board = slow_replay(size, moves)
    signs = ["BW"[ply % 2] for ply in range(len(moves))]
    named = [f";{s}[{cell_name(move, size)}]" for s, move in zip(signs, moves, strict=True)]
    result = {RED: "RE[B+]", BLUE: "RE[W+]", 0: ""}[board.winner()]
    text = f"(;GM[11]SZ[{size}]{result}{named[0]};W[swap-sides]{''.join(named[1:])})"
    stones, mover = only(text).position()
    assert stones.tolist() == [list(row) for row in board.stones]
    assert mover == board.mover
    played = only(text).played()
    assert played.moves[:2] == (moves[0], SWAP)
    assert played.moves[2:] == tuple(mirror(move, size) for move in moves[1:])
    if played.moves[2:] or not board.winner():
        ours = slow_replay(size, played.moves)
        transposed = [[-board.stones[column][row] for column in range(size)] for row in range(size)]
        assert [list(row) for row in ours.stones] == transposed
        assert (ours.winner(), ours.mover) == (-board.winner(), -board.mover)
    assert (played.winner or 0) == -board.winner()


@exact
@given(st.one_of(st.text(), mutants(FILES), st.binary().map(lambda b: "(;" + b.decode("latin-1"))))
@example("(;GM[11]SZ[٣])")
@example("(;B[\N{KELVIN SIGN}1])")
@example("(;B[\N{KELVIN SIGN}a])")
@example("(;RE[B+\n\x1c];B[a1])")
def test_any_text_is_read_or_refused_in_one_short_line(text: str) -> None:
    def use() -> None:
        for game in read_sgf(text):
            refusal_of(game.position)
            played = game.played()
            back = only(written(played)).played()
            assert (back.moves, back.winner) == (played.moves, played.winner)

    refusal = refusal_of(use)
    if refusal is not None:
        assert len(refusal) < 300
        assert len(refusal.splitlines()) == 1
