"""The runs of a benchmark: each way to evaluate from mid-game on, and games played to the last.

The slots of a steady run start at plies of games that the bare policy played before, evenly spread,
and the clock starts after a few steps.
"""

import copy
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import nn

from hex_ai.bench.kernel_trace import KernelTrace
from hex_ai.bench.wall_shares import WallShares
from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.model_inference import DEFAULT_CACHE_SIZE, ModelInference
from hex_ai.selfplay.game_batch import GameBatch, StepWatcher
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.store.replay import replay

MODES = ("individual", "batched", "cross-game", "pipelined", "full", "plan-style")

# Games by the bare policy whose plies the slots start at.
PROBE_GAMES = 32
WARM_UP_STEPS = 2
# A mode measures at least this many steps, however slow it is.
LEAST_STEPS = 5
# Rounds of games in a finite run: the first fills the slots, the last empties them.
FINITE_ROUNDS = 4

# For each game, the position (B = 1) before its first move and after each.
Probe = list[list[Positions]]

# Seconds and counts when the clock started and when it stopped.
Marks = list[tuple[float, dict[str, Any]]]


class Watcher(Protocol):
    """Looks at a run while its clock runs."""

    def start(self) -> None:
        """Begins to look."""

    def stop(self) -> dict[str, Any]:
        """What was seen."""
        ...


@dataclass(frozen=True)
class BenchSettings:
    """Settings of a benchmark.

    Attributes:
      board_size, search_widths, seed: of the games.
      modes: which of `MODES`, in any order.
      seconds: of each mode and repeat.
      repeats: rounds over all modes; medians are reported.
      games_in_flight: of the modes that have many.
      finite: play `FINITE_ROUNDS` rounds of games from first to last as well.
      flights: numbers of games in flight to measure cross-game with as well.
    """

    board_size: int = 11
    search_widths: tuple[int, ...] = (3, 2)
    seed: int = 0
    modes: tuple[str, ...] = MODES
    seconds: float = 10.0
    repeats: int = 1
    games_in_flight: int = 128
    finite: bool = False
    flights: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.games()
        for mode in self.modes:
            if mode not in MODES:
                raise SettingError(f"mode {mode!r} is not one of {', '.join(MODES)}")
        counts = (self.repeats, self.games_in_flight, len(self.modes), *self.flights)
        if not 0 < self.seconds < math.inf or not all(
            type(count) is int and count > 0 for count in counts
        ):
            raise SettingError("modes, seconds, repeats and games in flight must be positive")

    def games(self) -> SelfPlaySettings:
        """The self-play settings of every mode."""
        return SelfPlaySettings(self.board_size, self.search_widths, self.seed)


class SteadyRuns:
    """Runs of one network under one plan.

    Args:
      network: it is copied.
      plan: how all modes but `plan-style` run it.
      settings: what to measure, and how long.

    Attributes:
      on_gpu: whether the network runs on one.
      probe: the games whose plies the slots start at.
      mean_length: plies of such a game.
    """

    def __init__(self, network: nn.Module, plan: InferencePlan, settings: BenchSettings) -> None:
        self._network, self._plan, self._settings = network, plan, settings
        self._engines: dict[tuple[str, int | None], SelfPlayEngine] = {}
        self.on_gpu = plan.device == "cuda"
        self.probe = _probe_games(network, settings)
        self.mean_length = statistics.mean(len(game) - 1 for game in self.probe)

    def measure(self, mode: str, games_in_flight: int | None = None) -> dict[str, Any]:
        """Counts, seconds and wall shares of one steady run of one mode."""
        marks, wall_shares = self._watched(
            mode, WallShares(), self._settings.seconds, games_in_flight
        )
        (start, before), (end, after) = marks
        return {name: after[name] - before[name] for name in _COUNTS} | {
            "seconds": end - start,
            "wall_shares": wall_shares,
            "device_utilization": after["device_utilization"],
        }

    def kernels(self, mode: str) -> dict[str, Any]:
        """What the GPU does in a few steps of a mode of one lane, see `kernel_report`."""
        return self._watched(mode, KernelTrace(), 0.0)[1]

    def _watched(
        self, mode: str, watcher: Watcher, seconds: float, games_in_flight: int | None = None
    ) -> tuple[Marks, dict[str, Any]]:
        """Runs a mode, and what `watcher` saw of it while the clock ran."""
        workers = 2 if mode == "pipelined" else 1
        clock = _Clock(self.probe, seconds, workers, watcher)
        with _folder_for(mode) as folder:
            engine = self._engine(mode, games_in_flight, workers, folder)
            engine.runner.watcher, clock.engine = clock, engine
            try:
                for _ in engine.generate_games(2**40):
                    pass
            except _Enough:
                pass
            finally:
                clock.close()
        return clock.marks, clock.seen

    def finite(self, mode: str) -> dict[str, Any]:
        """Games from their first ply to their last, empty slots at the end included."""
        games = FINITE_ROUNDS * self._settings.games_in_flight
        engine = self._engine(mode, None, 1, None)
        engine.runner.watcher = StepWatcher()
        engine.prepare()
        for _ in engine.generate_games(games):
            pass
        stats = engine.get_performance_stats()
        names = ("seconds", "games_per_s", "moves_per_s", "mean_batch", "padding_efficiency")
        return {"mode": mode, "games": games, **{name: stats[name] for name in names}}

    def _engine(
        self, mode: str, games_in_flight: int | None, workers: int, folder: str | None
    ) -> SelfPlayEngine:
        """An engine for the mode; those that remember nothing serve all repeats, once compiled."""
        if mode == "full":
            return self._new_engine(mode, games_in_flight, workers, folder)
        key = (mode, games_in_flight)
        if key not in self._engines:
            self._engines[key] = self._new_engine(mode, games_in_flight, workers, folder)
        return self._engines[key]

    def _new_engine(
        self, mode: str, games_in_flight: int | None, workers: int, folder: str | None
    ) -> SelfPlayEngine:
        single, plan = mode in ("individual", "plan-style"), self._plan
        if mode == "plan-style":
            plan = InferencePlan(plan.device, "eager", "float32", (1,), plan.threads)
        # Each lane gets as many games as the one lane of the other modes, and batches as large.
        flight = workers * (games_in_flight or self._settings.games_in_flight)
        return SelfPlayEngine(
            model=self._network,
            plan=plan,
            use_batched_inference=not single,
            games_in_flight=1 if single or mode == "batched" else flight,
            num_workers=workers,
            output_dir=folder,
            cache_size=DEFAULT_CACHE_SIZE if mode == "full" else 0,
            deduplicate=mode == "full",
            **asdict(self._settings.games()),
        )


def stagger(probe: Probe, slots: int) -> tuple[Positions, torch.Tensor]:
    """Positions for `slots` slots, evenly spread over the plies of the games, and their plies."""
    chosen, plies = [], []
    for slot in range(slots):
        game = probe[slot % len(probe)]
        # A swap asks twice at ply 1, so no slot starts there; the last position is finished.
        ply = max(2, round((slot + 0.5) / slots * (len(game) - 2)))
        chosen.append(game[ply])
        plies.append(ply)
    return Positions.cat(chosen), torch.tensor(plies)


class _Enough(Exception):
    """Ends a measurement from inside the play."""


class _Clock(StepWatcher):
    """Staggers each lane, and notes counts when the clock starts and stops."""

    def __init__(self, probe: Probe, seconds: float, lanes: int, watcher: Watcher) -> None:
        self._probe, self._seconds, self._lanes = probe, seconds, lanes
        self._steps: dict[GameBatch, int] = {}
        self._lock = threading.Lock()
        self.engine: SelfPlayEngine | None = None
        self.marks: Marks = []
        self.seen: dict[str, Any] = {}
        self._watcher = watcher

    def started(self, lane: GameBatch) -> None:
        positions, plies = stagger(self._probe, len(lane))
        lane.place(positions.to(lane.device), plies.to(lane.device))

    def stepped(self, lane: GameBatch) -> None:
        with self._lock:  # lanes step in threads of their own
            self._steps[lane] = self._steps.get(lane, 0) + 1
            steps = min(self._steps.values()) if len(self._steps) == self._lanes else 0
            now = time.perf_counter()
            if not self.marks and steps >= WARM_UP_STEPS:
                self.marks.append((now, self._counts()))
                self._watcher.start()
            elif self.marks and steps >= WARM_UP_STEPS + LEAST_STEPS:
                self._stop_if_over(now)

    def _stop_if_over(self, now: float) -> None:
        if now - self.marks[0][0] >= self._seconds:
            if len(self.marks) == 1:
                self.marks.append((now, self._counts()))
                self.close()
            raise _Enough

    def close(self) -> None:
        """Ends the watch, if it has not ended yet: games that are put away do not count."""
        self.seen = self.seen or self._watcher.stop()

    def _counts(self) -> dict[str, Any]:
        if self.engine is None:
            raise RuntimeError("a clock needs its engine before the first step")
        return self.engine.get_performance_stats()


_COUNTS = (
    "requests",
    "evaluations",
    "cache_hits",
    "duplicate_hits",
    "padding_rows",
    "network_calls",
    "searched_moves",
)


@contextmanager
def _folder_for(mode: str) -> Iterator[str | None]:
    """Only `full` stores its games."""
    if mode == "full":
        with tempfile.TemporaryDirectory() as folder:
            yield folder
    else:
        yield None


def _probe_games(network: nn.Module, settings: BenchSettings) -> Probe:
    """Games by the bare policy: quick, and their positions are those of real games."""
    plan = InferencePlan("cpu", "eager", "float32", (32,), torch.get_num_threads())
    lanes = Runner(
        ModelInference(copy.deepcopy(network), plan),
        SelfPlaySettings(settings.board_size, (1,), settings.seed),
        games_in_flight=PROBE_GAMES,
    )
    games = (game for games in lanes.play(range(PROBE_GAMES)) for game in games)
    return [replay(game.board_size, [int(move) for move in game.moves]) for game in games]
