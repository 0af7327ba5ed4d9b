"""How fast one network's bare forward can be on this processor, by several ways to run it.

    python benchmarks/bare_network --channels 64 --blocks 6 --json results.json

Each contender lives in a spawned process of its own for the whole run, and only the one whose turn
it is works: idle, they wait for a pipe, and no thread pool disturbs another. What was compiled
thus stays compiled, and rounds go over all contenders before any has its next turn. Then the two
fastest torch contenders are timed as one process with all threads and as two with half of them
each. Compile seconds are low where inductor's cache knows the code; an empty folder as
TORCHINDUCTOR_CACHE_DIR shows the cold ones.

Answers are checked against eager float32 first; a contender that is wrong is not timed. Where
bfloat16 is only emulated it is timed at one batch size.
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jobs import make_job, save_job
from report import matmul_report, overview, print_report
from runtimes import CONTENDERS, NOT_BY_DEFAULT
from torch import nn
from workers import Worker, WorkerError

from hex_ai.inference.inference_plan import has_compiler, multiplies_bfloat16
from hex_ai.network.checkpoint import load_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.network.resnet18 import SIZE, ResNet18, ResNet18Config

Results = dict[str, dict[str, Any]]


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    network = make_network(arguments)
    note("playing games by the bare policy")
    job = make_job(network, arguments.board_size, arguments.positions)
    report = overview(network, job, arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.pt"
        save_job(job, network, path)
        report["matmul_flops_per_s"] = matmul_report(arguments.threads, path)
        names, report["skipped"] = available(arguments.contenders)
        workers, results = prepare(names, arguments, path)
        measure(workers, results, arguments)
        for worker in workers.values():
            worker.close()
        report["contenders"] = results
        report["layouts"] = layouts(results, arguments, path)
    print_report(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--model", type=Path, help="a checkpoint instead of a random network")
    parser.add_argument("--resnet18", action="store_true", help="a random ResNet-18, 13 x 13")
    parser.add_argument("--board-size", type=int, default=11)
    parser.add_argument("--batches", type=numbers, default=numbers("1,8,32,64,128,256,512"))
    parser.add_argument("--contenders", type=names_of, default=names_of(""))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--positions", type=int, default=4096, help="to compare answers on")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.resnet18:
        arguments.board_size = SIZE
    return arguments


def numbers(text: str) -> list[int]:
    return sorted({int(part) for part in text.split(",")})


def names_of(text: str) -> list[str]:
    """The contenders named; none named means all but the slow ones."""
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in CONTENDERS:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(CONTENDERS)}")
    return names or [name for name in CONTENDERS if name not in NOT_BY_DEFAULT]


def make_network(arguments: argparse.Namespace) -> nn.Module:
    torch.manual_seed(0)
    if arguments.model:
        return load_checkpoint(arguments.model).network
    if arguments.resnet18:
        return ResNet18(ResNet18Config()).eval()
    return HexNetwork(NetworkConfig(arguments.channels, arguments.blocks)).eval()


def note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def available(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The contenders that can run here, and a line for each reason why others cannot."""
    there, reasons = [], set()
    for name in names:
        reason = _obstacle(name)
        if reason:
            reasons.add(reason)
        else:
            there.append(name)
    return there, sorted(reasons)


def _obstacle(name: str) -> str | None:
    contender = CONTENDERS[name]
    for package in contender.packages:
        if importlib.util.find_spec(package) is None:
            return f"not installed: {package}"
    if contender.family == "torch" and not name.startswith("eager") and not has_compiler():
        return "no C++ compiler, so nothing is compiled"
    if emulated(name) and name in ("compiled-bf16", "tuned-bf16"):
        return "no bfloat16 instructions: only eager-bf16 and frozen-bf16 show the emulation"
    if name == "openvino-bf16" and not multiplies_bfloat16(torch.device("cpu")):
        return "no bfloat16 instructions: openvino-bf16 would fall back to float32"
    return None


def batches_of(name: str, batches: Sequence[int]) -> list[int]:
    """The batch sizes to time: one in the middle where the precision is only emulated."""
    if emulated(name):
        return [batches[len(batches) // 2]]
    return list(batches)


def emulated(name: str) -> bool:
    bfloat16 = CONTENDERS[name].precision == "bfloat16"
    return bfloat16 and not multiplies_bfloat16(torch.device("cpu"))


def prepare(
    names: Sequence[str], arguments: argparse.Namespace, path: Path
) -> tuple[dict[str, Worker], Results]:
    """Starts, compiles and checks every contender; those that fail have an `error` in results."""
    workers: dict[str, Worker] = {}
    results: Results = {}
    for name in names:
        note(f"preparing {name}")
        worker = Worker(name, arguments.threads, path)
        result = results[name] = _entry(name)
        try:
            _prepare_one(worker, result, batches_of(name, arguments.batches))
            workers[name] = worker
        except WorkerError as error:
            result["error"] = str(error)
            worker.close()
    return workers, results


def _entry(name: str) -> dict[str, Any]:
    contender = CONTENDERS[name]
    return {
        "what": contender.what,
        "precision": contender.precision,
        "family": contender.family,
        "emulated": emulated(name),
    }


def _prepare_one(worker: Worker, result: dict[str, Any], batches: Sequence[int]) -> None:
    result["conversion_seconds"] = worker.ask("convert")
    result["compile_seconds"] = {batch: worker.ask("prepare", batch) for batch in batches}
    result["checks"] = {batch: worker.ask("check", batch) for batch in batches}
    if not all(check["right"] for check in result["checks"].values()):
        raise WorkerError(f"wrong answers: {result['checks']}")
    if result["precision"] == "int8":
        result["cost"] = worker.ask("cost")


def measure(workers: dict[str, Worker], results: Results, arguments: argparse.Namespace) -> None:
    """Times every contender at every batch size, in interleaved rounds."""
    runs: dict[str, dict[int, list[float]]] = {name: {} for name in workers}
    for turn in range(arguments.repeats):
        note(f"round {turn + 1} of {arguments.repeats}")
        for batch in arguments.batches:
            for name, worker in workers.items():
                if batch in results[name]["compile_seconds"]:
                    rate = worker.ask("measure", batch, arguments.seconds)
                    runs[name].setdefault(batch, []).append(rate)
    for name, rates in runs.items():
        results[name]["rows_per_s"] = {batch: spread(found) for batch, found in rates.items()}
        best = max(rates, key=lambda batch: statistics.median(rates[batch]))
        results[name]["best"] = {"batch": best, **spread(rates[best])}


def spread(rates: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(rates), "low": min(rates), "high": max(rates)}


def layouts(
    results: Results, arguments: argparse.Namespace, path: Path
) -> dict[str, dict[str, dict[str, float]]]:
    """One process with all threads against two with half each, for the two fastest in torch."""
    torch_names = [n for n, r in results.items() if r["family"] == "torch" and "best" in r]
    torch_names.sort(key=lambda name: -results[name]["best"]["median"])
    half = arguments.threads // 2
    if not half:
        return {}
    found = {}
    for name in torch_names[:2]:
        note(f"thread layouts of {name}")
        batch = results[name]["best"]["batch"]
        teams = {
            f"1 x {arguments.threads}": team(name, 1, arguments.threads, batch, path),
            f"2 x {half}": team(name, 2, half, batch, path),
        }
        found[name] = rounds(teams, batch, arguments)
    return found


def team(name: str, count: int, threads: int, batch: int, path: Path) -> list[Worker]:
    """Processes of one contender, ready for one batch size."""
    workers = [Worker(name, threads, path) for _ in range(count)]
    for worker in workers:
        worker.ask("convert")
        worker.ask("prepare", batch)
    return workers


def rounds(
    teams: dict[str, list[Worker]], batch: int, arguments: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Rows a second of each team, its members working at once."""
    rates: dict[str, list[float]] = {layout: [] for layout in teams}
    for _ in range(arguments.repeats):
        for layout, workers in teams.items():
            for worker in workers:
                worker.send("measure", batch, arguments.seconds)
            rates[layout].append(sum(worker.answer() for worker in workers))
    for workers in teams.values():
        for worker in workers:
            worker.close()
    return {layout: spread(found) for layout, found in rates.items()}


if __name__ == "__main__":
    main()
