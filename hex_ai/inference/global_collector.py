"""A collector that threads share: an inference thread of its own evaluates what they ask."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hex_ai.errors import CollectorError, SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.position_collector import (
    Collector,
    Evaluation,
    Evaluator,
    evaluate_together,
)
from hex_ai.numbers import real, whole


class _Ask:
    """A board that a thread waits for, and what came of it."""

    def __init__(self, board: Positions) -> None:
        self.board, self.arrived = board, time.monotonic()
        self.answer: Evaluation | None = None
        self.error: Exception | None = None

    @property
    def open(self) -> bool:
        return self.answer is None and self.error is None


class GlobalPositionCollector(Collector):
    """Shares one model among threads; an inference thread of its own evaluates their boards.

    Use it as a context manager; each worker thread registers by `with collector.worker():`. A batch
    is started when `batch_size` rows wait, when every registered worker waits, or when the oldest
    request is `max_batch_delay_ms` old; with the default of 0, as soon as the inference thread is
    free. A board is never split, so one of more than `batch_size` rows is a batch of its own.

    No lock is held while callbacks or the model run. A worker that ends or dies stops counting; if
    the inference thread dies, every waiting thread gets a `CollectorError`.

    Args:
      model: evaluates the positions; only the inference thread touches it.
      batch_size: rows that start a batch, at least 1.
      max_batch_delay_ms: longest wait for a batch to fill, in milliseconds, at least 0.
    """

    def __init__(
        self, model: Evaluator, batch_size: int = 1024, max_batch_delay_ms: float = 0.0
    ) -> None:
        batch_size = whole("batch_size", batch_size)
        max_batch_delay_ms = real("max_batch_delay_ms", max_batch_delay_ms)
        if batch_size < 1:
            raise SettingError(f"batch_size {batch_size} is not positive")
        if not max_batch_delay_ms >= 0:
            raise SettingError(f"max_batch_delay_ms {max_batch_delay_ms} is negative")
        super().__init__(model)
        self._batch_size, self._delay = batch_size, max_batch_delay_ms / 1000
        self._changed = threading.Condition()
        self._waiting: list[_Ask] = []
        # What each registered thread waits for now.
        self._workers: dict[int, list[_Ask]] = {}
        self._ended: str | None = None
        self._cause: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="hex-ai inference", daemon=True)
        self._thread.start()

    def __enter__(self) -> "GlobalPositionCollector":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops the inference thread; whoever still waits gets a `CollectorError`."""
        self._end("the collector was closed", None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    @contextmanager
    def worker(self) -> Iterator["GlobalPositionCollector"]:
        """Registers the calling thread for the duration of the block; may be nested."""
        me = threading.get_ident()
        with self._changed:
            is_outermost = me not in self._workers
            self._workers.setdefault(me, [])
        try:
            yield self
        finally:
            if is_outermost:
                with self._changed:
                    del self._workers[me]
                    self._changed.notify_all()

    def evaluate(self, positions: Positions) -> Evaluation:
        """Evaluates one batch, see `Collector`.

        Raises:
          CollectorError: the collector was closed or its inference thread died.
          Exception: whatever the model raised on these positions.
        """
        return self._evaluate_all([positions])[0]

    def _evaluate_all(self, boards: Sequence[Positions]) -> Sequence[Evaluation]:
        """Hands boards to the inference thread and waits until all are evaluated."""
        asks = [_Ask(board) for board in boards]
        with self.worker(), self._changed:
            self._waiting += asks
            self._workers[threading.get_ident()] = asks
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._ended or _is_over(asks))
            finally:
                # Also when a signal ends the wait: nothing old may meet the next batch.
                self._waiting = [ask for ask in self._waiting if ask not in asks]
                self._workers[threading.get_ident()] = []
        for ask in asks:
            if ask.error:
                raise ask.error
            if ask.answer is None:
                raise CollectorError(str(self._ended)) from self._cause
        return [ask.answer for ask in asks if ask.answer]

    def _serve(self) -> None:
        """The inference thread: evaluates batches until the collector ends."""
        try:
            while batch := self._next_batch():
                self._answer(batch)
        except BaseException as error:  # noqa: BLE001 - told to every waiting thread, now and later
            self._end(f"the inference thread died: {error!r}", error)

    def _next_batch(self) -> list[_Ask]:
        """Waits until a batch is due, and takes it; empty when the collector has ended."""
        with self._changed:
            while not self._ended:
                due_in = self._seconds_until_due()
                if due_in is not None and due_in <= 0:
                    return self._take_batch()
                self._changed.wait(None if due_in is None else min(due_in, threading.TIMEOUT_MAX))
            return []

    def _seconds_until_due(self) -> float | None:
        """0 or less when a batch is due, None while nothing waits."""
        if not self._waiting:
            return None
        rows = sum(len(ask.board) for ask in self._waiting)
        all_wait = all(any(ask.open for ask in asks) for asks in self._workers.values())
        if rows >= self._batch_size or all_wait:
            return 0.0
        return self._waiting[0].arrived + self._delay - time.monotonic()

    def _take_batch(self) -> list[_Ask]:
        """The oldest boards, as many as fit into `batch_size`, but at least one."""
        rows, count = 0, 0
        for ask in self._waiting:
            rows += len(ask.board)
            if count and rows > self._batch_size:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    def _answer(self, batch: Sequence[_Ask]) -> None:
        """Evaluates a batch; if that fails, evaluates each board alone to find whose it is."""
        try:
            answers = evaluate_together([ask.board for ask in batch], self._model.batch_infer)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asked
            if len(batch) > 1:
                for ask in batch:
                    self._answer([ask])
                return
            with self._changed:
                batch[0].error = error
                self._changed.notify_all()
            return
        with self._changed:
            for ask, answer in zip(batch, answers, strict=True):
                ask.answer = answer
            self._changed.notify_all()

    def _end(self, reason: str, cause: BaseException | None) -> None:
        with self._changed:
            if self._ended is None:
                self._ended, self._cause = reason, cause
            self._changed.notify_all()


def _is_over(asks: Sequence[_Ask]) -> bool:
    """Whether all are answered, or one has failed."""
    return any(ask.error for ask in asks) or not any(ask.open for ask in asks)
