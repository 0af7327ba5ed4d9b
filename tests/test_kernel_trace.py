"""What a profiler's trace says of the device; and the real one, where there is a GPU."""

from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture
def tracing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks" / "gpu")
    import kernel_trace

    return kernel_trace


def event(start: float, length: float, name: str = "conv", cat: str = "kernel") -> dict[str, Any]:
    return {"ph": "X", "cat": cat, "name": name, "ts": start, "dur": length}


def test_the_busy_share_is_that_of_the_union(tracing: Any) -> None:
    """Kernels of two streams may overlap, one may hold another, and events come in any order."""
    events = [
        event(50, 50, "sum"),
        event(0, 20),
        event(10, 20),
        event(12, 2),
        event(90, 20, "copy", "gpu_memcpy"),
        event(0, 1000, "launch", "cuda_runtime"),
        {"ph": "M", "name": "process_name"},
        {"ph": "f", "cat": "kernel", "name": "arrow", "ts": 900},
    ]
    report = tracing.kernel_report(events)
    assert report["kernel_busy"] == pytest.approx((30 + 60) / 110)
    assert report["kernels"] == 5
    assert report["seconds"] == pytest.approx(110e-6)
    assert [name for name, _ in report["longest"]] == ["sum", "conv", "copy"]
    assert sum(share for _, share in report["longest"]) == pytest.approx(1)


def test_a_trace_without_kernels_says_nothing(tracing: Any) -> None:
    empty = {"kernel_busy": None, "kernels": 0, "seconds": 0.0, "longest": []}
    assert tracing.kernel_report([]) == tracing.kernel_report([event(0, 1, "a", "cpu_op")]) == empty


def test_only_the_longest_kernels_are_named(tracing: Any) -> None:
    report = tracing.kernel_report(event(k, k + 1, f"{k:02d}" + "x" * 500) for k in range(30))
    assert len(report["longest"]) == tracing.NAMED_KERNELS
    assert report["longest"][0][0].startswith("29")
    assert len(report["longest"][0][0]) == 100


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_kernels_of_a_gpu_are_seen(tracing: Any) -> None:
    square = torch.randn(2048, 2048, device="cuda")
    with tracing.KernelTrace() as trace:
        for _ in range(10):
            square @ square
    assert trace.report["kernels"] >= 10
    assert 0 < trace.report["kernel_busy"] <= 1
