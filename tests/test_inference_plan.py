"""The inference plan: what is refused, what `prepare` freezes, and what a failing network does.

Nothing here is random but seeded positions, and all is compared exactly.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from inference_toys import HashNetwork, random_network, random_positions
from torch import Tensor, nn

from hex_ai.errors import NetworkError, SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.inference_plan import (
    NUMERICS_RULE,
    InferencePlan,
    default_plan,
    resolve_device,
)
from hex_ai.inference.model_inference import ModelInference
from hex_ai.selfplay.selfplay_engine import DEFAULT_GAMES_IN_FLIGHT


def plan_for(device: torch.device, *shapes: int) -> InferencePlan:
    return default_plan(device, runtime="eager", precision="float32").with_shapes(shapes)


@pytest.fixture
def plan() -> InferencePlan:
    return plan_for(torch.device("cpu"), 8, 32, 128)


def test_a_plan_survives_json(plan: InferencePlan) -> None:
    assert InferencePlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    other = InferencePlan("cuda", "compiled", "bfloat16", (64,), 3, "2.10.0")
    assert InferencePlan.from_json(json.loads(json.dumps(other.to_json()))) == other
    assert other.dtype == torch.bfloat16


@pytest.mark.parametrize(
    "wrong",
    [
        {"runtime": "fast"},
        {"precision": "float16"},
        {"shapes": []},
        {"shapes": [0, 8]},
        {"shapes": [-8]},
        {"shapes": [8, 8]},
        {"shapes": [32, 8]},
        {"shapes": 8},
        {"shapes": None},
        {"shapes": "ab"},
        {"shapes": [8, "32"]},
        {"shapes": [8.5, 32]},
        {"speed": 1},
        {"device": "abacus"},
        {"threads": 0},
        {"runtime": "graph"},
        {"threads": "two"},
    ],
)
def test_a_bad_plan_is_refused(plan: InferencePlan, wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        InferencePlan.from_json(plan.to_json() | wrong)


@pytest.mark.parametrize(
    "field", ["device", "shapes", "threads", "torch_version", "orientation", "numerics"]
)
def test_a_plan_with_a_field_missing_is_refused(plan: InferencePlan, field: str) -> None:
    data = plan.to_json()
    del data[field]
    with pytest.raises(SettingError):
        InferencePlan.from_json(data)


@pytest.mark.parametrize("data", [None, [], "plan", 3])
def test_what_is_no_plan_at_all_is_refused(data: Any) -> None:
    with pytest.raises(SettingError):
        InferencePlan.from_json(data)


def test_devices_are_resolved_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"cuda": False}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there["cuda"])
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(SettingError, match="'cuda' is not available"):
        resolve_device("cuda")
    for unknown in ("abacus", "", "CPU", "mps"):
        with pytest.raises(SettingError, match="auto, cpu, cuda"):
            resolve_device(unknown)
    for numbered in ("cuda:0", "cuda:1"):
        with pytest.raises(SettingError, match=f"^device '{numbered}' is not available on this"):
            resolve_device(numbered)
    for odd in ("cuda:", "cuda:-1", "cuda:01", "cuda:x", "cpu:0", "cuda:1234"):
        with pytest.raises(SettingError, match="is not one of auto, cpu, cuda, cuda:1 and so on"):
            resolve_device(odd)
    there["cuda"] = True
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(SettingError, match=r"^device 'cuda:2' is not available: .* has 2 GPUs"):
        resolve_device("cuda:2")


def test_a_plan_runs_on_any_gpu_and_records_the_kind() -> None:
    plan = default_plan(torch.device("cuda", 1), precision="float32")
    assert (plan.device, plan.kind, plan.runtime) == ("cuda:1", "cuda", "graph")
    recorded = InferencePlan.from_json(plan.to_json())
    assert recorded.device == "cuda"
    assert recorded.on(torch.device("cuda", 1)) == plan


def test_the_default_plan_follows_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for precision in ("float32", "bfloat16"):
        chosen = default_plan(cpu, runtime="eager", precision=precision)
        assert (chosen.device, chosen.runtime, chosen.precision) == ("cpu", "eager", precision)
        assert chosen.threads == torch.get_num_threads()
        assert chosen.torch_version == torch.__version__
    monkeypatch.setattr("hex_ai.inference.inference_plan.has_openvino", lambda: True)
    monkeypatch.setattr("hex_ai.inference.inference_plan.openvino_version", lambda: "2026.4.1")
    quick = default_plan(cpu)
    assert (quick.runtime, quick.runtime_version, quick.pads) == ("openvino", "2026.4.1", False)
    assert default_plan(cpu, precision="int8").dtype == torch.float32
    monkeypatch.setattr("hex_ai.inference.inference_plan.has_openvino", lambda: False)
    for there in (True, False):
        monkeypatch.setattr("hex_ai.inference.inference_plan.has_compiler", lambda t=there: t)
        monkeypatch.setattr(
            "hex_ai.inference.inference_plan.multiplies_bfloat16", lambda _, t=there: t
        )
        assert default_plan(cpu).runtime == ("compiled" if there else "eager")
        assert default_plan(cpu).precision == ("bfloat16" if there else "float32")
    with pytest.raises(SettingError, match="'fast'"):
        default_plan(cpu, runtime="fast")
    with pytest.raises(SettingError, match="'int8' is for runtime 'openvino', not 'eager'"):
        default_plan(cpu, precision="int8")
    with pytest.raises(SettingError, match="'float16' is not one of"):
        default_plan(cpu, precision="float16")


def test_a_gpu_gets_recorded_kernels_and_shapes_that_its_games_fill() -> None:
    plan = default_plan(torch.device("cuda"), precision="float32")
    assert (plan.device, plan.runtime) == ("cuda", "graph")
    assert DEFAULT_GAMES_IN_FLIGHT["cuda"] % plan.shapes[-1] == 0


def test_a_plan_fixes_the_numerics_of_the_process() -> None:
    switches = [
        (torch.backends.cuda.matmul, "allow_tf32", False),
        (torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False),
        (torch.backends.cudnn, "allow_tf32", False),
        (torch.backends.cudnn, "benchmark", False),
        (torch.backends.cudnn, "deterministic", True),
    ]
    for place, name, value in switches:
        setattr(place, name, not value)
    plan = plan_for(torch.device("cpu"), 8)
    assert plan.to_json()["numerics"] == plan.numerics == NUMERICS_RULE
    ModelInference(HashNetwork(), plan)
    assert [getattr(place, name) for place, name, _ in switches] == [
        value for *_, value in switches
    ]
    with pytest.raises(SettingError, match="'fast'"):
        ModelInference(HashNetwork(), replace(plan, numerics="fast"))


def test_the_heads_stay_in_float32(device: torch.device) -> None:
    """A bfloat16 has 8 bits: of 500 values many would tie. These may not, but for equal boards."""
    plan = default_plan(device, runtime="eager", precision="bfloat16")
    positions = random_positions(500, 7, 3, device)
    model = ModelInference(random_network(3), plan)
    logits, values = model.batch_infer(positions)
    different = model.stats.evaluations
    assert 400 < different < 500
    assert len(set(values.tolist())) > 0.99 * different
    assert len(set(values.bfloat16().tolist())) < 0.8 * different
    assert not torch.equal(logits.bfloat16().float(), logits)
    exact = ModelInference(random_network(3), plan_for(device, 64)).batch_infer(positions)
    torch.testing.assert_close((logits, values), exact, rtol=0.05, atol=0.05)


def test_the_precision_is_the_networks(device: torch.device) -> None:
    seen: list[torch.dtype] = []
    for precision in ("float32", "bfloat16"):
        network = HashNetwork(lambda planes: seen.append(planes.dtype))
        plan = default_plan(device, runtime="eager", precision=precision)
        ModelInference(network, plan).batch_infer(Positions.empty(1, 3, device))
    assert seen == [torch.float32, torch.bfloat16]


class ShapeTalks(HashNetwork):
    """Has another last bit where the batch is larger than `limit`."""

    def __init__(self, limit: int, before: Callable[[Tensor], None] = lambda _: None) -> None:
        super().__init__(before)
        self.limit = limit

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        logits, values = super().forward(planes)
        return logits, values * (1 + 2**-22) if len(planes) > self.limit else values


@pytest.mark.parametrize("size", [1, 2, 3, 11])
def test_prepare_keeps_shapes_that_agree(size: int, device: torch.device) -> None:
    model = ModelInference(HashNetwork(), plan_for(device, 8, 32, 128))
    assert model.prepare(size) == model.plan == plan_for(device, 8, 32, 128)
    assert model.stats.requests == model.stats.network_calls == model.stats.evaluations == 0


@pytest.mark.parametrize(
    ("limit", "kept"), [(8, (32, 128)), (31, (32, 128)), (32, (128,)), (127, (128,))]
)
def test_prepare_keeps_the_shapes_that_agree_with_the_largest(
    limit: int, kept: tuple[int, ...], device: torch.device, caplog: pytest.LogCaptureFixture
) -> None:
    model = ModelInference(ShapeTalks(limit), plan_for(device, 8, 32, 128))
    with caplog.at_level(logging.WARNING):
        assert model.prepare(5) == model.plan == plan_for(device, *kept)
    assert len(caplog.records) == 1
    positions = random_positions(40, 5, 1, device)
    together = model.batch_infer(positions)
    for row in range(40):
        logits, values = model.batch_infer(positions[row : row + 1])
        assert torch.equal(logits[0], together[0][row])
        assert torch.equal(values[0], together[1][row])


def memory_for(limit: int, error: type[RuntimeError] = torch.OutOfMemoryError) -> Any:
    """Raises for batches of more than `limit` rows."""

    def check(planes: Tensor) -> None:
        if len(planes) > limit:
            raise error("DefaultCPUAllocator: can't allocate memory")

    return check


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
@pytest.mark.parametrize(("limit", "shape"), [(127, 32), (32, 32), (31, 8), (8, 8)])
def test_out_of_memory_goes_down_to_a_smaller_shape(
    limit: int,
    shape: int,
    error: type[RuntimeError],
    device: torch.device,
    caplog: pytest.LogCaptureFixture,
) -> None:
    positions = random_positions(300, 4, 2, device)
    expected = ModelInference(HashNetwork(), plan_for(device, 300)).batch_infer(positions)
    network = HashNetwork(memory_for(limit, error))
    model = ModelInference(network, plan_for(device, 8, 32, 128), cache_size=0)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            answer = model.batch_infer(positions)
            assert torch.equal(answer[0], expected[0])
            assert torch.equal(answer[1], expected[1])
    assert model.plan.shapes[-1] == shape == max(network.calls)
    assert len(caplog.records) == {32: 1, 8: 2}[shape], "once for each shape given up"
    assert model.stats.padding_rows == sum(network.calls) - model.stats.evaluations
    assert model.stats.network_calls == len(network.calls)


def test_what_was_evaluated_before_memory_ran_out_is_kept(device: torch.device) -> None:
    def fail_later(planes: Tensor) -> None:
        if network.calls and len(planes) > 8:
            raise torch.OutOfMemoryError

    network = HashNetwork(fail_later)
    model = ModelInference(network, plan_for(device, 8, 32), deduplicate=False)
    positions = random_positions(60, 4, 2, device)
    answer = model.batch_infer(positions)
    expected = ModelInference(HashNetwork(), plan_for(device, 60)).batch_infer(positions)
    assert torch.equal(answer[0], expected[0])
    assert torch.equal(answer[1], expected[1])
    assert network.calls == [32, 8, 8, 8, 8]


def test_out_of_memory_with_the_smallest_shape_is_an_error(device: torch.device) -> None:
    model = ModelInference(HashNetwork(memory_for(7)), plan_for(device, 8, 32))
    with pytest.raises(NetworkError, match="out of memory with batches of 8") as caught:
        model.batch_infer(random_positions(100, 4, 2, device))
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)


def test_another_error_of_the_network_is_not_taken_for_lack_of_memory(
    device: torch.device,
) -> None:
    def fail(_: Tensor) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    model = ModelInference(HashNetwork(fail), plan_for(device, 8, 32))
    with pytest.raises(NetworkError, match="mat1 and mat2") as caught:
        model.batch_infer(Positions.empty(1, 4, device))
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert model.plan.shapes == (8, 32)


@pytest.mark.parametrize(("talks_above", "shapes"), [(1000, (8, 32)), (8, (32,))])
def test_prepare_gives_up_shapes_that_memory_does_not_hold(
    talks_above: int, shapes: tuple[int, ...], device: torch.device
) -> None:
    network = ShapeTalks(talks_above, memory_for(32))
    model = ModelInference(network, plan_for(device, 8, 32, 128))
    assert model.prepare(5).shapes == shapes
    model.batch_infer(random_positions(100, 5, 2, device))
    assert set(network.calls) <= {8, 32}


@pytest.mark.parametrize("other", [0.5, torch.inf])
@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("part", [0, 1])
def test_what_is_not_finite_comes_as_nan_and_is_an_error_from_then_on(
    part: int, number: float, other: float, device: torch.device
) -> None:
    """Also where two infinities could cancel each other out. Sound rows stay what they are."""

    class Broken(HashNetwork):
        broken = True

        def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
            answer = super().forward(planes)
            if self.broken:
                answer[part].view(len(planes), -1)[3, -1] = number
                answer[0][2, 0] = other
            return answer

    network = Broken()
    model = ModelInference(network, plan_for(device, 8, 32), cache_size=1000)
    positions = random_positions(20, 4, 2, device)
    logits, values = model.batch_infer(positions)
    wrong = values.isnan()
    assert 0 < int(wrong.sum()) < 20
    assert torch.equal(logits.isnan(), wrong[:, None].expand_as(logits))
    expected = ModelInference(HashNetwork(), plan_for(device, 32)).batch_infer(positions)
    assert torch.equal(values[~wrong], expected[1][~wrong])
    network.broken = False
    for ask in (model.check, lambda: model.batch_infer(positions)):
        with pytest.raises(NetworkError, match="not finite"):
            ask()


def test_numbers_of_the_padding_do_not_matter(device: torch.device) -> None:
    """Rows that nobody asked about may be anything."""

    class Strange(nn.Module):
        def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
            real = planes.flatten(1).any(1)
            values = torch.where(real, 0.5, torch.nan)
            return values[:, None].expand(-1, 16), values

    model = ModelInference(Strange(), plan_for(device, 8))
    _, values = model.batch_infer(random_positions(11, 4, 2, device))
    assert values.tolist() == [0.5] * 11


def test_the_network_is_taken_over(device: torch.device) -> None:
    network = random_network(1).train()
    ModelInference(network, plan_for(device, 8))
    assert not network.training
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
