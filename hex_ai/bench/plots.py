"""Pictures of a benchmark's report, with matplotlib (`pip install "hex_ai[plots]"`)."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from hex_ai.errors import SettingError, StoreError

Report = dict[str, Any]


def require_plots(folder: Path) -> None:
    """Makes the folder, so that nobody measures for an hour what cannot be drawn.

    Raises:
      SettingError: matplotlib is not installed.
      StoreError: the folder cannot be made, or no file in it.
    """
    if find_spec("matplotlib") is None:
        raise SettingError("drawing wants matplotlib: install it, or hex_ai with its extra [plots]")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}") from error


def draw_bench(report: Report, folder: Path) -> list[Path]:
    """Draws what the report holds into `folder`; returns the files.

    Raises:
      StoreError: a file cannot be written.
    """
    drawings: dict[str, Callable[[Report, Any], None]] = {
        "rows-by-batch-size": _rows_by_batch_size,
        "wall-shares": _wall_shares,
        "efficiency": _efficiency,
    }
    if "games_in_flight_sweep" in report:
        drawings["games-by-games-in-flight"] = _games_by_flight
    return [_draw(draw, report, folder / f"{name}.png") for name, draw in drawings.items()]


def _draw(draw: Callable[[Report, Any], None], report: Report, path: Path) -> Path:
    from matplotlib.figure import Figure  # a heavy import that only this needs

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    draw(report, axes)
    network, widths = report["network"], ",".join(map(str, report["search_widths"]))
    size = " × ".join(str(network[name]) for name in ("channels", "blocks") if name in network)
    figure.suptitle(
        f"{network['architecture']} {size}, {report['board_size']} × {report['board_size']}, "
        f"widths ({widths})\n{report['runtime']} {report['precision']}, {report['processor']}, "
        f"{report['threads']} threads, {report['date'][:10]}",
        fontsize=9,
    )
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return path


def _rows_by_batch_size(report: Report, axes: Any) -> None:
    sweep = report["raw"]["sweep"]
    axes.plot([int(size) for size in sweep], list(sweep.values()), "o-", label="bare network")
    for mode, style in (("cross-game", "--"), ("individual", ":")):
        if mode in report["modes"]:
            rate = report["modes"][mode]["evaluations_per_s"]
            axes.axhline(rate, color="black", linestyle=style, label=f"self-play, {mode}")
    axes.set_xscale("log", base=2)
    axes.set_xticks([int(size) for size in sweep], list(sweep))
    axes.set_xlabel("rows a call")
    axes.set_ylabel("evaluations a second")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _games_by_flight(report: Report, axes: Any) -> None:
    sweep = report["games_in_flight_sweep"]
    axes.plot([int(games) for games in sweep], list(sweep.values()), "o-")
    axes.set_xscale("log", base=2)
    axes.set_xticks([int(games) for games in sweep], list(sweep))
    axes.set_xlabel("games in flight")
    axes.set_ylabel("games a second, cross-game, no cache")
    axes.set_ylim(bottom=0)


def _wall_shares(report: Report, axes: Any) -> None:
    modes = list(report["modes"])[::-1]
    left = [0.0] * len(modes)
    for part in next(iter(report["modes"].values()))["wall_shares"]:
        widths = [report["modes"][mode]["wall_shares"][part] for mode in modes]
        axes.barh(modes, widths, left=left, label=part)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the wall time")
    axes.legend(ncols=6, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15), fontsize=8)


def _efficiency(report: Report, axes: Any) -> None:
    modes = list(report["modes"])[::-1]
    values = [report["modes"][mode]["efficiency"] for mode in modes]
    spans = [report["modes"][mode]["efficiency_range"] for mode in modes]
    errors = [
        [max(0.0, value - low) for value, (low, _) in zip(values, spans, strict=True)],
        [max(0.0, high - value) for value, (_, high) in zip(values, spans, strict=True)],
    ]
    bars = axes.barh(modes, values, xerr=errors, capsize=3)
    axes.bar_label(bars, fmt="%.2f", padding=6)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("evaluations a second ÷ best of the bare network (median, range)")
