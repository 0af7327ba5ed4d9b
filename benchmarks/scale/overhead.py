"""Actors against plain processes on the same processors, in the steady state, side by side.

    python benchmarks/scale/overhead.py [--rounds 3] [--board-size 11] [--busy 0]

In turn: as many actors of one thread as there are processors, as many plain processes of one
thread, and one process of as many threads. Prints for each the positions searched a second between
the two given moments after its start, and the ratios. `--busy` runs so many programs beside that
do nothing but compute. Wants Ray: the extra `[ray]`.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

COMMAND = [sys.executable, "-c", "from hex_ai.cli.main import main; main()", "selfplay"]
MANY = 10**6
PROCESSORS = len(os.sched_getaffinity(0))


def main() -> None:
    """Measures all in turn, round by round."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--board-size", type=int, default=11)
    parser.add_argument("--runtime", default="openvino")
    parser.add_argument("--moments", type=float, nargs=2, default=(30, 70), metavar="SECONDS")
    parser.add_argument("--busy", type=int, default=0)
    args = parser.parse_args()
    common = ["--board-size", str(args.board_size), "--num-games", str(MANY)]
    common += ["--runtime", args.runtime, "--precision", "float32"]
    ways = {
        "actors": ([[*common, "--actors", str(PROCESSORS)]], {}),
        "processes": (
            [[*common, "--first-game", str(k * MANY)] for k in range(PROCESSORS)],
            {"OMP_NUM_THREADS": "1"},
        ),
        "threads": ([common], {}),
    }
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(args.busy)]
    try:
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(args.rounds):
            for name, (runs, environment) in ways.items():
                found[name].append(_rate(runs, environment, args.moments))
            print("  ".join(f"{name} {rates[-1]:.0f}" for name, rates in found.items()), flush=True)
    finally:
        for process in busy:
            process.kill()
    middle = {name: statistics.median(rates) for name, rates in found.items()}
    for other in ("processes", "threads"):
        print(f"actors / {other}: {middle['actors'] / middle[other]:.3f}")


def _rate(
    runs: Sequence[Sequence[str]], environment: dict[str, str], moments: Sequence[float]
) -> float:
    """Positions a second of these runs together."""
    with TemporaryDirectory() as folder:
        folders = [Path(folder) / str(k) for k in range(len(runs))]
        processes = [
            subprocess.Popen(
                [*COMMAND, *run, "--out", str(place)],
                env=os.environ | environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for run, place in zip(runs, folders, strict=True)
        ]
        try:
            time.sleep(moments[0])
            before = [_searched(place) for place in folders]
            time.sleep(moments[1] - moments[0])
            after = [_searched(place) for place in folders]
        finally:
            for process in processes:
                process.send_signal(signal.SIGINT)
            for process in processes:
                process.wait()
    pairs = zip(before, after, strict=True)
    return sum((late[1] - early[1]) / (late[0] - early[0]) for early, late in pairs)


def _searched(folder: Path) -> tuple[float, int]:
    told = json.loads((folder / "progress.json").read_text())
    return told["time"], told["stats"]["searched_moves"]


if __name__ == "__main__":
    main()
