"""SIGINT and SIGTERM as one exception, so that a command ends in order."""

import os
import signal
import threading
from collections.abc import Iterator
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
def interrupts_raised() -> Iterator[None]:
    """Raises `Interrupted` in the main thread at the first signal; a second one ends at once."""
    caught = False

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal caught
        if caught:
            os._exit(128 + number)
        caught = True
        raise Interrupted(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Lets signals wait until the block is done.

    For calls into libraries whose own clean-up would hide the exception of a signal.
    """
    if threading.current_thread() is not threading.main_thread():  # which never has any
        yield
        return
    held: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {
        number: signal.signal(number, lambda caught, _: held.append(caught)) for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        signal.raise_signal(held[0])
