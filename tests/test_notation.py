"""Cell names and TRMPH lines: both ways, and nothing but `NotationError` for what cannot be read.

The names come from the slow reference, which was written apart. Hypothesis is derandomised, so no
test can fail by chance.
"""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from random_games import exact, games, refusal_of
from reference import RED
from reference import cell_name as slow_name

from hex_ai.errors import NotationError
from hex_ai.formats.moves import PlayedGame
from hex_ai.formats.trmph import read_trmph, write_trmph
from hex_ai.game.notation import cell_index, cell_name, column_index, column_name
from hex_ai.game.records import BLUE, SWAP


@pytest.mark.parametrize("size", [*range(1, 20), 30])
def test_cell_names_both_ways(size: int) -> None:
    for cell in range(size * size):
        name = slow_name(cell, size)
        assert cell_name(cell, size) == name
        assert cell_index(name, size) == cell
        assert cell_index(name.upper(), size) == cell


def test_columns_go_on_past_z() -> None:
    names = [column_name(column) for column in range(1000)]
    assert names[:2] == ["a", "b"]
    assert names[24:29] == ["y", "z", "aa", "ab", "ac"]
    assert names[700:704] == ["zy", "zz", "aaa", "aab"]
    assert [column_index(name) for name in names] == list(range(1000))
    assert cell_name(29 * 30 + 29, 30) == "ad30"


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a", "1", "a0", "a01", "1a", "a1 ", " a1", "a-1", "a+1", "a1b", "a1.0", "a1\n"),
        *("l1", "a12", "l12", "zz1", "a999", "aa1", "swap"),
        *("ä1", "a١", "a１", "ａ1", "ª1", "\ud800", "\0"),
        *("a" * 1000 + "1", "a" + "9" * 5000, "a" * 10**5, "!" * 10**5),
    ],
    ids=lambda name: ascii(name)[:20],
)
def test_what_is_no_cell_of_the_board_is_refused(name: str) -> None:
    with pytest.raises(NotationError) as refusal:
        cell_index(name, 11)
    (line,) = str(refusal.value).splitlines()
    assert "'" in line
    assert "11x11" in line or "not a cell" in line


@pytest.mark.parametrize("name", ["!" * 10**5, "a" * 10**5, "a1" * 10**5], ids=["!", "a", "a1"])
def test_a_message_stays_short_whatever_was_given(name: str) -> None:
    with pytest.raises(NotationError) as refusal:
        cell_index(name, 11)
    assert len(str(refusal.value)) < 200


def test_letters_that_merely_look_latin_are_no_columns() -> None:
    """The Kelvin sign becomes a plain k when it is put in lower case."""
    with pytest.raises(NotationError):
        cell_index("\N{KELVIN SIGN}1", 11)


@exact
@given(games(), st.sampled_from(["", "http://", "https://", "http://www.", "https://www."]))
def test_trmph_lines_round_trip(game: tuple[int, list[int], int | None], address: str) -> None:
    size, moves, winner = game
    line = write_trmph(size, moves, winner)
    tail = "" if winner is None else " r" if winner == RED else " b"
    cells = [moves[0] if move == SWAP else move for move in moves]
    assert line == f"#{size}," + "".join(slow_name(cell, size) for cell in cells) + tail
    if address:
        line = f"{address}trmph.com/hex/board{line}"
    assert read_trmph(line) == PlayedGame(size, tuple(moves), winner)
    assert read_trmph(f"  {line}\r\n") == PlayedGame(size, tuple(moves), winner)


def test_a_swap_empties_the_first_cell_and_takes_its_mirror() -> None:
    assert read_trmph("#5,b1b1").moves == (1, SWAP)
    assert read_trmph("#5,b1b1c3b1 r") == PlayedGame(5, (1, SWAP, 12, 1), RED)
    assert read_trmph("#5,c3c3b1").moves == (12, SWAP, 1)
    # Only the second move can be a swap: a later move on a taken cell is a fault.
    for line, place in (
        ("#5,b1b1a2", "move 3, a2"),
        ("#5,c3c3c3", "move 3, c3"),
        ("#5,b1c1c1", "move 3, c1"),
        ("#5,b1c1b1", "move 3, b1"),
        ("#5,b1b1b1b1", "move 4, b1"),
    ):
        with pytest.raises(NotationError, match=f"{place}, is on an occupied cell"):
            read_trmph(line)


def test_winners_are_one_small_letter() -> None:
    for end in ("join", "proven", "resign", "forfeit", "time"):
        assert read_trmph(write_trmph(3, [0], RED, end)) == PlayedGame(3, (0,), RED, end)
    assert write_trmph(3, [0], RED, "join") == "#3,a1 r"
    assert read_trmph("#3,a1 r").winner == RED
    assert read_trmph("#3,a1\tb").winner == BLUE
    assert read_trmph("#3,a1").winner is None
    assert read_trmph("#3, r") == PlayedGame(3, (), RED)
    for bad in ("R", "w", "red", "rb", "1", "r r"):
        with pytest.raises(NotationError, match=r"winner|is not a TRMPH line"):
            read_trmph(f"#3,a1 {bad}")


@pytest.mark.parametrize(
    ("cells", "right", "wrong"),
    [("a1b1a2", "r", "b"), ("a1a2b1b2", "b", "r"), ("a1a1b1a2b2", "r", "b")],
)
def test_a_winner_whose_opponent_has_joined_is_refused(cells: str, right: str, wrong: str) -> None:
    sure = read_trmph(f"#2,{cells} {right}")
    with pytest.raises(NotationError, match=r"won, but on the board (Red|Blue) has joined"):
        read_trmph(f"#2,{cells} {wrong}")
    assert read_trmph(f"#2,{cells} {wrong} resign", winner_from_board=True) == sure
    assert read_trmph(f"#2,{cells[:2]} {wrong}", winner_from_board=True).winner != sure.winner


@pytest.mark.parametrize(
    ("line", "trouble"),
    [
        ("", "not a TRMPH line"),
        ("#", "not a TRMPH line"),
        ("#3", "not a TRMPH line"),
        ("3,a1", "not a TRMPH line"),
        ("#3;a1", "not a TRMPH line"),
        ("#-3,a1", "not a TRMPH line"),
        ("#٣,a1", "not a TRMPH line"),
        ("#99999,a1", "not a TRMPH line"),
        ("ftp://trmph.com/hex/board#3,a1", "not a TRMPH line"),
        ("https://trmph.com.evil.org/hex/board#3,a1", "not a TRMPH line"),
        ("https://trmphxcom/hex/board#3,a1", "not a TRMPH line"),
        ("#3,a1\n#3,a2", "not a TRMPH line"),
        ("#0,", "board size 0"),
        ("#20,a1", "board size 20"),
        ("#3,a1x", "moves from 'x' on"),
        ("#3,a1!b2", "moves from '!b2' on"),
        ("#3,1a", "moves from '1a' on"),
        ("#3,A1", "moves from 'A1' on"),
        ("#3,a0", "moves from 'a0' on"),
        ("#3,a1b٢", "moves from 'b٢' on"),
        ("#3,a1d1", "'d1' is not on a board of 3x3"),
        ("#3,a4", "'a4' is not on a board of 3x3"),
        ("#3," + "z" * 9999 + "1", "not on a board of 3x3"),
        ("#3,a" + "9" * 9999, "not on a board of 3x3"),
        ("#3,a1 " + "q" * 9999, "the winner is"),
    ],
    ids=lambda text: ascii(text)[:24],
)
def test_malformed_lines_name_the_trouble(line: str, trouble: str) -> None:
    with pytest.raises(NotationError, match=re.escape(trouble)) as refusal:
        read_trmph(line)
    (message,) = str(refusal.value).splitlines()
    assert len(message) < 200


near_lines = st.builds(
    "{}#{},{}{}".format,
    st.sampled_from(["", "https://trmph.com/hex/board", "http://www.trmph.com/hex/board", "x"]),
    st.one_of(st.integers(-1, 25).map(str), st.text(max_size=5)),
    st.text(st.sampled_from("abcdsz0123456789 \t\n#,!Aä١²K"), max_size=30),
    st.one_of(st.just(""), st.just(" r"), st.just(" b"), st.text(max_size=5)),
)


@exact
@given(st.one_of(st.text(), near_lines))
@example("#3,a1\x1cr")
@example("\u2028#3,a1\u2028")
@example("#3,²1")
def test_any_text_is_read_or_refused_in_one_short_line(text: str) -> None:
    refusal = refusal_of(lambda: read_trmph(text))
    if refusal is None:
        game = read_trmph(text)
        # What was read can be written, and says the same.
        assert read_trmph(write_trmph(game.board_size, game.moves, game.winner)) == game
    else:
        assert len(refusal) < 300
        assert len(refusal.splitlines()) == 1


@exact
@given(st.text(), st.integers(1, 30))
def test_any_text_is_a_cell_or_refused(text: str, size: int) -> None:
    refusal = refusal_of(lambda: cell_index(text, size))
    if refusal is None:
        assert cell_name(cell_index(text, size), size) == text.lower()
    else:
        assert len(refusal.splitlines()) == 1
