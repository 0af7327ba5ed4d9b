"""How fast each way to evaluate is, and how near it comes to the bare network: `hex-ai bench`.

All modes run in one process, one after the other, with the same weights. Rates are those of the
steady state: slots start at staggered plies of games played before, and the clock starts after a
few steps. The meaning of every figure is in docs/bench.md.
"""

import copy
import math
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hex_ai import __version__
from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.model_inference import DEFAULT_CACHE_SIZE, ModelInference
from hex_ai.inference.network import architecture_of, config_of, parameter_count
from hex_ai.selfplay.lane import Lane, SelfPlaySettings
from hex_ai.selfplay.lanes import Lanes, LaneWatcher
from hex_ai.selfplay.replay import replay
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine

SCHEMA_VERSION = 1

MODES = ("individual", "batched", "cross-game", "pipelined", "full", "plan-style")

# Games by the bare policy whose plies the slots start at.
PROBE_GAMES = 32
WARM_UP_STEPS = 2
# A mode measures at least this many steps, however slow it is.
LEAST_STEPS = 5


# For each game, the position (B = 1) before its first move and after each.
Probe = list[list[Positions]]


@dataclass(frozen=True)
class BenchSettings:
    """Settings of a benchmark.

    Attributes:
      board_size, search_widths, seed: of the games.
      modes: which of `MODES`, in any order.
      seconds: of each mode and repeat.
      repeats: rounds over all modes; medians are reported.
      games_in_flight: of the modes that have many.
    """

    board_size: int = 11
    search_widths: tuple[int, ...] = (3, 2)
    seed: int = 0
    modes: tuple[str, ...] = MODES
    seconds: float = 10.0
    repeats: int = 1
    games_in_flight: int = 128

    def __post_init__(self) -> None:
        self.games()
        for mode in self.modes:
            if mode not in MODES:
                raise SettingError(f"mode {mode!r} is not one of {', '.join(MODES)}")
        counts = (self.repeats, self.games_in_flight, len(self.modes))
        if not 0 < self.seconds < math.inf or not all(
            type(count) is int and count > 0 for count in counts
        ):
            raise SettingError("modes, seconds, repeats and games in flight must be positive")

    def games(self) -> SelfPlaySettings:
        """The self-play settings of every mode."""
        return SelfPlaySettings(self.board_size, self.search_widths, self.seed)


def run_bench(network: nn.Module, plan: InferencePlan, settings: BenchSettings) -> dict[str, Any]:
    """Measures the bare network and each mode; returns the report that `--json` writes.

    Args:
      network: any registered network; it is copied.
      plan: how all modes but `individual` and `plan-style` run it.
      settings: what to measure, and how long.
    """
    started = time.perf_counter()
    inference = ModelInference(copy.deepcopy(network), plan)
    plan = inference.prepare(settings.board_size)
    compile_seconds = time.perf_counter() - started
    probe = _probe_games(network, settings)
    raw = raw_speed(inference, probe, settings)
    measured: dict[str, list[dict[str, Any]]] = {mode: [] for mode in settings.modes}
    for _ in range(settings.repeats):
        for mode in settings.modes:
            measured[mode].append(_measure(mode, network, plan, settings, probe))
    mean_length = statistics.mean(len(game) - 1 for game in probe)
    return {
        "schema_version": SCHEMA_VERSION,
        "package_version": __version__,
        "torch_version": torch.__version__,
        "processor": processor_name(),
        "device": plan.device,
        "precision": plan.precision,
        "runtime": plan.runtime,
        "shapes": list(plan.shapes),
        "threads": plan.threads,
        "network": {
            "architecture": architecture_of(network).name,
            **config_of(network),
            "parameters": parameter_count(network),
        },
        **{name: value for name, value in asdict(settings).items() if name != "modes"},
        "mean_game_length": mean_length,
        "compile_seconds": compile_seconds,
        "raw": raw,
        "modes": {
            mode: _report(runs, raw["evals_per_s"], mean_length) for mode, runs in measured.items()
        },
    }


def raw_speed(inference: ModelInference, probe: Probe, settings: BenchSettings) -> dict[str, Any]:
    """Rows a second of the bare forward by batch size, and the best of them."""
    sizes = sorted({1, 64, 256, *inference.plan.shapes})
    sweep = {}
    for size in sizes:
        planes = _stagger(probe, size)[0].to(inference.device).planes(inference.plan.dtype)
        sweep[str(size)] = inference.rows_per_second(planes, settings.seconds / len(sizes))
    best = max(sweep, key=lambda size: sweep[size])
    return {"evals_per_s": sweep[best], "batch_size": int(best), "sweep": sweep}


def processor_name() -> str:
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


class _Enough(Exception):
    """Ends a measurement from inside the play."""


class _Clock(LaneWatcher):
    """Staggers each lane, and notes counts when the clock starts and stops."""

    def __init__(self, probe: Probe, seconds: float, lanes: int) -> None:
        self._probe, self._seconds, self._lanes = probe, seconds, lanes
        self._steps: dict[Lane, int] = {}
        self._lock = threading.Lock()
        self.engine: SelfPlayEngine | None = None
        self.marks: list[tuple[float, dict[str, Any]]] = []

    def started(self, lane: Lane) -> None:
        positions, plies = _stagger(self._probe, len(lane))
        lane.place(positions.to(lane.device), plies.to(lane.device))

    def stepped(self, lane: Lane) -> None:
        with self._lock:  # lanes step in threads of their own
            self._steps[lane] = self._steps.get(lane, 0) + 1
            steps = min(self._steps.values()) if len(self._steps) == self._lanes else 0
            now = time.perf_counter()
            if not self.marks and steps >= WARM_UP_STEPS:
                self.marks.append((now, self._counts()))
            elif self.marks and steps >= WARM_UP_STEPS + LEAST_STEPS:
                self._stop_if_over(now)

    def _stop_if_over(self, now: float) -> None:
        if now - self.marks[0][0] >= self._seconds:
            if len(self.marks) == 1:
                self.marks.append((now, self._counts()))
            raise _Enough

    def _counts(self) -> dict[str, Any]:
        if self.engine is None:
            raise RuntimeError("a clock needs its engine before the first step")
        return self.engine.get_performance_stats()


@contextmanager
def _folder_for(mode: str) -> Iterator[str | None]:
    """Only `full` stores its games."""
    if mode == "full":
        with tempfile.TemporaryDirectory() as folder:
            yield folder
    else:
        yield None


def _measure(
    mode: str,
    network: nn.Module,
    plan: InferencePlan,
    settings: BenchSettings,
    probe: Probe,
) -> dict[str, Any]:
    """Counts and seconds of one run of one mode."""
    single = mode in ("individual", "plan-style")
    if mode == "plan-style":
        plan = InferencePlan(plan.device, "eager", "float32", (1,), plan.threads)
    workers = 2 if mode == "pipelined" else 1
    clock = _Clock(probe, settings.seconds, workers)
    with _folder_for(mode) as folder:
        engine = SelfPlayEngine(
            model=network,
            plan=plan,
            use_batched_inference=not single,
            games_in_flight=1 if single or mode == "batched" else settings.games_in_flight,
            num_workers=workers,
            output_dir=folder,
            watcher=clock,
            cache_size=DEFAULT_CACHE_SIZE if mode == "full" else 0,
            deduplicate=mode == "full",
            **asdict(settings.games()),
        )
        clock.engine = engine
        try:
            for _ in engine.generate_games(2**40):
                pass
        except _Enough:
            pass
    (start, before), (end, after) = clock.marks
    counts = {name: after[name] - before[name] for name in _COUNTS}
    return counts | {"seconds": end - start, "device_utilization": after["device_utilization"]}


_COUNTS = (
    "requests",
    "evaluations",
    "cache_hits",
    "duplicate_hits",
    "padding_rows",
    "network_calls",
    "network_seconds",
    "searched_moves",
)


def _report(runs: Sequence[dict[str, Any]], raw_rate: float, mean_length: float) -> dict[str, Any]:
    """Medians over the repeats, and the range of the moves a second."""
    rows = [_rates(run, raw_rate, mean_length) for run in runs]
    report = {name: _median([row[name] for row in rows]) for name in rows[0]}
    speeds = [row["moves_per_s"] for row in rows]
    return report | {"moves_per_s_range": [min(speeds), max(speeds)]}


def _rates(run: dict[str, Any], raw_rate: float, mean_length: float) -> dict[str, Any]:
    seconds, evaluations = run["seconds"], run["evaluations"]
    return {
        "games_per_s": run["searched_moves"] / seconds / mean_length,
        "moves_per_s": run["searched_moves"] / seconds,
        "requests_per_s": run["requests"] / seconds,
        "evaluations_per_s": evaluations / seconds,
        "mean_batch": evaluations / run["network_calls"],
        "padding_efficiency": evaluations / (evaluations + run["padding_rows"]),
        "hit_rate": (run["cache_hits"] + run["duplicate_hits"]) / run["requests"],
        "work_saved": run["requests"] / evaluations,
        "efficiency": evaluations / seconds / raw_rate,
        "network_calls_per_move": run["network_calls"] / run["searched_moves"],
        "network_share": run["network_seconds"] / seconds,
        "device_utilization": run["device_utilization"],
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _probe_games(network: nn.Module, settings: BenchSettings) -> Probe:
    """Games by the bare policy: quick, and their positions are those of real games."""
    plan = InferencePlan("cpu", "eager", "float32", (32,), torch.get_num_threads())
    lanes = Lanes(
        ModelInference(copy.deepcopy(network), plan),
        SelfPlaySettings(settings.board_size, (1,), settings.seed),
        games_in_flight=PROBE_GAMES,
    )
    games = (game for games in lanes.play(range(PROBE_GAMES)) for game in games)
    return [replay(game.board_size, [int(move) for move in game.moves]) for game in games]


def _stagger(probe: Probe, slots: int) -> tuple[Positions, torch.Tensor]:
    """Positions for `slots` slots, evenly spread over the plies of the games, and their plies."""
    chosen, plies = [], []
    for slot in range(slots):
        game = probe[slot % len(probe)]
        # A swap asks twice at ply 1, so no slot starts there; the last position is finished.
        ply = max(2, round((slot + 0.5) / slots * (len(game) - 2)))
        chosen.append(game[ply])
        plies.append(ply)
    return Positions.cat(chosen), torch.tensor(plies)
