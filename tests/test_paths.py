"""Shortest paths over learnt prices, against Dijkstra's algorithm a cell at a time.

The sums are of the same numbers in another order: a tolerance of 1e-5 is many roundings.
"""

import heapq
import itertools

import pytest
import torch
from inference_toys import random_network, random_positions, seeded
from torch import Tensor

from hex_ai.compilation import has_numba
from hex_ai.game.positions import NEIGHBOURS
from hex_ai.network.paths import (
    OUT_OF_REACH,
    SCALE,
    DistancePlanes,
    ShortestPaths,
    distance_planes,
    edge_distances,
    positive,
)

EDGES = ("top", "bottom", "left", "right")


def dijkstra(prices: Tensor, edge: str) -> Tensor:
    """Distances `[N, N]` of all cells from one edge, for prices `[N, N]`."""
    size = len(prices)
    coordinate, wanted = {"top": (0, 0), "bottom": (0, -1), "left": (1, 0), "right": (1, -1)}[edge]
    cells = list(itertools.product(range(size), range(size)))
    starts = [cell for cell in cells if cell[coordinate] == wanted % size]
    queue = [(float(prices[cell]), cell) for cell in starts]
    heapq.heapify(queue)
    found: dict[tuple[int, int], float] = {}
    while queue:
        distance, cell = heapq.heappop(queue)
        if cell in found:
            continue
        found[cell] = distance
        for near in ((cell[0] + row, cell[1] + column) for row, column in NEIGHBOURS):
            if near in set(cells) - set(found):
                heapq.heappush(queue, (distance + float(prices[near]), near))
    return torch.tensor([[found[row, column] for column in range(size)] for row in range(size)])


def random_prices(size: int, seed: int) -> Tensor:
    """Prices `[N, N, 6, 2, 2]`, some 0 and some out of reach."""
    prices = torch.rand(size, size, 6, 2, 2, generator=seeded(seed)) + 0.5
    kind = torch.rand(size, size, 6, 2, 1, generator=seeded(seed + 1))
    return prices.masked_fill(kind < 0.2, 0.0).masked_fill(kind > 0.85, OUT_OF_REACH)


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_distances_are_those_of_dijkstra(size: int, device: torch.device) -> None:
    prices = random_prices(size, size)
    found = edge_distances(prices.to(device)).cpu()
    with torch.no_grad():
        assert torch.equal(edge_distances(prices.to(device)).cpu(), found)
    assert found.shape == (size, size, 6, 2, 2, 2)
    for row, player, edge, k in itertools.product(range(6), range(2), range(2), range(2)):
        want = dijkstra(prices[:, :, row, player, k], EDGES[2 * player + edge])
        got = found[:, :, row, player, edge, k]
        torch.testing.assert_close(got, want.clamp(max=OUT_OF_REACH), rtol=0, atol=1e-5)


def test_planes_are_distances_and_ways_through() -> None:
    """Own stones are free, the other's are out of reach; a way counts its cell once."""
    stones = torch.zeros(1, 2, 6, 6)
    stones[0, 1, 2, 1:-1] = 1  # the opponent's row keeps the mover from the bottom
    stones[0, 0, 4, 3] = 1
    planes = distance_planes(torch.ones(1, 2, 4, 4), stones)[0] / SCALE
    top, bottom, left, right, mover, opponent = planes
    assert top[0].tolist() == [1, 1, 1, 1]
    assert (top[1:] == OUT_OF_REACH).all()
    assert bottom[3].tolist() == [1, 1, 0, 1]
    assert bottom[2].tolist() == [2, 2, 1, 1]
    assert left[1].tolist() == right[1].tolist() == opponent[1].tolist() == [0, 0, 0, 0]
    assert left[3].tolist()[2] == OUT_OF_REACH
    assert opponent[0].tolist() == [1, 1, 1, 1]
    assert (mover == OUT_OF_REACH).all()


@pytest.mark.skipif(not has_numba(), reason="needs numba")
@pytest.mark.parametrize(("size", "maps"), [(1, 1), (2, 3), (5, 1), (11, 2), (19, 2)])
def test_loops_give_the_bits_of_the_tensors(size: int, maps: int) -> None:
    planes = random_positions(40, size, size).planes()
    prices = 3 * torch.rand(40, 2 * maps, size, size, generator=seeded(size))
    with torch.no_grad():
        found = DistancePlanes()(prices, planes)
        assert torch.equal(found, distance_planes(prices, planes))
    assert len(found.unique()) > 1


def test_every_price_of_an_empty_cell_learns(device: torch.device) -> None:
    prices = (torch.rand(7, 7, 2, 2, 1, generator=seeded(3)) + 0.5).to(device).requires_grad_()
    edge_distances(prices).sum().backward()
    assert prices.grad is not None
    assert bool((prices.grad > 0).all())


def test_prices_are_positive_and_grow() -> None:
    found = positive(torch.linspace(-10, 10, 999))
    assert float(found.min()) > 0
    assert bool((found.diff() > 0).all())
    assert float(positive(torch.zeros(()))) == 0.5


def test_paths_say_nothing_before_they_have_learnt() -> None:
    network = random_network(1, paths=2)
    assert isinstance(network.paths, ShortestPaths)
    with torch.no_grad():
        planes = random_positions(8, 5, 1).planes()
        told = network(planes)
        torch.nn.init.zeros_(network.paths.distances.norm.weight)  # type: ignore[union-attr]
        torch.nn.init.zeros_(network.paths.distances.norm.bias)  # type: ignore[union-attr]
        silent = network(planes)
        network.paths = None
        assert not torch.equal(told[0], silent[0])
        assert torch.equal(silent[0], network(planes)[0])
        assert torch.equal(silent[1], network(planes)[1])
