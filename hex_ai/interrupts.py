"""SIGINT and SIGTERM as one exception, so that a command ends in order."""

import os
import signal
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
