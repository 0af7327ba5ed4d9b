"""Files of SGF as they are found: many games, broken ones among them, in any character set."""

import itertools
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_games import exact, mutants, refusal_of

from hex_ai.errors import NotationError
from hex_ai.formats.moves import Move
from hex_ai.formats.sgf import SgfGame, read_sgf, sgf_game
from hex_ai.formats.sgf_collection import find_games
from hex_ai.game.records import BLUE, RED

MOVES = (Move(RED, 0), Move(BLUE, 6), Move(RED, 12))

# Each has a character with the byte of a backslash or a bracket in it, in one set at least.
NAMES = {
    "Shift_JIS": "\u30bd\u8868\u80fd\u6b27",
    "cp932": "\u2460\u30bd",
    "GBK": "\u4fd3\u4e57\u8aa0",
    "GB2312": "\u4e2d\u6587",
    "GB18030": "\U00020bb7\u529f\u4fd3",
    "Big5": "\u529f\u8a31\u84cb",
    "EUC-KR": "\ud55c\uad6d",
    "EUC-JP": "\u8868\u30bd",
    "KOI8-R": "\u0416\u0449",
    "windows-1251": "\u0416",
    "windows-1252": "\u20ac\xe9",
    "ISO-8859-1": "\xe9",
    "UTF-8": "\xe9\u30bd",
    "utf8": "\u4fd3",
    "ISO-2022-JP": "\u8868\u30bd\u80fd",
}


def game_text(name: str, charset: str = "") -> str:
    """A game of 5x5 with a name in the root and in a comment between its moves."""
    head = f"CA[{charset}]" if charset else ""
    return f"(;FF[4]GM[11]{head}SZ[5]PB[{name}];B[a1]C[{name}];W[b2];B[c3])"


def each(data: str | bytes) -> list[SgfGame | str]:
    """All games of a file, or why they cannot be read."""
    found: list[SgfGame | str] = []
    for game in find_games(data):
        try:
            found.append(sgf_game(game))
        except NotationError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("charset", NAMES)
def test_a_character_set_is_obeyed(charset: str) -> None:
    name = NAMES[charset]
    (game,) = read_sgf(game_text(name, charset).encode(charset))
    assert (game.red_name, game.moves, game.note) == (name, MOVES, "")
    # Also where the root has text before it names its set.
    text = f"(;PB[{name}]CA[{charset}]GM[11]SZ[5];B[a1]C[{name}];W[b2];B[c3])"
    (game,) = read_sgf(text.encode(charset))
    assert (game.red_name, game.moves) == (name, MOVES)


def test_every_game_of_a_file_has_its_own_character_set() -> None:
    data = b"\n".join(game_text(name, charset).encode(charset) for charset, name in NAMES.items())
    games = read_sgf(data)
    assert [game.red_name for game in games] == list(NAMES.values())
    assert {game.moves for game in games} == {MOVES}


@pytest.mark.parametrize("said", ["", "Klingon", "UTF-8", "hex", "unicode_escape", "US-ASCII"])
@pytest.mark.parametrize("charset", NAMES)
def test_where_the_set_is_not_named_or_wrong_names_suffer_and_moves_do_not(
    said: str, charset: str
) -> None:
    (game,) = read_sgf(game_text(NAMES[charset], said).encode(charset))
    assert game.moves == MOVES


@pytest.mark.parametrize("said", ["GBK", "Big5", "Shift_JIS", "EUC-KR"])
def test_text_in_utf_8_is_found_out_whatever_is_named(said: str) -> None:
    for name in ("\u672c", "\u65e5\u672c", "\xe9", "\u30bd"):
        (game,) = read_sgf(game_text(name, said).encode())
        assert game.moves == MOVES


@pytest.mark.parametrize("said", ["GBK", "GB18030", "Big5", "Shift_JIS", "johab"])
@pytest.mark.parametrize("codec", ["utf-8", "latin-1", "koi8-r", "cp949"])
def test_a_wrong_set_takes_no_bracket_for_half_a_character(said: str, codec: str) -> None:
    """Its size and its moves are those of the game, or the game is refused."""
    for letter in "\xe9\xf4\xe3\u044f\u0449\u0426\u672c\u868d\ud55c\uc9d3":
        text = f"(;FF[4]CA[{said}]PW[{letter}]SZ[5];W[aa];B[bb];W[cc])"
        for game in each(text.encode(codec, errors="ignore")):
            assert isinstance(game, str) or (game.board_size, game.moves) == (5, MOVES)


@pytest.mark.parametrize(
    "codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-16-be-marked"]
)
def test_marks_of_byte_order(codec: str) -> None:
    text = game_text("\xe9\u30bd", "UTF-16")
    data = text.encode(codec.removesuffix("-marked"))
    if codec.endswith("-marked"):
        data = b"\xfe\xff" + data
    (game,) = read_sgf(data)
    assert (game.red_name, game.moves) == ("\xe9\u30bd", MOVES)


def test_lines_between_games_that_are_no_sgf_are_skipped() -> None:
    data = "a letter\n(;GM[11]SZ[3];B[a1])\nGame 2, by hand:\n\nso\n(;GM[11]SZ[4])\nthe end\n"
    assert [game.board_size for game in read_sgf(data)] == [3, 4]
    for bad in ("(;GM[11]SZ[3]) b]\n(;GM[11]SZ[4])", "(;GM[11]SZ[3])\n;B[a1])\n(;GM[11]SZ[4])"):
        first, second = each(bad)
        assert "want '('" in str(first)
        assert second == SgfGame(4)


def test_a_mark_before_every_game_and_an_end_of_file_sign() -> None:
    data = b"\xef\xbb\xbf(;GM[11]SZ[3];B[a1])\r\n\xef\xbb\xbf(;GM[11]SZ[4];B[b2])\r\n\x1a"
    assert [game.board_size for game in read_sgf(data)] == [3, 4]
    assert [game.board_size for game in read_sgf(data.decode())] == [3, 4]


@pytest.mark.parametrize(
    "name",
    ["c;]", "[x] y", "]", "a]b", "a];b", "a](b", "\\", "a\\", "a\\b", "[", "a]]", ";B[", "(;"],
)
def test_names_without_escapes_cost_no_move(name: str) -> None:
    """As Little Golem writes them: whatever becomes of the name, the game is whole or refused."""
    text = f"(;FF[4]EV[null]PB[{name}]PW[{name}]SZ[5]RE[B];W[aa];B[bb];W[cc])"
    (game,) = each(text)
    if name == ";B[":
        assert game == "line 1, column 18: the value of PB runs on into 'B[': is a ']' missing?"
        return
    assert isinstance(game, SgfGame)
    assert (game.board_size, game.moves, game.blue_name) == (5, MOVES, name)
    assert game.red_name == name


BROKEN = [
    "(;FF[4]SZ[25];B[a1])",
    "(;FF[4]SZ[5:6];B[a1])",
    "(;FF[4]GM[1];B[aa])",
    "(;FF[4]SZ[5];B[a1])) x [",
    "(;FF[4]SZ[5];B[a1",
    "(;FF[4]SZ[5]PB[a;B[a1];W[b2])",
    "(;FF[4]SZ[5];B[z9])",
    "(;FF[4]SZ[5](;B[a1];W[b2]",
]


@pytest.mark.parametrize("bad", BROKEN)
@pytest.mark.parametrize(
    "good", ["(;FF[4]GM[11]SZ[5];B[a1](;W[b2];B[c3])(;W[c3]))", game_text("\xe9")]
)
def test_a_broken_game_hides_no_other(bad: str, good: str) -> None:
    games = each(f"{good}\n{bad}\n\n{good}\n{bad} {good}")
    assert len(games) == 5
    for place in (0, 2, 4):
        game = games[place]
        assert isinstance(game, SgfGame)
        assert game.moves == MOVES
    for place, line in ((1, 2), (3, 5)):
        assert f"line {line}, column" in str(games[place])


def test_games_are_found_as_they_are_read_one_by_one() -> None:
    """Random games with variations, comments that quote games, and set-up, run together."""
    chance = random.Random(7)
    parts = []
    for number in range(200):
        comment = chance.choice(["", "C[x (;GM[11\\];B[a1\\]) y]", "C[\\\\]", "C[(]", "C[)) ; (]"])
        tail = chance.choice(["", "(;W[b2])(;W[c3](;B[d4])(;B[e5]))", ";W[b2]", "(;W[pass])"])
        head = chance.choice(["FF[4]GM[11]", "", "C[first]"])
        parts.append(f"(;{head}SZ[{5 + number % 9}]{comment}AB[a2];B[a1]{comment}{tail})")
    joined = "".join(part + chance.choice(["", "\n", " \r\n\n"]) for part in parts)
    found = read_sgf(joined)
    assert found == read_sgf(joined.encode())
    assert found == [game for part in parts for game in read_sgf(part)]
    assert [game.board_size for game in found] == [5 + number % 9 for number in range(200)]


@pytest.mark.parametrize("name", ["one", "\xe9", "a]b", "a\\"])
def test_a_game_of_a_large_file_costs_what_it_is(name: str) -> None:
    """2 MB, 8000 games: the first at once, the last without reading those before it.

    Reading them takes some 10 s, and finding the last 0.3 s, on a slow machine.
    """
    moves = "".join(f";{'WB'[k % 2]}[{chr(97 + k % 13)}{chr(97 + k // 13)}]" for k in range(30))
    data = "\n".join(
        f"(;FF[4]EV[x]PB[{name}]PW[{name}]SZ[13]GC[{k}]{moves})" for k in range(8000)
    ).encode()
    started = time.process_time()
    first = next(find_games(data))
    assert time.process_time() - started < 0.5
    last = next(itertools.islice(find_games(data), 7999, None))
    assert time.process_time() - started < 4
    for game in (first, last):
        assert len(sgf_game(game).moves) == 30
    assert "GC[7999]" in last.text


@exact
@given(
    mutants([game_text(name, charset) for charset, name in NAMES.items()]),
    st.sampled_from(["utf-8", "cp932", "gb18030", "utf-16", "iso2022_jp", "latin-1"]),
    st.binary(max_size=6),
    st.integers(0, 60),
)
def test_any_bytes_are_read_or_refused(text: str, codec: str, put: bytes, place: int) -> None:
    data = text.encode(codec, errors="replace")
    data = data[:place] + put + data[place:]

    def use() -> None:
        for game in each(data):
            assert isinstance(game, SgfGame) or len(game) < 300

    refusal_of(use)
