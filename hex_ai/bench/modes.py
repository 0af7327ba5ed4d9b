"""The runs of a benchmark: every mode of play from mid-game on, and games from first ply to last.

The slots of a steady run start at plies of games that the bare policy played before, evenly spread,
and the clock starts after a few steps.
"""

import copy
import math
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.model_inference import DEFAULT_CACHE_SIZE, ModelInference
from hex_ai.numbers import settle
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

# What a steady run counts between the start and the stop of its clock.
COUNTS = (
    *("requests", "evaluations", "cache_hits", "duplicate_hits", "padding_rows"),
    *("network_calls", "network_seconds", "searched_moves"),
)


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
    """

    board_size: int = 11
    search_widths: tuple[int, ...] = (3, 2)
    seed: int = 0
    modes: tuple[str, ...] = MODES
    seconds: float = 10.0
    repeats: int = 1
    games_in_flight: int = 128
    finite: bool = False

    def __post_init__(self) -> None:
        settle(self, ("board_size", "seed", "repeats", "games_in_flight"), ("seconds",))
        object.__setattr__(self, "search_widths", self.games().search_widths)
        for mode in self.modes:
            if mode not in MODES:
                raise SettingError(f"mode {mode!r} is not one of {', '.join(MODES)}")
        counts = (self.repeats, self.games_in_flight, len(self.modes))
        if not 0 < self.seconds < math.inf or min(counts) < 1:
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
      probe: the games whose plies the slots start at.
      mean_length: plies of such a game.
    """

    def __init__(self, network: nn.Module, plan: InferencePlan, settings: BenchSettings) -> None:
        self._network, self._plan, self._settings = network, plan, settings
        self._engines: dict[str, SelfPlayEngine] = {}
        self.probe = _probe_games(network, settings)
        self.mean_length = statistics.mean(len(game) - 1 for game in self.probe)

    def measure(
        self, mode: str, watch: AbstractContextManager[Any] | None = None
    ) -> dict[str, Any]:
        """`COUNTS`, seconds and device utilization of one steady run of a mode.

        The context `watch` is entered when the clock starts, in the thread that plays.
        """
        with self._engine(mode) as engine, ExitStack() as watching, suppress(_Enough):
            start_watch = partial(watching.enter_context, watch or nullcontext())
            clock = _Clock(engine, self.probe, self._settings.seconds, start_watch)
            engine.runner.watcher = clock
            for _ in engine.generate_games(2**40):
                pass
        (start, before), (end, after) = clock.marks
        return {name: after[name] - before[name] for name in COUNTS} | {
            "seconds": end - start,
            "device_utilization": after["device_utilization"],
        }

    def finite(self) -> dict[str, Any]:
        """Cross-game from first plies to last ones, the slots that empty at the end included."""
        games = FINITE_ROUNDS * self._settings.games_in_flight
        with self._engine("cross-game") as engine:
            engine.runner.watcher = StepWatcher()
            engine.prepare()
            for _ in engine.generate_games(games):
                pass
            stats = engine.get_performance_stats()
        names = ("seconds", "games_per_s", "moves_per_s", "mean_batch", "padding_efficiency")
        return {"mode": "cross-game", "games": games, **{name: stats[name] for name in names}}

    @contextmanager
    def _engine(self, mode: str) -> Iterator[SelfPlayEngine]:
        """An engine for the mode; one that remembers nothing serves all repeats, once compiled."""
        if mode == "full":
            with tempfile.TemporaryDirectory() as folder:
                yield self._new_engine(mode, folder)
        else:
            if mode not in self._engines:
                self._engines[mode] = self._new_engine(mode, None)
            yield self._engines[mode]

    def _new_engine(self, mode: str, folder: str | None) -> SelfPlayEngine:
        single, plan = mode in ("individual", "plan-style"), self._plan
        if mode == "plan-style":
            plan = InferencePlan(plan.device, "eager", "float32", (1,), plan.threads)
        workers = 2 if mode == "pipelined" else 1
        # Each worker gets as many games, and batches as large, as the one of the other modes.
        many = workers * self._settings.games_in_flight
        return SelfPlayEngine(
            model=self._network,
            plan=plan,
            use_batched_inference=not single,
            games_in_flight=1 if single or mode == "batched" else many,
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
    """Staggers each batch of games, and notes the time and the counts at its start and stop."""

    def __init__(
        self, engine: SelfPlayEngine, probe: Probe, seconds: float, at_start: Callable[[], Any]
    ) -> None:
        self._engine, self._probe, self._seconds = engine, probe, seconds
        self._at_start = at_start
        self._steps: Counter[GameBatch] = Counter()
        self._lock = threading.Lock()
        self.marks: list[tuple[float, dict[str, Any]]] = []

    def started(self, games: GameBatch) -> None:
        positions, plies = stagger(self._probe, len(games))
        games.place(positions.to(games.device), plies.to(games.device))

    def stepped(self, games: GameBatch) -> None:
        with self._lock:  # each worker steps in a thread of its own
            self._steps[games] += 1
            begun = len(self._steps) == self._engine.runner.workers
            steps = min(self._steps.values()) if begun else 0
            if not self.marks and steps >= WARM_UP_STEPS:
                self._mark()
                self._at_start()
            elif self.marks and steps >= WARM_UP_STEPS + LEAST_STEPS:
                self._stop_if_over()

    def _stop_if_over(self) -> None:
        if time.perf_counter() - self.marks[0][0] >= self._seconds:
            if len(self.marks) == 1:  # the other workers stop at the same marks
                self._mark()
            raise _Enough

    def _mark(self) -> None:
        self.marks.append((time.perf_counter(), self._engine.get_performance_stats()))


def _probe_games(network: nn.Module, settings: BenchSettings) -> Probe:
    """Games by the bare policy: quick, and their positions are those of real games."""
    plan = InferencePlan("cpu", "eager", "float32", (32,), torch.get_num_threads())
    runner = Runner(
        ModelInference(copy.deepcopy(network), plan),
        SelfPlaySettings(settings.board_size, (1,), settings.seed),
        games_in_flight=PROBE_GAMES,
    )
    games = (game for games in runner.play(range(PROBE_GAMES)) for game in games)
    return [replay(game.board_size, [int(move) for move in game.moves]) for game in games]
