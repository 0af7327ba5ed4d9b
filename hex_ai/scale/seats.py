"""The actors of a run, those that were lost included, and what they have come to."""

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seat:
    """A place at which an actor plays.

    Attributes:
      number: counts actors, lost ones too.
      actor: of Ray.
      asked_at: when its last call began.
      in_flight: games that it plays at a time.
      node: where it is, once it has begun; device: what it computes on there.
      plan: of a run that mixes hardware, what its games are marked by; else empty.
      told_last: it has been told that no more games will come.
      counts: what its model has counted.
      searches: positions that it has searched.
      waited: seconds that its play has waited for others.
      games: that it has finished.
    """

    number: int
    actor: Any
    asked_at: float = 0.0
    in_flight: int = 0
    node: str = ""
    device: str = ""
    plan: str = ""
    told_last: bool = False
    counts: dict[str, Any] = field(default_factory=dict)
    searches: int = 0
    waited: float = 0.0
    games: int = 0

    def reset(self, in_flight: int) -> None:
        """Counts from 0, for a play that begins, with so many games at a time."""
        self.in_flight = in_flight
        self.node, self.told_last, self.counts = "", False, {}
        self.searches, self.waited, self.games = 0, 0.0, 0
        self.asked_at = time.monotonic()


class Seats:
    """All actors of a play.

    Attributes:
      taken: the seats of those that play.
      lost: actors that were lost.
    """

    def __init__(self) -> None:
        self.taken: list[Seat] = []
        self.lost = 0
        self._past: list[Seat] = []
        self._started = time.monotonic()

    def start(self) -> None:
        """A play begins: what was counted before is forgotten."""
        self._past, self._started = [], time.monotonic()

    def leave(self, seat: Seat) -> None:
        """An actor plays no more; what it has done counts."""
        self.taken.remove(seat)
        self._past.append(seat)

    @property
    def playing(self) -> int:
        """Actors that have begun."""
        return sum(bool(seat.node) for seat in self.taken)

    @property
    def searches(self) -> int:
        """Positions searched by all."""
        return sum(seat.searches for seat in self._all)

    def count(self, name: str) -> float:
        """A count of all models together."""
        return sum(float(seat.counts.get(name, 0)) for seat in self._all)

    def report(self) -> dict[str, Any]:
        """Plain JSON: how many there are, what was lost, and what came from where."""
        nodes: dict[str, dict[str, Any]] = {}
        seconds = time.monotonic() - self._started
        for seat in self._all:
            if seat.node:
                node = nodes.setdefault(seat.node, {"device": seat.device, "actors": 0, "games": 0})
                node["actors"] += seat in self.taken
                node["games"] += seat.games
        for node in nodes.values():
            node["games_per_s"] = node["games"] / seconds if seconds else None
        return {
            "actors": len(self.taken),
            "playing": self.playing,
            "lost": self.lost,
            "waited_s": sum(seat.waited for seat in self._all),
            "nodes": nodes,
        }

    @property
    def _all(self) -> list[Seat]:
        return [*self._past, *self.taken]
