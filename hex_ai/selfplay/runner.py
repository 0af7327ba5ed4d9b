"""Runner side by side: the same games from one lane, or from several threads that share a model."""

import ctypes
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress

import torch

from hex_ai.errors import SettingError
from hex_ai.game.records import GameRecord
from hex_ai.inference.global_collector import GlobalPositionCollector
from hex_ai.inference.position_collector import Collector, Evaluator, PositionCollector
from hex_ai.inference.runtimes import out_of_memory
from hex_ai.selfplay.game_batch import GameBatch
from hex_ai.selfplay.settings import SelfPlaySettings

# Far beyond use, but such that every count up to here fails, if at all, with a clear line.
_MOST = {"games in flight": 2**24, "workers": 1024, "batch size": 2**40}


# What a lane's thread passes on: games that ended, the error that stopped it, or None at its end.
Result = list[GameRecord] | BaseException | None


class StepWatcher:
    """Is told how lanes get on, in the thread that runs them. This one does nothing with it."""

    def started(self, lane: GameBatch) -> None:
        """Called once for each lane, before its first step."""

    def stepped(self, lane: GameBatch) -> None:
        """Called after each step of a lane. An exception stops the play."""


class GameIds:
    """Hands out game ids, each once, to any number of threads."""

    def __init__(self, ids: Iterable[int]) -> None:
        self._ids = iter(ids)
        self._lock = threading.Lock()

    def __iter__(self) -> "GameIds":
        return self

    def __next__(self) -> int:
        with self._lock:
            return next(self._ids)


class Runner:
    """Plays games in one lane, or in several at once that share a model.

    Args:
      model: evaluates positions on `device`.
      settings: what decides the games.
      games_in_flight: in all lanes together, at least 1.
      workers: lanes; more than one run in threads over a `GlobalPositionCollector`.
      batched: false asks the model about one position at a time.
      batch_size, max_batch_delay_ms: see `GlobalPositionCollector`.
      device: where positions live.
      network: digest written into the records.
      watcher: is told of every step.
    """

    def __init__(
        self,
        model: Evaluator,
        settings: SelfPlaySettings,
        *,
        games_in_flight: int,
        workers: int = 1,
        batched: bool = True,
        batch_size: int = 1024,
        max_batch_delay_ms: float = 0.0,
        device: torch.device | str = "cpu",
        network: str = "",
        watcher: StepWatcher | None = None,
    ) -> None:
        counts = {"games in flight": games_in_flight, "workers": workers, "batch size": batch_size}
        for name, count in counts.items():
            if not 1 <= count <= _MOST[name]:
                raise SettingError(f"{name} {count} is outside 1 to {_MOST[name]}")
        if not max_batch_delay_ms >= 0:
            raise SettingError(f"batch delay of {max_batch_delay_ms} ms is not a number from 0 on")
        if not batched and workers > 1:
            raise SettingError("one position at a time allows for one worker only")
        self.model, self.settings = model, settings
        self.games_in_flight, self.workers = games_in_flight, min(workers, games_in_flight)
        self.batched, self.batch_size, self.delay = batched, batch_size, max_batch_delay_ms
        self.device, self.network = torch.device(device), network
        self.watcher = watcher or StepWatcher()
        self.searches = 0

    def play(self, ids: Iterable[int]) -> Generator[list[GameRecord], None, None]:
        """Yields games as they end, a few at a time. Closing the iterator stops the play.

        Raises:
          HexAIError: whatever stopped a lane; nobody is left waiting.
        """
        shared = GameIds(ids)
        if self.workers == 1:
            collector = PositionCollector(self.model, None if self.batched else 1)
            yield from self._play_lane(collector, shared, self.games_in_flight)
        else:
            yield from self._play_threads(shared)

    def _play_lane(
        self, collector: Collector, ids: GameIds, slots: int
    ) -> Generator[list[GameRecord], None, None]:
        with self._room_for(slots):
            lane = GameBatch(self.settings, collector, ids, slots, self.device, self.network)
        self.watcher.started(lane)
        while len(lane):
            before = lane.searches
            with self._room_for(slots):
                games = lane.step()
            self.model.check()
            self.searches += lane.searches - before
            self.watcher.stepped(lane)
            yield games

    @contextmanager
    def _room_for(self, slots: int) -> Iterator[None]:
        """Says what takes so much memory where it does not suffice."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            widths = ",".join(map(str, self.settings.search_widths))
            raise SettingError(
                f"out of memory with {slots} games in flight and search widths {widths}"
            ) from error

    def _play_threads(self, ids: GameIds) -> Generator[list[GameRecord], None, None]:
        """One thread a lane; this one passes on what they finish and the first error."""
        # Bounded: if nobody takes the games, the lanes wait.
        results: queue.Queue[Result] = queue.Queue(4 * self.workers)
        stopping = threading.Event()

        def put(result: Result) -> None:
            while not stopping.is_set():
                with suppress(queue.Full):
                    results.put(result, timeout=0.1)
                    return

        def work(slots: int) -> None:
            # A lane's operations are small. With a team of threads for each of them it would keep
            # the processor from the network.
            torch.set_num_threads(1)
            try:
                with collector.worker():
                    for games in self._play_lane(collector, ids, slots):
                        put(games)
                        if stopping.is_set():
                            break
                put(None)
            except BaseException as error:  # noqa: BLE001 - raised again by the consumer
                put(error)

        _dismiss_idle_threads()
        with GlobalPositionCollector(self.model, self.batch_size, self.delay) as collector:
            shares = [
                len(range(k, self.games_in_flight, self.workers)) for k in range(self.workers)
            ]
            threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in shares]
            try:
                for thread in threads:
                    thread.start()
                yield from _until_all_done(results, len(threads))
            finally:
                stopping.set()
                collector.close()
                for thread in threads:
                    if thread.ident is not None:
                        thread.join()
                torch.set_num_threads(torch.get_num_threads())  # for threads that start from now on


def _dismiss_idle_threads() -> None:
    """Ends the OpenMP threads that wait for this thread, where its library can be asked to.

    They would only sleep. But with them there are more threads than processors, and then OpenMP
    puts those of the inference thread to sleep after every operation of the network.
    """
    pause = getattr(ctypes.CDLL(None), "omp_pause_resource_all", None)
    if pause is not None:
        pause(1)  # omp_pause_soft


def _until_all_done(
    results: "queue.Queue[Result]", workers: int
) -> Generator[list[GameRecord], None, None]:
    """Passes results on until each worker has said None, or one has failed."""
    while workers:
        result = results.get()
        if isinstance(result, BaseException):
            raise result
        if result is None:
            workers -= 1
        else:
            yield result
