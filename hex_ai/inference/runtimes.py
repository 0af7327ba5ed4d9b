"""The runtimes of an inference plan: how a network's forward is called.

`eager` calls the network. `compiled` calls what `torch.compile` makes of it. On CUDA that, and with
`graph` the eager kernels, are recorded once for each batch shape and then replayed: a replay
launches all kernels of a forward at once. For `openvino` see `hex_ai.inference.openvino_network`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hex_ai.inference.inference_plan import OPENVINO, InferencePlan
from hex_ai.inference.openvino_network import OpenvinoForward

Forward = Callable[[Tensor], Any]
Replay = Callable[[], Any]

# Calls before the recording: what is made at a first call must not be recorded.
WARM_UP_CALLS = 3


def forward_of(network: nn.Module, plan: InferencePlan) -> Any:
    """A network as the runtime of a plan calls it: planes to policy logits and values.

    Args:
      network: in evaluation mode, where its batches will be, in the plan's `dtype`.
    """
    if plan.runtime == "eager":
        return network
    if plan.runtime == OPENVINO:
        return OpenvinoForward(network, plan.precision, plan.threads)
    on_gpu = any(weights.is_cuda for weights in network.parameters())
    forward = _compiled(network, on_gpu) if plan.runtime == "compiled" else network
    return CapturedForward(forward) if on_gpu else forward


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
        with torch.cuda.device(batch.device):
            return self._recorded(forward, batch)

    def _recorded(self, forward: Forward, batch: Tensor) -> Replay:
        ours, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(ours)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_CALLS):
                forward(batch)
        ours.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device during the capture.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            answer = forward(batch)

        def replay() -> Any:
            graph.replay()
            return answer

        return replay


def _compiled(network: nn.Module, on_gpu: bool) -> Any:
    """The network compiled, with its weights frozen into the code where torch can."""
    # Every network of a process counts, and beyond the limit torch runs them uncompiled.
    torch._dynamo.config.recompile_limit = max(10_000, torch._dynamo.config.recompile_limit)
    torch._dynamo.config.accumulated_recompile_limit = max(
        10_000, torch._dynamo.config.accumulated_recompile_limit
    )
    compiled = torch.compile(network)
    options = {"freezing": True}
    if on_gpu and hasattr(torch._inductor.config, "deterministic"):
        options["deterministic"] = True  # kernels are not chosen by timing them

    def forward(planes: Tensor) -> Any:
        # The option of `torch.compile` by that name is seen too late to freeze anything.
        with torch._inductor.config.patch(options):
            return compiled(planes)

    return forward


def out_of_memory(error: BaseException) -> bool:
    """Whether this is how Python, torch on a GPU or torch on a CPU says that memory is short."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "allocate memory" in str(error)
