"""How much of the time a GPU runs kernels, and which: from a trace of torch's profiler."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

# Kinds of events of a trace during which the device works.
_BUSY = {"kernel", "gpu_memcpy", "gpu_memset"}

# Kernels that a report names: those that take the most time.
NAMED_KERNELS = 12


class KernelTrace:
    """Traces what the current CUDA device does while its block runs, in one thread.

    Attributes:
      report: what it did, see `kernel_report`; there after the block.
    """

    report: dict[str, Any]

    def __enter__(self) -> "KernelTrace":
        torch.cuda.synchronize()
        self._profile = profile(activities=[ProfilerActivity.CUDA])
        self._profile.start()
        return self

    def __exit__(self, *_: object) -> None:
        torch.cuda.synchronize()
        self._profile.stop()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            self._profile.export_chrome_trace(str(path))
            events = json.loads(path.read_text(encoding="utf-8", errors="replace"))["traceEvents"]
        self.report = kernel_report(events)


def kernel_report(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the events of a Chrome trace say of the device.

    Returns:
      kernel_busy: share of the time from the first kernel's start to the last one's end in which at
        least one kernel or copy ran; null without any.
      kernels: how many there were.
      seconds: from the first to the last.
      longest: name and share of all kernel time, of the kernels that took most of it.
    """
    spans, times = [], Counter[str]()
    for event in events:
        if event.get("cat") in _BUSY and event.get("ph") == "X":
            spans.append((float(event["ts"]), float(event["ts"]) + float(event["dur"])))
            times[str(event["name"])] += float(event["dur"])
    spans.sort()
    busy, until = 0.0, spans[0][0] if spans else 0.0
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    whole = until - spans[0][0] if spans else 0.0
    return {
        "kernel_busy": busy / whole if whole else None,
        "kernels": len(spans),
        "seconds": whole / 1e6,
        "longest": [
            [name[:100], time / sum(times.values())]
            for name, time in times.most_common(NAMED_KERNELS)
        ],
    }
