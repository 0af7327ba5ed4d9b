"""Reports as a person reads them: the summary of a run, the table of a benchmark."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table


def summary_lines(games: dict[str, Any], stats: dict[str, Any]) -> list[str]:
    """What a run came to.

    Args:
      games: of all games, from `RunSummary.to_json`.
      stats: of the last sitting, from `SelfPlayEngine.get_performance_stats`.
    """
    if not games["games"]:
        return ["no games"]
    shortest, *_, longest = games["length_percentiles"].values()
    lines = [
        f"{games['games']} games, {games['distinct_games']} distinct; "
        f"length {games['mean_length']:.1f} ({shortest} to {longest}); "
        f"Red won {games['red_share']:.1%}; swapped {games['swap_share']:.1%}; "
        f"search played the policy's favourite in {_percent(games['agreement'])}"
    ]
    if set(games["ends"]) != {"join"}:
        ends = ", ".join(f"{end} {count}" for end, count in sorted(games["ends"].items()))
        lines.append(f"ended by {ends}")
    if games["played_on"]:
        lines.append(
            f"{games['played_on']} games played on after somebody could have resigned, "
            f"{games['misjudged']} of them won by the other side"
        )
    if stats["games"]:
        lines.append(
            f"{stats['seconds']:.1f} s: {stats['games_per_s']:.2f} games/s, "
            f"{stats['moves_per_s']:.0f} moves/s, {stats['evaluations_per_s']:.0f} evaluations/s; "
            f"work saved {stats['work_saved']:.2f}x (hit rate {stats['hit_rate']:.1%}), "
            f"mean batch {stats['mean_batch']:.0f}, "
            f"{_percent(stats['network_share'])} of the time in the network"
        )
    return lines


def bench_table(report: dict[str, Any]) -> Table:
    """The report of `run_bench`, one row a mode."""
    raw, size = report["raw"], report["board_size"]
    widths = ",".join(map(str, report["search_widths"]))
    table = Table(
        title=f"{size}x{size}, widths {widths}, {report['runtime']} {report['precision']} on "
        f"{report['device_name']}; bare network {raw['evals_per_s']:.0f} rows/s at batch "
        f"{raw['batch_size']}",
        box=SIMPLE_HEAD,
    )
    columns = {
        "games/s": ("games_per_s", ".2f"),
        "moves/s": ("moves_per_s", ".1f"),
        "evals/s": ("evaluations_per_s", ".0f"),
        "batch": ("mean_batch", ".1f"),
        "calls/move": ("network_calls_per_move", ".2f"),
        "hit rate": ("hit_rate", ".1%"),
        "network": ("network_share", ".1%"),
        "efficiency": ("efficiency", ".3f"),
    }
    table.add_column("mode", no_wrap=True)
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for mode, figures in report["modes"].items():
        table.add_row(mode, *(format(figures[name], style) for name, style in columns.values()))
    return table


def bench_lines(report: dict[str, Any]) -> list[str]:
    """What the table of a benchmark has no room for."""
    raw = report["raw"]
    sweep = ", ".join(f"{size}: {rate:.0f}" for size, rate in raw["sweep"].items())
    lines = [
        f"bare network, rows/s by batch size: {sweep}; {raw['mfu']:.1%} of the "
        f"{report['matmul_flops_per_s'] / 1e9:.0f} GFLOP/s of a matrix product; "
        f"compiled in {report['compile_seconds']:.1f} s"
    ]
    if "finite" in report:
        finite = report["finite"]
        lines.append(
            f"{finite['games']} games from first to last: {finite['games_per_s']:.2f} games/s, "
            f"{_percent(finite['of_steady'])} of the steady moves/s"
        )
    return lines


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
