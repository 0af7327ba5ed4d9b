"""Operations of a network, and the peak of a device."""

import pytest
import torch
from inference_toys import random_network

from hex_ai.bench import bare_speed
from hex_ai.bench.bare_speed import flops_per_row, matmul_peak


def test_operations_are_those_of_the_layers() -> None:
    """Stem, two convolutions a block, prices, distances, policy and its logit, two pooled views,
    value head."""
    channels, blocks, size, paths = 8, 3, 5, 2
    cells = size * size
    convolutions = 9 * cells * (2 * channels + 2 * blocks * channels**2)
    policy = 9 * cells * (channels * channels // 2 + channels // 2)
    pooled, value = 2 * channels * channels, 2 * channels * channels + channels
    prices, distances = 9 * cells * channels * 2 * paths, 9 * cells * 6 * paths * channels
    both = 2 * (convolutions + policy + pooled + value)
    assert flops_per_row(random_network(1, channels, blocks, paths=0), size) == both
    network = random_network(1, channels, blocks, paths=paths)
    assert flops_per_row(network, size) == both + 2 * (prices + distances)
    assert network.stem.norm is not None
    assert isinstance(network.stem.norm, torch.nn.BatchNorm2d), "the network is left as it was"


def test_the_peak_is_that_of_the_fastest_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which the five looks take 3, 2, 1, 2 and 3 seconds for four products each."""
    looks = iter([0, 3, 0, 2, 0, 1, 0, 2, 0, 3])
    monkeypatch.setitem(bare_speed._PEAK_SIDE, "cpu", 16)
    monkeypatch.setitem(bare_speed._PEAK_PRODUCTS, "cpu", 4)
    monkeypatch.setattr("time.perf_counter", lambda: float(next(looks)))
    assert matmul_peak(torch.device("cpu"), torch.float32) == 4 * 2 * 16**3
    assert not list(looks)
