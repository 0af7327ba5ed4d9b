"""The engine with a real network: the same games in every mode, stored before they are shown.

Everything is seeded, so no test can fail by chance.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from inference_toys import TEST_DEVICE, random_network
from test_selfplay_modes import print_of

from hex_ai import __version__
from hex_ai.bench.measure import run_bench
from hex_ai.bench.modes import LEAST_STEPS, MODES, BenchSettings, SteadyRuns
from hex_ai.errors import HexAIError, NetworkError, SettingError, StoreError
from hex_ai.formats.trmph import write_trmph
from hex_ai.game.records import GameRecord
from hex_ai.inference import planned_network
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.network.checkpoint import network_digest, save_checkpoint
from hex_ai.selfplay import shard_writer
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.store.replay import find_faults
from hex_ai.store.run_folder import read_games, read_run, read_summary, shard_paths
from hex_ai.store.schema import records_of, to_table

Share = Callable[[int, int], int]

PLAN = InferencePlan(TEST_DEVICE, "eager", "float32", (8, 32), 1)


def engine(**settings: Any) -> SelfPlayEngine:
    choice = {"model": random_network(1, 8, 1), "plan": PLAN, "board_size": 4}
    return SelfPlayEngine(**{**choice, "games_in_flight": 16, **settings})


def prints(games: Any) -> list[dict[str, Any]]:
    """All fields of all games, by id. Rows of cells are as wide in each as its longest one."""
    trimmed = [next(records_of(to_table([game]))) for game in games]
    return sorted(map(print_of, trimmed), key=lambda game: int(game["game_id"][1]))


def lines(games: list[GameRecord]) -> list[str]:
    ordered = sorted(games, key=lambda game: game.game_id)
    return [write_trmph(game.board_size, game.moves.tolist(), game.winner) for game in ordered]


MODES_OF_PLAY: list[dict[str, Any]] = [
    {"num_workers": 3},
    {"games_in_flight": 5, "cache_size": 7},
    {"games_in_flight": 60, "cache_size": 0},
    {"games_in_flight": 60, "num_workers": 3, "cache_size": 7, "batch_size": 8},
    {"games_in_flight": 5, "num_workers": 3, "cache_size": 0, "max_batch_delay_ms": 0.5},
    {"deduplicate": False, "cache_size": 0},
]


@pytest.mark.parametrize("size", [4, 5])
def test_the_same_games_in_every_mode(size: int, share: Share) -> None:
    count = share(6, 200)
    network = random_network({4: 2, 5: 1}[size], 8, 1)  # the first makes Blue swap
    want = list(engine(board_size=size, model=network).generate_games(count))
    assert size != 4 or any(game.swapped for game in want)
    assert find_faults(want) == []
    assert [game.game_id for game in sorted(want, key=lambda g: g.game_id)] == list(range(count))
    for mode in MODES_OF_PLAY:
        found = list(engine(board_size=size, model=network, **mode).generate_games(count))
        assert lines(found) == lines(want), mode
        assert prints(found) == prints(want), mode


def test_a_range_of_ids_is_that_part_of_the_run() -> None:
    want = prints(engine().generate_games(12))
    assert prints(engine().generate_games(5, first_game=4)) == want[4:9]
    assert list(engine().generate_games(0)) == []
    for count, first in ((-1, 0), (1, -1)):
        with pytest.raises(SettingError):
            list(engine().generate_games(count, first))
    with pytest.raises(HexAIError):
        list(engine().generate_games(1, 2**63))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_closed_run_goes_on_to_the_same_games(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_writer, "SHARD_GAMES", 3)
    want = prints(engine().generate_games(20))
    playing = engine(output_dir=tmp_path, num_workers=workers).generate_games(20)
    first = [next(playing) for _ in range(4)]
    playing.close()  # type: ignore[attr-defined]
    kept = prints(read_games(tmp_path))
    assert {game.game_id for game in first} <= {int(game["game_id"][1]) for game in kept}
    again = engine(output_dir=tmp_path, resume=True, num_workers=workers, games_in_flight=5)
    assert prints(again.stored_games()) == kept
    rest = prints(again.generate_games(20))
    assert len(kept) + len(rest) == 20
    assert sorted(json.dumps(str(g)) for g in kept + rest) == sorted(
        json.dumps(str(g)) for g in want
    )
    # Complete, it plays nothing; asked for more, it plays what is missing only.
    assert list(engine(output_dir=tmp_path, resume=True).generate_games(20)) == []
    more = list(engine(output_dir=tmp_path, resume=True).generate_games(23))
    assert sorted(game.game_id for game in more) == [20, 21, 22]
    for count, first_game in ((10, 0), (23, 1)):
        with pytest.raises(StoreError, match="which was not asked for"):
            list(engine(output_dir=tmp_path, resume=True).generate_games(count, first_game))


def test_a_game_is_shown_only_once_it_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_writer, "SHARD_GAMES", 4)
    shown = 0
    for game in engine(output_dir=tmp_path).generate_games(13):
        assert game.game_id in {stored.game_id for stored in read_games(tmp_path)}
        shown += 1
    assert shown == 13
    assert len(shard_paths(tmp_path)) > 1


def test_shards_close_by_age_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_writer, "SHARD_SECONDS", 0.0)
    assert len(list(engine(output_dir=tmp_path, games_in_flight=2).generate_games(6))) == 6
    assert len(shard_paths(tmp_path)) > 2


def test_an_exception_of_the_caller_keeps_what_is_finished(tmp_path: Path) -> None:
    games = engine(output_dir=tmp_path, games_in_flight=2).generate_games(6)
    next(games)
    with pytest.raises(ZeroDivisionError):
        games.throw(ZeroDivisionError)  # type: ignore[attr-defined]
    assert len(list(read_games(tmp_path))) == 6  # one shard: all were finished


def test_run_json_says_what_decided_the_games(tmp_path: Path) -> None:
    network = random_network(1, 8, 1)
    settings = {"board_size": 4, "seed": 9, "search_widths": (2, 2), "temperature": 0.5}
    list(engine(model=network, output_dir=tmp_path, **settings).generate_games(2))
    run = read_run(tmp_path)
    assert run is not None
    assert run["network"]["digest"] == network_digest(network)
    assert run["network"]["config"] == {
        "channels": 8,
        "blocks": 1,
        "hexagonal": True,
        "paths": 1,
    }
    wanted = dataclasses.asdict(SelfPlaySettings(**settings))  # type: ignore[arg-type]
    assert run["settings"] == wanted | {"search_widths": [2, 2], "stop": [], "value_weight": "inf"}
    assert InferencePlan.from_json(run["plan"]) == PLAN
    assert (run["package_version"], run["schema_version"]) == (__version__, 1)
    assert {game.network for game in read_games(tmp_path)} == {run["network"]["digest"]}


def test_a_run_goes_on_under_the_plan_it_began_with(tmp_path: Path) -> None:
    list(engine(output_dir=tmp_path).generate_games(2))
    other = InferencePlan(TEST_DEVICE, "eager", "bfloat16", (4,), 1)
    resumed = engine(output_dir=tmp_path, resume=True, plan=other)
    assert resumed.inference.plan == PLAN
    assert prints(resumed.generate_games(6)) == prints(engine().generate_games(6))[2:]


@pytest.mark.parametrize(
    "change",
    [
        *({"torch_version": "1.0"}, {"device": "cuda"}, {"device": "toaster"}, {"shapes": []}),
        *({"orientation": "none"}, {"threads": "two"}, {"precision": "int8"}, {"shapes": None}),
        *({"threads": 10**6}, {"threads": 10**40}, {"threads": True}, {"threads": 1.5}),
        *({"shapes": [10**9]}, {"shapes": [10**40]}, {"shapes": list(range(1, 9999))}),
        *({"precision": {}}, {"runtime": ["eager"]}, {"numerics": []}, {"torch_version": None}),
    ],
    ids=str,
)
def test_a_plan_that_cannot_be_kept_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    if change == {"device": "cuda"} and torch.cuda.is_available():
        pytest.skip("there is one here")
    list(engine(output_dir=tmp_path).generate_games(1))
    path = tmp_path / "run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps(run | {"plan": run["plan"] | change}))
    with pytest.raises(StoreError, match=str(tmp_path)) as refusal:
        list(engine(output_dir=tmp_path, resume=True).generate_games(2))
    assert str(refusal.value).count("\n") == 0


def test_a_finished_run_leaves_a_summary_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the caller takes the games one by one, and on resume."""
    monkeypatch.setattr(shard_writer, "SHARD_GAMES", 2)
    playing = iter(engine(output_dir=tmp_path).generate_games(5))
    games = [next(playing) for _ in range(5)]
    playing.close()  # type: ignore[attr-defined]
    summary = read_summary(tmp_path)
    assert summary is not None
    assert (summary["first_game"], summary["num_games"], summary["games"]["games"]) == (0, 5, 5)
    with pytest.raises(StoreError, match="holds a run already; resume=True goes on with it"):
        engine(output_dir=tmp_path)
    stopped = engine(output_dir=tmp_path, resume=True, games_in_flight=1).generate_games(20)
    next(iter(stopped))
    stopped.close()  # type: ignore[attr-defined]
    assert read_summary(tmp_path) is None
    again = engine(output_dir=tmp_path, resume=True)
    games += list(again.generate_games(20))
    summary = read_summary(tmp_path)
    assert summary is not None
    assert summary["games"] == again.summary.to_json()
    assert summary["games"]["games"] == 20


def test_no_more_games_are_in_flight_than_there_are() -> None:
    many = engine(games_in_flight=2**24, num_workers=1000)
    assert prints(many.generate_games(3)) == prints(engine().generate_games(3))
    assert many.runner.slots(3) == (3, 3)
    assert many.runner.slots(None) == (2**24, 1000)


def test_more_memory_than_there_is_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^16777216 games in flight .* GB of memory") as refusal:
        list(
            engine(board_size=19, games_in_flight=2**24, output_dir=tmp_path).generate_games(2**24)
        )
    assert str(refusal.value).count("\n") == 0
    assert not list(tmp_path.iterdir()), "nothing has begun"


@pytest.mark.parametrize("openvino", [True, False])
def test_a_small_run_does_not_compile_or_calibrate(
    openvino: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hex_ai.inference.inference_plan.has_compiler", lambda: True)
    monkeypatch.setattr("hex_ai.inference.inference_plan.has_openvino", lambda: openvino)
    monkeypatch.setattr("hex_ai.inference.inference_plan.openvino_version", lambda: "2026.4.1")
    monkeypatch.setattr("hex_ai.inference.tuning.has_nncf", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(planned_network, "forward_of", lambda network, _: network)

    def plan(games: int, **change: Any) -> tuple[str, str]:
        """Runtime and precision of a run of so many games, when it is about to start."""
        playing = engine(plan=None, **change)
        monkeypatch.setattr(playing, "prepare", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(playing.generate_games(games))
        return playing.inference.plan.runtime, playing.inference.plan.precision

    if openvino:
        assert plan(3) == ("openvino", "float32")
        assert plan(10**6) == ("openvino", "int8")
        assert plan(3, precision="int8") == ("openvino", "int8")
    else:
        assert plan(3)[0] == "eager"
        assert plan(10**6)[0] == "compiled"
        assert plan(3, runtime="compiled")[0] == "compiled"


@pytest.mark.parametrize("setting", [{"seed": 1}, {"swap": False}, {"model": random_network(2)}])
def test_other_settings_are_refused_on_resume(setting: dict[str, Any], tmp_path: Path) -> None:
    list(engine(output_dir=tmp_path).generate_games(1))
    with pytest.raises(StoreError, match=r"seed|swap|config"):
        list(engine(output_dir=tmp_path, resume=True, **setting).generate_games(2))
    with pytest.raises(StoreError, match="holds a run already"):
        list(engine(output_dir=tmp_path).generate_games(2))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_network_of_nan_stops_the_run_and_breaks_nothing(workers: int, tmp_path: Path) -> None:
    good = engine(output_dir=tmp_path, num_workers=workers, games_in_flight=5)
    forward, calls = good.inference._network._forward, 0

    def failing(planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal calls
        calls += 1
        logits, values = forward(planes)
        return logits, values if calls < 60 else values * torch.nan

    good.prepare()
    good.inference._network._forward = failing
    with pytest.raises(NetworkError, match="not finite"):
        list(good.generate_games(50))
    kept = list(read_games(tmp_path)) if shard_paths(tmp_path) else []
    assert find_faults(kept or list(engine().generate_games(1))) == []
    rest = list(engine(output_dir=tmp_path, resume=True).generate_games(20 + len(kept)))
    want = prints(engine().generate_games(20 + len(kept)))
    assert prints([*kept, *rest]) == want or prints(read_games(tmp_path)) != []
    assert [game.game_id for game in read_games(tmp_path)] == list(range(20 + len(kept)))


STATS = (
    *("games_per_s", "moves_per_s", "requests_per_s", "evaluations_per_s", "mean_batch"),
    *("padding_efficiency", "hit_rate", "work_saved", "network_calls_per_move"),
)


def test_statistics_have_what_the_benchmark_reports() -> None:
    playing = engine()
    assert playing.get_performance_stats()["games"] == 0
    games = list(playing.generate_games(5))
    stats = playing.get_performance_stats()
    assert all(stats[name] > 0 for name in STATS)
    assert "device_utilization" in stats
    assert stats["games"] == 5
    assert stats["moves"] == sum(len(game.moves) for game in games)
    hits = stats["cache_hits"] + stats["duplicate_hits"]
    assert stats["requests"] == stats["evaluations"] + hits
    assert stats["hit_rate"] == hits / stats["requests"]


def test_statistics_of_a_second_call_count_the_same_games_everywhere() -> None:
    playing = engine(swap=False)
    for first in (0, 5):
        games = list(playing.generate_games(5, first))
    stats = playing.get_performance_stats()
    searched = sum(int(game.search.sum()) for game in games)
    assert stats["games"] in (5, 10)
    assert (stats["games"] == 5) == (stats["searched_moves"] == searched)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"bogus": 1}, {"num_workers": 0}, {"games_in_flight": 0}, {"cache_size": -1}),
        *({"device": "x"}, {"precision": "x"}, {"runtime": "x"}, {"board_size": 2}),
        *({"batch_size": 0}, {"max_batch_delay_ms": -1.0}, {"search_widths": ()}),
        *({"num_workers": 2, "batch_size": 0}, {"temperature": float("nan")}),
        *({"num_workers": 2, "max_batch_delay_ms": float("nan")},),
        *({"cache_size": 10**12}, {"games_in_flight": 10**12}),
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    choice = {"plan": None, "runtime": "eager"} | wrong
    with pytest.raises(HexAIError) as refusal:
        list(engine(**choice).generate_games(1))
    assert str(refusal.value).count("\n") == 0


def test_a_checkpoint_plays_as_its_network_does(tmp_path: Path) -> None:
    network = random_network(1, 8, 1)
    path = tmp_path / "net.pt"
    save_checkpoint(path, network, {})
    from_file = SelfPlayEngine(path, plan=PLAN, board_size=4)
    assert prints(from_file.generate_games(4)) == prints(engine().generate_games(4))
    single = engine(use_batched_inference=False)
    assert single.inference.plan.shapes == (1,)
    assert len(list(single.generate_games(2))) == 2


BENCH: dict[str, Any] = {
    "board_size": 3,
    "search_widths": (2, 1),
    "modes": ("cross-game",),
    "seconds": 0.01,
    "games_in_flight": 4,
}


def test_every_setting_of_the_benchmark_is_read() -> None:
    changes = {"board_size": 4, "search_widths": (3, 1), "seed": 2, "repeats": 2}
    settings = BenchSettings(**BENCH | changes | {"modes": MODES[:2]})
    report = run_bench(random_network(1, 8, 1), PLAN, settings)
    assert {name: report[name] for name in changes} == changes | {"search_widths": [3, 1]}
    assert tuple(report["modes"]) == MODES[:2]


def test_games_in_flight_fill_the_batches_of_the_benchmark() -> None:
    settings = BenchSettings(**BENCH | {"games_in_flight": 64})
    report = run_bench(random_network(1, 8, 1), PLAN, settings)
    assert report["modes"]["cross-game"]["mean_batch"] > 8


def test_a_watch_is_open_while_the_clock_runs() -> None:
    """Warm-up comes before it, and at least `LEAST_STEPS` steps of all games fall into it."""
    runs = SteadyRuns(random_network(1, 8, 1), PLAN, BenchSettings(**BENCH))
    evaluated: list[int] = []

    @contextmanager
    def watch() -> Iterator[None]:
        stats = runs._engines["cross-game"].inference.get_performance_stats
        evaluated.append(stats()["evaluations"])
        yield
        evaluated.append(stats()["evaluations"])

    figures = runs.measure("cross-game", watch())
    assert evaluated[0] > 0
    assert evaluated[1] - evaluated[0] == figures["evaluations"]
    assert figures["searched_moves"] >= LEAST_STEPS * BENCH["games_in_flight"]
    assert 0 < figures["network_seconds"] < figures["seconds"]


@pytest.mark.parametrize("name", ["seconds", "repeats", "games_in_flight"])
def test_benchmarks_that_cannot_end_are_refused(name: str) -> None:
    for wrong in (0, -1, float("nan")):
        with pytest.raises(SettingError):
            BenchSettings(**BENCH | {name: wrong})
    with pytest.raises(SettingError):
        BenchSettings(modes=())
