"""HexWorld links both ways, and nothing but `NotationError` for what cannot be read."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from random_games import exact, games, mutants, refusal_of

from hex_ai.errors import NotationError
from hex_ai.formats.games import read_line
from hex_ai.formats.hexworld import read_hexworld, write_hexworld
from hex_ai.formats.moves import PlayedGame
from hex_ai.game.notation import cell_name
from hex_ai.game.records import BLUE, RED, SWAP

EXAMPLE = "#11r9c1,b3:sc6:rw"
LINKS = [EXAMPLE, "https://hexworld.org/board/#5x5mn,a1:Sb2,c3:pd4:fb", "#7", "#3,,a1", "#19r0,aa"]


def test_the_example() -> None:
    game = PlayedGame(11, (23, SWAP, 57), RED, "resign")
    assert read_hexworld(EXAMPLE) == game
    for address in ("https://hexworld.org/board/", "http://www.hexworld.org/board"):
        assert read_hexworld(f"  {address}{EXAMPLE}\n") == game


def test_options_and_parts() -> None:
    for link in (
        "#5,a1b2",
        "#5x5,a1b2",
        "#5r12mnc1c2r0,a1b2",
        "#5c1,a1b2,",
        "#5,a1,b2",
        "#5,,a1b2",
    ):
        assert read_hexworld(link) == PlayedGame(5, (0, 6), None)
    for empty in ("#5", "#5c1", "#5,", "#5,,"):
        assert read_hexworld(empty) == PlayedGame(5, (), None)


def test_swaps() -> None:
    assert read_hexworld("#5,b1:sc1d1").moves == (1, SWAP, 2, 3)
    # After swap-sides the cells are those of the transposed board.
    assert read_hexworld("#5,b1:Sc1d1").moves == (1, SWAP, 10, 15)


def test_endings() -> None:
    for token, winner, end in (
        *((":rb", BLUE, "resign"), (":rw", RED, "resign")),
        *((":fb", BLUE, "forfeit"), (":fw", RED, "forfeit")),
    ):
        assert read_hexworld(f"#5,b1c3{token}") == PlayedGame(5, (1, 12), winner, end)
        # After swap-sides the first player has Blue, and is our Red still.
        swapped = read_hexworld(f"#5,b1:S{token}")
        assert swapped == PlayedGame(5, (1, SWAP), -winner, end)


def test_a_written_link_to_the_letter() -> None:
    address = "https://hexworld.org/board/"
    assert write_hexworld(11, [23, SWAP, 57], RED, "resign") == f"{address}#11c1,b3:sc6:rw"
    assert write_hexworld(5, [1, 12], BLUE, "resign") == f"{address}#5c1,b1c3:rb"
    for end in ("join", "proven"):
        assert write_hexworld(5, [1, 12], RED, end) == f"{address}#5c1,b1c3"
    assert write_hexworld(5, []) == f"{address}#5c1,"


@pytest.mark.parametrize(
    ("link", "trouble"),
    [
        *((bad, "is not a HexWorld link") for bad in ("", "11", "#", "#,a1", "#x", "#5q1,a1")),
        *((bad, "is not a HexWorld link") for bad in ("#5,a1,b1,c1", "#5,a1 b1", "x#5,a1")),
        ("#11x13,a1", "a board of 11x13 has unequal sides"),
        ("#20,a1", "board size 20 is outside 1 to 19"),
        ("#0", "board size 0"),
        ("#5,f1", "'f1' is not on a board of 5x5"),
        ("#5,a1:x", "cannot read the moves from ':x' on"),
        ("#5,a1A2", "cannot read the moves from 'A2' on"),
        ("#5,a1a1", "move 2, a1, is on an occupied cell"),
        ("#5,b1:sa2", "move 3, a2, is on an occupied cell"),
        ("#5,:s", "move 1 is a swap"),
        ("#5,:p:s", "move 2 is a swap"),
        ("#5,a1b1:S", "move 3 is a swap"),
        *((link, f"{link!r}: move 2 is a pass") for link in ("#5,a1:p", "#5,a1:pc1:p:p")),
        ("#5,a1:rbb1", "move 3, 'b1', comes after the end"),
        ("#5,a1:rb,b1", "move 3, 'b1', comes after the end"),
        ("#5,a" + "9" * 10**5, "is not on a board"),
        ("#5" + "r1" * 10**5 + "x", "is not a HexWorld link"),
    ],
    ids=lambda text: ascii(text)[:24],
)
def test_what_cannot_be_read_is_refused(link: str, trouble: str) -> None:
    with pytest.raises(NotationError, match=re.escape(trouble)) as refusal:
        read_hexworld(link)
    (line,) = str(refusal.value).splitlines()
    assert len(line) < 200


def test_lines_and_links_are_told_apart() -> None:
    assert read_line("#5,b1b1c3 r") == PlayedGame(5, (1, SWAP, 12), RED)
    assert read_line("https://trmph.com/hex/board#5,b1c3") == PlayedGame(5, (1, 12), None)
    for link in ("#5,b1:sc3", "#5c1,b1:sc3", "#5,b1,:sc3", "https://hexworld.org/board/#5,b1:sc3"):
        assert read_line(link) == PlayedGame(5, (1, SWAP, 12), None)
    assert read_line("#5x5,b1") == PlayedGame(5, (1,), None)
    with pytest.raises(NotationError, match="'#5,b1:p': move 2 is a pass"):
        read_line("#5,b1:p")


@exact
@given(games(), st.sampled_from(["join", "resign", "forfeit"]))
def test_games_round_trip(game: tuple[int, list[int], int | None], end: str) -> None:
    size, moves, winner = game
    link = write_hexworld(size, moves, winner, end)
    tokens = [":s" if move == SWAP else cell_name(move, size) for move in moves]
    assert link.split(",")[1].startswith("".join(tokens))
    back = read_line(link)
    assert (back.board_size, back.moves) == (size, tuple(moves))
    if end == "join" or winner is None:
        assert (back.winner, back.end) == (None, "join")
    else:
        assert (back.winner, back.end) == (winner, end)


@exact
@given(st.one_of(st.text(), mutants(LINKS)))
@example("#٣,a1")
@example("#5,a²")
def test_any_text_is_read_or_refused_in_one_short_line(text: str) -> None:
    for read in (lambda: read_hexworld(text), lambda: read_line(text)):
        refusal = refusal_of(read)
        if refusal is not None:
            assert len(refusal) < 300
            assert len(refusal.splitlines()) == 1
