"""`PlannedNetwork`: planes in, answers out, in the batches and by the runtime of a plan."""

import logging
import math
import time
from collections import deque
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from hex_ai.errors import ConversionError, InvalidEvaluationError, NetworkError, SettingError
from hex_ai.inference.inference_plan import NUMERICS_RULE, OPENVINO, InferencePlan, fix_numerics
from hex_ai.inference.memory import available_memory
from hex_ai.inference.runtimes import forward_of, out_of_memory
from hex_ai.network.architecture import for_inference, in_precision, uncompiled

log = logging.getLogger(__name__)

# Calls of a forward that is timed which a GPU may be given before it has done the first.
MOST_AHEAD = 4

# Batches that are compared where the runtime takes any number of rows. They are cut into pieces of
# different sizes; the last one's are the largest.
FREE_SHAPES_COMPARED = (1, 2, 3, 5, 9, 16, 17, 24, 33, 48, 63, 128)


class PlannedNetwork:
    """A network, run as a plan says.

    Args:
      network: see `hex_ai.network.architecture`. It is taken over: put into evaluation mode, its
        norms folded, and moved to the plan's device and precision.
      plan: how to run it.

    Attributes:
      plan: what is in force; `prepare` and a lack of memory may change it.
      sound: bool scalar on the device, whether all answers so far were finite and within ±1.
      calls, rows, seconds: of the network since the counts were reset, padding included.

    Raises:
      SettingError: the plan is of another rule of arithmetic, or its runtime is not installed.
    """

    def __init__(self, network: nn.Module, plan: InferencePlan) -> None:
        if plan.numerics != NUMERICS_RULE:
            raise SettingError(f"numerics rule {plan.numerics!r} is not {NUMERICS_RULE!r}")
        fix_numerics()
        self.plan, self._device = plan, torch.device(plan.device)
        self._inputs: dict[torch.Size, Tensor] = {}
        self.sound = torch.ones((), dtype=torch.bool, device=self._device)
        network = in_precision(for_inference(uncompiled(network)).to(self._device), plan.dtype)
        if plan.runtime != OPENVINO:
            network = convert_conv2d_weight_memory_format(network, torch.channels_last)
        self._network = network
        self._forward = forward_of(self._network, plan)
        self._frozen = False
        self.reset_counts()

    def reset_counts(self) -> None:
        """Counts from 0 again."""
        self.calls, self.rows, self.seconds = 0, 0, 0.0

    @property
    def probe_rows(self) -> int:
        """Rows that `prepare` wants, for batches of every shape."""
        return max(64, self._compared_shapes[-1])

    @property
    def _compared_shapes(self) -> tuple[int, ...]:
        return self.plan.shapes if self.plan.pads else FREE_SHAPES_COMPARED

    def prepare(self, probe: Tensor) -> InferencePlan:
        """Runs every shape of the plan once on planes `[probe_rows, C, N + 2, N + 2]`.

        Gives up shapes that want more memory than there is, with a warning.
        Converts, compiles or records the network; where that fails, it follows the next simpler
        plan from then on, with a warning. Drops shapes whose results differ in any bit from those
        of the largest. Returns the plan that is then in force.

        Raises:
          NetworkError: the network failed, or there is no memory for the smallest shape.
        """
        self._give_up_large_shapes(probe.shape[-1] - 2)
        while not self._compares(probe):
            self.run_simpler()
        if self.plan.runtime == OPENVINO:
            self.plan = replace(self.plan, calibration=self._forward.calibration)
        self._frozen = True
        self.reset_counts()
        return self.plan

    def run_simpler(self) -> None:
        """Changes the plan to the next simpler one, whose evaluations have other last bits."""
        self.plan = self.plan.simpler()
        self.sound.fill_(True)
        self._forward = forward_of(self._network, self.plan)

    def _compares(self, probe: Tensor) -> bool:
        """Whether the plan can be followed. What is not sound even in float32 eager is an error."""
        try:
            self._compare_shapes(probe)
        except NetworkError as error:
            if self.plan.runtime == "eager":
                raise
            log.warning("%s, running %s: %s", *self._instead(), error)
            return False
        return True

    def _instead(self) -> tuple[str, str]:
        """What does not work, and what comes in its place."""
        simpler = self.plan.simpler()
        if simpler.runtime == self.plan.runtime:
            return f"no {self.plan.precision} network", f"in {simpler.precision}"
        return f"no {self.plan.runtime} network", simpler.runtime

    def _give_up_large_shapes(self, size: int) -> None:
        available = available_memory(self._device) if self.plan.pads else None
        while available is not None and self._batch_bytes(self.plan.shapes[-1], size) > available:
            self._smaller_shapes(self.plan.shapes[-1], MemoryError())

    def _batch_bytes(self, rows: int, size: int) -> int:
        """Bytes that a forward of so many rows wants at least: its input, its answer, and what the
        widest of its layers gives for whole boards."""
        layers = (part for part in self._network.modules() if isinstance(part, nn.Conv2d))
        widest = max((part.out_channels for part in layers if part.stride == (1, 1)), default=0)
        return rows * (size**2 * (4 + widest * self.plan.dtype.itemsize) + 2 * (size + 2) ** 2)

    def _compare_shapes(self, probe: Tensor) -> None:
        before, shapes = self.plan.shapes, self._compared_shapes
        answers = [self.evaluate(probe, (shape,)) for shape in shapes]
        require_sound(bool(self.sound))
        if self.plan.shapes != before:  # there was no memory for all of them
            self._compare_shapes(probe)
            return
        same = [all(map(torch.equal, answer, answers[-1])) for answer in answers]
        if not all(same) and not self.plan.pads:
            raise NetworkError("an answer's last bits differ with the number of rows beside it")
        if not all(same):
            kept = tuple(shape for shape, agrees in zip(shapes, same, strict=True) if agrees)
            log.warning("batch shapes %s disagree in the last bit: keeping %s", shapes, kept)
            self.plan = self.plan.with_shapes(kept)

    def rows_per_second(self, planes: Tensor, seconds: float) -> float:
        """Speed of the bare forward on planes in the plan's precision.

        Calls it twice to warm up, then for about `seconds`; nothing is counted in the statistics.
        """
        batch = self._input(len(planes), planes.shape[1:])
        batch.copy_(planes)
        calls, started, ahead = -2, time.perf_counter(), deque[torch.cuda.Event]()
        while calls < 1 or time.perf_counter() - started < seconds:
            if calls == 0:
                self._wait(ahead, 0)
                started = time.perf_counter()
            self._forward(batch)
            self._wait(ahead, MOST_AHEAD)
            calls += 1
        self._wait(ahead, 0)
        return calls * len(planes) / (time.perf_counter() - started)

    def _wait(self, ahead: deque[torch.cuda.Event], most: int) -> None:
        """Waits until at most `most` of the calls `ahead`, and of the one just made, are undone."""
        if self._device.type == "cuda":
            ahead.append(torch.cuda.Event())  # type: ignore[no-untyped-call]
            ahead[-1].record(torch.cuda.current_stream(self._device))
            while len(ahead) > most:
                ahead.popleft().synchronize()

    def evaluate(
        self, planes: Tensor, shapes: tuple[int, ...] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Runs the network on planes `[B, C, N + 2, N + 2]`.

        Args:
          planes: on the plan's device, of any B.
          shapes: of the batches, those of the plan if none are given.

        Returns:
          float32 policy logits `[B, A]` and values `[B]`, NaN in rows that are not sound.

        Raises:
          NetworkError: the network failed or ran out of memory.
        """
        started, start = time.perf_counter(), 0
        shapes = shapes or self.plan.shapes
        if self.plan.pads and torch.get_num_threads() != self.plan.threads:
            torch.set_num_threads(self.plan.threads)  # each thread has a number of its own
        rows_and_moves = len(planes), (planes.shape[-1] - 2) ** 2
        logits = torch.empty(rows_and_moves, dtype=torch.float32, device=self._device)
        values = torch.empty(len(planes), dtype=torch.float32, device=self._device)
        while start < len(planes):
            shape = self._next_shape(len(planes) - start, shapes)
            rows = slice(start, start + shape)
            try:
                answer = self._forward(self._batch(planes[rows], shape))
                _copy_answer(answer, shape, logits[rows], values[rows])
            except Exception as error:  # noqa: BLE001 - raised again unless out of memory
                shapes = self._smaller_shapes(shape, error)
                continue
            self.calls += 1
            self.rows += shape
            start += shape
        # A sum is finite only if all its terms are.
        sound = logits.sum(1).isfinite() & (values.abs() <= 1)
        self.sound &= sound.all()
        self.seconds += time.perf_counter() - started
        return (
            logits.masked_fill(~sound[:, None], math.nan),
            values.masked_fill(~sound, math.nan),
        )

    def _next_shape(self, rows: int, shapes: tuple[int, ...]) -> int:
        """The shape for the next call when `rows` wait: none is padded by more than a quarter, but
        for what is left at the end, which takes the smallest shape that holds it."""
        if not self.plan.pads:
            return min(rows, shapes[-1])
        for shape, larger in pairwise(shapes):
            if rows <= shape or rows < 0.75 * larger:
                return shape
        return shapes[-1]

    def _batch(self, planes: Tensor, shape: int) -> Tensor:
        """At most `shape` rows as a batch of as many, padded with empty planes."""
        if not self.plan.pads:
            return planes
        batch = self._input(shape, planes.shape[1:])
        batch[: len(planes)] = planes
        batch[len(planes) :] = 0
        return batch

    def _input(self, shape: int, planes: torch.Size) -> Tensor:
        """The memory that batches of `shape` rows are put into: one for all of them."""
        wanted = torch.Size((shape, *planes))
        if wanted not in self._inputs:
            batch = torch.zeros(wanted, dtype=self.plan.dtype, device=self._device)
            batch = batch.to(memory_format=torch.channels_last)
            if self.plan.runtime == "compiled":
                # One compilation serves shapes that differ in their rows only.
                torch._dynamo.maybe_mark_dynamic(batch, 0)
            self._inputs[wanted] = batch
        return self._inputs[wanted]

    def _smaller_shapes(self, failed: int, error: Exception) -> tuple[int, ...]:
        """Drops the shapes of `failed` rows or more, after the network ran out of memory. One that
        could not be converted follows the next simpler plan, unless its own was frozen.

        Raises:
          NetworkError: there is no smaller shape, or the network failed for another reason.
        """
        if isinstance(error, ConversionError) and not self._frozen:
            log.warning("%s, running %s: %s", *self._instead(), error)
            self.run_simpler()
            return self.plan.shapes
        if isinstance(error, NetworkError):
            raise error
        if not out_of_memory(error):
            reason = " ".join(str(error).split()) or type(error).__name__
            raise NetworkError(f"the network failed: {reason[:300]}") from error
        smaller = tuple(shape for shape in self.plan.shapes if shape < failed)
        if not smaller:
            raise NetworkError(f"out of memory with batches of {failed}") from error
        log.warning("out of memory with batches of %d: going on with %d", failed, smaller[-1])
        self.plan = self.plan.with_shapes(smaller)
        return smaller


def _copy_answer(answer: tuple[Tensor, Tensor], shape: int, logits: Tensor, values: Tensor) -> None:
    """Copies what the network gave for `shape` rows: its own memory is that of the next call."""
    policy, value = answer
    wanted = (shape, logits.shape[1])
    if policy.shape != wanted or value.shape != wanted[:1]:
        raise NetworkError(
            f"the network gave {list(policy.shape)} and {list(value.shape)}, "
            f"want {list(wanted)} and {list(wanted[:1])}"
        )
    logits.copy_(policy[: len(logits)])
    values.copy_(value[: len(values)])


def require_sound(sound: bool) -> None:
    """Raises `InvalidEvaluationError` unless answers were sound."""
    if not sound:
        raise InvalidEvaluationError(
            "the network gave a policy that is not finite or a value outside ±1"
        )
