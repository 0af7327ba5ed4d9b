"""Runs that are killed, interrupted and resumed end with the games of an undisturbed run.

Each run is a process of its own. The moments are seeded, but a busy machine shifts them; what is
asserted holds at every moment, so no test can fail by chance.
"""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from forked import Run
from inference_toys import TEST_DEVICE

from hex_ai.game.records import GameRecord
from hex_ai.network.checkpoint import save_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.store.run_folder import read_games

Share = Callable[[int, int], int]

GAMES = 60


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        path = tmp_path_factory.mktemp("network") / "tiny.pt"
        save_checkpoint(path, HexNetwork(NetworkConfig(8, 1)), {})
    return path


def start(network: Path, folder: Path, *more: str) -> Run:
    """Shards close all the time, so that most moments fall into the writing of one."""
    command = ["selfplay", "--model", str(network), "--out", str(folder), "--resume"]
    plan = ["--device", TEST_DEVICE, "--runtime", "eager", "--precision", "float32"]
    games = ["--num-games", str(GAMES), "--board-size", "3", "--games-in-flight", "6"]
    return Run(*command, *plan, *games, *more, shard_games=3)


def finish(run: Run) -> str:
    """Waits for the end, which must be a good one; returns what was printed."""
    out, err = run.wait()
    assert run.status == 0, err
    return out


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("games-*.parquet"))


def wait_for_shards(run: Run, folder: Path, count: int) -> None:
    """Returns once there are so many shards, or the run has ended."""
    deadline = time.monotonic() + 60
    while run.status is None and len(shards(folder)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def prints(folder: Path) -> list[tuple[int, bytes]]:
    """Ids and moves with values, in stored order."""
    return [print_of(game) for game in read_games(folder)] if shards(folder) else []


def print_of(game: GameRecord) -> tuple[int, bytes]:
    parts = (game.moves, game.values, game.candidate_values, game.policy_probabilities)
    return game.game_id, b"".join(part.tobytes() for part in parts)


@pytest.fixture(scope="module")
def undisturbed(network: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, bytes]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(start(network, folder))
    found = prints(folder)
    assert [game_id for game_id, _ in found] == list(range(GAMES))
    return found


@pytest.mark.timeout(900)
def test_a_killed_run_loses_and_doubles_nothing(
    network: Path, undisturbed: list[tuple[int, bytes]], tmp_path: Path, share: Share
) -> None:
    """Several kills to a run, from first moments to last, with one worker and with three."""
    chance, moments, hits = random.Random(6), share(3, 50), 0
    folder, runs = tmp_path / "0", 0
    while moments:
        workers = str(chance.choice((1, 3)))
        run = start(network, folder, "--num-workers", workers)
        wait_for_shards(run, folder, len(shards(folder)) + chance.randrange(1, 8))
        time.sleep(chance.random() * 0.05)
        before = prints(folder)
        run.send(signal.SIGKILL)
        run.wait()
        moments -= 1
        hits += run.status == -signal.SIGKILL
        # What was there stays, and what is there is right.
        after = prints(folder)
        assert set(before) <= set(after) <= set(undisturbed)
        assert len(set(after)) == len(after)
        if len(after) == GAMES or not moments:
            finish(start(network, folder))
            assert prints(folder) == undisturbed
            assert not list(folder.glob(".hex_ai-*"))
            runs += 1
            folder = tmp_path / str(runs)
    assert hits


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("number", "workers", "status"), [(signal.SIGINT, "3", 130), (signal.SIGTERM, "1", 143)]
)
def test_a_signal_ends_a_run_in_order(
    number: signal.Signals,
    workers: str,
    status: int,
    network: Path,
    undisturbed: list[tuple[int, bytes]],
    tmp_path: Path,
) -> None:
    run = start(network, tmp_path, "--num-workers", workers)
    wait_for_shards(run, tmp_path, 3)
    before = prints(tmp_path)
    started = time.monotonic()
    run.send(number)
    out, err = run.wait()
    assert time.monotonic() - started < 10
    assert run.status == status, err
    (line,) = err.splitlines()
    assert line.startswith("stopped")
    assert str(tmp_path) in line
    assert "--resume" in line
    assert out == ""
    assert set(before) <= set(prints(tmp_path)) <= set(undisturbed)
    assert len(before) < GAMES
    assert not list(tmp_path.glob(".hex_ai-*"))
    assert f"{GAMES} games" in finish(start(network, tmp_path, "--num-workers", workers))
    assert prints(tmp_path) == undisturbed


def test_a_signal_while_it_loads_ends_it_without_a_word() -> None:
    """What it loads first sends the signal."""
    code = (
        "import os, signal, sys; from hex_ai.cli.main import main;"
        "find = lambda *_: os.kill(os.getpid(), signal.SIGINT);"
        "sys.meta_path.insert(0, type('Finder', (), {'find_spec': staticmethod(find)})); main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_signal_without_a_folder_ends_a_run_too(number: signal.Signals, network: Path) -> None:
    code = (
        "import os; from hex_ai.cli.main import main; from hex_ai.selfplay import game_batch;"
        f"step = game_batch.GameBatch.step; kill = lambda: os.kill(os.getpid(), {int(number)});"
        "game_batch.GameBatch.step = lambda self: (kill(), step(self))[1];"
        "main()"
    )
    flags = ["selfplay", "--model", str(network), "--runtime", "eager", "--board-size", "4"]
    run = subprocess.run(
        [sys.executable, "-c", code, *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 128 + number
    assert run.stderr.splitlines() == ["stopped"]
