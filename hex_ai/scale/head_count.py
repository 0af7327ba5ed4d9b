"""How many actors play fastest, found while they play."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

# Seconds after the last actor has begun from which on is measured, and for how long.
SETTLING, MEASURED = 5.0, 15.0

# So much faster must twice as many be, or the processors are left to others.
WORTH_IT = 1.03


class HeadCount:
    """Half as many actors as there is room for play for a while, then as many as that; whichever
    is faster goes on. Where two processors are threads of one core, or the memory is what is slow,
    the half may be.

    Args:
      room: how many actors there is room for.
      clock: seconds.

    Attributes:
      room: may be changed, as machines come and go.
      found: whether it is known how many play fastest.
    """

    def __init__(self, room: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.room, self.found = room, room <= 1
        self._clock, self._half = clock, True
        self._rates: dict[int, float] = {}
        self._all_since: float | None = None
        self._start: tuple[float, int] | None = None

    @property
    def wanted(self) -> int:
        """Actors that are to play now."""
        return max(1, (self.room + 1) // 2 if self._half else self.room)

    def seen(self, playing: int, searches: int) -> None:
        """Takes in how many actors play, and how many positions all have searched by now."""
        if self.found:
            return
        now = self._clock()
        if playing != self.wanted:
            self._all_since = self._start = None
            return
        if self._all_since is None:
            self._all_since = now
        if self._start is None:
            if now - self._all_since >= SETTLING:
                self._start = now, searches
            return
        since, before = self._start
        if now - since >= MEASURED:
            self._rates[playing] = (searches - before) / (now - since)
            self._all_since = self._start = None
            self._go_on(playing)

    def _go_on(self, playing: int) -> None:
        if self._half:
            self._half = False
            return
        fewer = self._rates[min(self._rates)]
        self._half, self.found = self._rates[playing] < fewer * WORTH_IT, True
        told = ", ".join(f"{n} search {rate:.0f} positions/s" for n, rate in self._rates.items())
        log.warning("%d actors go on: %s", self.wanted, told)
