"""SIGINT and SIGTERM as one exception, so that a command ends cleanly."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """A signal asked the command to end; `exit_status` is 128 + its number.

    Not a `KeyboardInterrupt`, which command-line libraries turn into a status of their own.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handled_before in before.items():
            signal.signal(number, handled_before)


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """Raises `Interrupted` in the main thread at the first signal; a second one ends at once."""
    caught = False

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal caught
        if caught:
            os._exit(128 + number)
        caught = True
        raise Interrupted(number)

    with _handled_by(stop):
        yield


@contextmanager
def interrupts_end_at_once() -> Iterator[None]:
    """Ends the process at the first signal, for blocks that have nothing to lose."""
    with _handled_by(lambda number, _: os._exit(128 + number)):
        yield


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Delays signals until the block is done.

    For calls into libraries whose own clean-up would hide the exception of a signal.
    """
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread
        yield
        return
    held: list[int] = []
    with _handled_by(lambda number, _: held.append(number)):
        yield
    if held:
        signal.raise_signal(held[0])
