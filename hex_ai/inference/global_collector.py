"""A collector that threads share: an inference thread of its own answers their requests."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hex_ai.errors import CollectorError, SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.position_collector import (
    Callback,
    Evaluation,
    Evaluator,
    _Request,
    _Requests,
    answer_together,
)


class _Worker:
    """A thread that asks: its open requests, and the answers or the error that came for it."""

    def __init__(self) -> None:
        self.requests = _Requests()
        self.open: set[_Request] = set()
        self.answered: list[tuple[_Request, Evaluation]] = []
        self.error: BaseException | None = None
        self.entered = 0


class GlobalPositionCollector:
    """Shares one model among threads; an inference thread of its own answers their requests.

    Use it as a context manager; each worker thread registers by `with collector.worker():`. A batch
    is started when `batch_size` rows wait, when every registered worker waits, or when the oldest
    request is `max_batch_delay_ms` old; with the default of 0, as soon as the inference thread is
    free. A request is never split, so one larger than `batch_size` is a batch of its own.

    Callbacks run in the thread that asked. No lock is held while callbacks or the model run. A
    worker that ends or dies stops counting; if the inference thread dies, every waiter is told.

    Args:
      model: evaluates the positions; only the inference thread touches it.
      batch_size: rows that start a batch, at least 1.
      max_batch_delay_ms: milliseconds that a request may wait for company, at least 0.
    """

    def __init__(
        self, model: Evaluator, batch_size: int = 1024, max_batch_delay_ms: float = 0.0
    ) -> None:
        if batch_size < 1:
            raise SettingError(f"batch_size {batch_size} is not positive")
        if not max_batch_delay_ms >= 0:
            raise SettingError(f"max_batch_delay_ms {max_batch_delay_ms} is negative")
        self._model, self._batch_size = model, batch_size
        self._delay = max_batch_delay_ms / 1000
        self._changed = threading.Condition()
        self._waiting: list[tuple[_Worker, _Request]] = []
        self._workers: set[_Worker] = set()
        self._mine = threading.local()
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
        worker = self._current_worker()
        with self._changed:
            worker.entered += 1
            self._workers.add(worker)
        try:
            yield self
        finally:
            with self._changed:
                worker.entered -= 1
                if not worker.entered:
                    self._workers.discard(worker)
                self._changed.notify_all()

    def evaluate(self, positions: Positions) -> Evaluation:
        """Evaluates one batch: logits float32 `[B, A]` and the mover's values float32 `[B]`.

        Raises: what `process_batches` raises.
        """
        with self.worker():
            ((_, answer),) = self._exchange(self._current_worker(), [_Request(positions)])
        return answer

    def request_policy(self, board: Positions, callback: Callback) -> None:
        """Asks for policy logits; `callback` gets float32 `[B, A]` in this thread."""
        self._current_worker().requests.add(board, 0, callback)

    def request_value(self, board: Positions, callback: Callback) -> None:
        """Asks for the mover's values; `callback` gets float32 `[B]` in this thread."""
        self._current_worker().requests.add(board, 1, callback)

    def process_batches(self) -> None:
        """Waits for the answers to what this thread asked, calls back, until nothing waits.

        Raises:
          CollectorError: the collector was closed or its inference thread died.
          Exception: whatever the model raised on this thread's own requests.
        """
        with self.worker():
            worker = self._current_worker()
            try:
                while requests := worker.requests.take():
                    for request, answer in self._exchange(worker, requests):
                        request.tell(answer)
            except BaseException:
                worker.requests.take()
                raise

    def _exchange(
        self, worker: _Worker, requests: list[_Request]
    ) -> list[tuple[_Request, Evaluation]]:
        """Hands requests to the inference thread and waits until all are answered."""
        now = time.monotonic()
        with self._changed:
            for request in requests:
                request.arrived = now
                self._waiting.append((worker, request))
            worker.open = set(requests)
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._ended or not worker.open)
            finally:
                # Also when a signal ends the wait: nothing old may meet the next exchange.
                answered, worker.answered = worker.answered, []
                error, worker.error = worker.error, None
                self._drop_requests(worker)
        if error:
            raise error
        if len(answered) < len(requests):
            raise CollectorError(str(self._ended)) from self._cause
        return answered

    def _current_worker(self) -> _Worker:
        if not hasattr(self._mine, "worker"):
            self._mine.worker = _Worker()
        worker: _Worker = self._mine.worker
        return worker

    def _drop_requests(self, worker: _Worker) -> None:
        """Takes back whatever a worker still has open; an answer that comes later is ignored."""
        if worker.open:
            self._waiting = [entry for entry in self._waiting if entry[0] is not worker]
            worker.open = set()

    def _serve(self) -> None:
        """The inference thread: answers batches until the collector ends."""
        try:
            while batch := self._next_batch():
                self._answer(batch)
        except BaseException as error:  # noqa: BLE001 - told to every waiter, now and later
            self._end(f"the inference thread died: {error!r}", error)

    def _next_batch(self) -> list[tuple[_Worker, _Request]]:
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
        rows = sum(len(request.board) for _, request in self._waiting)
        if rows >= self._batch_size or all(worker.open for worker in self._workers):
            return 0.0
        return self._waiting[0][1].arrived + self._delay - time.monotonic()

    def _take_batch(self) -> list[tuple[_Worker, _Request]]:
        """The oldest requests, as many as fit into `batch_size`, but at least one."""
        rows, count = 0, 0
        for _, request in self._waiting:
            rows += len(request.board)
            if count and rows > self._batch_size:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    def _answer(self, batch: list[tuple[_Worker, _Request]]) -> None:
        """Evaluates a batch; if that fails, evaluates each request alone to find whose it is."""
        try:
            answers = list(answer_together(self._model, [request for _, request in batch]))
        except Exception as error:  # noqa: BLE001 - raised again in the thread that asked
            if len(batch) == 1:
                self._deliver(*batch[0], error)
                return
            for entry in batch:
                self._answer([entry])
            return
        for (worker, request), (_, answer) in zip(batch, answers, strict=True):
            self._deliver(worker, request, answer)

    def _deliver(self, worker: _Worker, request: _Request, answer: Evaluation | Exception) -> None:
        with self._changed:
            if request not in worker.open:
                return
            if isinstance(answer, Exception):
                worker.error = answer
                self._drop_requests(worker)
            else:
                worker.answered.append((request, answer))
                worker.open.remove(request)
            self._changed.notify_all()

    def _end(self, reason: str, cause: BaseException | None) -> None:
        with self._changed:
            if self._ended is None:
                self._ended, self._cause = reason, cause
            self._changed.notify_all()
