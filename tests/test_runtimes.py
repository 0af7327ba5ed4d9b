"""Recorded forwards: one recording a shape, and answers that outlive the next replay.

A recorder of our own stands for CUDA's: its replays, too, write where the last one wrote.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from inference_toys import HashNetwork, random_network, random_positions
from torch import Tensor

from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.runtimes import CapturedForward

CPU = torch.device("cpu")


class Recorder:
    """Replays by calling again. Attributes: `shapes`, of the batches recorded."""

    def __init__(self) -> None:
        self.shapes: list[int] = []

    def __call__(self, forward: Callable[[Tensor], Any], batch: Tensor) -> Callable[[], Any]:
        self.shapes.append(len(batch))
        answer = tuple(part.clone() for part in forward(batch))

        def replay() -> Any:
            for place, part in zip(answer, forward(batch), strict=True):
                place.copy_(part)
            return answer

        return replay


@pytest.mark.parametrize("rows", [1, 8, 9, 40, 100, 333])
def test_recorded_forwards_give_what_the_network_gives(rows: int) -> None:
    """Also where one batch takes several calls, of one shape or of many."""
    plan = default_plan(CPU, "eager", "float32").with_shapes((8, 32))
    expected = ModelInference(HashNetwork(), plan, cache_size=0, deduplicate=False)
    model = ModelInference(HashNetwork(), plan, cache_size=0, deduplicate=False)
    recorder = Recorder()
    model._network._forward = CapturedForward(model._network._network, recorder)
    for seed in (1, 2):
        positions = random_positions(rows, 5, seed)
        for found, wanted in zip(
            model.batch_infer(positions), expected.batch_infer(positions), strict=True
        ):
            assert torch.equal(found, wanted)
    assert len(set(recorder.shapes)) == len(recorder.shapes)


def test_a_place_is_not_taken_for_another() -> None:
    """Memory that was freed may come again as another batch, which has no recording."""

    def record(forward: Callable[[Tensor], Any], batch: Tensor) -> Callable[[], Any]:
        answer = forward(batch)  # as a graph, it does not keep the batch
        return lambda: answer

    forward = CapturedForward(lambda batch: (batch.sum(),), record)
    for number in range(100):
        assert forward(torch.full((64,), float(number)))[0] == 64 * number


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [5, 13])
def test_graphs_give_what_eager_kernels_give(precision: str, size: int) -> None:
    gpu = torch.device("cuda")
    positions = random_positions(700, size, 1, gpu)
    answers = []
    for runtime in ("eager", "graph"):
        plan = default_plan(gpu, runtime, precision).with_shapes((64, 256))
        model = ModelInference(random_network(1, 16), plan, cache_size=0)
        assert model.prepare(size).runtime == runtime
        model.batch_infer(positions.swap(positions.finished))
        answers.append(model.batch_infer(positions))
        model.check()
    assert torch.equal(answers[0][0], answers[1][0])
    assert torch.equal(answers[0][1], answers[1][1])
