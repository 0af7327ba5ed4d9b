"""Growing: a larger network answers as the smaller one did, and all that is new in it can learn."""

from copy import deepcopy

import pytest
import torch
from inference_toys import random_network

from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.network.resnet18 import ResNet18, ResNet18Config
from hex_ai.training.growth import NEW_NETWORK, grown, shaped

Shape = tuple[int, int]

SHAPES = [
    ((8, 3), (8, 3)),
    ((8, 3), (13, 3)),
    ((8, 3), (8, 7)),
    ((9, 6), (20, 9)),
    ((8, 1), (9, 1)),
]


def planes_of(count: int, size: int) -> torch.Tensor:
    positions = Positions.empty(count, size)
    generator = torch.Generator().manual_seed(size)
    for _ in range(size):
        cells = torch.multinomial(positions.legal_moves().float(), 1, generator=generator)
        positions = positions.play(cells[:, 0])
    return positions.planes()


@pytest.mark.parametrize(("small", "large"), SHAPES, ids=str)
def test_a_grown_network_answers_as_before(small: Shape, large: Shape) -> None:
    network = random_network(3, *small)
    before = deepcopy(network.state_dict())
    larger = grown(network, NetworkConfig(*large))
    assert larger.config == NetworkConfig(*large)
    assert not larger.training
    for size in (3, 6):
        planes = planes_of(20, size)
        with torch.no_grad():
            pairs = zip(network(planes), larger(planes), strict=True)
        for one, other in pairs:
            torch.testing.assert_close(one, other)
            assert float(one.std()) > 0
    assert all(torch.equal(before[name], weights) for name, weights in network.state_dict().items())


def test_all_that_is_new_can_learn() -> None:
    """What feeds the old parts moves at once, and what feeds that from the next step on."""
    torch.manual_seed(0)
    larger = grown(random_network(3, 8, 3), NetworkConfig(12, 5)).train()
    before = deepcopy(larger.state_dict())
    optimizer = torch.optim.SGD(larger.parameters(), lr=0.1)
    planes = planes_of(64, 5)
    for _ in range(3):
        logits, values = larger(planes)
        loss = logits.logsumexp(1).mean() - logits[:, 3].mean() + (values - 0.5).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, weights in larger.named_parameters():
        assert float((weights != before[name]).double().mean()) > 0.75, name


def test_shapes_are_those_asked_for() -> None:
    def shape(network: torch.nn.Module) -> NetworkConfig:
        assert isinstance(network, HexNetwork)
        return network.config

    assert shape(shaped(None, None, None)) == NEW_NETWORK
    assert shape(shaped(None, 8, None)) == NetworkConfig(8, NEW_NETWORK.blocks)
    network = random_network(1, 9, 3)
    assert shaped(network, None, None) is network
    assert shape(shaped(network, 11, None)) == NetworkConfig(11, 3)
    assert shape(shaped(network, None, 4)) == NetworkConfig(9, 4)
    other = ResNet18(ResNet18Config())
    assert shaped(other, None, None) is other
    with pytest.raises(SettingError, match="only a HexNetwork can grow"):
        shaped(other, 64, None)


@pytest.mark.parametrize(
    ("small", "large", "said"),
    [
        ((9, 3), (8, 6), "fewer than the 9 and 3"),
        ((8, 3), (9, 2), "fewer than the 8 and 3"),
        ((8, 4), (8, 5), "multiple of 3 blocks can grow, not 4"),
    ],
)
def test_what_cannot_grow_is_refused(small: Shape, large: Shape, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        grown(random_network(1, *small), NetworkConfig(*large))
