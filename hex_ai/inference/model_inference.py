"""`ModelInference`: positions in, evaluations out, each network row computed once.

    positions ─► oriented ─► finished ones, duplicates and cache out
              ─► padded batches of fixed shapes ─► network ─► every row back to its owners

An evaluation is raw float32 logits in canonical cell order and the mover's value in [-1, 1]. It is,
bit for bit, a function of the position, the network and the inference plan.

The host reads from the device at most once a batch, to learn how many rows the network must see;
not at all with cache and duplicates off. Counts and faults stay on the device until somebody asks.
"""

import logging
import math
import time
from collections import deque
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from hex_ai.errors import InvalidEvaluationError, NetworkError, SettingError, ShapeError
from hex_ai.game.positions import Positions
from hex_ai.inference.evaluation_cache import EvaluationCache, Oriented, first_equals, orient
from hex_ai.inference.inference_plan import (
    NUMERICS_RULE,
    ORIENTATION_RULE,
    InferencePlan,
    default_plan,
    fix_numerics,
)
from hex_ai.inference.inference_stats import InferenceStats
from hex_ai.inference.memory import available_memory
from hex_ai.inference.probe import probe_positions
from hex_ai.inference.runtimes import forward_of, out_of_memory
from hex_ai.network.architecture import (
    for_inference,
    in_precision,
    sees_colours,
    uncompiled,
    with_colours,
)
from hex_ai.network.torch_state import undisturbed
from hex_ai.numbers import whole

log = logging.getLogger(__name__)

DEFAULT_CACHE_SIZE = 2**17

# Calls of a forward that is timed which a GPU may be given before it has done the first.
MOST_AHEAD = 4


class ModelInference:
    """Evaluates batches of positions with one network, as an inference plan says.

    Args:
      network: see `hex_ai.network.architecture`. It is taken over: put into evaluation mode, its
        norms folded, and moved to the plan's device and precision.
      plan: how to run it; by default `default_plan` of the CPU.
      cache_size: evaluations remembered, 0 for none. Memory is taken at the first batch.
      deduplicate: answer equal positions of a batch once.

    Not safe for use by several threads at once; `GlobalPositionCollector` is the way to share it.
    """

    @undisturbed()
    def __init__(
        self,
        network: nn.Module,
        plan: InferencePlan | None = None,
        *,
        cache_size: int = DEFAULT_CACHE_SIZE,
        deduplicate: bool = True,
    ) -> None:
        cache_size = whole("cache size", cache_size)
        if cache_size < 0:
            raise SettingError(f"cache size {cache_size} is negative")
        if plan is not None and plan.orientation != ORIENTATION_RULE:
            raise SettingError(f"orientation rule {plan.orientation!r} is not {ORIENTATION_RULE!r}")
        if plan is not None and plan.numerics != NUMERICS_RULE:
            raise SettingError(f"numerics rule {plan.numerics!r} is not {NUMERICS_RULE!r}")
        self.plan = plan or default_plan(torch.device("cpu"))
        self.device = torch.device(self.plan.device)
        self._cache_size, self._deduplicate = cache_size, deduplicate
        self._cache: EvaluationCache | None = None
        self._inputs: dict[torch.Size, Tensor] = {}
        self._sound = torch.ones((), dtype=torch.bool, device=self.device)
        self.reset_stats()
        fix_numerics()
        network = uncompiled(network)
        self._sees_colours = sees_colours(network)
        network = in_precision(for_inference(network).to(self.device), self.plan.dtype)
        self._network = convert_conv2d_weight_memory_format(network, torch.channels_last)
        self._forward = forward_of(self._network, self.plan.runtime)

    @undisturbed()
    def prepare(self, size: int) -> InferencePlan:
        """Runs every shape of the plan once for boards of `size`, and freezes the plan.

        Gives up shapes that want more memory than there is, with a warning.
        Compiles or records the network; where that fails, it runs eager from then on, with a
        warning. Drops shapes whose results differ in any bit from those of the largest. Returns
        the plan that is then in force.

        Raises:
          NetworkError: the network failed, or there is no memory for the smallest shape.
        """
        self._give_up_large_shapes(size)
        try:
            self._compare_shapes(size)
        except NetworkError as error:
            if self.plan.runtime == "eager":
                raise
            log.warning("no %s network, running eager: %s", self.plan.runtime, error)
            self.run_eager()
            self._sound.fill_(True)
            self._compare_shapes(size)
        self.reset_stats()
        return self.plan

    def run_eager(self) -> None:
        """Changes the plan to the eager runtime, whose evaluations have other last bits."""
        self.plan = replace(self.plan, runtime="eager")
        self._forward = forward_of(self._network, "eager")

    def _give_up_large_shapes(self, size: int) -> None:
        available = available_memory(self.device)
        while available is not None and self._batch_bytes(self.plan.shapes[-1], size) > available:
            self._smaller_shapes(self.plan.shapes[-1], MemoryError())

    def _batch_bytes(self, rows: int, size: int) -> int:
        """Bytes that a forward of so many rows wants at least: its input, its answer, and what the
        widest of its layers gives for whole boards."""
        layers = (part for part in self._network.modules() if isinstance(part, nn.Conv2d))
        widest = max((part.out_channels for part in layers if part.stride == (1, 1)), default=0)
        return rows * (size**2 * (4 + widest * self.plan.dtype.itemsize) + 2 * (size + 2) ** 2)

    def _compare_shapes(self, size: int) -> None:
        shapes = self.plan.shapes
        probe = self._orient(probe_positions(max(64, shapes[-1]), size, self.device)).planes
        answers = [self._evaluate(probe, (shape,)) for shape in shapes]
        self.check()
        if self.plan.shapes != shapes:  # there was no memory for all of them
            self._compare_shapes(size)
            return
        same = [all(map(torch.equal, answer, answers[-1])) for answer in answers]
        if not all(same):
            kept = tuple(shape for shape, agrees in zip(shapes, same, strict=True) if agrees)
            log.warning("batch shapes %s disagree in the last bit: keeping %s", shapes, kept)
            self.plan = self.plan.with_shapes(kept)

    @undisturbed()
    def batch_infer(self, positions: Positions) -> tuple[Tensor, Tensor]:
        """Evaluates positions of one size.

        Args:
          positions: `B` ≥ 1 positions on the plan's device. Finished ones are not counted as
            requests: they get zero logits and the value -1, for their mover has lost.

        Returns:
          policy_logits float32 `[B, A]`, raw and unmasked, cells as the mover sees them, and
          values float32 `[B]`, the mover's view. Row i answers position i. A row for which the
          network gave an invalid evaluation is NaN; `check` tells.

        Raises:
          NetworkError: the network failed or ran out of memory. What `check` would say of an
            earlier batch may be raised here too.
        """
        if len(positions) == 0:
            raise ShapeError("a batch of no positions cannot be evaluated")
        asked, finished = self._orient(positions), positions.finished
        owners, distinct = self._owners(asked, ~finished)
        known, logits, values = self._recall(asked)
        missing = distinct & ~known
        self._counts += torch.stack((~finished, distinct, missing)).sum(1)
        wanted = self._rows_to_evaluate(missing)
        planes = asked.planes[wanted]
        if len(planes):
            evaluated = self._evaluate(planes, self.plan.shapes)
            logits[wanted], values[wanted] = evaluated
            if self._cache is not None:
                self._cache.write(asked.keys[wanted], asked.checks[wanted], *evaluated)
        logits, values = logits[owners], values[owners]
        logits = torch.where(asked.rotated[:, None], logits.flip(1), logits)
        return logits.masked_fill(finished[:, None], 0.0), values.masked_fill(finished, -1.0)

    def check(self) -> None:
        """Reads from the device whether all evaluations so far were sound.

        Raises:
          NetworkError: a policy that is not finite, or a value outside ±1.
        """
        self._require_sound(bool(self._sound))

    def simple_infer(self, position: Positions) -> tuple[Tensor, float]:
        """Evaluates a single position (B = 1): logits float32 `[A]` and the mover's value."""
        if len(position) != 1:
            raise ShapeError(f"simple_infer takes one position, not {len(position)}")
        logits, values = self.batch_infer(position)
        self.check()
        return logits[0], float(values[0])

    @property
    def stats(self) -> InferenceStats:
        """The counts so far. Reads from the device."""
        requests, distinct, evaluations = self._counts.tolist()
        return InferenceStats(
            requests=requests,
            evaluations=evaluations,
            cache_hits=distinct - evaluations,
            duplicate_hits=requests - distinct,
            padding_rows=self._network_rows - evaluations,
            network_calls=self._network_calls,
            network_seconds=self._network_seconds,
        )

    @undisturbed()
    def reset_stats(self) -> None:
        """Counts from 0 again."""
        # Requests, then how many of them are no duplicates, then how many of those are not cached.
        self._counts = torch.zeros(3, dtype=torch.int64, device=self.device)
        self._network_calls = self._network_rows = 0
        self._network_seconds = 0.0

    def get_performance_stats(self) -> dict[str, Any]:
        """Counts and rates since the start; see `InferenceStats`. Reads from the device."""
        return self.stats.summary()

    def planes(self, positions: Positions) -> Tensor:
        """What the network sees of positions, not rotated, in the plan's precision."""
        planes = positions.planes(self.plan.dtype)
        return with_colours(planes, positions.blue_to_move) if self._sees_colours else planes

    @undisturbed()
    def rows_per_second(self, planes: Tensor, seconds: float) -> float:
        """Speed of the bare forward on what `planes` gives.

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
        if self.device.type == "cuda":
            ahead.append(torch.cuda.Event())  # type: ignore[no-untyped-call]
            ahead[-1].record(torch.cuda.current_stream(self.device))
            while len(ahead) > most:
                ahead.popleft().synchronize()

    def _orient(self, positions: Positions) -> Oriented:
        return orient(positions, self._sees_colours)

    def _owners(self, asked: Oriented, unfinished: Tensor) -> tuple[Tensor | slice, Tensor]:
        """For each row the row that answers it, int64 `[B]` or all by themselves; and which rows
        answer for themselves and others, bool `[B]`."""
        if not self._deduplicate:
            return slice(None), unfinished
        rows = torch.arange(len(unfinished), device=self.device)
        owners = first_equals(asked, unfinished)
        return owners, unfinished & (owners == rows)

    def _recall(self, asked: Oriented) -> tuple[Tensor, Tensor, Tensor]:
        """What the cache knows: bool `[B]`, and evaluations that mean nothing where it is false."""
        rows, moves = len(asked.keys), (asked.planes.shape[-1] - 2) ** 2
        if not self._cache_size:
            logits, values = (
                torch.zeros(rows, *shape, dtype=torch.float32, device=self.device)
                for shape in ((moves,), ())
            )
            return values > 0, logits, values
        if self._cache is None or self._cache.moves != moves:  # a change of size starts a new one
            self._cache = EvaluationCache(self._cache_size, moves, self.device)
        known, slots = self._cache.find(asked.keys, asked.checks)
        return known, *self._cache.read(slots)

    def _rows_to_evaluate(self, missing: Tensor) -> Tensor | slice:
        """The rows marked in bool `[B]`, ascending: the only read from the device.

        Where nothing is saved, all rows on a GPU: few are finished, but in wide and late searches.
        """
        if not (self._cache_size or self._deduplicate) and (
            self.device.type != "cpu" or missing.numpy().all()
        ):
            return slice(None)
        count = int(torch.where(self._sound, missing.sum(), -1))
        self._require_sound(count >= 0)
        return (~missing).to(torch.int8).argsort(stable=True)[:count]

    def _require_sound(self, sound: bool) -> None:
        if not sound:
            raise InvalidEvaluationError(
                "the network gave a policy that is not finite or a value outside ±1"
            )

    def _evaluate(self, planes: Tensor, shapes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Runs the network on oriented planes, in padded batches of the given shapes."""
        started, start = time.perf_counter(), 0
        if torch.get_num_threads() != self.plan.threads:  # each thread has a number of its own
            torch.set_num_threads(self.plan.threads)
        rows_and_moves = len(planes), (planes.shape[-1] - 2) ** 2
        logits = torch.empty(rows_and_moves, dtype=torch.float32, device=self.device)
        values = torch.empty(len(planes), dtype=torch.float32, device=self.device)
        while start < len(planes):
            shape = _next_shape(len(planes) - start, shapes)
            rows = slice(start, start + shape)
            try:
                answer = self._forward(self._padded(planes[rows], shape))
                _copy_answer(answer, shape, logits[rows], values[rows])
            except Exception as error:  # noqa: BLE001 - raised again unless out of memory
                shapes = self._smaller_shapes(shape, error)
                continue
            self._network_calls += 1
            self._network_rows += shape
            start += shape
        # A sum is finite only if all its terms are.
        sound = logits.sum(1).isfinite() & (values.abs() <= 1)
        self._sound &= sound.all()
        self._network_seconds += time.perf_counter() - started
        return (
            logits.masked_fill(~sound[:, None], math.nan),
            values.masked_fill(~sound, math.nan),
        )

    def _padded(self, planes: Tensor, shape: int) -> Tensor:
        """At most `shape` rows as a batch of as many, padded with empty planes."""
        batch = self._input(shape, planes.shape[1:])
        batch[: len(planes)] = planes
        batch[len(planes) :] = 0
        return batch

    def _input(self, shape: int, planes: torch.Size) -> Tensor:
        """The memory that batches of `shape` rows are put into: one for all of them."""
        wanted = torch.Size((shape, *planes))
        if wanted not in self._inputs:
            batch = torch.zeros(wanted, dtype=self.plan.dtype, device=self.device)
            batch = batch.to(memory_format=torch.channels_last)
            if self.plan.runtime == "compiled":
                # One compilation serves shapes that differ in their rows only.
                torch._dynamo.maybe_mark_dynamic(batch, 0)
            self._inputs[wanted] = batch
        return self._inputs[wanted]

    def _smaller_shapes(self, failed: int, error: Exception) -> tuple[int, ...]:
        """Drops the shapes of `failed` rows or more, after the network ran out of memory.

        Raises:
          NetworkError: there is no smaller shape, or the network failed for another reason.
        """
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


def _next_shape(rows: int, shapes: tuple[int, ...]) -> int:
    """The shape for the next call when `rows` wait: none is padded by more than a quarter, but for
    what is left at the end, which takes the smallest shape that holds it."""
    for shape, larger in pairwise(shapes):
        if rows <= shape or rows < 0.75 * larger:
            return shape
    return shapes[-1]
