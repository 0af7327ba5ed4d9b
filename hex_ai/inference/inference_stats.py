"""Counts of what a network was asked and what it computed."""

from dataclasses import asdict, dataclass
from typing import Any


def ratio(part: float, whole: float) -> float | None:
    """A share or rate; None where the whole is 0."""
    return part / whole if whole else None


def speeds(stats: dict[str, Any], searches: int, seconds: float) -> dict[str, Any]:
    """What follows for play that took so many seconds and searched so many positions; None where
    the whole is 0.

    Args:
      stats: of the model, from `InferenceStats.summary`.
    """
    return {
        "searched_moves": searches,
        "seconds": seconds,
        "moves_per_s": ratio(searches, seconds),
        "requests_per_s": ratio(stats["requests"], seconds),
        "evaluations_per_s": ratio(stats["evaluations"], seconds),
        "network_calls_per_move": ratio(stats["network_calls"], searches),
        "network_share": ratio(stats["network_seconds"], seconds),
    }


@dataclass
class InferenceStats:
    """Counts since the start, in rows unless said otherwise.

    Every request is a hit in the cache, a duplicate of another row of its batch, or an evaluation.
    Positions of finished games are not counted as requests; where the network sees one, it is
    padding.
    """

    requests: int = 0
    evaluations: int = 0
    cache_hits: int = 0
    duplicate_hits: int = 0
    padding_rows: int = 0
    network_calls: int = 0
    network_seconds: float = 0.0

    def summary(self) -> dict[str, Any]:
        """The counts and the rates that follow from them; null where nothing was counted."""
        hits = self.cache_hits + self.duplicate_hits
        return asdict(self) | {
            "mean_batch": ratio(self.evaluations, self.network_calls),
            "padding_efficiency": ratio(self.evaluations, self.evaluations + self.padding_rows),
            "hit_rate": ratio(hits, self.requests),
            "work_saved": ratio(self.requests, self.evaluations),
        }
