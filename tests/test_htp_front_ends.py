"""What HexGui, benzene's referee and other front ends send, in their manner, and what must come."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from evaluators import Hashed
from forked import Run
from htp_player import Player, agree, stones_shown
from inference_toys import random_network
from slow_game import COLOURS, SlowGame

from hex_ai.game.notation import mirror
from hex_ai.htp.asker import Asker, standard_input
from hex_ai.network.checkpoint import save_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    save_checkpoint(path, random_network(2), {})
    return path


@pytest.mark.parametrize("next_command", ["play w d1", "genmove w"])
def test_white_moving_on_shows_that_swap_pieces_moved_no_stone(next_command: str) -> None:
    player = Player(Hashed(5), 4)
    player.script("play b a2", "play w swap-pieces")
    assert player.engine.board.stones.index(-1) == mirror(4, 4)
    player.ask(next_command)
    assert player.engine.board.stones.index(1) == 4
    assert player.engine.board.stones.count(-1) == 1
    player.script("undo", "play b d4")  # and Black moving on, that it did
    assert player.engine.board.stones.index(-1) == mirror(4, 4)
    assert player.engine.board.mover == -1


def test_what_is_asked_for_white_after_swap_pieces_sees_the_stone_where_it_was() -> None:
    questions = ("hexai-policy w", "hexai-variation w", "reg_genmove w")
    seen = []
    for word in ("swap-pieces", "swap-sides"):
        player = Player(Hashed(3), 4)
        player.script("play b a2", f"play w {word}")
        seen.append(player.script(*questions))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("rule", ["pieces", "benzene"])
def test_a_referee_that_changes_seats_sees_equal_boards(rule: str) -> None:
    """Each seat is a program; after `swap-pieces` they change seats, and White moves on."""
    swaps = 0
    for number in range(8):
        engines = [Player(Hashed(2 * number + k), 4, rule, (2,)) for k in (0, 1)]
        seats, colour, slow = {"b": 0, "w": 1}, "b", SlowGame(4, "benzene")
        while not slow.state.winner:
            move = engines[seats[colour]].ask(f"genmove {colour}")
            engines[1 - seats[colour]].ask(f"play {colour} {move}")
            assert slow.play(COLOURS[colour], move)
            if move == "swap-pieces":
                seats, swaps = {"b": seats["w"], "w": seats["b"]}, swaps + 1
                continue  # by `pieces` they know at the next move what it meant
            colour = "w" if colour == "b" else "b"
            for engine in engines:
                agree(engine, slow)
    assert 0 < swaps < 8


def test_stones_after_the_end_lie_there_and_are_taken_back() -> None:
    player, slow = Player(size=3), SlowGame(3, "pieces")
    late = ["b c1", "w c3", "w resign", "w b3", "b c2", "b resign"]
    for line in ["b b1", "w a1", "b b2", "w a2", "b a3", *late]:
        player.ask(f"play {line}")
        slow.play(COLOURS[line[0]], line[2:])
        agree(player, slow)
    assert player.script("final_score", "genmove w", "all_legal_moves") == ["B+", "resign", ""]
    player.refused("play w b3")
    player.refused("play b swap-pieces")
    for _ in late:
        player.ask("undo")
        slow.undo()
        agree(player, slow)
    assert player.script("undo", "play b c3", "final_score")[-1] == "cannot score"


def test_play_game_plays_in_turn_from_the_empty_board() -> None:
    player = Player(size=4)
    player.script("play b d4", "play-game b1 SWAP-pieces c3")
    shown = [0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert stones_shown(player.ask("showboard")) == shown
    assert player.engine.board.mover == -1
    player.script("undo", "undo")
    for bad in ("b1 b1", "b1 pass", "z9"):
        player.refused(f"play-game {bad}")
    player.script("undo", "play b b2", "play-game")
    assert not any(player.engine.board.stones)


def test_set_position_puts_stones_on_an_empty_board() -> None:
    player = Player(size=3)
    player.script("play w c3", "set_position black a2 white b3 B c1")
    assert stones_shown(player.ask("showboard")) == [0, 0, 1, 1, 0, 0, 0, -1, 0]
    assert player.engine.board.mover == -1
    for bad in ("black", "black a2 white", "black a2 white a2", "b z9", "b swap-pieces", "x a1"):
        player.refused(f"set_position {bad}")
    player.refused("undo")
    for colour, score in (("b", "B+"), ("w", "W+")):  # whoever's turn it would be
        cells = ("a1", "a2", "a3") if colour == "b" else ("a1", "b1", "c1")
        player.ask("set_position " + " ".join(f"{colour} {cell}" for cell in cells))
        assert player.script("final_score", "genmove w") == [score, "resign"]


def test_allow_swap_switches_the_rule_off_and_on() -> None:
    player = Player(rule="benzene")
    for text, rule in (("1", "benzene"), ("0", "off"), ("true", "pieces"), ("false", "off")):
        player.ask(f"param_game allow_swap {text}")
        assert player.script("param_game swap", "param_game allow_swap") == [
            rule,
            str(int(rule != "off")),
        ]
    player.refused("param_game allow_swap maybe")


def test_clocks_of_kgs_and_time_that_has_run_out() -> None:
    player = Player(size=11, rule="off")
    same = [
        ("absolute 60", "time_settings 60 0 0"),
        ("canadian 60 20 5", "time_settings 60 20 5"),
        ("byoyomi 60 20 3", "time_settings 60 20 1"),
        ("byoyomi 60 20 0", "time_settings 60 0 0"),
        ("canadian 60 20 0", "time_settings 60 0 0"),
        ("none", "time_settings 0 0 0"),
    ]
    for words, line in same:
        player.ask(line)
        wanted = player.engine._clocks
        player.script("time_settings 7 7 7", f"kgs-time_settings {words}")
        assert player.engine._clocks == wanted
    for bad in ("", "absolute", "sudden 3", "canadian 60 20", "byoyomi 60 x 3", "absolute -1"):
        player.refused(f"kgs-time_settings {bad}")
    player.ask("time_left b -0.05 0")
    assert player.engine._clocks[1].seconds == 0  # type: ignore[union-attr]
    assert re.fullmatch("[a-k][0-9]+", player.ask("genmove b"))


def test_hint_and_analysis_are_drawn_by_hexgui() -> None:
    """It takes pairs of a cell and a mark of its own, and numbers between two words of GoGui's."""
    player = Player(Hashed(2), 6)
    player.script("play b c3", "play w d4")
    shown = player.ask("hexai-policy black").split()
    assert len(shown) <= 24
    marks = player.ask("vc-build black").split()
    assert set(marks[1::2]) == {"x"}
    assert len(marks) + len(shown) == 2 * 34
    assert not set(marks[::2]) & set(shown[::2])
    lines = player.ask("gogui-gfx-analyze black").split("\n")
    assert [line.split()[0] for line in lines] == ["VAR", "INFLUENCE", "TEXT"]
    assert lines[0].split()[1::2][:2] == ["B", "W"]
    numbers = [float(number) for number in lines[1].split()[2::2]]
    assert len(numbers) == 3
    assert all(0 <= number <= 1 for number in numbers)
    assert lines[2].endswith(" for black")
    assert "gogui-gfx-analyze" in player.ask("hexgui-analyze_commands")


def test_the_engine_offers_no_swap_against_its_own_opening() -> None:
    """The players change sides in HexGui's menu: the engine is told nothing, or sees its stone
    put down anew."""
    player, opponent = Player(Hashed(4), 4), Player(Hashed(4), 4)
    own = player.ask("genmove b")
    opponent.ask(f"play b {own}")
    assert opponent.ask("reg_genmove w") == "swap-pieces"
    assert player.ask("reg_genmove w") != "swap-pieces"
    player.script("clear_board", f"play b {own}")
    assert player.ask("reg_genmove w") != "swap-pieces"
    for another in ("clear_board", f"play-game {own}", "boardsize 4"):
        player.script("clear_board", "genmove b", "play w d4", another)
        if not any(player.engine.board.stones):
            player.ask(f"play b {own}")
        assert player.ask("reg_genmove w") == "swap-pieces"


@pytest.mark.parametrize("said", [b"", b"a\nb\n", b"a\n\nb", b"\xff" * 200_000 + b"\nb\n"])
def test_standard_input_is_read_line_by_line(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = said.decode(errors="replace").split("\n")
    wanted = lines if lines[-1] else lines[:-1]
    with TemporaryFile() as file:
        file.write(said)
        file.seek(0)
        monkeypatch.setattr(sys, "stdin", file)
        assert list(standard_input()) == wanted
    assert list(standard_input()) == []  # closed
    monkeypatch.setattr(sys, "stdin", io.StringIO("name\nversion\n"))
    assert list(Asker(standard_input())) == ["name\n", "version\n"]


def test_lines_read_ahead_say_which_of_them_are_to_end_early() -> None:
    told: list[tuple[str, bool]] = []

    def lines() -> Iterator[str]:
        yield "one"
        yield "# Interrupt "
        yield "two"
        yield "# interrupted?"
        yield "three"

    asker = Asker(lines())
    for line in asker:
        time.sleep(0.05)
        told.append((line, asker.interrupted()))
    assert told == [("one", True), ("two", False), ("# interrupted?", False), ("three", False)]


@pytest.mark.parametrize("search", ["--seconds 60", "--widths 30,30,8"])
def test_stop_ends_a_search_and_only_that(model: Path, search: str) -> None:
    run = Run("htp", "--model", str(model), "--board-size", "9", "--swap", "off", *search.split())

    def ask(line: str) -> None:
        run.stdin.write(line.encode() + b"\n")
        run.stdin.flush()

    ask("# interrupt")
    ask("undo")  # is answered once the network is loaded
    assert [run.stdout.readline() for _ in range(2)] == ["? cannot undo\n", "\n"]
    ask("genmove b")
    time.sleep(1)
    ask("# interrupt")
    started = time.monotonic()
    assert re.fullmatch(r"= [a-i][1-9]\n", run.stdout.readline())
    assert time.monotonic() - started < 2  # in quiet 0.2; other programs may take the processors
    assert run.stdout.readline() == "\n"
    ask("gogui-interrupt")
    ask("quit")
    assert [run.stdout.readline() for _ in range(4)] == ["= \n", "\n"] * 2
    run.wait()
    assert run.status == 0
