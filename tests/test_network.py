"""`HexNetwork` and the registry of architectures.

Every random test is seeded. Those with a tolerance compare the same arithmetic in another order;
random weights keep logits below 10, where a float32 resolves 1e-6.
"""

import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from inference_toys import random_network, random_positions, seeded
from torch import Tensor, nn

from hex_ai.errors import SettingError
from hex_ai.game.positions import NEIGHBOURS, Positions
from hex_ai.game.records import MAX_SIZE
from hex_ai.network import architecture as architecture_module
from hex_ai.network.architecture import (
    _ARCHITECTURES,
    architecture,
    architecture_of,
    config_of,
    for_inference,
    load_architecture_module,
    parameter_count,
    register_architecture,
)
from hex_ai.network.resnet import HexConv2d, HexNetwork, NetworkConfig

Evaluation = tuple[Tensor, Tensor]


@torch.no_grad()
def forward(network: nn.Module, planes: Tensor) -> Evaluation:
    logits, values = network(planes)
    return logits, values


def assert_close(one: Evaluation, other: Evaluation, tolerance: float = 1e-5) -> None:
    for first, second in zip(one, other, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=tolerance)


def planes_of(batch: int, size: int, seed: int, device: torch.device) -> Tensor:
    return random_positions(batch, size, seed, device).planes()


def test_one_set_of_weights_plays_every_board_size(device: torch.device) -> None:
    network = random_network(1).to(device)
    for size in range(1, MAX_SIZE + 1):
        logits, values = forward(network, Positions.empty(3, size, device).planes())
        assert logits.shape == (3, size * size)
        assert values.shape == (3,)
        assert bool(logits.isfinite().all())
        assert bool((values.abs() < 1).all())


def test_values_stay_between_the_results(device: torch.device) -> None:
    network = random_network(2).to(device)
    with torch.no_grad():
        network.value[-1].weight.mul_(3)  # type: ignore[operator]
    _, values = forward(network, planes_of(200, 5, 1, device))
    assert float(values.abs().max()) <= 1
    assert float(values.max() - values.min()) > 0.01, "all values alike prove nothing"


@pytest.mark.parametrize("size", [1, 3, 5, 11])
def test_rows_do_not_see_each_other(size: int, device: torch.device) -> None:
    network = random_network(3).to(device)
    planes = planes_of(24, size, 3, device)
    together = forward(network, planes)
    order = torch.randperm(24, generator=seeded(1)).to(device)
    logits, values = forward(network, planes[order])
    assert_close((logits, values), (together[0][order], together[1][order]))
    assert_close(forward(network, planes[5:6]), (together[0][5:6], together[1][5:6]))
    planes[torch.arange(24, device=device) != 5] = torch.nan
    logits, values = forward(network, planes)
    assert_close((logits[5:6], values[5:6]), (together[0][5:6], together[1][5:6]))


def test_what_lies_around_the_planes_does_not_leak_in(device: torch.device) -> None:
    network = random_network(4).to(device)
    planes = planes_of(6, 5, 4, device)
    field = torch.full((8, 4, 15, 15), torch.nan, device=device)
    field[1:7, 1:3, 4:11, 4:11] = planes
    assert_close(forward(network, field[1:7, 1:3, 4:11, 4:11]), forward(network, planes))


def test_far_ends_of_the_board_talk(device: torch.device) -> None:
    """Two 3 × 3 convolutions a block see 2 + 4 cells far; 18 cells need the pooled view."""
    network = random_network(5).to(device)
    empty = Positions.empty(1, 19, device)
    for cell, far in ((0, 360), (360, 0), (18, 342), (342, 18)):
        stone = empty.put(torch.zeros(1, dtype=torch.int64, device=device), empty)
        stone.labels[0, 1 + cell // 19, 1 + cell % 19] = 1
        change = forward(network, stone.planes())[0] - forward(network, empty.planes())[0]
        assert abs(float(change[0, far])) > 1e-5


def test_hexagonal_kernels_leave_the_corners_out(device: torch.device) -> None:
    """A stone changes what a 3 × 3 convolution gives at itself and its six neighbours alone."""
    convolution = HexConv2d(1, 1, 1).to(device)
    convolution.weight.data.fill_(1.0)
    board = torch.zeros(1, 1, 5, 5, device=device)
    board[0, 0, 2, 2] = 1
    changed = convolution(board)[0, 0].nonzero().tolist()
    assert changed == [[1, 2], [1, 3], [2, 1], [2, 2], [2, 3], [3, 1], [3, 2]]
    neighbours = [[row - 2, column - 2] for row, column in changed if [row, column] != [2, 2]]
    assert sorted(neighbours) == sorted(map(list, NEIGHBOURS))


def test_learning_leaves_the_corners_at_0() -> None:
    network = HexNetwork(NetworkConfig(8, 2, hexagonal=True, paths=1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        logits, values = network(planes_of(8, 4, 1, torch.device("cpu")))
        (logits.square().sum() + values.square().sum()).backward()
        optimizer.step()
    kernels = [m.weight for m in network.modules() if isinstance(m, HexConv2d)]
    assert len(kernels) == 8
    for kernel in kernels:
        assert not kernel[:, :, 0, 0].any()
        assert not kernel[:, :, 2, 2].any()
        assert kernel[:, :, 0, 1].all()


def test_the_network_knows_whose_edges_are_whose(device: torch.device) -> None:
    network = random_network(6).to(device)
    planes = Positions.empty(1, 5, device).planes()
    straight, crossed = forward(network, planes), forward(network, planes.mT)
    assert float((straight[0] - crossed[0]).abs().max()) > 1e-3


@pytest.mark.parametrize(
    "shape", [(8, 1), (9, 3), (16, 4), (8, 1, True, 1), (16, 4, True, 2), (9, 3, False, 3)], ids=str
)
def test_folding_the_norms_changes_nothing(shape: tuple[int, ...], device: torch.device) -> None:
    network = random_network(7, *shape).to(device)
    folded = for_inference(deepcopy(network))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert not folded.training
    planes = planes_of(20, 5, 7, device)
    expected = forward(network, planes)
    assert_close(forward(folded, planes), expected)
    assert_close(forward(for_inference(folded), planes), expected)


def test_for_inference_takes_networks_that_cannot_fold() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    assert for_inference(network) is network
    assert not network[1].training


@pytest.mark.parametrize(
    "setting",
    [
        {"channels": 7},
        {"channels": 1025},
        {"channels": 16.0},
        {"channels": "16"},
        {"channels": None},
        {"blocks": 0},
        {"blocks": 101},
        {"blocks": -1},
        {"blocks": 2.0},
        {"hexagonal": 1},
        {"paths": -1},
        {"paths": 65},
        {"paths": True},
    ],
)
def test_settings_outside_their_range_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=next(iter(setting))):
        NetworkConfig(**setting)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=next(iter(setting))):
        architecture("hex-resnet").network(setting)


def test_settings_at_the_ends_of_their_range_are_taken() -> None:
    assert NetworkConfig(8, 1) != NetworkConfig(1024, 100) != NetworkConfig()


def test_settings_change_the_network() -> None:
    sizes = {
        parameter_count(HexNetwork(NetworkConfig(channels, blocks)))
        for channels in (8, 16)
        for blocks in (1, 2)
    }
    assert len(sizes) == 4


def test_parameters_are_counted() -> None:
    assert parameter_count(nn.Linear(3, 2)) == 8
    linear = nn.Linear(3, 2)
    assert parameter_count(nn.ModuleList([linear, linear])) == 8


def test_the_registry_builds_what_it_is_asked_for() -> None:
    network = architecture("hex-resnet").network({"channels": 16, "blocks": 2})
    assert isinstance(network, HexNetwork)
    assert architecture_of(network) is architecture("hex-resnet")
    assert config_of(network) == {"channels": 16, "blocks": 2}
    rebuilt = architecture_of(network).network(config_of(network))
    assert rebuilt.load_state_dict(network.state_dict()).missing_keys == []


def test_the_registry_refuses_what_it_does_not_know() -> None:
    with pytest.raises(SettingError, match=r"no architecture 'nope'; known: .*hex-resnet"):
        architecture("nope")
    with pytest.raises(SettingError, match="'chanels'"):
        architecture("hex-resnet").network({"chanels": 8})
    with pytest.raises(SettingError, match="Linear is not a registered architecture"):
        architecture_of(nn.Linear(2, 2))

    class Derived(HexNetwork):
        """Is built otherwise, so it must not pass for its parent."""

    with pytest.raises(SettingError, match="Derived"):
        architecture_of(Derived(NetworkConfig(8, 1)))


def test_architectures_of_others_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hex_ai.network.architecture._ARCHITECTURES", {})

    @dataclass(frozen=True)
    class Settings:
        width: int

    @register_architecture("linear", Settings)
    class Linear(nn.Linear):
        def __init__(self, config: Settings) -> None:
            super().__init__(config.width, config.width)
            self.config = config

    network = architecture("linear").network({"width": 3})
    assert isinstance(network, Linear)
    assert architecture_of(network).name == "linear"
    assert config_of(network) == {"width": 3}
    with pytest.raises(SettingError, match="settings of linear"):
        architecture("linear").network({})
    with pytest.raises(SettingError, match="known: linear"):
        architecture("hex-resnet")


OWN = """
from dataclasses import dataclass
from torch import nn
from hex_ai.network.architecture import register_architecture

@dataclass(frozen=True)
class Config:
    width: int = 3

@register_architecture("own", Config)
class Own(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
"""


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(architecture_module, "_ARCHITECTURES", dict(_ARCHITECTURES))


@pytest.mark.usefixtures("forgotten")
def test_a_file_of_ones_own_registers_its_architecture(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no architecture 'own'"):
        architecture("own")
    (tmp_path / "my_net.py").write_text(OWN)
    for _ in range(2):
        load_architecture_module(tmp_path / "my_net.py")
    assert architecture("own").network({"width": 5}).config.width == 5


@pytest.mark.usefixtures("forgotten")
def test_a_file_may_register_a_class_that_it_imports(tmp_path: Path) -> None:
    path = tmp_path / "my_net.py"
    path.write_text(
        "from hex_ai.network.architecture import register_architecture\n"
        "from hex_ai.network.resnet import HexNetwork, NetworkConfig\n"
        "register_architecture('imported', NetworkConfig)(HexNetwork)\n"
    )
    for _ in range(2):
        load_architecture_module(path)
    assert architecture("imported").build is HexNetwork


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "is not a Python file"),
        ("x = 1", "registers no architecture"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def", "SyntaxError: "),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
@pytest.mark.usefixtures("forgotten")
def test_a_file_that_is_of_no_use_is_named(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "my_net.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingError, match=re.escape(f"{path}: {reason}")):
        load_architecture_module(path)


@pytest.mark.usefixtures("forgotten")
def test_installed_packages_register_by_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_net.py").write_text(OWN)
    described = tmp_path / "theirs-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Name: theirs\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[hex_ai.architectures]\nown = their_net\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert architecture("own").build.__module__ == "their_net"
    (described / "entry_points.txt").write_text("[hex_ai.architectures]\nown = missing_net\n")
    with pytest.raises(SettingError, match=r"entry point own \(missing_net\): ModuleNotFound"):
        architecture("another")
