"""How a run is going, while it goes: a live bar on a terminal, plain lines elsewhere."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hex_ai.selfplay.selfplay_engine import SelfPlayEngine

LIVE_SECONDS = 0.5
PLAIN_SECONDS = 10.0


@contextmanager
def progress_shown(engine: SelfPlayEngine, games: int, console: Console) -> Iterator[None]:
    """Shows on `console` how far the engine is with `games` games, until the block ends."""
    done = threading.Event()
    show = _show_live if console.is_terminal else _show_plain
    thread = threading.Thread(target=show, args=(engine, games, console, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def describe(stats: dict[str, Any], games: int) -> str:
    """One line about a run of `games` games, from `SelfPlayEngine.get_performance_stats`."""
    rate = stats["games_per_s"] or 0.0
    left = round((games - stats["games"]) / rate) if rate else None
    parts = [
        f"{rate:.1f} games/s",
        f"{stats['moves_per_s'] or 0.0:.0f} moves/s",
        f"length {stats['mean_game_length'] or 0.0:.1f}",
        f"batch {stats['mean_batch'] or 0.0:.0f}",
        f"hits {stats['hit_rate'] or 0.0:.0%}",
        f"{stats['evaluations_per_s'] or 0.0:.0f} evaluations/s",
    ]
    if stats["device_utilization"] is not None:
        parts.append(f"device {stats['device_utilization']:.0%}")
    parts.append("ETA " + ("-" if left is None else f"{left // 60}:{left % 60:02}"))
    return "  ".join(parts)


def _show_live(engine: SelfPlayEngine, games: int, console: Console, done: threading.Event) -> None:
    text = TextColumn("{task.description}")
    columns = (MofNCompleteColumn(), BarColumn(20), TimeElapsedColumn(), text)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("preparing the network", total=games)
        while not done.wait(LIVE_SECONDS):
            stats = engine.get_performance_stats()
            if stats["searched_moves"]:
                progress.update(task, completed=stats["games"], description=describe(stats, games))


def _show_plain(
    engine: SelfPlayEngine, games: int, console: Console, done: threading.Event
) -> None:
    while not done.wait(PLAIN_SECONDS):
        stats = engine.get_performance_stats()
        if stats["searched_moves"]:
            console.print(f"{stats['games']}/{games} games  {describe(stats, games)}")
