"""Places for searches: so many at once, then a queue, then no more."""

import asyncio
from collections import deque

from hex_ai.errors import HexAIError


class BusyError(HexAIError):
    """Too many visitors wait already."""


class Ticket:
    """A visitor's place, in the queue or at work.

    Attributes:
      turn: is done once the visitor may begin.
    """

    def __init__(self, slots: "Slots") -> None:
        self._slots = slots
        self.turn = asyncio.get_running_loop().create_future()

    @property
    def ahead(self) -> int:
        """How many others come first."""
        return self._slots.ahead(self)

    def give_back(self) -> None:
        """Leaves the queue or the work; the next one begins. May be called again."""
        self._slots.take_back(self)


class Slots:
    """Hands out places; for one event loop.

    Args:
      at_once: visitors that are at work together.
      waiting: others that may wait, at most.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._at_once, self._most = at_once, waiting
        self._working = set[Ticket]()
        self._queue = deque[Ticket]()

    def enter(self) -> Ticket:
        """A place at the end of the queue. Raises `BusyError` where it is full."""
        if len(self._queue) >= self._most:
            raise BusyError(f"{len(self._queue)} visitors wait already; try again in a moment")
        ticket = Ticket(self)
        self._queue.append(ticket)
        self._begin_next()
        return ticket

    def ahead(self, ticket: Ticket) -> int:
        """How many others come before a ticket of the queue; 0 for one at work."""
        return self._queue.index(ticket) + 1 if ticket in self._queue else 0

    def take_back(self, ticket: Ticket) -> None:
        """See `Ticket.give_back`."""
        if ticket in self._queue:
            self._queue.remove(ticket)
        self._working.discard(ticket)
        self._begin_next()

    def _begin_next(self) -> None:
        while self._queue and len(self._working) < self._at_once:
            ticket = self._queue.popleft()
            self._working.add(ticket)
            if not ticket.turn.done():
                ticket.turn.set_result(None)
