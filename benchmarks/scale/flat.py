"""Whether a long run of actors keeps its memory, its handles and its share of /dev/shm.

    python benchmarks/scale/flat.py [--minutes 30] [--every 60] [--board-size 7] [--out FILE]

Runs `hex-ai selfplay --actors` with as many actors as there are processors, and looks now and then:
a line with the games stored, and for the driver, for all actors together, and for Ray's own
processes, the resident memory in MB and the open files; and the MB in /dev/shm. Wants Ray (the
extra `[ray]`) and Linux.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

COMMAND = [sys.executable, "-c", "from hex_ai.cli.main import main; main()", "selfplay"]
PROCESSORS = len(os.sched_getaffinity(0))
Row = dict[str, float]


def main() -> None:
    """Runs the play, and prints a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--board-size", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON file for the rows")
    args = parser.parse_args()
    rows: list[Row] = []
    with TemporaryDirectory(prefix="hex_ai-") as folder:
        games = Path(folder) / "games"
        command = [*COMMAND, "--num-games", str(10**9), "--board-size", str(args.board_size)]
        command += ["--out", str(games), "--actors", str(PROCESSORS)]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started = time.monotonic()
        try:
            while run.poll() is None and time.monotonic() - started < 60 * args.minutes:
                time.sleep(args.every)
                rows.append(_seen(run.pid, games, time.monotonic() - started))
                print(
                    "  ".join(f"{name} {value:g}" for name, value in rows[-1].items()), flush=True
                )
        finally:
            run.send_signal(signal.SIGINT)
            run.wait()
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _seen(driver: int, games: Path, seconds: float) -> Row:
    progress = json.loads((games / "progress.json").read_text(encoding="utf-8"))["stats"]
    row: Row = {"seconds": round(seconds), "games": progress["games"]}
    children = _descendants(driver)
    actors = {process for process in children if _command(process).startswith(b"ray::GameActor")}
    kinds = {"driver": {driver}, "actors": actors, "ray": children - actors}
    for name, processes in kinds.items():
        row[f"{name} MB"] = sum(map(_resident_mb, processes))
        row[f"{name} files"] = sum(map(_open_files, processes))
    row["shm MB"] = round(shutil.disk_usage("/dev/shm").used / 1e6)
    return row


def _descendants(process: int) -> set[int]:
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, waiting = set[int](), [process]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found.update(children)
        waiting += children
    return found


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _resident_mb(process: int) -> int:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 10**6


def _open_files(process: int) -> int:
    try:
        return len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return 0


if __name__ == "__main__":
    main()
