"""Runs batches of games: one, or several in threads that share a model. The games are the same."""

import ctypes
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress

import torch

from hex_ai.errors import SettingError
from hex_ai.game.records import GameRecord
from hex_ai.inference.global_collector import GlobalPositionCollector
from hex_ai.inference.memory import require_memory
from hex_ai.inference.position_collector import Collector, Evaluator, PositionCollector
from hex_ai.numbers import real, whole
from hex_ai.selfplay.game_batch import GameBatch, StepWatcher
from hex_ai.selfplay.memory_use import bytes_of_games
from hex_ai.selfplay.settings import SelfPlaySettings

# Upper bounds far beyond use, below which torch fails with a clear error.
_MOST = {"games in flight": 2**24, "workers": 1024, "batch size": 2**40}


# What a thread passes on: games that ended, the error that stopped it, or None at its end.
Result = list[GameRecord] | BaseException | None


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
    """Plays games in one batch, or in several at once that share a model.

    Args:
      model: evaluates positions on `device`.
      settings: what decides the games.
      games_in_flight: in all batches together, at least 1.
      workers: batches; more than one run in threads over a `GlobalPositionCollector`.
      batched: false asks the model about one position at a time.
      batch_size, max_batch_delay_ms: see `GlobalPositionCollector`.
      device: where positions live.
      network: digest written into the records.

    Attributes:
      watcher: is called at every step of every batch.
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
    ) -> None:
        counts = {"games in flight": games_in_flight, "workers": workers, "batch size": batch_size}
        counts = {name: whole(name, count) for name, count in counts.items()}
        for name, count in counts.items():
            if not 1 <= count <= _MOST[name]:
                raise SettingError(f"{name} {count} is outside 1 to {_MOST[name]}")
        games_in_flight, workers, batch_size = counts.values()
        max_batch_delay_ms = real("batch delay", max_batch_delay_ms)
        if not max_batch_delay_ms >= 0:
            raise SettingError(f"batch delay of {max_batch_delay_ms} ms is not a number from 0 on")
        if not batched and workers > 1:
            raise SettingError("one position at a time allows for one worker only")
        self.model, self.settings = model, settings
        self.games_in_flight, self.workers = games_in_flight, min(workers, games_in_flight)
        self.batched, self.batch_size, self.delay = batched, batch_size, max_batch_delay_ms
        self.device, self.network, self.watcher = torch.device(device), network, StepWatcher()
        self._batches: list[GameBatch] = []

    @property
    def searches(self) -> int:
        """Positions searched since `play` was called last."""
        return sum(batch.searches for batch in self._batches)

    def play(
        self, ids: Iterable[int], games: int | None = None
    ) -> Generator[list[GameRecord], None, None]:
        """Plays games; yields them as they end, a few at a time. Closing the iterator stops it.

        Args:
          ids: of the games.
          games: how many ids there are, if that is known: no more are in flight.

        Raises:
          SettingError: the games in flight want more memory than there is.
          HexAIError: whatever stopped a batch; nobody is left waiting.
        """
        self._batches = []
        slots, workers = self.slots(games)
        self.require_memory(games)
        if workers > 1:
            return self._play_in_threads(GameIds(ids), slots, workers)
        collector = PositionCollector(self.model, None if self.batched else 1)
        return self._batch(collector, iter(ids), slots).play()

    def slots(self, games: int | None) -> tuple[int, int]:
        """Games in flight and workers where so many games are to be played; None: any number."""
        slots = self.games_in_flight
        if games is not None:
            slots = min(slots, max(games, 1))
        return slots, min(self.workers, slots)

    def require_memory(self, games: int | None, more: int = 0, named: str = "") -> None:
        """Raises `SettingError` where the games in flight want more memory than there is.

        Args:
          games: to be played, if that is known.
          more: bytes that others will take, who are `named`.
        """
        slots, workers = self.slots(games)
        widths = ",".join(map(str, self.settings.search_widths))
        require_memory(
            bytes_of_games(self.settings, slots, workers) + more,
            self.device,
            f"{slots} games in flight with search widths {widths}{named}",
        )

    def _batch(self, collector: Collector, ids: Iterator[int], slots: int) -> GameBatch:
        batch = GameBatch(
            self.settings, collector, ids, slots, self.device, self.network, self.watcher
        )
        self._batches.append(batch)
        return batch

    def _play_in_threads(
        self, ids: GameIds, slots: int, workers: int
    ) -> Generator[list[GameRecord], None, None]:
        """One thread a batch; this one passes on what they finish and the first error."""
        # Bounded: if nobody takes the games, the threads wait.
        results: queue.Queue[Result] = queue.Queue(4 * workers)
        stopping = threading.Event()

        def put(result: Result) -> None:
            while not stopping.is_set():
                with suppress(queue.Full):
                    results.put(result, timeout=0.1)
                    return

        def work(slots: int) -> None:
            # The operations of a batch of games are small. With a team of OpenMP threads for each
            # of them, it would keep the processor from the network.
            torch.set_num_threads(1)
            try:
                with collector.worker():
                    for games in self._batch(collector, ids, slots).play():
                        put(games)
                        if stopping.is_set():
                            break
                put(None)
            except BaseException as error:  # noqa: BLE001 - raised again by the consumer
                put(error)

        _dismiss_idle_threads()
        with GlobalPositionCollector(self.model, self.batch_size, self.delay) as collector:
            shares = [len(range(k, slots, workers)) for k in range(workers)]
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
