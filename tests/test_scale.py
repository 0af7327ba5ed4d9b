"""Play by actors: leases, an actor by itself, and real actors of Ray that are killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("ray")

from ray_actors import actors, eventually

from hex_ai.errors import NetworkError, RecordError, SettingError
from hex_ai.game.records import GameRecord
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.scale.engine import rounds_by_actors
from hex_ai.scale.game_actor import GameActor, as_bytes, from_bytes, versions
from hex_ai.scale.leases import Leases, game_digest
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.store.run_folder import GameStore, load_games, read_games, shard_paths, write_shard
from hex_ai.training.learn import learn
from hex_ai.training.learner import Round
from hex_ai.web.run_games import as_parquet

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-c", "from hex_ai.cli.main import main; main()"]
SIZE, GAMES = 3, 40
SELDOM = pytest.mark.skipif(os.environ.get("HEX_AI_TEST_ALL") != "1", reason="takes minutes")


@pytest.fixture(scope="module")
def engine() -> SelfPlayEngine:
    return SelfPlayEngine(board_size=SIZE, search_widths=(2, 1), runtime="eager", seed=5)


@pytest.fixture(scope="module")
def alone(engine: SelfPlayEngine) -> dict[int, bytes]:
    """The games of one process, by their digests."""
    return {game.game_id: game_digest(game) for game in engine.generate_games(GAMES)}


def begun(engine: SelfPlayEngine, **changes: Any) -> GameActor:
    actor = GameActor()
    begin(actor, engine, **changes)
    return actor


def begin(actor: GameActor, engine: SelfPlayEngine, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "driver": versions(),
        "network": default_model_path().read_bytes(),
        "architectures": "",
        "plan": engine.inference.plan.to_json(),
        "settings": {"board_size": SIZE, "search_widths": (2, 1), "seed": 5},
        "options": {"games_in_flight": 8, "cache_size": 1000, "mixed_hardware": 0},
    }
    return actor.begin(**given | changes)


def fetched(actor: GameActor, ids: list[int], count: int) -> list[GameRecord]:
    """So many finished games of an actor that is sent these ids."""
    found: list[GameRecord] = []
    answer = actor.exchange(ids, True)
    until = time.monotonic() + 60
    while len(found) < count and time.monotonic() < until:
        found += from_bytes(answer["games"]) if answer["games"] else []
        answer = actor.exchange([], False)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_lost_every_game_is_finished_once(seed: int) -> None:
    rng = random.Random(seed)
    games = {n: _Game(n) for n in range(rng.randrange(200))}
    leases = Leases(games)
    holders = {name: list[int]() for name in range(3)}
    finished: list[int] = []
    while not leases.done:
        name = rng.choice(list(holders))
        match rng.randrange(5):
            case 0:
                assert leases.give_back(name) == len(holders[name])
                # What it has finished may still arrive.
                del holders[name]
                holders[max(holders, default=0) + name + 1] = []
            case 1 | 2:
                holders[name] += leases.take(name, rng.randrange(1, 20))
            case _:
                for game_id in holders[name][: rng.randrange(20)]:
                    assert leases.finish(name, games[game_id])
                    holders[name].remove(game_id)
                    finished.append(game_id)
        assert leases.held(name) == len(holders.get(name, ()))
    assert sorted(finished) == list(games)


def test_a_game_that_comes_twice_must_be_the_same(engine: SelfPlayEngine) -> None:
    first, second = sorted(engine.generate_games(2), key=lambda game: game.game_id)
    leases = Leases(range(2))
    leases.take("one", 2)
    assert leases.give_back("one") == 2
    assert len(leases.take("two", 2)) == 2
    # The one that was thought to be lost answers, and both games come again.
    assert leases.finish("one", first)
    assert not leases.finish("two", first)
    assert leases.finish("two", second)
    assert not leases.held("two")
    other = GameRecord(**vars(second) | {"game_id": first.game_id})
    with pytest.raises(RecordError, match=f"game {first.game_id} was played twice"):
        leases.finish("one", other)


def test_games_of_one_id_from_unlike_hardware_may_differ(engine: SelfPlayEngine) -> None:
    (first, second) = engine.generate_games(2)
    leases = Leases(range(2))
    leases.take("one", 2)
    leases.give_back("one")
    here = replace(first, game_id=0, plan="here")
    assert leases.finish("one", here)
    assert not leases.finish("two", replace(second, game_id=0, plan="there"))
    with pytest.raises(RecordError, match="game 0 was played twice"):
        leases.finish("two", replace(second, game_id=0, plan="here"))


def test_an_actor_may_go_on_under_a_plan_of_its_own(
    engine: SelfPlayEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(model: ModelInference, size: int) -> InferencePlan:
        model._network.plan = model.plan.with_shapes((64,))
        return model.plan

    monkeypatch.setattr(ModelInference, "prepare", prepare)
    with pytest.raises(SettingError, match="cannot be kept"):
        begun(engine)
    options = {"games_in_flight": 8, "cache_size": 1000, "mixed_hardware": 1}
    about = begin(GameActor(), engine, options=options)
    assert about["plan"] == engine.inference.plan.to_json() | {"shapes": [64]}
    assert len(about["probe"]) == 8 * (SIZE**2 + 1) * 4


def test_stored_games_keep_the_plan_of_mixed_hardware(
    engine: SelfPlayEngine, tmp_path: Path
) -> None:
    games = sorted(engine.generate_games(4), key=lambda game: game.game_id)
    plain = SelfPlayEngine(board_size=SIZE, output_dir=tmp_path).run_description()
    marked = [replace(game, plan='{"device_name": "x"}') for game in games[:2]]
    with GameStore(tmp_path, plain) as store:
        store.write(marked)
        store.write(games[2:])
    back = list(read_games(tmp_path))
    assert [game.plan for game in back] == ['{"device_name": "x"}'] * 2 + [""] * 2
    assert list(map(game_digest, back)) == list(map(game_digest, marked + games[2:]))
    assert load_games(tmp_path).game_ids.tolist() == [0, 1, 2, 3]


def test_a_game_that_nobody_asked_for_is_refused(engine: SelfPlayEngine) -> None:
    first, second = sorted(engine.generate_games(2), key=lambda game: game.game_id)
    leases = Leases(range(2))
    leases.take("one", 1)
    assert leases.finish("one", first)
    for game, holder in ((first, "one"), (second, "one"), (second, "two")):
        with pytest.raises(RecordError, match=f"game {game.game_id} came from where"):
            leases.finish(holder, game)


def test_an_actor_plays_the_games_of_one_process(
    engine: SelfPlayEngine, alone: dict[int, bytes]
) -> None:
    actor = begun(engine)
    games = fetched(actor, [7, 3, 30, *range(10, 20)], 13)
    # After a last one more may come: those that another actor has lost.
    games += fetched(actor, [1, 2], 2)
    assert {game.game_id: game_digest(game) for game in games} == {
        n: alone[n] for n in (1, 2, 3, 7, 30, *range(10, 20))
    }
    assert actor.exchange([], False)["searches"] >= 100


def test_records_travel_unchanged(engine: SelfPlayEngine) -> None:
    games = list(engine.generate_games(5))
    back = list(from_bytes(as_bytes(games)))
    assert list(map(game_digest, back)) == list(map(game_digest, games))
    for game, other in zip(games, back, strict=True):
        for name, value in vars(game).items():
            assert np.array_equal(value, getattr(other, name)), name


def test_an_actor_of_another_version_refuses(engine: SelfPlayEngine) -> None:
    for name in versions():
        with pytest.raises(SettingError, match=rf"has {name} .*, and the run {name} 0\.0"):
            begun(engine, driver=versions() | {name: "0.0"})


def test_what_stops_the_play_is_told_in_the_next_call(
    engine: SelfPlayEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(ids: Iterator[int]) -> Iterator[list[GameRecord]]:
        raise NetworkError(f"no game {next(ids)}")
        yield

    actor = begun(engine)
    monkeypatch.setattr(actor._runner, "play", broken)
    with pytest.raises(NetworkError, match="no game 4"):
        fetched(actor, [4], 1)


class _Game:
    """Stands for a record: nothing but this is looked at."""

    plan = ""

    def __init__(self, game_id: int) -> None:
        self.game_id = game_id


@pytest.fixture(autouse=True)
def digest_of_toys(monkeypatch: pytest.MonkeyPatch) -> None:
    def digest(game: Any) -> bytes:
        return str(game.game_id).encode() if isinstance(game, _Game) else game_digest(game)

    monkeypatch.setattr("hex_ai.scale.leases.game_digest", digest)


def selfplay(folder: Path, *flags: str) -> "subprocess.Popen[str]":
    tiny = f"--board-size {SIZE} --search-widths 2,1 --seed 5 --runtime eager --out {folder}"
    command = [*COMMAND, "selfplay", *tiny.split(), *flags]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_games_of_actors_that_are_killed_are_those_of_one_process(
    tmp_path: Path, share: Callable[[int, int], int]
) -> None:
    games, kills = share(600, 1500), share(1, 3)
    flags = ("--num-games", str(games), "--games-in-flight", "16")
    alone = selfplay(tmp_path / "alone", *flags)
    many = selfplay(tmp_path / "many", *flags, "--actors", "2")
    for _ in range(kills):
        victim = eventually(lambda: actors(many.pid))[0]
        eventually(lambda: list((tmp_path / "many").glob("*.parquet")) or many.poll() is not None)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda victim=victim: victim not in actors(many.pid))
    seen = actors(many.pid)
    _, err = many.communicate(timeout=120)
    assert many.returncode == 0, err
    assert "Traceback" not in err
    assert "an actor is lost" in err
    eventually(lambda: not any(Path(f"/proc/{process}").exists() for process in seen))
    alone.communicate(timeout=120)
    assert alone.returncode == 0
    found = [
        {game.game_id: game_digest(game) for game in read_games(tmp_path / name)}
        for name in ("alone", "many")
    ]
    assert found[0] == found[1]
    assert len(found[0]) == games
    assert json.loads((tmp_path / "many" / "summary.json").read_text())["performance"][
        "evaluations"
    ]


@pytest.mark.parametrize(("size", "kills"), [(3, 1), pytest.param(5, 3, marks=SELDOM)])
def test_weights_learnt_from_the_games_of_actors_are_those_of_one_process(
    size: int, kills: int, tmp_path: Path
) -> None:
    """In turns and while the next round is played; an actor is killed after each round but one."""
    rounds = list[int]()

    def kill_one(done: Round, _: float) -> None:
        rounds.append(done.number)
        if done.number > kills:
            return
        os.kill(random.Random(done.number).choice(eventually(actors)), signal.SIGKILL)

    learnt = list[str]()
    with rounds_by_actors(2, address=None, architectures=None) as players:
        for overlap in (False, True):
            options: dict[str, Any] = {"board_sizes": (size,), "games": 128 * (kills + 1)}
            options |= {"channels": 8, "blocks": 1, "overlap": overlap}
            one, other = tmp_path / f"alone {overlap}", tmp_path / f"many {overlap}"
            alone = learn(one, **options)
            many = learn(other, **options, players=players, report=kill_one)
            digests = [load_checkpoint(found.network).digest for found in (alone, many)]
            assert digests[0] == digests[1]
            learnt += digests
            games = [
                list(map(game_digest, read_games(folder / "games" / f"{size}x{size}")))
                for folder in (one, other)
            ]
            assert games[0] == games[1]
    assert rounds == [*range(1, kills + 2)] * 2
    assert len(set(learnt)) == 2


def test_all_games_of_mixed_hardware_can_be_downloaded(
    engine: SelfPlayEngine, tmp_path: Path
) -> None:
    games = list(engine.generate_games(4))
    marked = [replace(game, plan="elsewhere") for game in games[:2]]
    for number, some in enumerate((games[2:], marked)):
        write_shard(tmp_path, number, some)
    data = b"".join(as_parquet(shard_paths(tmp_path)))
    table = pq.read_table(pa.BufferReader(data))
    assert table["game_id"].to_pylist() == [game.game_id for game in games[2:] + games[:2]]
    assert table["plan"].to_pylist() == [None, None, "elsewhere", "elsewhere"]
