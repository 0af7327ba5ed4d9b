"""The `openvino` runtime: the same function as in torch, bits that depend on nothing beside a row,
int8 that follows from the network, and what happens where any of it cannot be had."""

import gc
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from inference_toys import random_network, random_positions
from torch import Tensor, nn

from hex_ai.errors import ConversionError, SettingError, StoreError
from hex_ai.inference import inference_plan, kept_conversions, openvino_network, quantization
from hex_ai.inference.inference_plan import InferencePlan, default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.openvino_network import has_openvino
from hex_ai.network import paths
from hex_ai.network.architecture import register_architecture
from hex_ai.network.resnet18 import ResNet18, ResNet18Config
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.training.learner import _plan

pytestmark = pytest.mark.skipif(not has_openvino(), reason="needs OpenVINO")

CPU = torch.device("cpu")
ROOT = Path(__file__).parent.parent


def plan(precision: str = "float32", threads: int = 2) -> InferencePlan:
    chosen = default_plan(CPU, "openvino", precision)
    return InferencePlan(**{**chosen.__dict__, "threads": threads})


def model(network: nn.Module, precision: str = "float32", threads: int = 2) -> ModelInference:
    return ModelInference(deepcopy(network), plan(precision, threads), cache_size=0)


def sees_sides() -> nn.Module:
    torch.manual_seed(3)
    return ResNet18(ResNet18Config()).eval()


@pytest.mark.parametrize(
    ("network", "size"),
    [
        *((random_network(1, 8, 2, paths=2), size) for size in (3, 6, 9)),
        (random_network(2, 16, 3, hexagonal=False, paths=0), 5),
        (random_network(3, 8, 1, paths=1), 13),
        (sees_sides(), 13),
    ],
)
def test_the_converted_network_gives_what_the_original_gives(network: nn.Module, size: int) -> None:
    """To 1e-4: sums are in another order."""
    positions = random_positions(40, size, 5)
    eager = ModelInference(deepcopy(network), default_plan(CPU, "eager", "float32"), cache_size=0)
    converted = model(network)
    assert converted.prepare(size).runtime == "openvino"
    torch.testing.assert_close(
        converted.batch_infer(positions), eager.batch_infer(positions), rtol=1e-4, atol=1e-4
    )


def test_shortest_paths_have_the_same_bits_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    network, positions = random_network(1, 8, 2, paths=2), random_positions(40, 5, 5)
    wanted = model(network).batch_infer(positions)
    monkeypatch.setattr(paths, "has_numba", lambda: False)
    assert all(map(torch.equal, model(network).batch_infer(positions), wanted))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_row_has_the_same_bits_in_every_batch_and_for_every_thread(precision: str) -> None:
    positions = random_positions(150, 4, 6)
    network = random_network(4, 8, 2)
    wanted = model(network, precision, 1).batch_infer(positions)
    for threads in (1, 2, 3):
        asked = model(network, precision, threads)
        for rows in (1, 2, 3, 7, 31, 33, 64, 65, 97, 150):
            found = asked.batch_infer(positions[150 - rows :])
            assert all(map(torch.equal, found, (part[150 - rows :] for part in wanted)))


def test_batches_leave_no_copy_of_an_operation_behind() -> None:
    asked, positions = model(random_network(1, 8, 2, paths=2)), random_positions(40, 5, 5)
    asked.prepare(5)

    def copies() -> int:
        gc.collect()
        kind = openvino_network._distance_operation()
        return sum(type(found) is kind for found in gc.get_objects())

    before = copies()
    for rows in range(1, 40):
        asked.batch_infer(positions[:rows])
    assert copies() == before > 0


def test_batches_are_not_padded() -> None:
    asked = model(random_network(4, 8, 2))
    asked.prepare(4)
    asked.batch_infer(random_positions(150, 4, 6))
    assert asked.stats.padding_rows == 0
    assert asked.stats.network_calls == 1


def test_an_interrupted_batch_leaves_the_next_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    positions, asked = random_positions(300, 4, 6), model(random_network(4, 8, 2))
    wanted = asked.batch_infer(positions)
    with monkeypatch.context() as patch:
        patch.setattr(openvino_network, "_answer", lambda _: 1 / 0)
        with pytest.raises(Exception, match="division"):
            asked.batch_infer(positions)
    assert all(map(torch.equal, asked.batch_infer(positions), wanted))


def test_int8_is_near_float32_and_follows_from_the_network(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    network, positions = random_network(5, 16, 3), random_positions(100, 5, 7)
    float32, int8 = model(network).batch_infer(positions), model(network, "int8")
    frozen = int8.prepare(5)
    assert len(frozen.calibration) == 16
    found = int8.batch_infer(positions)
    assert (found[1] - float32[1]).square().mean().sqrt() < 0.1
    assert not torch.equal(found[0], float32[0])
    monkeypatch.setattr(kept_conversions.KeptConversion, "read", lambda _: None)
    again = model(network, "int8", threads=1)
    assert again.prepare(5).calibration == frozen.calibration
    assert all(map(torch.equal, again.batch_infer(positions), found))
    assert model(random_network(6, 16, 3), "int8").prepare(5).calibration != frozen.calibration
    assert capfd.readouterr() == ("", "")
    assert logging.getLoggerClass() is logging.Logger


def test_int8_that_is_far_off_gives_way_to_float32(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(quantization, "MOST_VALUE_ERROR", -1.0)
    kept = model(random_network(7, 8, 1), "int8").prepare(4)
    assert (kept.runtime, kept.precision, kept.calibration) == ("openvino", "float32", "")
    [message] = [record.message for record in caplog.records]
    assert message.startswith("no int8 network, running in float32: values in int8 are off by 0.")


def test_a_process_stays_as_it_was(tmp_path: Path) -> None:
    """OpenVINO and NNCF have telemetry that their import alone sets going; it is never loaded. And
    a signal on a stack that is gone would end the process, so another one takes it."""
    code = (
        "import gc, signal, sys; sys.path.insert(0, 'tests'); import test_openvino as t;"
        "signal.signal(signal.SIGINT, lambda *_: print('taken'));"
        "first, second = (t.model(t.random_network(k, 8, 1), 'int8') for k in (21, 22));"
        "first.prepare(3), second.prepare(4); del first; gc.collect(); del second; gc.collect();"
        "print('nncf' in sys.modules, sys.modules.get('openvino_telemetry'));"
        "signal.raise_signal(signal.SIGINT)"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=ROOT, text=True, env=environment
    )
    assert (run.returncode, run.stdout) == (0, "True None\ntaken\n")


@dataclass(frozen=True)
class OddConfig:
    """Nothing to choose."""


@register_architecture("test-odd", OddConfig)
class Odd(nn.Module):
    """A network that takes numbers out of its tensors, which nobody can trace."""

    def __init__(self, config: OddConfig) -> None:
        super().__init__()
        self.config, self.bias = config, nn.Parameter(torch.zeros(()))

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        rows = planes.tolist()
        if torch.jit.is_tracing():
            raise ValueError("made by hand")
        return planes[:, 0, 1:-1, 1:-1].flatten(1), torch.tensor([0.5 + self.bias for _ in rows])


@register_architecture("test-adding", OddConfig)
class Adding(Odd):
    """A network of which a trace sees something else."""

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        cells = planes[:, 0, 1:-1, 1:-1].flatten(1)
        added = self.bias + (0 if torch.jit.is_tracing() else 1)
        return cells + added, cells.mean(1) / 2


def test_a_network_that_is_another_once_it_is_converted_runs_eager(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked, positions = model(Adding(OddConfig())), random_positions(9, 4, 1)
    assert asked.prepare(4).runtime == "eager"
    assert asked.batch_infer(positions)[0].min() == 1  # of the original
    [message] = [record.message for record in caplog.records]
    assert message == (
        "no openvino network, running eager: the converted network's answers are off by 1"
    )


@pytest.mark.parametrize("prepares", [True, False])
def test_a_network_that_cannot_be_converted_runs_eager(
    prepares: bool, caplog: pytest.LogCaptureFixture
) -> None:
    asked = model(Odd(OddConfig()))
    if prepares:
        asked.prepare(4)
    values = asked.batch_infer(random_positions(9, 4, 1))[1]
    assert values.tolist() == [0.5] * 9
    assert asked.plan.runtime == "eager"
    [message] = [record.message for record in caplog.records]
    assert message.startswith("no openvino network, running eager: OpenVINO cannot take this")
    assert "made by hand" in message


def test_a_frozen_plan_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for boards of another size, which are converted later."""

    def refuse(*_: Any) -> None:
        raise ConversionError("made by hand")

    asked = model(random_network(8, 8, 1))
    asked.prepare(4)
    monkeypatch.setattr(openvino_network, "converted", refuse)
    with pytest.raises(ConversionError):
        asked.batch_infer(random_positions(9, 5, 1))


@lru_cache
def games_by_default() -> list[tuple[int, list[int]]]:
    return games()


def games(**settings: Any) -> list[tuple[int, list[int]]]:
    choice = {"model": random_network(1, 8, 1), "plan": plan("int8"), "board_size": 4}
    engine = SelfPlayEngine(**{**choice, "games_in_flight": 16, **settings})
    return sorted((game.game_id, game.moves.tolist()) for game in engine.generate_games(40))


@pytest.mark.parametrize(
    "change",
    [{"num_workers": 3}, {"games_in_flight": 5, "cache_size": 0}, {"plan": plan("int8", 1)}],
)
def test_games_depend_on_no_setting_of_speed(change: dict[str, Any]) -> None:
    assert games(**change) == games_by_default()


def test_a_run_goes_on_under_its_own_runtime_only(tmp_path: Path) -> None:
    network = random_network(1, 8, 1)

    def run(number: int, **settings: Any) -> list[Any]:
        engine = SelfPlayEngine(model=network, board_size=3, output_dir=tmp_path, **settings)
        return list(engine.generate_games(number))

    run(2, plan=plan("int8"))
    for other in ({"runtime": "eager"}, {"precision": "float32"}):
        with pytest.raises(StoreError, match=f"{next(iter(other))} is "):
            run(4, resume=True, **other)
    assert len(run(4, resume=True)) == 2
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    for name, wrong in (("runtime_version", "2025.1.0"), ("calibration", "0123456789abcdef")):
        value = SelfPlayEngine(
            model=network, board_size=3, output_dir=tmp_path, resume=True
        ).inference.plan.to_json()[name]
        (tmp_path / "run.json").write_text(text.replace(value, wrong), encoding="utf-8")
        with pytest.raises(StoreError, match=r"runtime_version is|plan cannot be kept"):
            run(6, resume=True)
        (tmp_path / "run.json").write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hex_ai" / "networks"


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[int]]:
    """The shapes of planes that networks are converted for, as it happens."""
    seen: list[Sequence[int]] = []
    convert = openvino_network.converted

    def noted(network: nn.Module, shape: Sequence[int]) -> Any:
        seen.append(shape)
        return convert(network, shape)

    monkeypatch.setattr(openvino_network, "converted", noted)
    return seen


def test_a_network_is_converted_once(
    folder: Path, conversions: list[Sequence[int]], caplog: pytest.LogCaptureFixture
) -> None:
    network, positions = random_network(9, 8, 1), random_positions(20, 4, 2)
    wanted = model(network).batch_infer(positions)
    assert all(map(torch.equal, model(network).batch_infer(positions), wanted))
    assert len(conversions) == len(list(folder.iterdir())) == 1
    model(random_network(10, 8, 1)).prepare(4)  # other weights
    model(network).prepare(5)  # another size
    assert len(conversions) == len(list(folder.iterdir())) == 3
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:-100])
    assert all(map(torch.equal, model(network).batch_infer(positions), wanted))
    assert len(conversions) == 4
    assert "cannot be read, converting the network anew" in caplog.text
    model(network).prepare(4)
    assert len(conversions) == 4


def test_what_was_not_used_longest_goes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch, conversions: list[Sequence[int]]
) -> None:
    networks = [random_network(seed, 8, 1) for seed in (11, 12, 13)]
    model(networks[0]).prepare(4)
    [first] = folder.iterdir()
    os.utime(first, (1, 1))
    monkeypatch.setattr(kept_conversions, "MOST_BYTES", int(2.5 * first.stat().st_size))
    model(networks[1]).prepare(4)
    [second] = set(folder.iterdir()) - {first}
    os.utime(second, (2, 2))
    model(networks[0]).prepare(4)  # used again
    model(networks[2]).prepare(4)
    assert first in folder.iterdir()
    assert second not in folder.iterdir()
    assert len(conversions) == 3


def test_a_folder_that_cannot_be_written_stops_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.parent.write_text("a file", encoding="utf-8")
    assert model(random_network(9, 8, 1)).prepare(4).runtime == "openvino"
    assert "the converted network is not kept" in caplog.text


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "has_nncf", lambda: False)
    with pytest.raises(SettingError, match=r"wants NNCF: pip install 'hex_ai\[openvino\]'"):
        model(random_network(8, 8, 1), "int8")
    monkeypatch.setattr(openvino_network, "has_openvino", lambda: False)
    with pytest.raises(SettingError, match=r"wants OpenVINO: pip install 'hex_ai\[openvino\]'"):
        default_plan(CPU, "openvino")
    monkeypatch.setattr(inference_plan, "has_openvino", lambda: False)
    monkeypatch.setattr(inference_plan, "has_compiler", lambda: False)
    assert default_plan(CPU).runtime == "eager"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"runtime": "eager", "precision": "int8"}, "int8"),
        ({"device": "cuda"}, "openvino"),
        ({"calibration": 7}, "calibration"),
        ({"runtime_version": None}, "runtime_version"),
    ],
)
def test_an_impossible_plan_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingError, match=reason):
        InferencePlan.from_json(plan().to_json() | change)


def test_a_plan_from_before_this_runtime_is_read() -> None:
    old = default_plan(CPU, "eager", "float32")
    written = old.to_json()
    del written["runtime_version"], written["calibration"]
    assert InferencePlan.from_json(written) == old


def test_rounds_on_large_boards_are_played_by_it() -> None:
    eager = default_plan(CPU, "eager", "float32")
    assert [_plan(eager, size).runtime for size in (5, 8, 9, 13)] == ["eager"] * 2 + [
        "openvino"
    ] * 2
    assert _plan(eager, 13).precision == default_plan(CPU).precision
