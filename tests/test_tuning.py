"""Tuning: the best way is found, remembered for this machine and network, and used by runs."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from inference_toys import random_network
from torch import Tensor, nn

from hex_ai.errors import StoreError
from hex_ai.inference import runtimes, tuning
from hex_ai.inference.inference_plan import InferencePlan, default_plan
from hex_ai.inference.openvino_network import has_openvino
from hex_ai.inference.tuning import (
    Tuned,
    plan_for,
    plan_for_games,
    remember,
    remembered_plan,
    tune,
)
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine

CPU = torch.device("cpu")
NETWORK = random_network(1, 8, 1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tuning, "has_compiler", lambda: False)
    monkeypatch.setattr(tuning, "has_openvino", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path / "hex_ai"


def tuned(**change: Any) -> Tuned:
    """A plan that nobody would choose by default."""
    fields = {"runtime": "eager", "precision": "bfloat16", "shapes": (3, 5)} | change
    plan = InferencePlan("cpu", threads=torch.get_num_threads(), **fields)
    return Tuned(plan, {("eager", "bfloat16"): {3: 1.0, 5: 2.0}})


def test_a_plan_is_measured_remembered_and_used(cache: Path) -> None:
    told: list[str] = []
    found = tune(NETWORK, CPU, 3, 0.002, told.append)
    assert told[0] == "eager float32"
    assert all(rate > 0 for rates in found.rates.values() for rate in rates.values())
    assert set(found.plan.shapes) <= set(tuning.SIZES["cpu"])
    assert remembered_plan(NETWORK, CPU) is None
    path = remember(NETWORK, CPU, tuned())
    assert path.parent == cache
    assert remembered_plan(NETWORK, CPU) == tuned().plan
    assert SelfPlayEngine(model=NETWORK, board_size=3).inference.plan == tuned().plan


@pytest.mark.skipif(not has_openvino(), reason="needs OpenVINO")
def test_openvino_is_measured_in_each_of_its_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "has_openvino", lambda: True)
    monkeypatch.setattr(tuning, "multiplies_bfloat16", lambda _: True)
    found = tune(NETWORK, CPU, 3, 0.002)
    measured = {precision for runtime, precision in found.rates if runtime == "openvino"}
    assert measured >= {"float32", "bfloat16"}
    if found.plan.runtime == "openvino":
        assert found.plan.shapes == default_plan(CPU, "openvino").shapes
    fastest = Tuned(default_plan(CPU, "openvino"), {})
    remember(NETWORK, CPU, fastest)
    assert plan_for(NETWORK, "cpu", "auto", "auto") == fastest.plan
    monkeypatch.setattr("hex_ai.inference.inference_plan.openvino_version", lambda: "2027.0.0")
    assert remembered_plan(NETWORK, CPU) is None


@pytest.mark.skipif(not has_openvino(), reason="needs OpenVINO")
@pytest.mark.parametrize("nncf", [True, False])
def test_self_play_takes_int8_where_it_can_and_nobody_chose(
    nncf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "has_nncf", lambda: nncf)
    by_default = default_plan(CPU).precision
    asked = plan_for_games(NETWORK, "cpu", "auto", "auto")
    assert (asked.runtime, asked.precision) == ("openvino", "int8" if nncf else by_default)
    assert plan_for(NETWORK, "cpu", "auto", "auto").precision == by_default
    assert plan_for_games(NETWORK, "cpu", "auto", "float32").precision == "float32"
    assert plan_for_games(NETWORK, "cpu", "eager", "auto").precision == by_default
    remember(NETWORK, CPU, tuned())
    assert plan_for_games(NETWORK, "cpu", "auto", "auto") == tuned().plan


def test_a_plan_is_for_what_it_was_measured_on(monkeypatch: pytest.MonkeyPatch) -> None:
    remember(NETWORK, CPU, tuned())
    assert plan_for(NETWORK, "auto", "eager", "bfloat16") == tuned().plan
    assert plan_for(NETWORK, "auto", "auto", "float32") == default_plan(CPU, "auto", "float32")
    assert plan_for(NETWORK, "cpu", "compiled", "auto").runtime == "compiled"
    assert remembered_plan(random_network(1, 16, 1), CPU) is None
    assert remembered_plan(random_network(2, 8, 1), CPU) == tuned().plan
    monkeypatch.setattr(tuning, "device_name", lambda _: "another")
    assert remembered_plan(NETWORK, CPU) is None


@pytest.mark.parametrize("part", ["torch_version", "numerics", "orientation"])
def test_a_plan_of_another_torch_or_rule_is_not_used(part: str) -> None:
    remember(NETWORK, CPU, tuned(**{part: "another"}))
    assert remembered_plan(NETWORK, CPU) is None


def test_nobody_needs_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert remembered_plan(NETWORK, CPU) is None
    with pytest.raises(StoreError, match="no home folder"):
        remember(NETWORK, CPU, tuned())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"plan": {"device": "cpu"}}', '{"plan": 3}', "[" * 10**5, "\xff"]
)
def test_a_damaged_file_is_named_and_passed_over(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = remember(NETWORK, CPU, tuned())
    path.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert remembered_plan(NETWORK, CPU) is None
    assert str(path) in caplog.text


@pytest.mark.parametrize(
    "change",
    [{"threads": 10**6}, {"threads": 77}, {"device": "cuda"}, {"shapes": [10**9]}],
    ids=str,
)
def test_a_plan_for_something_else_is_passed_over(
    change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = remember(NETWORK, CPU, tuned())
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"plan": data["plan"] | change}))
    with caplog.at_level(logging.WARNING):
        assert remembered_plan(NETWORK, CPU) is None
    assert str(path) in caplog.text


def test_a_folder_that_cannot_be_is_an_error(cache: Path) -> None:
    cache.write_text("not a folder")
    with pytest.raises(StoreError, match=str(cache)):
        remember(NETWORK, CPU, tuned())


def test_what_cannot_be_compiled_is_not_measured_as_if(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: nn.Module, on_gpu: bool) -> Any:
        def forward(_: Tensor) -> None:
            raise RuntimeError("no such compiler")

        return forward

    monkeypatch.setattr(tuning, "has_compiler", lambda: True)
    monkeypatch.setattr(runtimes, "_compiled", broken)
    found = tune(NETWORK, CPU, 3, 0.002)
    assert {runtime for runtime, _ in found.rates} == {"eager"}


@pytest.mark.parametrize(
    ("rates", "shapes"),
    [
        ({16: 10.0, 32: 20.0, 64: 30.0}, (16, 32, 64)),
        ({16: 10.0, 32: 29.9, 64: 30.0}, (16, 32)),
        ({16: 31.0, 32: 29.9, 64: 30.0}, (16,)),
    ],
)
def test_larger_batches_must_be_worth_it(rates: dict[int, float], shapes: tuple[int, ...]) -> None:
    assert tuning._shapes_worth_padding(rates) == shapes
