"""`ModelInference`: positions in, evaluations out, each network row computed once.

    positions ─► finished ones answered ─► oriented ─► duplicates and cache out
              ─► padded batches of fixed shapes ─► network ─► every row back to its owners

An evaluation is raw float32 logits in canonical cell order and the mover's value in [-1, 1]. It is,
bit for bit, a function of the position, the network and the inference plan.
"""

import logging
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from hex_ai.errors import NetworkError, SettingError, ShapeError
from hex_ai.game.positions import Positions
from hex_ai.inference.evaluation_cache import EvaluationCache, Oriented, orient
from hex_ai.inference.inference_plan import ORIENTATION_RULE, InferencePlan, default_plan
from hex_ai.inference.move_choice import random_bits
from hex_ai.inference.network import for_inference

log = logging.getLogger(__name__)

DEFAULT_CACHE_SIZE = 2**17


@dataclass
class InferenceStats:
    """Counts since the start, in rows unless said otherwise.

    Every request is a hit in the cache, a duplicate of another row of its batch, or an evaluation.
    Positions of finished games are no requests.
    """

    requests: int = 0
    evaluations: int = 0
    cache_hits: int = 0
    duplicate_hits: int = 0
    padding_rows: int = 0
    network_calls: int = 0
    network_seconds: float = 0.0

    def summary(self) -> dict[str, Any]:
        """The counts and the rates that follow from them; null where nothing was counted."""
        hits = self.cache_hits + self.duplicate_hits
        return asdict(self) | {
            "mean_batch": _ratio(self.evaluations, self.network_calls),
            "padding_efficiency": _ratio(self.evaluations, self.evaluations + self.padding_rows),
            "hit_rate": _ratio(hits, self.requests),
            "work_saved": _ratio(self.requests, self.evaluations),
        }


class ModelInference:
    """Evaluates batches of positions with one network, the fixed way of an inference plan.

    Args:
      network: see `hex_ai.inference.network`. It is taken over: put into evaluation mode, its
        norms folded, and moved to the plan's device and precision.
      plan: how to run it; by default `default_plan` of the CPU.
      cache_size: evaluations remembered, 0 for none. Memory is taken at the first batch.
      deduplicate: answer equal positions of a batch once.

    Not safe for use by several threads at once; `GlobalPositionCollector` is the way to share it.
    """

    def __init__(
        self,
        network: nn.Module,
        plan: InferencePlan | None = None,
        *,
        cache_size: int = DEFAULT_CACHE_SIZE,
        deduplicate: bool = True,
    ) -> None:
        if cache_size < 0:
            raise SettingError(f"cache size {cache_size} is negative")
        if plan is not None and plan.orientation != ORIENTATION_RULE:
            raise SettingError(f"orientation rule {plan.orientation!r} is not {ORIENTATION_RULE!r}")
        self.plan = plan or default_plan(torch.device("cpu"))
        self.device = torch.device(self.plan.device)
        self.stats = InferenceStats()
        self._cache_size, self._deduplicate = cache_size, deduplicate
        self._cache: EvaluationCache | None = None
        network = for_inference(network).to(self.device, self.plan.dtype)
        network = convert_conv2d_weight_memory_format(network, torch.channels_last)
        self._network = network
        self._forward = _compiled(network) if self.plan.runtime == "compiled" else network

    def prepare(self, size: int) -> InferencePlan:
        """Runs every shape of the plan once for boards of `size`, and freezes the plan.

        Compiles what is to be compiled; where that fails, runs eager from then on and says so. Then
        compares the shapes: if any two give one position other bits, only the largest is kept.
        Returns the plan that is then in force.
        """
        try:
            self._compare_shapes(size)
        except NetworkError as error:
            if self.plan.runtime != "compiled":
                raise
            log.warning("cannot compile the network, running eager: %s", error)
            self.plan = replace(self.plan, runtime="eager")
            self._forward = self._network
            self._compare_shapes(size)
        self.stats = InferenceStats()
        return self.plan

    def _compare_shapes(self, size: int) -> None:
        shapes = self.plan.shapes
        probe = _probe_positions(max(64, shapes[-1]), size, self.device)
        answers = [self._evaluate(orient(probe), (shape,)) for shape in shapes]
        if not all(_same_bits(answer, answers[-1]) for answer in answers):
            log.warning("batch shapes %s disagree in the last bit: keeping the largest", shapes)
            self.plan = self.plan.with_shapes(self.plan.shapes[-1:])

    @torch.no_grad()
    def batch_infer(self, positions: Positions) -> tuple[Tensor, Tensor]:
        """Evaluates positions of one size.

        Args:
          positions: `B` ≥ 1 positions on the plan's device. Finished ones are no requests: they get
            zero logits and the value -1, for their mover has lost.

        Returns:
          policy_logits float32 `[B, A]`, raw and unmasked, cells as the mover sees them, and
          values float32 `[B]`, the mover's view. Row i answers position i.

        Raises:
          NetworkError: the network gave a number that is not finite, or ran out of memory.
        """
        if len(positions) == 0:
            raise ShapeError("a batch of no positions cannot be evaluated")
        logits = torch.zeros(len(positions), positions.moves, device=self.device)
        values = torch.full((len(positions),), -1.0, device=self.device)
        rows = (~positions.finished).nonzero()[:, 0]
        if len(rows):
            oriented = orient(positions[rows])
            self.stats.requests += len(rows)
            found_logits, values[rows] = self._answer(oriented)
            turned = oriented.turned[:, None]
            logits[rows] = torch.where(turned, found_logits.flip(1), found_logits)
        return logits, values

    def simple_infer(self, position: Positions) -> tuple[Tensor, float]:
        """Evaluates a single position (B = 1): logits float32 `[A]` and the mover's value."""
        if len(position) != 1:
            raise ShapeError(f"simple_infer takes one position, not {len(position)}")
        logits, values = self.batch_infer(position)
        return logits[0], float(values[0])

    def get_performance_stats(self) -> dict[str, Any]:
        """Counts and rates since the start; see `InferenceStats`."""
        return self.stats.summary()

    @torch.no_grad()
    def rows_per_second(self, planes: Tensor, seconds: float) -> float:
        """Speed of the bare forward on `planes` (`[B, 2, N + 2, N + 2]`, the plan's precision).

        Calls it twice to warm up, then for about `seconds`; nothing is counted in the statistics.
        """
        planes = planes.contiguous(memory_format=torch.channels_last)
        calls, started = -2, time.perf_counter()
        while calls < 1 or time.perf_counter() - started < seconds:
            if calls == 0:
                self._wait()
                started = time.perf_counter()
            self._forward(planes)
            calls += 1
        self._wait()
        return calls * len(planes) / (time.perf_counter() - started)

    def _wait(self) -> None:
        """Waits for the device to have done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _answer(self, asked: Oriented) -> tuple[Tensor, Tensor]:
        """Evaluations of oriented positions, in their order."""
        if not self._deduplicate:
            return self._look_up(asked)
        first, owner = _distinct(asked.keys, asked.checks)
        self.stats.duplicate_hits += len(asked.keys) - len(first)
        logits, values = self._look_up(_rows(asked, first))
        return logits[owner], values[owner]

    def _look_up(self, asked: Oriented) -> tuple[Tensor, Tensor]:
        """Evaluations of oriented positions, from the cache where it has them."""
        if not self._cache_size:
            return self._evaluate(asked, self.plan.shapes)
        cache = self._cache_for(asked.planes)
        known, slots = cache.find(asked.keys, asked.checks)
        missing = (~known).nonzero()[:, 0]
        self.stats.cache_hits += len(known) - len(missing)
        logits, values = cache.read(slots)
        if len(missing):
            asked = _rows(asked, missing)
            new_logits, new_values = self._evaluate(asked, self.plan.shapes)
            logits[missing], values[missing] = new_logits, new_values
            cache.write(asked.keys, asked.checks, new_logits, new_values)
        return logits, values

    def _cache_for(self, planes: Tensor) -> EvaluationCache:
        """The cache for this board size; a change of size starts a new one."""
        moves = (planes.shape[-1] - 2) ** 2
        if self._cache is None or self._cache.moves != moves:
            self._cache = EvaluationCache(self._cache_size, moves, self.device)
        return self._cache

    @torch.no_grad()
    def _evaluate(self, asked: Oriented, shapes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Runs the network on oriented positions, in padded batches of the given shapes."""
        started = time.perf_counter()
        parts, start, rows = [], 0, len(asked.planes)
        while start < rows:
            shape = _next_shape(rows - start, shapes)
            try:
                parts.append(self._run(asked.planes[start : start + shape], shape))
            except Exception as error:  # noqa: BLE001 - passes on all but lack of memory
                shapes = self._smaller_shapes(shape, error)
                continue
            start += shape
        logits = torch.cat([part[0] for part in parts])
        values = torch.cat([part[1] for part in parts])
        # One read from the device; a sum is finite only if all its terms are.
        if not bool(logits.sum().isfinite() & (values.abs().amax() <= 1)):
            raise NetworkError("the network gave a policy that is not finite or a value outside ±1")
        self.stats.evaluations += rows
        self.stats.network_seconds += time.perf_counter() - started
        return logits, values

    def _run(self, planes: Tensor, shape: int) -> tuple[Tensor, Tensor]:
        """One call of the network on at most `shape` rows, padded with empty planes."""
        rows = len(planes)
        batch = torch.zeros(shape, *planes.shape[1:], dtype=self.plan.dtype, device=self.device).to(
            memory_format=torch.channels_last
        )
        batch[:rows] = planes
        logits, values = self._forward(batch)
        wanted = (shape, (planes.shape[-1] - 2) ** 2)
        if logits.shape != wanted or values.shape != wanted[:1]:
            raise NetworkError(
                f"the network gave {list(logits.shape)} and {list(values.shape)}, "
                f"want {list(wanted)} and {list(wanted[:1])}"
            )
        self.stats.network_calls += 1
        self.stats.padding_rows += shape - rows
        return logits[:rows].float(), values[:rows].float()

    def _smaller_shapes(self, failed: int, error: Exception) -> tuple[int, ...]:
        """Gives up the shapes from `failed` on, after the network ran out of memory there.

        Raises:
          NetworkError: there is no smaller shape, or the network failed for another reason.
        """
        if isinstance(error, NetworkError):
            raise error
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            reason = " ".join(str(error).split()) or type(error).__name__
            raise NetworkError(f"the network failed: {reason[:300]}") from error
        smaller = tuple(shape for shape in self.plan.shapes if shape < failed)
        if not smaller:
            raise NetworkError(f"out of memory with batches of {failed}") from error
        log.warning("out of memory with batches of %d: going on with %d", failed, smaller[-1])
        self.plan = self.plan.with_shapes(smaller)
        return smaller


def _next_shape(rows: int, shapes: tuple[int, ...]) -> int:
    """The shape for the next call when `rows` wait: none is padded by more than a quarter, but for
    what is left at the end, which takes the smallest shape that holds it."""
    for shape, larger in zip(shapes, (*shapes[1:], None), strict=True):
        if rows <= shape or larger is None or rows < 0.75 * larger:
            return shape
    raise AssertionError("unreachable: the largest shape takes any number of rows")


def _distinct(keys: Tensor, checks: Tensor) -> tuple[Tensor, Tensor]:
    """Finds equal positions: rows of one of each kind `[D]`, and for each row its kind `[B]`.

    Two positions whose keys collide but whose checks differ stay apart.
    """
    order = keys.argsort(stable=True)
    keys, checks = keys[order], checks[order]
    new = torch.ones_like(keys, dtype=torch.bool)
    new[1:] = (keys[1:] != keys[:-1]) | (checks[1:] != checks[:-1])
    kind = torch.empty_like(order)
    kind[order] = new.long().cumsum(0) - 1
    return order[new], kind


def _rows(asked: Oriented, rows: Tensor) -> Oriented:
    return Oriented(asked.planes[rows], asked.turned[rows], asked.keys[rows], asked.checks[rows])


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _same_bits(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def _compiled(network: nn.Module) -> Any:
    """The network compiled for fixed shapes, weights frozen into the code where torch can."""
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    return torch.compile(network, dynamic=False, options={"freezing": True})


def _probe_positions(count: int, size: int, device: torch.device) -> Positions:
    """Unlike positions after 0, 1, 2, … random moves, to compare batch shapes with."""
    positions = Positions.empty(count, size, device)
    rows = torch.arange(count, device=device)
    for ply in range(size * size // 2):
        order = random_bits(ply, rows[:, None], torch.arange(size * size, device=device))
        moves = order.masked_fill(~positions.legal_moves(), torch.iinfo(torch.int64).min).argmax(1)
        moved = positions.play(moves)
        stay = (rows % (size * size // 2) <= ply) | moved.finished
        positions = Positions.cat([positions, moved])[torch.where(stay, rows, rows + count)]
    return positions
