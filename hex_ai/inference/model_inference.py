"""`ModelInference`: positions in, evaluations out, each network row computed once.

    positions ─► oriented ─► finished ones, duplicates and cache out
              ─► padded batches of fixed shapes ─► network ─► every row back to its owners

An evaluation is raw float32 logits in canonical cell order and the mover's value in [-1, 1]. It is,
bit for bit, a function of the position, the network and the inference plan.

The host reads from the device at most once a batch, to learn how many rows the network must see;
not at all with cache and duplicates off. Counts and faults stay on the device until somebody asks.
"""

import logging
from typing import Any

import torch
from torch import Tensor, nn

from hex_ai.errors import SettingError, ShapeError
from hex_ai.game.positions import Positions
from hex_ai.inference.evaluation_cache import EvaluationCache, Oriented, first_equals, orient
from hex_ai.inference.inference_plan import (
    ORIENTATION_RULE,
    InferencePlan,
    default_plan,
)
from hex_ai.inference.inference_stats import InferenceStats
from hex_ai.inference.planned_network import PlannedNetwork, require_sound
from hex_ai.inference.probe import probe_positions
from hex_ai.network.architecture import (
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
        plan = plan or default_plan(torch.device("cpu"))
        if plan.orientation != ORIENTATION_RULE:
            raise SettingError(f"orientation rule {plan.orientation!r} is not {ORIENTATION_RULE!r}")
        self.device = torch.device(plan.device)
        self._cache_size, self._deduplicate = cache_size, deduplicate
        self._cache: EvaluationCache | None = None
        self._sees_colours = sees_colours(uncompiled(network))
        self._network = PlannedNetwork(network, plan)
        self.reset_stats()

    @property
    def plan(self) -> InferencePlan:
        """The plan in force."""
        return self._network.plan

    @undisturbed()
    def prepare(self, size: int) -> InferencePlan:
        """Converts, compiles and compares what the plan names, and freezes it.

        See `PlannedNetwork.prepare`; returns the plan that is then in force.
        """
        probe = probe_positions(self._network.probe_rows, size, self.device)
        plan = self._network.prepare(self._orient(probe).planes)
        self.reset_stats()
        return plan

    def run_simpler(self) -> None:
        """Changes the plan to the next simpler one, see `InferencePlan.simpler`."""
        self._network.run_simpler()

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
            evaluated = self._network.evaluate(planes)
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
        require_sound(bool(self._network.sound))

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
            padding_rows=self._network.rows - evaluations,
            network_calls=self._network.calls,
            network_seconds=self._network.seconds,
        )

    @undisturbed()
    def reset_stats(self) -> None:
        """Counts from 0 again."""
        # Requests, then how many of them are no duplicates, then how many of those are not cached.
        self._counts = torch.zeros(3, dtype=torch.int64, device=self.device)
        self._network.reset_counts()

    def get_performance_stats(self) -> dict[str, Any]:
        """Counts and rates since the start; see `InferenceStats`. Reads from the device."""
        return self.stats.summary()

    def planes(self, positions: Positions) -> Tensor:
        """What the network sees of positions, not rotated, in the plan's precision."""
        planes = positions.planes(self.plan.dtype)
        return with_colours(planes, positions.blue_to_move) if self._sees_colours else planes

    @undisturbed()
    def rows_per_second(self, planes: Tensor, seconds: float) -> float:
        """Speed of the bare forward on what `planes` gives; see `PlannedNetwork`."""
        return self._network.rows_per_second(planes, seconds)

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
        sound = self._network.sound
        count = int(torch.where(sound, missing.sum(), -1))
        require_sound(count >= 0)
        return (~missing).to(torch.int8).argsort(stable=True)[:count]
