"""The lines of an asker, read ahead, so that one who wants a search to end is heard at once."""

import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import Queue

# More than anybody asks before an answer comes; a file of requests waits at its end.
READ_AHEAD = 1024

_CHUNK = 2**16
_INTERRUPT = re.compile(r"\s*#\s*interrupt\b", re.IGNORECASE)


class Asker:
    """Lines in their order, without those that say `# interrupt`.

    A thread of its own reads them, from `listen` or the first that is wanted on. It may wait for a
    line that never comes: nothing waits for it.

    Args:
      lines: of the asker. An error in reading them counts as their end.
      answered: answers a line by itself, or says that it cannot. That thread calls it, with each
        line until it cannot: from then on replies would overtake each other.
    """

    def __init__(
        self, lines: Iterable[str], answered: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._waiting = Queue[str | None](READ_AHEAD)
        self._lines, self._answered = lines, answered
        self._thread = threading.Thread(target=self._listen, daemon=True)
        # How many lines were read, how many taken up, and how many of them are to end early.
        self._read, self._taken, self._interrupted = 0, 0, 0

    def __iter__(self) -> Iterator[str]:
        self.listen()
        while (line := self._waiting.get()) is not None:
            self._taken += 1
            yield line

    def listen(self) -> None:
        """Begins to read, unless that has begun."""
        if self._thread.ident is None:
            self._thread.start()

    def interrupted(self) -> bool:
        """Whether the asker said `# interrupt` after the line that was taken up last."""
        return 0 < self._taken <= self._interrupted

    def _listen(self) -> None:
        try:
            for line in self._lines:
                if _INTERRUPT.match(line):
                    self._interrupted = self._read
                elif self._read or not self._answered(line):
                    self._read += 1
                    self._waiting.put(line)
        except OSError:
            pass
        finally:
            self._waiting.put(None)


def standard_input() -> Iterator[str]:
    """Lines of standard input until its end; bytes that are no text become U+FFFD.

    Reads without Python's buffers: the interpreter cannot end while a thread waits for a line and
    holds the lock of one.
    """
    if sys.stdin is None or sys.stdin.closed:
        return
    try:
        descriptor = sys.stdin.fileno()
    except OSError:  # something that stands for it within Python
        yield from sys.stdin
        return
    begun: list[bytes] = []
    while chunk := os.read(descriptor, _CHUNK):
        first, *others = chunk.split(b"\n")
        begun.append(first)
        if others:
            for line in (b"".join(begun), *others[:-1]):
                yield line.decode(errors="replace")
            begun = others[-1:]
    if any(begun):
        yield b"".join(begun).decode(errors="replace")
