"""Threads for tests of the global collector, and ways to bring them to a known state."""

import threading
import time
from collections.abc import Callable
from typing import ParamSpec

import torch
from inference_toys import HashEvaluator, drawn, hash_evaluation
from torch import Tensor

from hex_ai.game.positions import Positions
from hex_ai.inference.global_collector import GlobalPositionCollector

P = ParamSpec("P")

NEVER = 1e7  # milliseconds: nearly three hours
PATIENCE = 20.0  # seconds
MANY = 100_000  # rows that never come together


class Planned(Exception):
    """Raised on purpose."""


class Harsh(BaseException):
    """The like of KeyboardInterrupt."""


class Crew:
    """Threads that a test starts and joins, and the error that ended each."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.errors: list[BaseException | None] = []

    def __enter__(self) -> "Crew":
        self._before = set(threading.enumerate())
        return self

    def __exit__(self, *_: object) -> None:
        """Nobody may be left at the end, nor any inference thread."""
        self.join()
        assert set(threading.enumerate()) <= self._before

    def start(self, body: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> int:
        """Calls `body` in a thread of its own; returns the thread's number."""
        number = len(self.threads)
        self.errors.append(None)

        def run() -> None:
            try:
                body(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                self.errors[number] = error

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()
        return number

    def join(self, *numbers: int) -> list[BaseException | None]:
        """Waits for these threads, or for all: the error of each."""
        chosen = numbers or range(len(self.threads))
        deadline = time.monotonic() + PATIENCE
        for number in chosen:
            self.threads[number].join(max(0.0, deadline - time.monotonic()))
            assert not self.threads[number].is_alive(), f"thread {number} hangs"
        return [self.errors[number] for number in chosen]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def rows_waiting(collector: GlobalPositionCollector) -> int:
    """The one thing that cannot be seen from outside: that a thread has begun to wait."""
    return sum(len(ask.board) for ask in list(collector._waiting))


def ask(collector: GlobalPositionCollector, board: Positions) -> None:
    """One request for policy and value by the calling thread, answered rightly and once."""
    answers: list[Tensor] = []
    collector.request_policy(board, answers.append)
    collector.request_value(board, answers.append)
    collector.process_batches()
    logits, values = answers
    right_logits, right_values = hash_evaluation(board)
    assert torch.equal(logits, right_logits)
    assert torch.equal(values, right_values)


class Idler:
    """A registered worker that asks nothing until it is let go."""

    def __init__(
        self, crew: Crew, collector: GlobalPositionCollector, end: BaseException | None = None
    ) -> None:
        self._go, here = threading.Event(), threading.Event()

        def idle() -> None:
            with collector.worker():
                here.set()
                # So long that nobody is released because the idler lost patience first.
                assert self._go.wait(3 * PATIENCE)
                if end is not None:
                    raise end

        self.number = crew.start(idle)
        assert here.wait(PATIENCE)

    def let_go(self) -> None:
        self._go.set()


def start_asking(crew: Crew, collector: GlobalPositionCollector, *rows: int) -> list[int]:
    """Threads that ask about so many rows each; every one waits before the next one starts."""
    numbers = []
    for seed, count in enumerate(rows):
        wanted = rows_waiting(collector) + count
        numbers.append(crew.start(ask, collector, drawn(count, 4, seed)))
        wait_for_rows(collector, wanted)
    return numbers


def wait_for_rows(collector: GlobalPositionCollector, wanted: int) -> None:
    eventually(lambda: rows_waiting(collector) == wanted)


def rows_of(model: HashEvaluator) -> list[int]:
    return [rows for _, rows in model.batches]
