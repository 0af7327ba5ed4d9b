"""The Hex Text Protocol: lines, commands, faults, and the command line."""

from __future__ import annotations

import logging
import math
import re
import sys
from pathlib import Path

import pytest
from forked import Run
from htp_player import Player, agree, stones_shown
from inference_toys import HashEvaluator, random_network
from reference import cell_name
from slow_game import COLOURS, SlowGame

from hex_ai import __version__
from hex_ai.cli.main import main
from hex_ai.errors import NetworkError, SettingError
from hex_ai.game.positions import Positions
from hex_ai.htp.board import BLACK, WHITE
from hex_ai.htp.protocol import parse_request
from hex_ai.htp.serve import serve_htp
from hex_ai.htp.settings import HtpSettings
from hex_ai.network.checkpoint import save_checkpoint


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("name", ("", "name", ())),
        ("12 play b a1\n", ("12", "play", ("b", "a1"))),
        ("\tplay\tb  a1 # said so\r\n", ("", "play", ("b", "a1"))),
        ("pl\x00ay\x07 w\x1b b2", ("", "play", ("w", "b2"))),
        ('loadsgf "a file" b', ("", "loadsgf", ("a file", "b"))),
        ('loadsgf "a file', ("", "loadsgf", ('"a', "file"))),
        ("7", ("7", "", ())),
        ("-1 name", ("", "-1", ("name",))),
        ("", None),
        ("  \t \r\n", None),
        ("# only a comment", None),
    ],
)
def test_requests_are_read(line: str, wanted: tuple[object, ...] | None) -> None:
    assert parse_request(line) == wanted


def test_replies_repeat_the_number_and_end_with_an_empty_line() -> None:
    session = Player().session
    assert session.answer("name") == "= hex_ai\n\n"
    assert session.answer("42 name") == "=42 hex_ai\n\n"
    assert session.answer("3 clear_board") == "=3 \n\n"
    assert session.answer("4 nonsense") == "?4 unknown command: nonsense\n\n"
    assert session.answer("5") == "?5 unknown command: none given\n\n"
    assert session.answer("# silence") is None


def test_a_session_ends_at_quit() -> None:
    session, said = Player().session, list[str]()
    session.serve(["name\n", "\n", "8 quit\n", "version\n"], said.append)
    assert said == ["= hex_ai\n\n", "=8 \n\n"]
    assert session.over


def test_administrative_commands() -> None:
    player = Player()
    assert player.script("protocol_version", "name", "version") == ["2", "hex_ai", __version__]
    names = player.ask("list_commands").split("\n")
    assert len(set(names)) == len(names)
    wanted = "name version protocol_version known_command list_commands quit boardsize clear_board"
    wanted += " play undo genmove reg_genmove showboard all_legal_moves"
    wanted += " final_score time_left loadsgf"
    wanted += " param_search param_game time_settings hexgui-analyze_commands"
    assert set(wanted.split()) <= set(names)
    for name in names:
        assert player.ask(f"known_command {name}") == "true"
    assert player.ask("known_command komi") == "false"
    player.refused("known_command")
    player.refused("known_command a b")


def test_analyze_commands_are_lines_of_commands_there_are() -> None:
    player = Player()
    for line in player.ask("hexgui-analyze_commands").split("\n"):
        kind, label, command = line.split("/")
        assert kind in ("pspairs", "var", "string", "gfx", "param")
        assert label
        player.ask(command.replace("%m", "black"))


@pytest.mark.parametrize("size", [1, 2, 3, 19])
def test_boardsize_makes_an_empty_board(size: int) -> None:
    player = Player()
    player.script("play b a1", f"boardsize {size} {size}")
    assert stones_shown(player.ask("showboard")) == [0] * size**2
    player.refused("undo")
    player.script(f"play w {cell_name(size * size - 1, size)}", f"boardsize {size}")
    assert not any(player.engine.board.stones)


@pytest.mark.parametrize(
    "line",
    [
        *(f"boardsize {size}" for size in ("", "0", "20", "-3", "x", "3.0", "5 6", "3 3 3", "²")),
        *(f"play {words}" for words in ("", "b", "b b2 c3", "green b2", "b pass", "b e1", "b a5")),
        *(f"play {words}" for words in ("b a0", "b 11", "w a1", "b A1", "b ä1", "b swap-pieces")),
        *("play w swap-pieces", "play w swap", "undo 1", "clear_board x", "showboard_"),
        *("genmove", "genmove x", "genmove b w", "reg_genmove", "reg_genmove q", "final_score b"),
        *("all_legal_moves b", "time_left b", "time_left b x 0", "time_left q 9 0", "time_left"),
        *("time_left b -x 0", "time_left b nan 0", "time_left b inf 0", "time_left b 9 -1"),
        *("time_settings 1 2", "time_settings a b c", "time_settings 1 2 x", "komi 6.5"),
        *("param_search bogus", "param_search seconds x", "param_search seconds 0"),
        *("param_search seconds -1", "param_search seconds nan", "param_search seconds inf"),
        *("param_search widths x", "param_search widths 0", "param_search widths 8,4 1"),
        *("param_search widths 9,9,9,9,9,9,9", "param_search swap off", "param_game swap maybe"),
        *("param_game seconds 5", "loadsgf", "loadsgf /nowhere/x", "loadsgf a b", "loadsgf /"),
        *("loadsgf /dev/zero", "loadsgf a 1 2", "hexai-policy b w", "time_settings 1 2 3 4"),
        *("hexai-policy x", "hexai-values b w", "hexai-variation 1", "hexai-win_probability q"),
        *("hexai-search_values %m", "bogus", "Name", '"'),
    ],
)
def test_bad_uses_are_refused_and_change_nothing(line: str) -> None:
    player = Player()
    player.script("play b a1", "play w b1")
    settings = player.engine.settings
    player.refused(line)
    assert player.engine.settings == settings
    assert player.script("undo", "undo") == ["", ""]


def test_colours_and_cells_in_any_case() -> None:
    player = Player(size=3)
    player.script("play B a1", "play WHITE b1", "play red C1", "play Blue a2", "play w B2")
    assert stones_shown(player.ask("showboard")) == [1, -1, 1, -1, -1, 0, 0, 0, 0]
    assert player.ask("showboard").startswith("3x3, black to move\n")
    assert player.ask("play B a3") == ""


def test_showboard_draws_what_lies() -> None:
    player = Player(size=3)
    player.script("play b b1", "play w a3")
    drawing = "3x3, black to move\n   a b c\n 1 . B . 1\n  2 . . . 2\n   3 W . . 3\n      a b c"
    assert player.ask("showboard") == drawing


def test_resigning_ends_the_game_until_it_is_taken_back() -> None:
    player = Player()
    player.script("play b b2", "play w resign")
    assert player.script("final_score", "genmove b", "all_legal_moves") == ["B+", "resign", ""]
    player.refused("hexai-policy")
    assert player.script("play b a1", "final_score", "undo") == ["", "B+", ""]
    assert player.script("undo", "final_score") == ["", "cannot score"]
    player.ask("play w a1")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_genmove_from_the_smallest_board_on_to_the_end(size: int) -> None:
    player, slow = Player(size=size, rule="off"), SlowGame(size, "off")
    colour = "black"
    while not slow.state.winner:
        move = player.ask(f"genmove {colour}")
        assert slow.play(COLOURS[colour], move)
        agree(player, slow)
        colour = "white" if colour == "black" else "black"
    assert player.script("genmove b", "genmove w", "reg_genmove b") == ["resign"] * 3


def test_reg_genmove_plays_nothing() -> None:
    player = Player(rule="off")
    foretold = player.ask("reg_genmove b")
    assert not any(player.engine.board.stones)
    assert player.ask("genmove b") == foretold
    assert player.ask("genmove b") != foretold  # a colour may move twice


def test_loadsgf_sets_the_board_up(tmp_path: Path) -> None:
    player, file = Player(), tmp_path / "a game.sgf"
    file.write_text("(;GM[11]SZ[3];B[b1];W[swap-pieces];B[c3];W[b2];B[resign])")
    wanted = {
        "0": [0] * 9,
        "1": [0, 1, 0, 0, 0, 0, 0, 0, 0],
        "2": [0, 0, 0, -1, 0, 0, 0, 0, 0],
        "4": [0, 0, 0, -1, -1, 0, 0, 0, 1],
        "99": [0, 0, 0, -1, -1, 0, 0, 0, 1],
        "": [0, 0, 0, -1, -1, 0, 0, 0, 1],
    }
    for count, stones in wanted.items():
        player.ask(f'loadsgf "{file}" {count}')
        assert stones_shown(player.ask("showboard")) == stones
        player.refused("undo")
        over = count in ("", "99")
        assert player.ask("final_score") == ("W+" if over else "cannot score")
        assert ("swap-pieces" in player.ask("all_legal_moves")) == (count == "1")
    file.write_text("(;GM[11]SZ[2]AB[a1][a2]PL[W])")
    player.ask(f'loadsgf "{file}"')
    assert player.script("final_score", "genmove w") == ["B+", "resign"]
    # Whoever's turn it is said to be, and whatever was played after the end.
    for text in ("(;SZ[2]AB[a1][a2]PL[B])", "(;SZ[2];B[a1];W[b1];B[a2];W[b2])"):
        file.write_text(text)
        player.ask(f'loadsgf "{file}"')
        assert player.script("final_score", "all_legal_moves") == ["B+", ""]
        assert player.engine.board.mover == WHITE
    # A chain decides, whoever gives up after it.
    for text in ("(;SZ[2]GM[11];B[a1];W[b1];B[a2];B[resign])", "(;SZ[2]AB[a1][a2];B[resign])"):
        file.write_text(text)
        player.ask(f'loadsgf "{file}"')
        assert player.ask("final_score") == "B+"
    # Seats changed: no stone moves, and White goes on.
    file.write_text("(;GM[11]AP[HexGui:1.0.]SZ[3];B[b1];W[swap-pieces];W[c3])")
    for count, mover in (("2", WHITE), ("3", BLACK)):
        player.ask(f'loadsgf "{file}" {count}')
        assert stones_shown(player.ask("showboard")) == [0, 1, *[0] * 6, -1 * (count == "3")]
        assert player.engine.board.mover == mover
        assert "swap" not in player.ask("all_legal_moves")
    file.write_bytes("(;GM[11]CA[GBK]SZ[3];B[b1]C[\u4fd3];W[a1])".encode("gbk") + b"x" * 2**21)
    player.refused(f'loadsgf "{file}"')
    file.write_bytes("(;GM[11]CA[GBK]SZ[3];B[b1]C[\u4fd3];W[a1])".encode("gbk") + b"\n" * 2**21)
    player.ask(f'loadsgf "{file}"')
    assert stones_shown(player.ask("showboard"))[:2] == [-1, 1]
    for bad in ("(;GM[1];B[a1])", "no game", "", "(;SZ[2];B[a1];W[a1])"):
        file.write_text(bad)
        player.refused(f'loadsgf "{file}"')
    player.refused("loadsgf /nowhere.sgf")
    player.refused(f'loadsgf "{file}" x')
    player.refused("loadsgf")


def test_params_are_listed_and_set() -> None:
    player = Player()
    assert player.ask("param_search") == (
        "[string] seconds off\n[string] widths 3,2\n[string] level off"
    )
    assert player.ask("param_game") == (
        "[list/pieces/sides/benzene/off] swap pieces\n[bool] allow_swap 1"
    )
    player.script("param_search seconds 0.5", "param_search widths 2,1", "param_game swap OFF")
    assert player.engine.settings == HtpSettings((2, 1), 0.5, "off")
    assert player.script("param_search seconds", "param_search widths", "param_game swap") == [
        "0.5",
        "2,1",
        "off",
    ]
    player.script("param_search seconds off", "play b a1")
    assert player.engine.settings.seconds is None
    player.refused("play w swap-pieces")


def test_invalid_settings_are_refused() -> None:
    for bad in ({"widths": ()}, {"seconds": 0.0}, {"seconds": math.nan}, {"swap": "x"}):
        with pytest.raises(SettingError):
            HtpSettings(**bad)  # type: ignore[arg-type]
    with pytest.raises(SettingError):
        Player(size=20)


def test_a_fault_of_the_code_is_told_and_the_session_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults: list[Exception] = []

    def stumble(_: Positions) -> None:
        if faults:
            raise faults.pop()

    player = Player(HashEvaluator(stumble), 3)
    player.ask("play b b2")
    faults.append(RuntimeError("two\nlines"))
    with caplog.at_level(logging.WARNING):
        told = player.refused("genmove w")
    assert told == "internal error: RuntimeError: two lines"
    (record,) = caplog.records
    assert record.getMessage() == f"genmove: {told}"
    assert record.exc_info is None
    faults.append(NetworkError("the network failed"))
    assert player.refused("5 hexai-policy") == "the network failed"
    player.ask("genmove w")


def test_a_size_that_the_network_does_not_know_is_refused() -> None:
    def only_three(positions: Positions) -> None:
        if positions.size != 3:
            raise NetworkError("plays on 3x3 only")

    player = Player(HashEvaluator(only_three), 3)
    player.ask("play b b2")
    assert player.refused("boardsize 4") == "plays on 3x3 only"
    player.script("undo", "boardsize 3")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.pt"
    save_checkpoint(path, random_network(4), {})
    return path


def test_a_piped_script_is_answered_and_nothing_else_is_said(model: Path) -> None:
    script = b"1 name\r\n\n# hm\nboardsize 3\n\xff\xfe\x00\ngenmove b\n2 quit\nname\n"
    run = Run("htp", "--model", str(model), "--swap", "off", "--widths", "2,1")
    out, err = run.wait(script)
    assert (run.status, err) == (0, "")
    replies = out.split("\n\n")
    assert replies[:2] == ["=1 hex_ai", "= "]
    assert replies[2].startswith("? unknown command: ")
    assert re.fullmatch("= [abc][123]", replies[3])
    assert replies[4:] == ["=2 ", ""]
    # The same from Python.
    said: list[str] = []
    lines = [line.decode(errors="replace") for line in script.splitlines()]
    serve_htp(model, widths=(2, 1), swap="off", lines=lines, write=said.append)
    assert "".join(said) == out


def test_flags_from_python(model: Path) -> None:
    said: list[str] = []
    serve_htp(model, widths=(2, 1), board_size=5, lines=["param_search"], write=said.append)
    assert said == ["= [string] seconds off\n[string] widths 2,1\n[string] level off\n\n"]
    with pytest.raises(SettingError):
        serve_htp(model, board_size=20, lines=[])


def test_the_end_of_the_input_ends_it(model: Path) -> None:
    run = Run("htp", "--model", str(model), "--board-size", "2")
    out, err = run.wait(b"genmove bla")
    assert (run.status, err) == (0, "")
    assert out.count("\n\n") == 1


def test_every_reply_comes_at_once(model: Path) -> None:
    run = Run("htp", "--model", str(model))
    for line, reply in ((b"1 name\n", "=1 hex_ai\n"), (b"boardsize 2\n", "= \n")):
        run.stdin.write(line)
        run.stdin.flush()
        assert run.stdout.readline() == reply
        assert run.stdout.readline() == "\n"
    run.wait()
    assert run.status == 0


def test_an_asker_who_has_gone_is_no_error(model: Path) -> None:
    run = Run("htp", "--model", str(model))
    run.stdout.close()
    _, said = run.wait(b"name\nname\n")
    assert (run.status, said) == (0, "")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--swap maybe", "maybe"),
        ("--widths 0", "0"),
        ("--widths x", "x"),
        ("--seconds 0", "seconds"),
        ("--seconds nan", "seconds"),
        ("--board-size 20", "20"),
        ("--device bogus", "bogus"),
        ("--model /nowhere/net.pt", "/nowhere/net.pt"),
    ],
)
def test_bad_flags_are_named(
    flags: str,
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["hex-ai", "htp", *flags.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code not in (0, None)
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert named in line
