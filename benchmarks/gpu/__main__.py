"""Checks and times everything on a GPU, in stages that each fit into a few minutes.

    benchmarks/gpu.sh tests
    benchmarks/gpu.sh determinism bench --budget 540

A stage writes `gpu-STAGE.json` and `gpu-STAGE.log` to the folder of results, after every task, so
that what is measured stays if the rest is cut short. Each task has a process of its own; one that
fails is noted, and the next one runs. A table of all tasks comes last.
"""

import argparse
import importlib.util
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from stages import Task, stages
from summary import summary

PACKAGES = ("torch", "numpy", "pyarrow", "typer", "rich", "triton", "jax", "pgx", "mctx", "pytest")

# A task is not begun with fewer seconds left than this.
LEAST_SECONDS = 20.0

HERE = Path(__file__).parent


def main() -> None:
    arguments = parse()
    if arguments.task:
        run_task(*arguments.task)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    made = stages(arguments.device, arguments.seconds, arguments.tiny, test_workers())
    lines = []
    for stage in arguments.stages:
        tasks = [task for task in made[stage] if not arguments.only or arguments.only in task[1]]
        lines += run_stage(stage, tasks, arguments)
    width = max((len(title) for title, _ in lines), default=0)
    print("\n" + "\n".join(f"{title:{width}}  {text}" for title, text in lines))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = list(stages("cpu", 1.0, True, 1))
    parser.add_argument("stages", nargs="*", default=names, metavar=f"{{{','.join(names)}}}")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--budget", type=float, default=520.0, help="seconds of a stage")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--only", help="tasks whose title has this in it")
    parser.add_argument("--tiny", action="store_true", help="show that everything runs")
    default = os.environ.get("OUT", "benchmarks/results/gpu")
    parser.add_argument("--out", type=Path, default=Path(default), help="folder of results")
    parser.add_argument("--task", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for stage in arguments.stages:
        if stage not in names:
            parser.error(f"no stage {stage!r}; there are {', '.join(names)}")
    return arguments


def run_stage(
    stage: str, tasks: list[Task], arguments: argparse.Namespace
) -> list[tuple[str, str]]:
    """Runs tasks one after the other while there is time; a line about each."""
    deadline = time.monotonic() + arguments.budget
    report = circumstances(stage, arguments)
    lines = []
    with (arguments.out / f"gpu-{stage}.log").open("w", encoding="utf-8") as log:
        for name, title, options in tasks:
            left = deadline - time.monotonic()
            options = options | {"keep": str(arguments.out.absolute())}
            if "seconds" in options and options["seconds"] is None:
                options["seconds"] = max(10.0, left - 60)
            result = (
                task_in_process(name, options, left, log)
                if left >= LEAST_SECONDS
                else {"error": "not begun: no time left"}
            )
            report["tasks"].append({"task": name, "title": title, "options": options} | result)
            write(arguments.out / f"gpu-{stage}.json", report)
            lines.append(
                (f"{stage}: {title}", result.get("error") or brief(name, result["figures"]))
            )
            print(f"{lines[-1][0]}  {lines[-1][1]}  ({result.get('seconds', 0):.0f} s)", flush=True)
    return lines


def brief(name: str, figures: dict[str, Any]) -> str:
    """A line about a task, whatever it gave."""
    try:
        return summary(name, figures)
    except (KeyError, TypeError, ValueError) as error:
        return f"done, but cannot be told in a line: {error!r}"


def task_in_process(name: str, options: dict[str, Any], limit: float, log: Any) -> dict[str, Any]:
    """Runs a task in a process of its own, with all that it starts, and no longer than `limit`."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, str(HERE), "--task", name, json.dumps(options), str(answer)]
        log.write(f"\n===== {name} {json.dumps(options)}\n")
        log.flush()
        environment = os.environ | {"HEX_AI_TEST_DEVICE": options["device"]}
        started = time.monotonic()
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            status = process.wait(limit)
            error = None if answer.exists() else f"failed with {status}, see the log"
        except subprocess.TimeoutExpired:
            error = f"stopped after {limit:.0f} s"
        finally:
            stop(process)
        result: dict[str, Any] = {"seconds": time.monotonic() - started}
        if error is None:
            return result | json.loads(answer.read_text())
        return result | {"error": error}


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process and those that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def run_task(name: str, options: str, answer: str) -> None:
    """In the task's own process: does it, and writes what came of it."""
    from tasks import TASKS

    figures = TASKS[name](json.loads(options))
    write(Path(answer), {"figures": figures})


def write(path: Path, data: dict[str, Any]) -> None:
    """Writes JSON whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(data, indent=1, default=str) + "\n", encoding="utf-8")
    draft.replace(path)


def circumstances(stage: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """When, where and with what."""
    on_gpu = arguments.device == "cuda" and torch.cuda.is_available()
    versions = {"python": platform.python_version(), "cuda": torch.version.cuda}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "stage": stage,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if on_gpu else platform.processor() or "cpu",
        "driver_memory_bytes": torch.cuda.get_device_properties(0).total_memory if on_gpu else None,
        "cores": os.cpu_count(),
        "versions": versions,
        "command": shlex.join(["benchmarks/gpu.sh", *sys.argv[1:]]),
        "tiny": arguments.tiny,
        "tasks": [],
    }


def test_workers() -> int:
    """Processes that share the tests, where pytest can share them."""
    known = importlib.util.find_spec("xdist") is not None
    return min(12, 3 * (os.cpu_count() or 1) // 4) if known else 1


if __name__ == "__main__":
    main()
