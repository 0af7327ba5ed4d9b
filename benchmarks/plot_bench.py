"""Draws reports of `hex-ai bench --json` (PNG).

    hex-ai bench --json report.json
    python benchmarks/plot_bench.py report.json --out docs/performance

Draws evaluations a second of the bare network by batch size beside those of self-play, and every
mode's efficiency. With reports of several `--games-in-flight` it also draws games a second over
them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Report = dict[str, Any]


def rows_by_batch_size(reports: list[Report], axes: Axes) -> None:
    sweep = reports[0]["raw"]["sweep"]
    axes.plot([int(size) for size in sweep], list(sweep.values()), "o-", label="bare network")
    for mode, style in (("cross-game", "--"), ("individual", ":")):
        if mode in reports[0]["modes"]:
            rate = reports[0]["modes"][mode]["evaluations_per_s"]
            axes.axhline(rate, color="black", linestyle=style, label=f"self-play, {mode}")
    axes.set_xscale("log", base=2)
    axes.set(xlabel="rows a call", ylabel="evaluations a second", ylim=(0, None))
    axes.legend(frameon=False)


def efficiency(reports: list[Report], axes: Axes) -> None:
    modes = reports[0]["modes"]
    values = [figures["efficiency"] for figures in modes.values()]
    spans = [figures["efficiency_range"] for figures in modes.values()]
    errors = [
        [max(0.0, value - low) for value, (low, _) in zip(values, spans, strict=True)],
        [max(0.0, high - value) for value, (_, high) in zip(values, spans, strict=True)],
    ]
    axes.bar_label(axes.barh(list(modes), values, xerr=errors, capsize=3), fmt="%.2f", padding=6)
    axes.invert_yaxis()
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("evaluations a second ÷ best of the bare network (median, range)")


def games_by_games_in_flight(reports: list[Report], axes: Axes) -> None:
    ordered = sorted(reports, key=lambda report: report["games_in_flight"])
    rates = [report["modes"]["cross-game"]["games_per_s"] for report in ordered]
    axes.plot([report["games_in_flight"] for report in ordered], rates, "o-")
    axes.set_xscale("log", base=2)
    axes.set(xlabel="games in flight", ylabel="games a second, cross-game", ylim=(0, None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    arguments = parser.parse_args()
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.reports]
    draws = [rows_by_batch_size, efficiency]
    draws += [games_by_games_in_flight] if len(reports) > 1 else []
    arguments.out.mkdir(parents=True, exist_ok=True)
    for draw in draws:
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        draw(reports, figure.subplots())
        figure.suptitle(f"{reports[0]['processor']}, {reports[0]['date'][:10]}", fontsize=9)
        path = arguments.out / f"{draw.__name__.replace('_', '-')}.png"
        figure.savefig(path, dpi=150)
        print(path)


if __name__ == "__main__":
    main()
