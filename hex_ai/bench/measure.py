"""How fast each mode of play is, and how near it comes to the bare network: `hex-ai bench`.

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
from hex_ai.bench.modes import BenchSettings, SteadyRuns, stagger
from hex_ai.inference.inference_plan import InferencePlan, device_name, processor_name
from hex_ai.inference.model_inference import ModelInference
from hex_ai.network.architecture import architecture_of, config_of, parameter_count

SCHEMA_VERSION = 3

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
    rounds = [_round(inference, runs, settings, tell) for _ in range(settings.repeats)]
    raw = _raw_report([each["raw"] for each in rounds])
    modes = {mode: _mode_report([each[mode] for each in rounds]) for mode in settings.modes}
    flops = flops_per_row(network, settings.board_size)
    peak = matmul_peak(inference.device, plan.dtype)
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
    if settings.finite:
        tell("games from first to last")
        report["finite"] = _finite(runs, modes.get("cross-game"))
    return report


def _round(
    inference: ModelInference,
    runs: SteadyRuns,
    settings: BenchSettings,
    tell: Callable[[str], None],
) -> Figures:
    """One sweep of the bare network, and one run of every mode between two looks at its best size.

    The looks are there because the speed of a shared machine drifts.
    """

    def bare_rate(rows: int, seconds: float) -> float:
        """Rows a second of the bare forward on batches of positions of real games."""
        planes = inference.planes(stagger(runs.probe, rows)[0].to(inference.device))
        return inference.rows_per_second(planes, seconds)

    tell("bare network")
    sizes = sorted({*RAW_SIZES, *inference.plan.shapes})
    sweep = {size: bare_rate(size, settings.seconds / len(sizes)) for size in sizes}
    best = max(sweep, key=lambda size: sweep[size])
    before = bare_rate(best, settings.seconds / 4)
    figures: Figures = {"raw": sweep}
    for mode in settings.modes:
        tell(mode)
        run = runs.measure(mode)
        after = bare_rate(best, settings.seconds / 4)
        figures[mode] = _rates(run, (before + after) / 2, runs.mean_length)
        before = after
    return figures


def _finite(runs: SteadyRuns, steady: Figures | None) -> Figures:
    """Games from first to last, and their speed as a share of that of cross-game in mid-game."""
    figures = runs.finite()
    share = figures["moves_per_s"] / steady["moves_per_s"] if steady else None
    return figures | {"of_steady": share}


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
    return {"evals_per_s": sweep[best], "batch_size": int(best), "sweep": sweep}


def _mode_report(rows: Sequence[Figures]) -> Figures:
    """Medians of a mode over the rounds, and the range of what is judged."""
    report: Figures = {name: _median([row[name] for row in rows]) for name in rows[0]}
    for name in ("moves_per_s", "efficiency"):
        report[f"{name}_range"] = [min(row[name] for row in rows), max(row[name] for row in rows)]
    return report


def _rates(run: Figures, bare_rate: float, mean_length: float) -> Figures:
    seconds, moves = run["seconds"], run["searched_moves"]
    requests, evaluations = run["requests"], run["evaluations"]
    return {
        "games_per_s": moves / seconds / mean_length,
        "moves_per_s": moves / seconds,
        "requests_per_s": requests / seconds,
        "evaluations_per_s": evaluations / seconds,
        "evaluations_per_move": evaluations / moves,
        "mean_batch": evaluations / run["network_calls"],
        "padding_efficiency": evaluations / (evaluations + run["padding_rows"]),
        "hit_rate": (run["cache_hits"] + run["duplicate_hits"]) / requests,
        "cache_hit_rate": run["cache_hits"] / requests,
        "duplicate_rate": run["duplicate_hits"] / requests,
        "work_saved": requests / evaluations,
        "efficiency": evaluations / seconds / bare_rate,
        "network_calls_per_move": run["network_calls"] / moves,
        "network_share": run["network_seconds"] / seconds,
        "device_utilization": run["device_utilization"],
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
