"""What Ray's own monitoring is told of a play: gauges of `ray.util.metrics`, for Prometheus."""

import time
from collections.abc import Callable
from typing import Any

from ray.util.metrics import Gauge

# Seconds from one telling to the next.
SECONDS = 1.0

# By the keys of `Seats.report`.
_OF_ALL = {
    "playing": ("hex_ai_actors_playing", "actors that play"),
    "lost": ("hex_ai_actors_lost", "actors that were lost"),
    "games_given_back": ("hex_ai_games_given_back", "games of lost actors that others play"),
    "waited_s": ("hex_ai_waited_seconds", "seconds that actors have waited for the driver"),
}


class Metrics:
    """Tells Ray what a play has come to, at most once a second.

    Args:
      report: gives what `RayRunner.report` does.
    """

    def __init__(self, report: Callable[[], dict[str, Any]]) -> None:
        self._report, self._due = report, 0.0
        self._gauges = {key: Gauge(*about) for key, about in _OF_ALL.items()}
        self._games = Gauge("hex_ai_games", "finished games", tag_keys=("machine",))

    def tell(self) -> None:
        """Tells it, if it is time to."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + SECONDS
        report = self._report()
        for key, gauge in self._gauges.items():
            gauge.set(report[key])
        for name, node in report["nodes"].items():
            self._games.set(node["games"], tags={"machine": name})
