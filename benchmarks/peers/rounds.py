"""The measurements: rounds over all contenders, within a time limit, each row told at once."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from common import PeerAbsentError, Setup, Variant
from worker import Late, Worker

# Moves and evaluations a second.
Rates = tuple[float, float]

# The module of a contender, and one of its variants.
Pair = tuple[str, Variant]


@dataclass
class Measured:
    """What has been measured so far.

    Attributes:
      runs: of each variant, one for each round that reached it.
      preparation: what each contender says of itself, by its module.
      left_out: why a module, or the rest of the rounds, was not measured.
    """

    runs: dict[Variant, list[Rates]] = field(default_factory=lambda: defaultdict(list))
    preparation: dict[str, Any] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


class Rounds:
    """Measures contenders in turn until all rounds are done, or the time is up.

    Args:
      setup: what is compared.
      deadline: on the clock of `time.monotonic`; nothing goes on after it.
      tell: is called with a line for each measurement, and for what cannot be measured.
    """

    def __init__(self, setup: Setup, deadline: float, tell: Callable[[str], None]) -> None:
        self.measured = Measured()
        self._setup, self._deadline, self._tell = setup, deadline, tell
        self._workers: dict[str, Worker] = {}
        self._costs: dict[Pair, float] = {}  # seconds of the latest run

    def run(self, contenders: tuple[str, ...], rounds: int) -> None:
        """Measures every variant as often as is asked for, and first of all one of each contender.

        Raises:
          PeerError: a contender does not compute what ours does, or its process dies.
        """
        try:
            others = [pair for name in contenders for pair in self._prepare(name, f"1/{rounds}")]
            for turn in range(1, rounds + 1):
                pairs = others if turn == 1 else list(self._costs)
                if not self._measure_all(pairs, f"{turn}/{rounds}"):
                    self._leave_out("rounds", f"cut short by the time limit, in round {turn}")
                    return
        finally:
            for worker in self._workers.values():
                worker.end()

    def _prepare(self, name: str, turn: str) -> list[Pair]:
        """Prepares a contender and measures its first variant; those that are left."""
        self._tell(f"{turn}  preparing {name}")
        worker = self._workers[name] = Worker(name, self._setup)
        try:
            self.measured.preparation[name] = worker.ask("prepare", seconds=self._left())
            first, *others = worker.ask("variants", seconds=self._left())
            self._measure((name, first), turn)
        except PeerAbsentError as error:
            self._leave_out(name, str(error))
        except Late:
            self._leave_out(name, "not measured before the time limit")
        else:
            return [(name, variant) for variant in others]
        return []

    def _measure_all(self, pairs: list[Pair], turn: str) -> bool:
        """Whether the time sufficed for all."""
        for pair in pairs:
            if self._costs.get(pair, 0.0) >= self._left():
                return False
            try:
                self._measure(pair, turn)
            except Late:
                return False
        return True

    def _measure(self, pair: Pair, turn: str) -> None:
        (name, variant), started = pair, time.monotonic()
        rates = self._workers[name].ask("rates", variant, seconds=self._left())
        self._costs[pair] = time.monotonic() - started
        self.measured.runs[variant].append(rates)
        moves, evaluations = rates
        contender, setting = variant
        self._tell(
            f"{turn}  {contender:22}{moves:9.1f} moves/s{evaluations:9.0f} evals/s  {setting}"
        )

    def _leave_out(self, what: str, why: str) -> None:
        self.measured.left_out[what] = why
        self._tell(f"{what}: {why}")

    def _left(self) -> float:
        return self._deadline - time.monotonic()
