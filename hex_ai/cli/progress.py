"""How a run is going, while it goes: a live bar on a terminal, plain lines elsewhere."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from hex_ai.selfplay.selfplay_engine import SelfPlayEngine

LIVE_SECONDS = 0.5
PLAIN_SECONDS = 10.0

PREPARING = "preparing the network"

# Columns of the bar: as many as are left beside what must be told, within these bounds.
LEAST_BAR, MOST_BAR = 4, 20


@contextmanager
def progress_shown(engine: SelfPlayEngine, console: Console) -> Iterator[None]:
    """Shows on `console` how far the engine is with its games, until the block ends."""
    done = threading.Event()
    show = _show_live if console.is_terminal else _show_plain
    thread = threading.Thread(target=show, args=(engine, console, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def describe(stats: dict[str, Any]) -> list[str]:
    """What is to be told about a run, the most important first, beside the number of its games.

    Args:
      stats: from `SelfPlayEngine.get_performance_stats`.
    """
    finished, rate = stats["finished_games"], stats["finished_games"] / stats["seconds"]
    left = round((stats["games_to_play"] - finished) / rate) if rate else None
    parts = [
        "ETA " + ("-" if left is None else _clock(left)),
        f"{rate:.1f} games/s",
        f"{stats['moves_per_s'] or 0.0:.0f} moves/s",
        f"length {stats['mean_game_length'] or 0.0:.1f}",
        f"batch {stats['mean_batch'] or 0.0:.0f}",
        f"hits {stats['hit_rate'] or 0.0:.0%}",
        f"{stats['evaluations_per_s'] or 0.0:.0f} evaluations/s",
        f"{_clock(round(stats['seconds']))} so far",
    ]
    if "actors" in stats:
        parts[2:2] = _of_actors(stats["actors"])
    if stats["device_utilization"] is not None:
        parts.insert(-1, f"device {stats['device_utilization']:.0%}")
    return parts


def _of_actors(actors: dict[str, Any]) -> list[str]:
    """Who plays, what was lost, and what comes from which machine where there are several."""
    parts = [f"{actors['playing']} of {actors['actors']} actors"]
    if actors["lost"]:
        parts.append(f"{actors['lost']} lost, {actors['games_given_back']} games given to others")
    if len(actors["nodes"]) > 1:
        parts += [f"{name} {node['games_per_s']:.1f}/s" for name, node in actors["nodes"].items()]
    return [*parts, f"waited {actors['waited_s']:.0f} s"]


def counts(stats: dict[str, Any]) -> list[str]:
    """How many games there are, in words and in short: finished ones may not be stored yet."""
    short = f"{stats['games']}/{stats['games_to_play']}"
    if stats["finished_games"] == stats["games"]:
        return [short]
    return [f"{short} stored, {stats['finished_games']} finished", short]


def fitted(stats: dict[str, Any], width: int) -> tuple[str, int, str]:
    """The count of games, the columns of the bar, and as much of the rest as fits on one line."""
    eta, *others = describe(stats)
    count = next((c for c in counts(stats) if len(c) + LEAST_BAR + len(eta) + 2 <= width), None)
    count = count or counts(stats)[-1]
    bar = max(LEAST_BAR, min(MOST_BAR, width - len(count) - len(eta) - 2))
    return count, bar, _as_fits(eta, others, width - len(count) - bar - 2)


def _as_fits(text: str, others: Sequence[str], width: int) -> str:
    """The text with as many of the others behind it as there is room for, in their order."""
    for other in others:
        if len(text) + 2 + len(other) > width:
            return text
        text += f"  {other}"
    return text


def _clock(seconds: int) -> str:
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"


def _show_live(engine: SelfPlayEngine, console: Console, done: threading.Event) -> None:
    bar = BarColumn(LEAST_BAR)
    columns = (TextColumn("{task.fields[count]}"), bar, TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(PREPARING, total=None, count="")
        while not done.wait(LIVE_SECONDS):
            stats = engine.get_performance_stats()
            if stats["searched_moves"]:
                # The last column stays free, for terminals that go on to the next line behind it.
                count, bar.bar_width, text = fitted(stats, console.width - 1)
                games = {"total": stats["games_to_play"], "completed": stats["finished_games"]}
                progress.update(task, description=text, count=count, **games)


def _show_plain(engine: SelfPlayEngine, console: Console, done: threading.Event) -> None:
    # A network that runs eager is prepared in no time.
    while not engine.is_preparing and not done.wait(LIVE_SECONDS):
        pass
    if engine.is_preparing and engine.inference.plan.runtime != "eager":
        console.print(PREPARING)
    while not done.wait(PLAIN_SECONDS):
        stats = engine.get_performance_stats()
        if stats["searched_moves"]:
            console.print("  ".join([f"{counts(stats)[0]} games", *describe(stats)]))
