"""The comparison with other systems keeps its time limit, and says what it leaves out."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks" / "peers"


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules `rounds` and `worker` of the folder, as its command sees them."""
    monkeypatch.syspath_prepend(FOLDER)
    for name in ("common", "worker", "rounds"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import rounds
    import worker

    return rounds, worker


class Clock:
    """Time that passes only where somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def contenders(clock: Clock, peers: Any, seconds: dict[str, float], ended: list[str]) -> Any:
    """A `Worker` whose contenders have two variants, and take so many seconds for each."""
    _, worker = peers

    class Contender:
        def __init__(self, name: str, setup: object) -> None:
            self.name = name

        def ask(self, function: str, *arguments: Any, seconds: float) -> Any:
            if self.name not in seconds_of:
                raise worker.PeerAbsentError(f"{self.name} needs the package x")
            if function != "rates":
                return {"prepare": {}, "variants": [(self.name, "a"), (self.name, "b")]}[function]
            clock.now += min(seconds, seconds_of[self.name])
            if seconds < seconds_of[self.name]:
                raise worker.Late
            return 2.0, 20.0

        def end(self) -> None:
            ended.append(self.name)

    seconds_of = seconds
    return Contender


@pytest.mark.parametrize(
    ("limit", "turns", "left_out"),
    [
        (100.0, {"quick a": 3, "quick b": 3, "slow a": 3, "slow b": 3}, set()),
        (45.0, {"quick a": 2, "slow a": 2, "quick b": 2, "slow b": 1}, {"rounds"}),
        (20.0, {"quick a": 1, "slow a": 1, "quick b": 1, "slow b": 0}, {"rounds"}),
        (12.0, {"quick a": 1, "slow a": 0, "quick b": 0, "slow b": 0}, {"slow", "rounds"}),
        (0.5, {"quick a": 0, "slow a": 0, "quick b": 0, "slow b": 0}, {"quick", "slow"}),
    ],
)
def test_a_comparison_ends_in_time(
    limit: float,
    turns: dict[str, int],
    left_out: set[str],
    peers: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rounds, _ = peers
    clock, ended, told = Clock(), list[str](), list[tuple[float, str]]()
    fake = contenders(clock, peers, {"quick": 1.0, "slow": 12.0}, ended)
    monkeypatch.setattr(rounds, "Worker", fake)
    monkeypatch.setattr(rounds, "time", clock)
    run = rounds.Rounds(None, limit, lambda line: told.append((clock.now, line)))
    run.run(("quick", "absent", "slow"), 3)
    assert clock.now <= limit
    assert ended == ["quick", "absent", "slow"]
    runs = run.measured.runs
    assert {name: len(runs[tuple(name.split())]) for name in turns} == turns
    assert set(run.measured.left_out) - {"absent"} == left_out
    assert "absent: absent needs the package x" in [line for _, line in told]
    rows = [when for when, line in told if "moves/s" in line]
    assert len(rows) == sum(map(len, runs.values()))
    assert rows[:3] == [1.0, 13.0, 14.0][: len(rows)], "each is told as soon as it is measured"


def test_who_does_not_answer_in_time_is_ended(peers: Any) -> None:
    _, worker = peers
    slow = worker.Worker("ours", None)
    started = time.monotonic()
    with pytest.raises(worker.Late):
        slow.ask("prepare", seconds=0.01)
    assert time.monotonic() - started < 20
    with pytest.raises(worker.PeerError, match="ours has died"):
        slow.ask("prepare", seconds=60)


def test_a_peer_that_is_not_installed_is_one_line(
    peers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, worker = peers
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(worker.PeerAbsentError, match=r"^pgx_mctx needs the package jax: see "):
        worker._module("pgx_mctx")
