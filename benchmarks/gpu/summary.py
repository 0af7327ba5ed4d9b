"""A line about what a task gave."""

from typing import Any

Figures = dict[str, Any]


def summary(task: str, figures: Figures) -> str:
    """The line for the table."""
    line = globals()[f"_{task}"](figures)
    return {True: "ok: ", False: "NOT OK: "}.get(figures.get("ok"), "") + line  # type: ignore[call-overload]


def _tests(figures: Figures) -> str:
    counts = ", ".join(
        f"{figures[name]} {name}" for name in ("tests", "failures", "errors", "skipped")
    )
    return counts + "".join(f"\n    {name}: {reason}" for name, reason in figures["failed"][:15])


def _rows(figures: Figures) -> str:
    return (
        f"{figures['runtime']} {figures['precision']}, shapes kept {figures['shapes_kept']}; rows "
        f"that differ by order {figures['rows_differing']}; error to float32 "
        f"{figures['relative_error_of_logits']:.1e}, {figures['relative_error_of_values']:.1e}"
    )


def _same_games(figures: Figures) -> str:
    wrong = {name: found for name, found in figures["differing"].items() if found}
    runs = len(figures["differing"]) + 1
    return f"{figures['games']} games, {runs} runs; differing: {wrong or 'none'}"


def _bench(figures: Figures) -> str:
    raw = figures["raw"]
    parts = [f"bare {raw['evals_per_s']:.0f}/s at {raw['batch_size']}, MFU {raw['mfu']:.1%}"]
    for mode, row in figures["modes"].items():
        busy = row.get("kernels", {}).get("kernel_busy")
        parts.append(
            f"{mode} {row['games_per_s']:.1f} games/s, {row['evaluations_per_s']:.0f} "
            f"evaluations/s, efficiency {row['efficiency']:.3f}, batch {row['mean_batch']:.0f}"
            + (f", kernels busy {busy:.1%}" if busy is not None else "")
        )
    return "; ".join(parts)


def _ways(figures: Figures) -> str:
    best = {
        name: f"{max(rates.values()):.0f}/s at {max(rates, key=lambda size: rates[size])}, "
        f"MFU {figures['mfu'][name]:.1%}"
        for name, rates in figures["rows_per_second"].items()
    }
    return "; ".join(f"{name} {text}" for name, text in best.items())


def _memory(figures: Figures) -> str:
    moved = ", ".join(
        f"{name} {start / 2**20:.0f} to {end / 2**20:.0f} MiB"
        for name, (start, end) in figures["second_half"].items()
    )
    return f"{figures['games']} games, {figures['games_per_s']:.1f}/s; second half: {moved}"


def _learn(figures: Figures) -> str:
    return (
        f"rounds {figures['rounds_before']} to {figures['rounds']}, {figures['games']} games, "
        f"{figures['seconds']:.0f} s in all; ended with {figures['status']}"
    )


def _peers(figures: Figures) -> str:
    if "skipped" in figures:
        return f"skipped: {figures['skipped']}"
    rows = [
        f"{name} {row['moves_per_s']:.0f} moves/s ({row['moves_per_s_to_ours']:.2f} of ours)"
        for name, row in figures["contenders"].items()
    ]
    return "; ".join([*rows, *figures["left_out"].values()])
