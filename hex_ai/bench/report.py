"""How fast each way to evaluate is, and how near it comes to the bare network: `hex-ai bench`.

All modes run in one process, one after the other, with the same weights; with repeats they take
turns. The meaning of every figure is in docs/bench.md.
"""

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hex_ai import __version__
from hex_ai.bench.bare_speed import flops_per_row, matmul_peak
from hex_ai.bench.modes import MODES, BenchSettings, SteadyRuns, stagger
from hex_ai.bench.wall_shares import PARTS
from hex_ai.inference.inference_plan import InferencePlan, device_name, processor_name
from hex_ai.inference.model_inference import ModelInference
from hex_ai.network.architecture import architecture_of, config_of, parameter_count

__all__ = ["MODES", "BenchSettings", "run_bench"]

SCHEMA_VERSION = 2

# Batch sizes of the bare network that are measured beside the plan's own shapes.
RAW_SIZES = (1, 64, 256)

Figures = dict[str, Any]


def run_bench(
    network: nn.Module,
    plan: InferencePlan,
    settings: BenchSettings,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measures the bare network and each mode; returns the report that `--json` writes.

    Args:
      network: any registered network; it is copied.
      plan: how all modes but `individual` and `plan-style` run it.
      settings: what to measure, and how long.
      tell: is called with a line about each part that begins.
    """
    tell("preparing the network")
    started = time.perf_counter()
    inference = ModelInference(copy.deepcopy(network), plan)
    plan = inference.prepare(settings.board_size)
    compile_seconds = time.perf_counter() - started
    runs = SteadyRuns(network, plan, settings)
    rounds: list[Figures] = []
    for _ in range(settings.repeats):
        rounds.append(_round(inference, runs, settings, tell, [each["raw"] for each in rounds]))
    raw = _raw_report([each["raw"] for each in rounds])
    flops = flops_per_row(network, settings.board_size)
    peak = matmul_peak(inference.device, plan.dtype)
    modes = {
        mode: _mode_report([_rates(each[mode], runs.mean_length) for each in rounds])
        for mode in settings.modes
    }
    raw["mfu"] = raw["evals_per_s"] * flops / peak
    for figures in modes.values():
        figures["mfu"] = figures["evaluations_per_s"] * flops / peak
    report = _circumstances(network, plan, settings) | {
        "mean_game_length": runs.mean_length,
        "compile_seconds": compile_seconds,
        "flops_per_evaluation": flops,
        "matmul_flops_per_s": peak,
        "raw": raw,
        "modes": modes,
    }
    return report | _extras(runs, settings, tell, modes)


def _round(
    inference: ModelInference,
    runs: SteadyRuns,
    settings: BenchSettings,
    tell: Callable[[str], None],
    earlier: Sequence[Mapping[int, float]],
) -> Figures:
    """One sweep of the bare network, and one run of every mode between two looks at its best size.

    The looks are there because the speed of a shared machine drifts; `earlier` are sweeps so far.
    """
    tell("bare network")
    figures: Figures = {"raw": raw_sweep(inference, runs, settings)}
    best = _raw_report([*earlier, figures["raw"]])["batch_size"]
    before = bare_rate(inference, runs, best, settings.seconds / 4)
    for mode in settings.modes:
        tell(mode)
        figures[mode] = runs.measure(mode)
        after = bare_rate(inference, runs, best, settings.seconds / 4)
        figures[mode]["bare_rate"] = (before + after) / 2
        before = after
    return figures


def raw_sweep(
    inference: ModelInference, runs: SteadyRuns, settings: BenchSettings
) -> dict[int, float]:
    """Rows a second of the bare forward by batch size."""
    sizes = sorted({*RAW_SIZES, *inference.plan.shapes})
    seconds = settings.seconds / len(sizes)
    return {size: bare_rate(inference, runs, size, seconds) for size in sizes}


def bare_rate(inference: ModelInference, runs: SteadyRuns, rows: int, seconds: float) -> float:
    """Rows a second of the bare forward on batches of `rows` positions of real games."""
    planes = stagger(runs.probe, rows)[0].to(inference.device).planes(inference.plan.dtype)
    return inference.rows_per_second(planes, seconds)


def _extras(
    runs: SteadyRuns, settings: BenchSettings, tell: Callable[[str], None], modes: Figures
) -> Figures:
    """What is measured once, beside the modes."""
    extras: Figures = {}
    if runs.on_gpu:
        for mode in modes.keys() & {"cross-game", "full"}:
            tell(f"{mode}, kernels")
            modes[mode]["kernels"] = runs.kernels(mode)
    if "full" in modes:
        tell("full, one game at a time")
        alone = runs.measure("full", games_in_flight=1)
        modes["full"]["subtree_reuse"] = alone["cache_hits"] / alone["requests"]
    if settings.flights:
        extras["games_in_flight_sweep"] = {}
    for flight in settings.flights:
        tell(f"cross-game, {flight} games in flight")
        run = runs.measure("cross-game", games_in_flight=flight)
        extras["games_in_flight_sweep"][str(flight)] = (
            run["searched_moves"] / run["seconds"] / runs.mean_length
        )
    if settings.finite:
        tell("games from first to last")
        finite = runs.finite("cross-game")
        steady = modes.get("cross-game")
        finite["of_steady"] = finite["moves_per_s"] / steady["moves_per_s"] if steady else None
        extras["finite"] = finite
    return extras


def _circumstances(
    network: nn.Module, plan: InferencePlan, settings: BenchSettings
) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "package_version": __version__,
        "torch_version": torch.__version__,
        "processor": processor_name(),
        "device": plan.device,
        "device_name": device_name(torch.device(plan.device)),
        "precision": plan.precision,
        "runtime": plan.runtime,
        "shapes": list(plan.shapes),
        "threads": plan.threads,
        "network": {
            "architecture": architecture_of(network).name,
            **config_of(network),
            "parameters": parameter_count(network),
        },
        "games_in_flight": settings.games_in_flight,
        "seconds": settings.seconds,
        "repeats": settings.repeats,
        "board_size": settings.board_size,
        "search_widths": list(settings.search_widths),
        "seed": settings.seed,
    }


def _raw_report(sweeps: Sequence[Mapping[int, float]]) -> Figures:
    """Medians of the bare network over the rounds."""
    sweep = {str(size): statistics.median(each[size] for each in sweeps) for size in sweeps[0]}
    best = max(sweep, key=lambda size: sweep[size])
    return {
        "evals_per_s": sweep[best],
        "batch_size": int(best),
        "sweep": sweep,
    }


def _mode_report(rows: Sequence[Figures]) -> Figures:
    """Medians of a mode over the rounds, and the range of what is judged."""
    report = {
        name: _median([row[name] for row in rows]) for name in rows[0] if name != "wall_shares"
    }
    shares = {part: statistics.mean(row["wall_shares"][part] for row in rows) for part in PARTS}
    ranges = {
        f"{name}_range": [min(row[name] for row in rows), max(row[name] for row in rows)]
        for name in ("moves_per_s", "efficiency")
    }
    return report | ranges | {"wall_shares": shares}


def _rates(run: Figures, mean_length: float) -> Figures:
    seconds, requests, evaluations = run["seconds"], run["requests"], run["evaluations"]
    return {
        "games_per_s": run["searched_moves"] / seconds / mean_length,
        "moves_per_s": run["searched_moves"] / seconds,
        "requests_per_s": requests / seconds,
        "evaluations_per_s": evaluations / seconds,
        "evaluations_per_move": evaluations / run["searched_moves"],
        "mean_batch": evaluations / run["network_calls"],
        "padding_efficiency": evaluations / (evaluations + run["padding_rows"]),
        "hit_rate": (run["cache_hits"] + run["duplicate_hits"]) / requests,
        "cache_hit_rate": run["cache_hits"] / requests,
        "duplicate_rate": run["duplicate_hits"] / requests,
        "work_saved": requests / evaluations,
        "efficiency": evaluations / seconds / run["bare_rate"],
        "network_calls_per_move": run["network_calls"] / run["searched_moves"],
        "wall_shares": run["wall_shares"],
        "device_utilization": run["device_utilization"],
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
