"""Operations of a network, peak of a device, shares of the wall time."""

import sys
import threading
import time
import types
from typing import Any

import numpy as np
import pytest
import torch
from evaluators import Uniform
from inference_toys import random_network
from torch import Tensor

from hex_ai.bench import wall_shares
from hex_ai.bench.bare_speed import flops_per_row, matmul_peak
from hex_ai.bench.wall_shares import PARTS, WallShares
from hex_ai.game.positions import Positions
from hex_ai.inference.inference_plan import processor_name
from hex_ai.selfplay.game_batch import GameBatch
from hex_ai.selfplay.game_log import GameLog, to_host
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings


def test_operations_are_those_of_the_layers() -> None:
    """Stem, two convolutions a block, policy, policy logit, two pooled views, value head."""
    channels, blocks, size = 8, 3, 5
    cells = size * size
    convolutions = 9 * cells * (2 * channels + 2 * blocks * channels**2)
    policy = 9 * cells * (channels * channels // 2 + channels // 2)
    pooled, value = 2 * channels * channels, 2 * channels * channels + channels
    network = random_network(1, channels, blocks)
    assert flops_per_row(network, size) == 2 * (convolutions + policy + pooled + value)
    assert network.stem.norm is not None
    assert isinstance(network.stem.norm, torch.nn.BatchNorm2d), "the network is left as it was"


def test_the_peak_and_the_name_are_told() -> None:
    assert matmul_peak(torch.device("cpu"), torch.float32) > 1e8
    assert processor_name()


def test_what_makes_records_counts_as_storing(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names that functions have today."""
    for name in wall_shares._LOGGING:
        assert hasattr(GameBatch, name) or hasattr(GameLog, name), name
    seen: list[str | None] = []

    def split(*_: Any, **__: Any) -> list[np.ndarray]:
        seen.append(wall_shares.part_of(sys._getframe(1)))
        raise InterruptedError

    monkeypatch.setattr(np, "split", split)
    working = types.FunctionType(
        (lambda: to_host({"a": torch.ones(2, 3)})).__code__.replace(
            co_name="_play_lane", co_filename=f"{wall_shares._PACKAGE}selfplay/lanes.py"
        ),
        globals(),
    )
    with pytest.raises(InterruptedError):
        working()
    assert seen == ["store"]


class Slow(Uniform):
    """Takes its time in what stands for the rules, and in the collector's own code."""

    def batch_infer(self, positions: Positions) -> tuple[Tensor, Tensor]:
        time.sleep(0.02)
        return super().batch_infer(positions)


@pytest.mark.parametrize("workers", [1, 2])
def test_shares_add_up_to_one_and_go_to_who_takes_the_time(workers: int) -> None:
    """A toy is no network of ours, so what it takes counts as the caller's: the search's."""
    shares = WallShares()
    lanes = Runner(Slow(), SelfPlaySettings(3), games_in_flight=4, workers=workers)
    shares.start()
    for _ in lanes.play(range(20)):
        pass
    found = shares.stop()
    assert tuple(found) == PARTS
    assert sum(found.values()) == pytest.approx(1)
    assert found["search"] > 0.2
    assert (found["waiting"] > 0.2) == (workers == 2)


def test_threads_that_do_not_play_do_not_count() -> None:
    shares, done = WallShares(), threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    shares.start()
    time.sleep(0.1)
    done.set()
    other.join()
    assert set(shares.stop().values()) == {0.0}


def test_stopping_what_never_started_gives_no_shares() -> None:
    assert set(WallShares().stop().values()) == {0.0}
