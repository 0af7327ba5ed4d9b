"""Other systems that make Hex self-play moves beside ours: equal network, equal evaluations a move.

    python benchmarks/peers/run.py --board-size 11 --search-widths 3,2 --channels 64 --blocks 6 \\
        --seconds 4 --repeats 3 --json FILE

README.md beside this file tells what is compared, how it is counted and what is not equal.
"""

import argparse
import math
import os
import platform
import shlex
import statistics
import sys
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ours
import torch
from common import PeerError, Setup, Variant, make_network
from rounds import Rates, Rounds

from hex_ai.errors import HexAIError, SettingError
from hex_ai.inference.inference_plan import device_name
from hex_ai.network.architecture import parameter_count
from hex_ai.store.output_files import require_writable, write_json

SCHEMA_VERSION = 2

# Modules with `prepare`, `variants` and `rates`.
CONTENDERS = ("ours", "pgx_mctx", "open_spiel_mcts")

DEVICES = ("cpu", "cuda")

# What the others are compared with: it evaluates every position anew, as they do.
BASELINE = "hex_ai cross-game"

# Seconds of a whole comparison, if nothing else is asked for.
LIMIT = 270.0

PACKAGES = ("hex_ai", "torch", "numpy", "jax", "jaxlib", "pgx", "mctx", "open_spiel")


def main() -> None:
    """Runs the comparison; what stops it is one line on standard error."""
    try:
        arguments = parse_arguments()
        setup = setup_of(arguments)
        report = compare(setup, arguments.repeats, arguments.contenders, arguments.limit)
        if arguments.json is not None:
            write_json(arguments.json, report)
        print(table(report))
    except (HexAIError, PeerError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_status", 1))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--board-size", type=int, default=11)
    parser.add_argument("--search-widths", type=numbers, default=(3, 2))
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; medians are reported")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds; else fewer rounds")
    parser.add_argument("--games-in-flight", type=int, default=128, help="of hex_ai")
    parser.add_argument("--batch-sizes", type=numbers, default=(128, 64), help="of pgx")
    parser.add_argument("--contenders", type=names, default=CONTENDERS, help="ours and others")
    parser.add_argument("--device", default="cpu", choices=DEVICES, help="of hex_ai and JAX")
    parser.add_argument("--precision", default="auto", help="of hex_ai; default: as in self-play")
    parser.add_argument("--json", type=Path, help="file to write")
    return parser.parse_args()


def numbers(text: str) -> tuple[int, ...]:
    """Numbers such as `3,2`."""
    return tuple(int(part) for part in text.split(","))


def names(text: str) -> tuple[str, ...]:
    """Contenders such as `ours,pgx_mctx`; ours is always one of them."""
    return tuple(name for name in CONTENDERS if name == "ours" or name in text.split(","))


def setup_of(arguments: argparse.Namespace) -> Setup:
    """The setup asked for. Raises `SettingError` for an invalid one."""
    if arguments.repeats < 1 or min(arguments.batch_sizes) < 1:
        raise SettingError("repeats and batch sizes must be positive")
    if not 0 < arguments.limit < math.inf:
        raise SettingError(f"limit {arguments.limit:g} is not a positive number of seconds")
    if arguments.json is not None:
        require_writable(arguments.json)
    known = vars(arguments)
    setup = Setup(**{name: known[name] for name in Setup.__dataclass_fields__})
    ours.settings_of(setup)
    make_network(setup)
    return setup


def compare(
    setup: Setup, repeats: int, contenders: tuple[str, ...], limit: float
) -> dict[str, Any]:
    """Measures all contenders in turn, `repeats` times or as often as the limit allows.

    Args:
      limit: seconds from now on.

    Returns:
      the report.
    """
    rounds = Rounds(setup, time.monotonic() + limit, partial(print, flush=True))
    rounds.run(contenders, repeats)
    measured = rounds.measured
    if BASELINE not in (contender for contender, _ in measured.runs):
        raise PeerError(f"{limit:g} seconds do not suffice to measure {BASELINE}")
    return {
        "schema_version": SCHEMA_VERSION,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "benchmarks/peers/run.py", *sys.argv[1:]]),
        "processor": device_name(torch.device(setup.device)),
        "cores": os.cpu_count(),
        "versions": versions(),
        **asdict(setup),
        "parameters": parameter_count(make_network(setup)),
        "evaluations_per_move": setup.evaluations,
        "repeats": repeats,
        "limit": limit,
        "preparation": measured.preparation,
        "left_out": measured.left_out,
        "contenders": summary(measured.runs),
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def summary(runs: dict[Variant, list[Rates]]) -> dict[str, Any]:
    """For each contender its best variant, and all variants; fastest first."""
    variants: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for (contender, variant), rates in runs.items():
        variants[contender][variant] = medians(rates)
    best = {}
    for contender, found in variants.items():
        variant = max(found, key=lambda name: found[name]["moves_per_s"])
        best[contender] = {"variant": variant} | found[variant] | {"variants": found}
    base = best[BASELINE]
    for row in best.values():
        for figure in ("moves_per_s", "evaluations_per_s"):
            row[f"{figure}_to_ours"] = row[figure] / base[figure]
    return dict(sorted(best.items(), key=lambda item: -item[1]["moves_per_s"]))


def medians(runs: list[Rates]) -> dict[str, Any]:
    """How many runs, and median and range of moves and evaluations a second."""
    figures: dict[str, Any] = {"runs": len(runs)}
    for name, values in zip(
        ("moves_per_s", "evaluations_per_s"), zip(*runs, strict=True), strict=True
    ):
        figures[name] = statistics.median(values)
        figures[f"{name}_range"] = [min(values), max(values)]
    return figures


def table(report: dict[str, Any]) -> str:
    """The report's contenders, one a line."""
    columns = {"moves/s": 9, "range": 17, "evals/s": 9, "evals/move": 12, "to ours": 9, "runs": 6}
    head = " " * 22 + "".join(f"{name:>{width}}" for name, width in columns.items())
    lines = [
        f"{report['board_size']} × {report['board_size']}, widths {report['search_widths']}, "
        f"{report['channels']} × {report['blocks']}, {report['processor']}, "
        f"{report['cores']} cores",
        head,
    ]
    for name, row in report["contenders"].items():
        low, high = row["moves_per_s_range"]
        lines.append(
            f"{name:22}{row['moves_per_s']:9.1f}{f'{low:.1f} to {high:.1f}':>17}"
            f"{row['evaluations_per_s']:9.0f}"
            f"{row['evaluations_per_s'] / row['moves_per_s']:12.1f}"
            f"{row['moves_per_s_to_ours']:9.2f}{row['runs']:6}  {row['variant']}"
        )
    lines.append(f"to ours: moves a second, as a share of {BASELINE}'s")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
