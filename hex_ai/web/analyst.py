"""The engine behind the page: one network for all visitors, whose positions share batches."""

import asyncio
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from hex_ai.htp.board import Board
from hex_ai.inference.global_collector import GlobalPositionCollector
from hex_ai.inference.position_collector import Evaluator
from hex_ai.puct.search import make_ready
from hex_ai.web.asked import Budget
from hex_ai.web.slots import Slots, Ticket
from hex_ai.web.thinking import Left, Message, Thinker

# Searches at once: one a processor, and two at least, so that a long one does not stop the others.
AT_ONCE = max(2, min(8, os.cpu_count() or 1))
WAITING = 128

# Seconds between two words to a visitor: about a search, and about the queue.
PROGRESS_SECONDS = 0.05
QUEUE_SECONDS = 2.0

# Milliseconds that a search waits for others to ask too: without, they would take turns.
SHARING_MS = 10.0

# How far searches stand back behind what answers visitors.
SEARCH_NICENESS = 5

# Positions whose deepest analysis is kept.
KEPT = 500

Event = tuple[str, Message]
Told = Callable[[Callable[[], Message]], None]


class Analyst:
    """Thinks for all visitors. Use it as a context manager; its coroutines belong to one loop.

    Args:
      model: evaluates positions.
      device: where it wants them.
      network: digest of the network, told with every answer.
    """

    def __init__(self, model: Evaluator, device: torch.device, network: str) -> None:
        self.network = network
        self._device = device
        self._collector = GlobalPositionCollector(model, max_batch_delay_ms=SHARING_MS)
        self._threads = ThreadPoolExecutor(AT_ONCE, "hex-ai visitor", initializer=_step_back)
        self._slots = Slots(AT_ONCE, WAITING)
        self._kept = OrderedDict[tuple[Any, ...], Message]()
        self._closing = threading.Event()

    def __enter__(self) -> "Analyst":
        make_ready(self._device)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stop(self) -> None:
        """Ends all searches with what they have; none begins any more."""
        self._closing.set()

    def close(self) -> None:
        """Stops, and waits until nobody thinks any more."""
        self.stop()
        self._threads.shutdown()
        self._collector.close()

    def search(self, board: Board, budget: Budget, play: bool) -> "Job | Answered":
        """A search of a position whose game is not over, or a move to play there.

        Raises:
          BusyError: too many visitors wait.
        """
        if not play and (kept := self._kept_for(board, budget)):
            return Answered(kept)
        return Job(self, self._slots.enter(), partial(self._search, board, budget, play))

    def sweep(self, boards: list[Board]) -> "Job":
        """A look at many positions of one size. Raises `BusyError`."""
        return Job(self, self._slots.enter(), partial(self._sweep, boards))

    def run(self, work: Callable[[], Message]) -> "asyncio.Future[Message]":
        """Has a thread do something. Raises `Left` after `stop`."""
        if self._closing.is_set():
            raise Left("the server ends")
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _search(
        self, board: Board, budget: Budget, play: bool, stop: threading.Event, told: Told
    ) -> Message:
        with self._collector.worker():
            thinker = self._thinker(stop)
            network = {"network": self.network}
            found = (
                thinker.search(board, budget, lambda say: told(lambda: say() | network)) | network
            )
            if play:
                return found | {"move": thinker.move(board, budget, found)}
        return self._keep(board, found)

    def _sweep(self, boards: list[Board], stop: threading.Event, told: Told) -> Message:
        with self._collector.worker():
            return self._thinker(stop).sweep(boards, told) | {"network": self.network}

    def _thinker(self, stop: threading.Event) -> Thinker:
        return Thinker(
            self._collector, self._device, lambda: stop.is_set() or self._closing.is_set()
        )

    def _kept_for(self, board: Board, budget: Budget) -> Message | None:
        """An analysis that is at least as deep as what is asked for."""
        kept = self._kept.get((board.size, board.stones, board.mover))
        if kept is None:
            return None
        deep_enough = (
            kept["proven"]
            or (budget.evaluations is not None and kept["evaluations"] >= budget.evaluations)
            or (budget.seconds is not None and kept["seconds"] >= budget.seconds)
        )
        return kept if deep_enough else None

    def _keep(self, board: Board, found: Message) -> Message:
        """Keeps an analysis, if none is there that is deeper; the deeper one."""
        key = (board.size, board.stones, board.mover)
        kept = self._kept.get(key)
        if kept is None or _depth(found) >= _depth(kept):
            self._kept[key] = kept = found
            self._kept.move_to_end(key)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return kept


@dataclass(frozen=True)
class Answered:
    """What a visitor need not wait for."""

    message: Message

    async def events(self) -> AsyncIterator[Event]:
        """The answer."""
        yield "done", self.message

    def end(self) -> None:
        """Does nothing: there is no work to stop."""


class Job:
    """What one visitor waits for.

    Args:
      analyst: who does it.
      ticket: of its place.
      work: does it in a thread: is given an event by which it is stopped, and what to tell.
    """

    def __init__(
        self,
        analyst: Analyst,
        ticket: Ticket,
        work: Callable[[threading.Event, Told], Message],
    ) -> None:
        self._analyst, self._ticket, self._work = analyst, ticket, work
        self._stop = threading.Event()
        self._doing: asyncio.Future[Message] | None = None
        self._latest: Message | None = None
        self._news = asyncio.Event()
        self._told_at = 0.0

    async def events(self) -> AsyncIterator[Event]:
        """`queued` while others come first, `progress` during the work, and `done`.

        Raises:
          Exception: whatever the work raised.
        """
        while not self._ticket.turn.done():
            yield "queued", {"ahead": self._ticket.ahead}
            await asyncio.wait({self._ticket.turn}, timeout=QUEUE_SECONDS)
        told = partial(self._told, asyncio.get_running_loop())
        self._doing = self._analyst.run(partial(self._work, self._stop, told))
        self._doing.add_done_callback(self._ended)
        while not self._doing.done():
            await self._news.wait()
            self._news.clear()
            if self._latest is not None and not self._doing.done():
                latest, self._latest = self._latest, None
                yield "progress", latest
        yield "done", self._doing.result()

    def end(self) -> None:
        """Stops the work, if it is not done; gives the place back if it has not begun."""
        self._stop.set()
        if self._doing is None:
            self._ticket.give_back()

    def _ended(self, doing: "asyncio.Future[Message]") -> None:
        """The next one begins, whether anybody reads what came of this or not."""
        self._ticket.give_back()
        self._news.set()
        if not doing.cancelled():
            doing.exception()  # it is no fault that nobody asks for it

    def _told(self, loop: asyncio.AbstractEventLoop, say: Callable[[], Message]) -> None:
        """In the thread that works: passes on what it says, not too often."""
        now = time.monotonic()
        if now - self._told_at >= PROGRESS_SECONDS:
            self._told_at = now
            loop.call_soon_threadsafe(self._take, say())

    def _take(self, message: Message) -> None:
        self._latest = message
        self._news.set()


def _step_back() -> None:
    """Has a thread that searches leave the processor to the one that answers, where it can."""
    torch.set_num_threads(1)
    if sys.platform == "linux":  # where a thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), SEARCH_NICENESS)


def _depth(found: Message) -> tuple[bool, int]:
    return bool(found["proven"]), int(found["evaluations"])
