"""How fast one network's bare forward can be on this processor, in torch and in other runtimes.

    python benchmarks/bare_network --channels 64 --blocks 6 --json results.json

Each contender has a process of its own for the whole run, and only the one whose turn it is works:
idle, they wait for a pipe, and no thread pool disturbs another. Rounds go over all contenders
before any has its next turn; figures are medians. Answers are compared with eager float32 first; a
contender that is wrong is not timed.
"""

import argparse
import copy
import importlib.util
import json
import multiprocessing
import os
import pickle
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from runtimes import CHUNK, CONTENDERS, Job, measure, prepare, start
from torch import nn

from hex_ai.bench.bare_speed import flops_per_row, matmul_peak
from hex_ai.bench.modes import BenchSettings, SteadyRuns, stagger
from hex_ai.inference.inference_plan import (
    default_plan,
    has_compiler,
    multiplies_bfloat16,
    processor_name,
)
from hex_ai.network.architecture import architecture_of, config_of, for_inference
from hex_ai.network.checkpoint import load_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig

SPAWN = multiprocessing.get_context("spawn")
CALIBRATION_POSITIONS = 8 * CHUNK

# How far logits may be from eager float32, as a share of their norm.
TOLERANCES = {"float32": 1e-3, "bfloat16": 0.05, "int8": 0.5}

PACKAGES = ("torch", "openvino", "nncf", "onnxruntime", "onnx", "onnxscript")


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    network = make_network(arguments)
    report = overview(network, arguments)
    note("playing games by the bare policy")
    job = pickle.dumps(make_job(network, arguments))
    skipped = {name: obstacle(name) for name in arguments.contenders}
    report["skipped"] = {name: reason for name, reason in skipped.items() if reason}
    with ExitStack() as stack:
        pools = {
            name: stack.enter_context(ProcessPoolExecutor(1, SPAWN, start, (name, job)))
            for name in arguments.contenders
            if name not in report["skipped"]
        }
        results = {name: prepared(name, pool, arguments.batches) for name, pool in pools.items()}
        time_all(pools, results, arguments)
    report["contenders"] = results
    print_report(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--model", type=Path, help="a checkpoint instead of a random network")
    parser.add_argument("--board-size", type=int, default=11)
    parser.add_argument("--batches", type=numbers, default=numbers("1,8,32,64,128,256,512"))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    return sorted({int(part) for part in text.split(",")})


def note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def make_network(arguments: argparse.Namespace) -> nn.Module:
    torch.manual_seed(0)
    if arguments.model:
        return load_checkpoint(arguments.model).network
    return HexNetwork(NetworkConfig(arguments.channels, arguments.blocks)).eval()


def make_job(network: nn.Module, arguments: argparse.Namespace) -> Job:
    plan = default_plan(torch.device("cpu"), runtime="eager")
    played, others = (
        SteadyRuns(network, plan, BenchSettings(arguments.board_size, seed=seed)).probe
        for seed in (0, 1)
    )
    planes = {batch: stagger(played, batch)[0].planes() for batch in arguments.batches}
    calibration = stagger(others, CALIBRATION_POSITIONS)[0].planes()
    ready = for_inference(copy.deepcopy(network))
    return Job(ready, planes, calibration, arguments.threads)


def overview(network: nn.Module, arguments: argparse.Namespace) -> dict[str, Any]:
    """Where, when, how and with what the benchmark runs."""
    there = [name for name in PACKAGES if importlib.util.find_spec(name)]
    return {
        "schema_version": 2,
        "versions": {name: metadata.version(name) for name in there},
        "processor": processor_name(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", *sys.argv]),
        "threads": arguments.threads,
        "seconds": arguments.seconds,
        "repeats": arguments.repeats,
        "batches": arguments.batches,
        "board_size": arguments.board_size,
        "network": {"architecture": architecture_of(network).name, **config_of(network)},
        "flops_per_row": flops_per_row(network, arguments.board_size),
        "matmul_flops_per_s": matmul_peak(torch.device("cpu"), torch.float32),
    }


def obstacle(name: str) -> str | None:
    """Why a contender cannot run here, if it cannot."""
    contender = CONTENDERS[name]
    for package in contender.packages:
        if importlib.util.find_spec(package) is None:
            return f"not installed: {package}"
    if name.startswith("frozen") and not has_compiler():
        return "no C++ compiler"
    if contender.precision == "bfloat16" and not multiplies_bfloat16(torch.device("cpu")):
        return "this processor does not multiply bfloat16"
    return None


def prepared(name: str, pool: ProcessPoolExecutor, batches: list[int]) -> dict[str, Any]:
    """Makes one contender ready and compares its answers; the result has an `error` if it fails."""
    note(f"preparing {name}")
    contender = CONTENDERS[name]
    result: dict[str, Any] = {"what": contender.what, "precision": contender.precision}
    try:
        checks = {batch: pool.submit(prepare, batch).result() for batch in batches}
    except Exception as error:  # noqa: BLE001 - one that fails must not stop the others
        return result | {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    result["checks"] = checks
    if max(check["logits_off"] for check in checks.values()) > TOLERANCES[contender.precision]:
        result["error"] = "wrong answers"
    return result


def time_all(
    pools: dict[str, ProcessPoolExecutor], results: dict[str, Any], arguments: argparse.Namespace
) -> None:
    """Times every contender at every batch size, in interleaved rounds."""
    sound = [name for name, result in results.items() if "error" not in result]
    for name in sound:
        results[name]["rows_per_s"] = {batch: [] for batch in arguments.batches}
    for turn in range(arguments.repeats):
        note(f"round {turn + 1} of {arguments.repeats}")
        for batch in arguments.batches:
            for name in sound:
                rate = pools[name].submit(measure, batch, arguments.seconds).result()
                results[name]["rows_per_s"][batch].append(rate)
    for name in sound:
        rates = {batch: spread(found) for batch, found in results[name]["rows_per_s"].items()}
        best = max(rates, key=lambda batch: rates[batch]["median"])
        results[name] |= {"rows_per_s": rates, "best": {"batch": best, **rates[best]}}


def spread(rates: list[float]) -> dict[str, float]:
    return {"median": statistics.median(rates), "low": min(rates), "high": max(rates)}


def print_report(report: dict[str, Any]) -> None:
    print(f"{report['network']}, {report['board_size']}x{report['board_size']}")
    print(
        f"{report['processor']} ({report['capability']}), {report['threads']} threads, "
        f"{report['date']}; {report['flops_per_row'] / 1e6:.1f} MFLOP a row; matrix products "
        f"{report['matmul_flops_per_s'] / 1e9:.0f} GFLOP/s in float32"
    )
    sizes = "".join(f"{batch:>7d}" for batch in report["batches"])
    print(f"\n{'rows/s at batch':18}{sizes}  {'best (range)':24}same favourite")
    for name, result in report["contenders"].items():
        if "error" in result:
            print(f"{name:18}{result['error']}")
            continue
        cells = "".join(f"{rate['median']:7.0f}" for rate in result["rows_per_s"].values())
        best, check = result["best"], result["checks"][report["batches"][-1]]
        span = f"{best['median']:.0f} ({best['low']:.0f} to {best['high']:.0f})"
        print(f"{name:18}{cells}  {span:24}{check['same_favourite']:.1%}")
    for name, reason in report["skipped"].items():
        print(f"{name:18}{reason}")


if __name__ == "__main__":
    main()
