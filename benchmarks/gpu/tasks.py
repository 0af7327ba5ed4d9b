"""What is checked and timed: each task runs in a process of its own and returns plain numbers.

A task takes the options of `stages.py` and returns a dictionary. What it prints goes to the log.
"""

import copy
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from kernel_trace import KernelTrace
from torch import Tensor, nn

from hex_ai.bench.bare_speed import flops_per_row, matmul_peak
from hex_ai.bench.measure import run_bench
from hex_ai.bench.modes import BenchSettings, SteadyRuns
from hex_ai.game.records import GameRecord
from hex_ai.inference.inference_plan import PRECISIONS, InferencePlan, default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.probe import probe_positions
from hex_ai.inference.tuning import tune
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.network.resnet18 import ResNet18, ResNet18Config
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.store.schema import PLY_FIELDS, ROW_FIELDS
from hex_ai.training.learn_folder import read_notes

Options = dict[str, Any]
Figures = dict[str, Any]


def network_of(name: str) -> nn.Module:
    """`shipped`, `resnet18`, or a random one such as `64x6`.

    Norms of a random network have seen random boards, so that its features stay near 1.
    """
    if name == "shipped":
        return load_checkpoint(default_model_path()).network
    torch.manual_seed(0)
    network: nn.Module
    if name == "resnet18":
        network = ResNet18(ResNet18Config())
    else:
        channels, blocks = map(int, name.split("x"))
        network = HexNetwork(NetworkConfig(channels, blocks))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.momentum = 1.0
    size = 13 if name == "resnet18" else 11
    with torch.no_grad():
        network.train()((torch.rand(64, 2, size + 2, size + 2) < 0.3).float())
    return network.eval()


def plan_of(options: Options) -> InferencePlan:
    """The default plan of the device, but for what the options say."""
    plan = default_plan(torch.device(options["device"]), options.get("runtime", "auto"))
    shapes = options.get("shapes")
    return plan.with_shapes(tuple(shapes)) if shapes else plan


def tests(options: Options) -> Figures:
    """pytest, with every test that has a device on this one; counts and the names of failures.

    Warnings are no errors here: this machine's packages are not those that are pinned.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-W", "default", "-p", "no:cacheprovider"]
        command += ["--junitxml", str(report), *options["arguments"]]
        few_threads = os.environ | {"OMP_NUM_THREADS": "2"}
        status = subprocess.run(command, check=False, env=few_threads).returncode
        if not report.exists():
            raise RuntimeError(f"pytest ended with {status} and no report")
        suite = ElementTree.parse(report).getroot().find("testsuite")
    counts = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
    failed, skips = [], Counter[str]()
    for case in suite.iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        for kind in ("failure", "error"):
            failed += [[name, (part.get("message") or "")[:200]] for part in case.findall(kind)]
        skips.update(part.get("message") or "" for part in case.findall("skipped"))
    return counts | {"failed": failed[:60], "skips": skips, "ok": not failed and status == 0}


def rows(options: Options) -> Figures:
    """Is an evaluation a function of its position alone, and how near is it to float32?"""
    network, size = network_of(options["network"]), options["board_size"]
    model = ModelInference(
        copy.deepcopy(network), plan_of(options), cache_size=0, deduplicate=False
    )
    asked, plan = model.plan, model.prepare(size)
    count = 2 * plan.shapes[-1]
    positions = probe_positions(count, size, model.device)
    expected = model.batch_infer(positions)
    orders = {
        "reversed": torch.arange(count).flip(0),
        "rolled by one": torch.arange(count).roll(1),
        "shuffled": torch.randperm(count, generator=torch.Generator().manual_seed(1)),
    }
    differing = {}
    for name, order in orders.items():
        order = order.to(model.device)
        found = model.batch_infer(positions[order])
        differing[name] = int(unlike(found, (expected[0][order], expected[1][order])).sum())
    few = torch.arange(0, count, max(1, count // 50)).tolist()
    singly = [model.batch_infer(positions[row : row + 1]) for row in few]
    alone = torch.cat([one[0] for one in singly]), torch.cat([one[1] for one in singly])
    differing["alone"] = int(unlike(alone, (expected[0][few], expected[1][few])).sum())
    exact = InferencePlan("cpu", "eager", "float32", (32,), torch.get_num_threads())
    right = ModelInference(network, exact).batch_infer(positions[few].to("cpu"))
    return {
        "shapes_asked": list(asked.shapes),
        "shapes_kept": list(plan.shapes),
        "runtime": plan.runtime,
        "precision": plan.precision,
        "rows_differing": differing,
        "relative_error_of_logits": relative_error(alone[0], right[0]),
        "relative_error_of_values": relative_error(alone[1], right[1]),
        "different_values": len(set(expected[1].tolist())),
        "ok": not any(differing.values()),
    }


def unlike(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """bool `[B]`: rows of two evaluations that differ in any bit."""
    return (one[0] != other[0]).any(1) | (one[1] != other[1])


def relative_error(found: Tensor, right: Tensor) -> float:
    found, right = found.cpu().double(), right.double()
    return float((found - right).norm() / right.norm())


def same_games(options: Options) -> Figures:
    """Are games the same for other games in flight, caches, workers, and a second time?"""
    network, plan = network_of(options["network"]), plan_of(options)
    prints: dict[str, dict[int, dict[str, str]]] = {}
    seconds = {}
    for variant in options["variants"]:
        name = ", ".join(f"{key} {value}" for key, value in variant.items())
        started = time.monotonic()
        engine = SelfPlayEngine(model=network, plan=plan, **options["settings"], **variant)
        games = engine.generate_games(options["games"])
        prints[name] = {game.game_id: fields_of(game) for game in games}
        plan = engine.inference.plan  # the first run has found which shapes agree
        seconds[name] = time.monotonic() - started
        print(f"{name}: {seconds[name]:.1f} s", flush=True)
    first, *others = prints
    differing = {name: differences(prints[first], prints[name]) for name in others}
    return {
        "games": len(prints[first]),
        "reference": first,
        "shapes": list(plan.shapes),
        "differing": differing,
        "seconds": seconds,
        "ok": all(not found for found in differing.values()),
    }


def fields_of(game: GameRecord) -> dict[str, str]:
    """A digest of each field of a game."""
    return {
        name: hashlib.sha256(np.ascontiguousarray(getattr(game, name)).tobytes()).hexdigest()
        for name in ("winner", *PLY_FIELDS, *ROW_FIELDS)
    }


def differences(
    wanted: dict[int, dict[str, str]], found: dict[int, dict[str, str]]
) -> dict[str, int]:
    """For each field the number of games that differ in it; `missing` counts whole games."""
    counts = {"missing": len(wanted.keys() ^ found.keys())}
    for game in wanted.keys() & found.keys():
        for name, digest in wanted[game].items():
            counts[name] = counts.get(name, 0) + (digest != found[game][name])
    return {name: count for name, count in counts.items() if count}


def bench(options: Options) -> Figures:
    """The report of `hex-ai bench`; on a GPU also what kernels run in a few steps of two modes."""
    network, plan = network_of(options["network"]), plan_of(options)
    settings = BenchSettings(**{**options["settings"], "search_widths": tuple(options["widths"])})
    report = run_bench(network, plan, settings, print)
    if plan.device == "cuda":
        runs = SteadyRuns(network, plan, replace(settings, seconds=1e-3))
        for mode in report["modes"].keys() & {"cross-game", "full"}:
            trace = KernelTrace()
            runs.measure(mode, trace)
            report["modes"][mode]["kernels"] = trace.report
    return report


def ways(options: Options) -> Figures:
    """Rows a second of the bare network by runtime, precision and batch size: `hex-ai tune`."""
    device, network = torch.device(options["device"]), network_of(options["network"])
    tuned = tune(network, device, options["board_size"], options["seconds"], print)
    flops = flops_per_row(network, options["board_size"])
    precisions = {precision for _, precision in tuned.rates}
    peaks = {name: matmul_peak(device, PRECISIONS[name]) for name in precisions}
    return {
        "rows_per_second": {" ".join(plan): rates for plan, rates in tuned.rates.items()},
        "mfu": {
            f"{runtime} {precision}": max(rates.values()) * flops / peaks[precision]
            for (runtime, precision), rates in tuned.rates.items()
        },
        "plan": tuned.plan.to_json(),
        "flops_per_row": flops,
        "matmul_flops_per_s": peaks,
    }


def memory(options: Options) -> Figures:
    """Is memory flat while games are played and stored? Looked at once a second."""
    on_gpu = options["device"] == "cuda"
    marks: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        engine = SelfPlayEngine(
            model=network_of(options["network"]),
            plan=plan_of(options),
            output_dir=Path(folder) / "run",
            **options["settings"],
        )
        started, games = time.monotonic(), 0
        for _ in engine.generate_games(2**40):
            games += 1
            seconds = time.monotonic() - started
            if seconds > len(marks):
                marks.append(
                    [
                        seconds,
                        torch.cuda.memory_allocated() if on_gpu else 0,
                        torch.cuda.memory_reserved() if on_gpu else 0,
                        resident_bytes(),
                    ]
                )
            if seconds > options["seconds"]:
                break
        stats = engine.get_performance_stats()
    growth = {}
    half = marks[len(marks) // 2 :]
    for column, name in ((1, "allocated"), (2, "reserved"), (3, "resident")):
        growth[name] = [half[0][column], half[-1][column]] if half else None
    return {
        "games": games,
        "games_per_s": stats["games_per_s"],
        "mean_batch": stats["mean_batch"],
        "second_half": growth,
        "most_allocated": torch.cuda.max_memory_allocated() if on_gpu else 0,
        "marks": marks[:: max(1, len(marks) // 100)],
        "ok": bool(half) and all(end <= 1.05 * start for start, end in growth.values()),
    }


def resident_bytes() -> int:
    """Memory of this process that is in use now, or, where that is not told, its greatest."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def learn(options: Options) -> Figures:
    """One sitting of `hex-ai learn`, which goes on with the last one, until its time is up."""
    folder = Path(options["folder"])
    before = rounds_of(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", "from hex_ai.cli.main import main; main()", "learn"]
    flags = ["--out", str(folder), "--resume", "--device", options["device"]]
    run = subprocess.Popen([*command, *flags, *options["arguments"]])
    try:
        run.wait(options["seconds"])
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGINT)
        run.wait(60)
    rounds = rounds_of(folder)
    for kept in ("learn.json", "network.safetensors"):
        if options.get("keep") and (folder / kept).exists():
            Path(options["keep"], f"learn-{kept}").write_bytes((folder / kept).read_bytes())
    last = rounds[-1] if rounds else {}
    return {
        "status": run.returncode,
        "rounds_before": len(before),
        "rounds": len(rounds),
        "games": last.get("games", 0),
        "seconds": last.get("seconds", 0.0),
        "last": last,
        "ok": len(rounds) > len(before),
    }


def rounds_of(folder: Path) -> list[dict[str, Any]]:
    """What a run of learning has noted of its rounds so far."""
    notes = read_notes(folder) if (folder / "learn.json").exists() else None
    return notes["rounds"] if notes else []


def peers(options: Options) -> Figures:
    """benchmarks/peers, which compares with other systems; needs their packages."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "peers.json"
        script = Path(__file__).parent.parent / "peers" / "run.py"
        command = [sys.executable, str(script), "--json", str(report)]
        command += ["--device", options["device"], *options["arguments"]]
        ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        print(ended.stderr, flush=True)
        if ended.returncode:
            reason = ended.stderr.strip().splitlines()[-1:] or ["no reason given"]
            return {"skipped": reason[0], "ok": False}
        return json.loads(report.read_text())


TASKS = {
    task.__name__: task for task in (tests, rows, same_games, bench, ways, memory, learn, peers)
}
