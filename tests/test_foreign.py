"""Other programs as players: what one does wrong costs it a game, and never our time or memory."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch

from hex_ai.arena import foreign
from hex_ai.arena.engine_process import EngineProcess
from hex_ai.arena.foreign import HtpPlayer, OpenSpielPlayer
from hex_ai.arena.match import MatchSettings, openings, play_match
from hex_ai.arena.players import RandomPlayer, Turn
from hex_ai.errors import EngineError, SettingError
from hex_ai.game.positions import Positions

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
        score = play_match(player, RandomPlayer("random", 1), MatchSettings(4, 8))
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


def test_what_nobody_asked_for_is_no_answer() -> None:
    """The engine says everything twice; the second time answers nothing."""
    with closing(toy("twice")) as player:
        score = play_match(player, RandomPlayer("random", 1), MatchSettings(4, 8))
    assert player.faults == 0
    for game in score.games:
        mine = game.moves[len(openings(MatchSettings(4, 8))[game.number // 2]) :]
        mine = mine[1::2] if game.first_is_red else mine[0::2]
        assert list(mine) == sorted(mine)


def test_starting_takes_no_time_from_the_move() -> None:
    with closing(toy("slow", seconds=2.0)) as player:
        play_match(player, RandomPlayer("random", 1), MatchSettings(4, 2))
    assert player.faults == 0
    assert player.slowest < 2.0


def test_starting_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "SETUP_SECONDS", 0.3)
    with promptly(), closing(HtpPlayer("htp:x", 'sh -c "sleep 40; true"', 0.1)) as player:
        score = play_match(player, RandomPlayer("random", 1), MatchSettings(4, 4))
    assert player.faults == 4
    assert score.wins == 0


def test_a_command_that_cannot_be_read_is_refused_by_name() -> None:
    with pytest.raises(SettingError, match=r"htp:sh -c .*[Nn]o closing quotation"):
        HtpPlayer('htp:sh -c "sleep', 'sh -c "sleep', 1.0)


def openspiel(simulations: int) -> OpenSpielPlayer:
    pytest.importorskip("pyspiel")
    return OpenSpielPlayer("openspiel:mcts", simulations, 0)


def first_turn(games: int) -> Turn:
    return Turn(Positions.empty(games, 5), torch.arange(games), [()] * games)


def dies(*_: object) -> int:
    os._exit(3)


def test_a_worker_that_dies_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "tree_search_move", dies)
    with (
        closing(openspiel(10)) as player,
        pytest.raises(EngineError, match=r"mcts: .* died") as error,
    ):
        player.choose(first_turn(2))
    assert "\n" not in str(error.value)


def test_workers_take_no_interrupts_and_end_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(active_children())
    player = openspiel(10)
    assert player.choose(first_turn(2)).shape == (2,)
    workers = set(active_children()) - before
    assert workers
    for worker in workers:
        os.kill(worker.pid or 0, signal.SIGINT)
    time.sleep(0.3)
    assert player.choose(first_turn(2)).shape == (2,)

    monkeypatch.setattr(player, "_simulations", 100_000_000)

    def search() -> None:
        with suppress(EngineError):
            player.choose(first_turn(8))

    thread = threading.Thread(target=search)
    thread.start()
    time.sleep(0.5)
    with promptly():
        player.close()
        thread.join()
    assert not workers & set(active_children())


def test_workers_end_with_a_parent_that_is_killed() -> None:
    code = """if __name__ == "__main__":
        import multiprocessing, time
        import torch
        from hex_ai.arena.foreign import OpenSpielPlayer
        from hex_ai.arena.players import Turn
        from hex_ai.game.positions import Positions
        player = OpenSpielPlayer("openspiel:mcts", 10, 0)
        player.choose(Turn(Positions.empty(2, 3), torch.arange(2), [[], []]))
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        time.sleep(60)"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        workers = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert workers
    with promptly():
        while any(alive(worker) for worker in workers):
            time.sleep(0.05)


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_processors_are_counted_where_the_system_does_not_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    with closing(openspiel(10)) as player:
        assert player.name == "openspiel:mcts"
