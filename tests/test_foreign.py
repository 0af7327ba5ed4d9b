"""Other programs as players: what one does wrong costs it a game, and never our time or memory."""

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import torch

from hex_ai.arena import foreign
from hex_ai.arena.engine_process import EngineProcess, RefusalError
from hex_ai.arena.foreign import (
    HtpPlayer,
    OpenSpielPlayer,
    move_of,
    told,
    tree_search_move,
    with_seats_changed,
)
from hex_ai.arena.match import match
from hex_ai.arena.openings import spread_openings
from hex_ai.arena.players import NO_MOVE, SWAPS, RandomPlayer, Turn
from hex_ai.errors import EngineError, NotationError, SettingError
from hex_ai.formats.trmph import read_trmph
from hex_ai.game.positions import Positions
from hex_ai.game.records import SWAP
from hex_ai.interrupts import Interrupted, interrupts_raised

TOY = Path(__file__).parent / "htp_toy.py"

# Longer than anything here should take, shorter than what the engines here would make us wait.
PROMPT = 15.0


@contextmanager
def promptly() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < PROMPT


def toy(*words: object, seconds: float = 3.0) -> HtpPlayer:
    return HtpPlayer("htp:toy", shlex.join([sys.executable, str(TOY), *map(str, words)]), seconds)


def shell(script: str) -> EngineProcess:
    return EngineProcess(["sh", "-c", script])


@contextmanager
def refused(why: str, engine: EngineProcess) -> Iterator[EngineProcess]:
    """Asking the engine is the error `why`; then the engine is closed."""
    with closing(engine), pytest.raises(EngineError, match=why):
        yield engine


@pytest.mark.parametrize("fault", ["die", "hang", "mute"])
def test_one_fault_costs_one_game(fault: str, tmp_path: Path) -> None:
    with closing(toy(fault, tmp_path / "marker")) as player:
        score = match(player, RandomPlayer("random", 1), board_size=4, games=8)
    assert player.faults == 1
    assert [game.end for game in score.games].count("resign") == 1


def test_an_engine_that_has_failed_is_not_asked_again() -> None:
    for script in ("exec 1>&-; sleep 40", "sleep 40", "exit", "yes"):
        with closing(shell(script)) as engine:
            with pytest.raises(EngineError):
                engine.ask("name", time.monotonic() + 0.5)
            assert not engine.alive


@pytest.mark.parametrize("asked", [False, True])
def test_whatever_an_engine_has_started_ends_with_it(asked: bool, tmp_path: Path) -> None:
    beats = tmp_path / "beats"
    beats.touch()
    engine = shell(f"(while :; do echo >> {beats}; sleep 0.05; done) & sleep 40; true")
    while not beats.stat().st_size:
        time.sleep(0.05)
    with promptly():
        if asked:
            with pytest.raises(EngineError, match="in time"):
                engine.ask("name", time.monotonic() + 0.2)
        engine.close()
    heard = beats.stat().st_size
    time.sleep(0.5)
    assert beats.stat().st_size == heard


def test_an_engine_that_does_not_read_is_late() -> None:
    with promptly(), refused("in time", shell("sleep 40; true")) as engine:
        engine.ask("x" * 200_000, time.monotonic() + 0.5)


def test_an_engine_that_does_not_read_can_be_closed() -> None:
    engine = shell("sleep 0.5; echo =; echo; sleep 40")
    with promptly():
        # Fills the pipe to the last byte.
        assert engine.ask("x" * 65_535, time.monotonic() + PROMPT) == ""
        engine.close()


@pytest.mark.parametrize("script", ["yes '= x'", "yes x | tr -d '\\n'", "yes ''"])
def test_a_flood_is_no_answer(script: str) -> None:
    with promptly(), refused("bytes and no answer", shell(script)) as engine:
        engine.ask("name", time.monotonic() + 40)


def test_an_engine_that_never_comes_to_an_end_is_late() -> None:
    script = "while :; do echo '= x'; sleep 0.05; done"
    with promptly(), refused("in time", shell(script)) as engine:
        engine.ask("name", time.monotonic() + 0.5)


def test_an_answer_of_several_lines_is_read_whole() -> None:
    script = r"read x; printf '\n\n= a\r\n b\r'; sleep 0.2; printf '\n\r\n'; sleep 40"
    with closing(shell(script)) as engine:
        assert engine.ask("name", time.monotonic() + PROMPT) == "a\nb"


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (r"thinking about it\n= a1\n\n", "a1"),
        (r"a block\n\nof thoughts\n\nand more\n=\n\n", ""),
        (r"=\ta1\n\n", "a1"),
        (r"=a1\n\n", "a1"),
        (r"=1 a1\n\n", "a1"),
        (r"=12\ta1 \r\n\r\n", "a1"),
        (r"= a1\r\nb2\r\n\r\n", "a1\nb2"),
        (r"> = a1\n\n", "a1"),
        (r"my engine 1.0> =3 a1\n\n", "a1"),
        (r"== thoughts ==\n? really?\n", None),
        (r"genmove black\n?4 no\nmove\n\n", None),
        (r"why?\nx = 3\n= 7\n\n", "7"),
    ],
)
def test_a_reply_is_found_in_what_an_engine_says(said: str, heard: str | None) -> None:
    script = f"read x; printf '{said}'; sleep 0.1; printf '\\n'; read x; printf '= next\\n\\n'"
    with closing(shell(script)) as engine:
        if heard is None:
            with pytest.raises(RefusalError, match=r"\? "):
                engine.ask("genmove b", time.monotonic() + PROMPT)
        else:
            assert engine.ask("genmove b", time.monotonic() + PROMPT) == heard
        assert engine.ask("name", time.monotonic() + PROMPT) == "next"


def test_moves_in_odd_spellings() -> None:
    for answer in ("resign", "Resign", "RESIGNS", "resigned.", "I resign!"):
        assert move_of(answer, 5) == NO_MOVE
    for answer in ("b3", "B3", " b3 ", "b3.", "b3 (0.53)"):
        assert move_of(answer, 5) == 11
    for answer, named in (
        ("pass", "passes"),
        ("PASS", "passes"),
        ("swap", "swaps"),
        ("Swap-Pieces", "swaps"),
        ("swap-sides", "swaps"),
        ("", "''"),
        ("nonsense", "nonsense"),
        ("e9", "e9"),
    ):
        with pytest.raises(NotationError, match=named):
            move_of(answer, 5)


def test_what_nobody_asked_for_is_no_answer() -> None:
    """The engine says everything twice; the second time answers nothing."""
    with closing(toy("twice")) as player:
        score = match(player, RandomPlayer("random", 1), board_size=4, games=8)
    assert player.faults == 0
    for game in score.games:
        mine = game.moves[len(spread_openings(4, 4, 0)[game.number // 2]) :]
        mine = mine[1::2] if game.first_is_red else mine[0::2]
        assert list(mine) == sorted(mine)


def test_starting_takes_no_time_from_the_move() -> None:
    with closing(toy("slow", seconds=2.0)) as player:
        match(player, RandomPlayer("random", 1), board_size=4, games=2)
    assert player.faults == 0
    assert player.slowest < 2.0


def test_starting_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "SETUP_SECONDS", 0.3)
    with promptly(), closing(HtpPlayer("htp:x", 'sh -c "sleep 40; true"', 0.1)) as player:
        score = match(player, RandomPlayer("random", 1), board_size=4, games=4)
    assert player.faults == 4
    assert score.wins == 0


def test_a_command_that_cannot_be_read_is_refused_by_name() -> None:
    with pytest.raises(SettingError, match=r"htp:sh -c .*[Nn]o closing quotation"):
        HtpPlayer('htp:sh -c "sleep', 'sh -c "sleep', 1.0)


def openspiel(simulations: int) -> OpenSpielPlayer:
    pytest.importorskip("pyspiel")
    return OpenSpielPlayer("openspiel:mcts", simulations, 0)


def played(moves: Sequence[int], size: int) -> Positions:
    position = Positions.empty(1, size)
    for cell in moves:
        if cell == SWAP:
            position = position.swap(torch.tensor([True]))
        else:
            position = position.play(position.to_board_cells(torch.tensor([cell])))
    return position


def first_turn(games: int) -> Turn:
    return Turn(Positions.empty(games, 5), torch.arange(games), [()] * games)


def test_openspiel_wins_at_once_where_it_can_and_repeats_itself() -> None:
    pytest.importorskip("pyspiel")
    # Red has b1 and b2; b3 joins. Blue has stones far away.
    assert tree_search_move(3, 200, 1, [1, 0, 4, 3]) in (6, 7)
    draws = {tree_search_move(5, 60, 7, [0]) for _ in range(3)}
    assert len(draws) == 1
    with closing(openspiel(50)) as player:
        score = match(player, RandomPlayer("random", 1), board_size=4, games=8)
    assert score.wins >= 7


def test_moves_of_openspiel_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        with closing(openspiel(50)) as player:
            found.append(player.choose(first_turn(8)))
    assert torch.equal(*found)
    assert len(found[0].unique()) > 1


def test_an_interrupt_drops_the_searches_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    done, threads = [], threading.active_count()

    def search(*_: object) -> int:
        if len(done) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        done.append(0)
        return 0

    monkeypatch.setattr(foreign, "tree_search_move", search)
    with pytest.raises(Interrupted), interrupts_raised(), closing(openspiel(50)) as player:
        player.choose(first_turn(200))
    assert len(done) < 100
    assert threading.active_count() == threads


def test_engines_are_told_of_swaps_by_their_rule() -> None:
    moves = [1, SWAP, 5, 4]  # b1, swapped to a2; then c2 for Red, b2 for Blue
    mine = [("black", "b1"), ("white", "swap-pieces"), ("black", "c2"), ("white", "b2")]
    seats = [("white", "b3"), ("black", "b2")]
    assert list(told(moves, 3, "pieces")) == mine
    for rule, word in (("sides", "swap-sides"), ("benzene", "swap-pieces")):
        assert list(told(moves, 3, rule)) == [("black", "b1"), ("white", word), *seats]
    assert list(told([1, 2], 3, "sides")) == [("black", "b1"), ("white", "c1")]
    assert with_seats_changed(moves, 3) == [1, 7, 4]
    assert move_of("Swap-Pieces", 3, may_swap=True) == SWAPS


@pytest.mark.parametrize("rule", ["sides", "benzene"])
def test_an_engine_swaps_and_has_the_other_seat(rule: str) -> None:
    """The engine keeps a board of its own, on which no stone moves."""
    command = shlex.join([sys.executable, str(TOY), "swaps"])
    with closing(HtpPlayer("htp:toy", command, 3.0, rule)) as player:
        score = match(player, RandomPlayer("random", 1), board_size=4, games=8, swap=rule)
    assert player.faults == 0
    for game in score.games:
        assert (game.moves[1] == SWAP) == (not game.first_is_red)
        assert read_trmph(score.trmph().splitlines()[game.number]).moves == game.moves


def test_openspiel_plays_on_after_a_swap() -> None:
    pytest.importorskip("pyspiel")
    # Red's b1 became Blue's a2. Blue has a2 and b2 and is to move: c2 joins, and so does c1.
    moves = [1, SWAP, 0, 4, 8]
    with closing(openspiel(300)) as player:
        position = played(moves, 3)
        cell = position.to_board_cells(player.choose(Turn(position, torch.arange(1), [moves])))
    assert int(cell) in (2, 5)
