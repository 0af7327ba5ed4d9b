"""Faults of actors: they hang, want too much memory, are of another kind, or find no place."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

pytest.importorskip("ray")

import ray

from hex_ai.cli.options import count_of_actors
from hex_ai.cli.selfplay import selfplay
from hex_ai.errors import EngineError, MemoryShortError, SettingError
from hex_ai.game.records import GameRecord
from hex_ai.inference.inference_plan import default_plan
from hex_ai.scale import ray_runner
from hex_ai.scale.cluster import connected
from hex_ai.scale.game_actor import as_bytes
from hex_ai.scale.head_count import MEASURED, SETTLING, HeadCount
from hex_ai.scale.ray_runner import Job, RayRunner
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine

PROCESSORS = 2


class Toy:
    """Answers at once with one recorded game under the ids that it is asked for.

    It does without torch, which takes seconds to load. `architectures` is the path of a file: the
    first actor to make it is the one with the fault.
    """

    def begin(self, driver: Any, network: bytes, architectures: str, **given: Any) -> Any:
        self._network, self._in_flight = network, given["options"]["games_in_flight"]
        try:
            Path(architectures).touch(exist_ok=False)
            self._is_first = True
        except FileExistsError:
            self._is_first = False
        self._evaluations = 0
        return {"node": "here", "device": "toy", "probe": b"same", "plan": given["plan"]}

    def exchange(self, ids: Sequence[int], is_last: bool) -> Any:
        if not ids:
            time.sleep(0.05)
        self._evaluations += len(ids)
        return {
            "games": under_ids(self._network, ids) if ids else None,
            "stats": {"evaluations": self._evaluations},
            "searches": 0,
            "waited": 0.0,
        }


def under_ids(game: bytes, ids: Sequence[int]) -> bytes:
    """A recorded game once for each id."""
    table = pa.ipc.open_stream(game).read_all().take([0] * len(ids))
    table = table.set_column(0, table.schema.field(0), pa.array(ids, pa.int64()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


class Hanging(Toy):
    def exchange(self, ids: Sequence[int], is_last: bool) -> Any:
        if self._is_first:
            time.sleep(1000)
        return super().exchange(ids, is_last)


class Hungry(Toy):
    """Has memory for four games in flight."""

    def exchange(self, ids: Sequence[int], is_last: bool) -> Any:
        if self._in_flight > 4:
            raise MemoryShortError(f"{self._in_flight} games in flight want more memory")
        return super().exchange(ids, is_last)


class Blocking(Toy):
    """Finishes games, as play does, only while it has ids for the slots that become free, or has
    been told that no more will come; all but the first to begin are hungry too."""

    def begin(self, *given: Any, **named: Any) -> Any:
        self._held: list[int] = []
        return super().begin(*given, **named)

    def exchange(self, ids: Sequence[int], is_last: bool) -> Any:
        if self._in_flight > 4 and not self._is_first:
            raise MemoryShortError(f"{self._in_flight} games in flight want more memory")
        self._held += ids
        if len(self._held) < 2 * self._in_flight and not is_last:
            return super().exchange([], False)
        ended, self._held = self._held[: self._in_flight], self._held[self._in_flight :]
        if is_last:
            ended, self._held = ended + self._held, []
        return super().exchange(ended, False)


class Insatiable(Toy):
    def exchange(self, ids: Sequence[int], is_last: bool) -> Any:
        raise MemoryShortError("even one game wants more memory")


class Dying(Toy):
    def exchange(self, ids: Sequence[int], is_last: bool) -> Any:
        sys.exit(1)


class Other(Toy):
    def begin(self, *given: Any, **named: Any) -> Any:
        about = super().begin(*given, **named)
        return about if self._is_first else about | {"node": "elsewhere", "probe": b"other"}


@pytest.fixture(scope="module")
def there() -> Iterator[None]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with connected(None, PROCESSORS):
        yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def game() -> bytes:
    engine = SelfPlayEngine(board_size=3, search_widths=(2, 1), runtime="eager")
    return as_bytes(list(engine.generate_games(1)))


@pytest.fixture
def runner_of(there: None, game: bytes, tmp_path: Path) -> Iterator[Any]:
    made: list[RayRunner] = []

    def make(
        kind: type, actors: int | None = 2, in_flight: int = 16, mixed: bool = False
    ) -> RayRunner:
        runner = RayRunner(actors, 1, kind, mixed=mixed)
        engine = SelfPlayEngine(board_size=3, search_widths=(2, 1), runtime="eager")
        options = {"games_in_flight": in_flight, "cache_size": 0}
        plan = default_plan(engine.inference.device, "eager", "float32")
        job = Job(game, tmp_path / "first", plan, engine.settings, options)
        runner.set_job(lambda: job)
        made.append(runner)
        return runner

    yield make
    for runner in made:
        runner.close()


def ids_played(runner: RayRunner, count: int) -> list[int]:
    return [game.game_id for games in runner.play(range(count)) for game in games]


def test_an_actor_that_hangs_is_replaced(
    runner_of: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_runner, "HANGING_SECONDS", 6.0)
    runner = runner_of(Hanging)
    assert sorted(ids_played(runner, 500)) == list(range(500))
    assert runner.report()["lost"] == 1
    assert runner.report()["games_given_back"] == 32  # twice those in flight
    lost = [message for message in caplog.messages if "wait for free" not in message]
    assert lost == ["an actor is lost; its 32 games go to others"]


def test_actors_that_are_short_of_memory_play_fewer_games_at_a_time(
    runner_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    runner = runner_of(Hungry, actors=1, in_flight=8)
    assert sorted(ids_played(runner, 100)) == list(range(100))
    assert runner.report()["lost"] == 1
    told = [message for message in caplog.messages if "memory" in message]
    assert told == ["memory may be short: new actors play half as many games at a time"]


def test_an_actor_that_has_enough_memory_still_gets_enough_games(runner_of: Any) -> None:
    runner = runner_of(Blocking, in_flight=8)
    played = runner.play(iter(range(2**62)))
    while (runner.seats.lost, runner.seats.playing) != (1, 2):
        next(played)
    games = [seat.games for seat in runner.seats.taken]
    until = time.monotonic() + 20
    while time.monotonic() < until:
        next(played)
        more = [seat.games - n for seat, n in zip(runner.seats.taken, games, strict=True)]
        if min(more) > 100:
            break
    played.close()
    assert min(more) > 100


def test_memory_that_does_not_suffice_for_one_game_stops_the_run(runner_of: Any) -> None:
    with pytest.raises(MemoryShortError, match="even one game"):
        ids_played(runner_of(Insatiable, in_flight=1), 100)


def test_actors_that_die_one_after_another_stop_the_run(
    runner_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_runner, "MOST_LOSSES", 2)
    runner = runner_of(Dying)
    with pytest.raises(EngineError, match="3 actors were lost, one after another"):
        ids_played(runner, 100)
    assert runner.report()["actors"] == 0


def test_an_actor_with_other_bits_is_named(runner_of: Any) -> None:
    with pytest.raises(SettingError, match=r"(elsewhere|here) \(toy\) evaluates .* other bits"):
        ids_played(runner_of(Other), 100_000)


def test_games_of_mixed_hardware_say_what_they_were_played_on(runner_of: Any) -> None:
    runner = runner_of(Other, mixed=True)
    played = runner.play(iter(range(2**62)))
    games = list[GameRecord]()
    until = time.monotonic() + 60
    while len({game.plan for game in games}) < 2 and time.monotonic() < until:
        games += next(played)
    played.close()
    one, other = sorted({game.plan for game in games})
    assert one != other
    marks = [json.loads(text) for text in (one, other)]
    assert {mark.pop("answers") for mark in marks} == {digest(b"same"), digest(b"other")}
    assert marks[0] == marks[1]
    assert marks[0]["device_name"] == "toy"
    assert marks[0]["runtime"] == "eager"


def test_mixed_hardware_is_for_actors() -> None:
    with pytest.raises(SettingError, match="--mixed-hardware is for actors"):
        selfplay(mixed_hardware=True)


def digest(answers: bytes) -> str:
    return hashlib.sha256(answers).hexdigest()[:16]


def test_actors_that_find_no_place_wait_and_are_not_lost(
    runner_of: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_runner, "HANGING_SECONDS", 1.0)
    runner = runner_of(Toy, actors=PROCESSORS + 2)
    played = runner.play(iter(range(2**62)))  # without an end
    until = time.monotonic() + 60
    while runner.seats.playing < PROCESSORS and time.monotonic() < until:
        next(played)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        next(played)
    report = runner.report()
    played.close()
    assert (report["playing"], report["actors"]) == (PROCESSORS, PROCESSORS + 2)
    assert report["lost"] == 0
    assert caplog.messages == ["actors wait for free processors"]


def test_the_second_play_counts_from_the_start_and_keeps_its_actors(runner_of: Any) -> None:
    runner = runner_of(Toy)
    for count in (50, 70):
        assert sorted(ids_played(runner, count)) == list(range(count))
        assert runner.seats.count("evaluations") == count
        assert runner.report()["nodes"]["here"]["games"] == count
    assert runner.report()["lost"] == 0


def test_actors_come_and_go_as_many_as_are_wanted(runner_of: Any) -> None:
    class Wish:
        wanted, room, playing = 1, 9, 0

        def seen(self, playing: int, searches: int) -> None:
            self.playing = playing

    runner = runner_of(Toy, actors=None)
    wish = runner._head_count = Wish()
    played, found = runner.play(iter(range(2**62))), list[int]()
    for wish.wanted in (1, 2, 1):
        until = time.monotonic() + 60
        while wish.playing != wish.wanted and time.monotonic() < until:
            found += [game.game_id for game in next(played)]
        assert wish.playing == wish.wanted == len(runner.seats.taken)
    for _ in range(20):  # what the one that went has not finished is for the other
        found += [game.game_id for game in next(played)]
    played.close()
    assert len(set(found)) == len(found)
    assert set(range(max(found) - 100)) <= set(found)
    assert runner.report()["lost"] == 0


@pytest.mark.parametrize(("gain", "wanted"), [(1.9, 8), (1.01, 4)])
def test_half_as_many_play_on_where_more_are_no_faster(gain: float, wanted: int) -> None:
    now, searches = 0.0, 0.0
    count = HeadCount(8, lambda: now)
    seen = [count.wanted]
    while not count.found:
        playing = count.wanted if now % 30 > 3 else 0  # those that come take their time
        searches += 100 * (gain if playing == 8 else 1.0)
        now += 1.0
        count.seen(playing, int(searches))
        seen.append(count.wanted)
    assert sorted(set(seen)) == [4, 8]
    assert count.wanted == wanted
    assert 2 * (SETTLING + MEASURED) < now < 4 * (SETTLING + MEASURED)
    count.room = 20
    assert count.wanted == (20 if wanted == 8 else 10)


@pytest.mark.parametrize(
    ("said", "has_token", "mode"),
    [(None, False, None), (None, True, "token"), ("disabled", True, "disabled")],
)
def test_a_token_that_is_there_is_sent(
    said: str | None, has_token: bool, mode: str | None, tmp_path: Path
) -> None:
    """Ray reads the mode as it is loaded, so it is set before."""
    if has_token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    surroundings = {name: value for name, value in os.environ.items() if "RAY" not in name}
    surroundings |= {"HOME": str(tmp_path)} | ({"RAY_AUTH_MODE": said} if said else {})
    code = """
import os, sys, hex_ai.scale
assert "ray" not in sys.modules
print(os.environ.get("RAY_AUTH_MODE"))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], env=surroundings, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == str(mode)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "9" * 30, "000000001999", "²", ""])
def test_a_wrong_number_of_actors_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"--actors .*: want auto, or 1 to 100000"):
        count_of_actors(text)


def test_a_number_of_actors_is_read() -> None:
    assert [count_of_actors(text) for text in ("3", "auto", None)] == [3, None, None]
