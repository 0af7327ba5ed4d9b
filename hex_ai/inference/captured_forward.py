"""A network's forward as CUDA graphs: recorded once for each batch shape, then replayed.

A replay launches all kernels of a forward at once, and they run the very ones that were recorded.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Forward = Callable[[Tensor], Any]
Replay = Callable[[], Any]

# Calls before the recording: what is made at a first call must not be recorded.
WARM_UP_CALLS = 3


class CapturedForward:
    """Calls a forward through one recording for each place in memory that its input has.

    The answer of a replay lies where the last one's did: copy it before the next call.

    Args:
      forward: from a batch on a CUDA device to tensors; reads nothing back to the host.
      record: makes a recording of one call of a forward on one batch.
    """

    def __init__(
        self, forward: Forward, record: Callable[[Forward, Tensor], Replay] | None = None
    ) -> None:
        self._forward = forward
        self._record = record or _GraphRecorder()
        # The batch is kept, so that its place is not given to another.
        self._recordings: dict[int, tuple[Tensor, Replay]] = {}

    def __call__(self, batch: Tensor) -> Any:
        """What the forward gives for what is in `batch` now."""
        place = batch.data_ptr()
        if place not in self._recordings:
            self._recordings[place] = (batch, self._record(self._forward, batch))
        return self._recordings[place][1]()


class _GraphRecorder:
    """Records CUDA graphs that share their memory, for they never run at the same time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, forward: Forward, batch: Tensor) -> Replay:
        ours, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(ours)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_CALLS):
                forward(batch)
        ours.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            answer = forward(batch)

        def replay() -> Any:
            graph.replay()
            return answer

        return replay
