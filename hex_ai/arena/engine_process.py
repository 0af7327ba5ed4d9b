"""An engine that speaks HTP, as a process whose pipes never block, so that deadlines hold."""

import os
import re
import selectors
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from subprocess import PIPE, Popen, TimeoutExpired
from typing import cast

from hex_ai.errors import EngineError

# An engine has this long to end after `quit`.
QUIT_SECONDS = 2.0

MAX_BYTES = 1 << 20

# How a reply begins, perhaps behind a prompt: its sign and a number. Engines may talk before it.
_SIGN = re.compile(rb"^(?:[\w .:-]{0,40}>)?[ \t]*([=?])(?![=?])[0-9]*", re.MULTILINE)
_EMPTY_LINE = re.compile(rb"\n[ \t\r]*\n")

_CHUNK = 1 << 16


class RefusalError(EngineError):
    """The engine says that a command failed; it can be asked again."""


class EngineProcess:
    """A process that answers HTP commands, ended with all that it has started.

    Raises:
      EngineError: it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._name, self._ended = command[0], False
        try:
            self._process = Popen(
                command, stdin=PIPE, stdout=PIPE, bufsize=0, start_new_session=True
            )
        except OSError as error:
            raise EngineError(f"{self._name}: {error.strerror}") from error
        self._stdin = cast(FileIO, self._process.stdin)
        self._stdout = cast(FileIO, self._process.stdout)
        for pipe in (self._stdin, self._stdout):
            os.set_blocking(pipe.fileno(), False)

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return not self._ended and self._process.poll() is None

    def ask(self, command: str, deadline: float) -> str:
        """The answer to a command, without sign and number, which comes before `deadline`
        (monotonic). Other lines before it are dropped.

        Raises:
          RefusalError: it says that it failed.
          EngineError: it has died, is late, or says too much; it has been ended.
        """
        try:
            self._send(command.encode() + b"\n", deadline)
            sign, text = self._answer(deadline)
        except EngineError as error:
            self._end()
            raise EngineError(f"{self._name} on {command!r}: {error}") from error
        if sign == b"?":
            raise RefusalError(f"{self._name} on {command!r}: ? {' '.join(text.split())}")
        return text

    def close(self) -> None:
        """Asks it to quit; ends it, and whatever it has started, if it does not."""
        if self._ended:
            return
        try:
            with suppress(OSError):
                self._stdin.write(b"quit\n")
            self._stdin.close()
            with suppress(TimeoutExpired):
                self._process.wait(QUIT_SECONDS)
        finally:
            self._end()

    def _send(self, line: bytes, deadline: float) -> None:
        """Sends a line. What the engine says before answers nothing and is dropped."""
        unasked = b""
        while line:
            if self._stdout in self._ready(deadline, self._stdin):
                unasked = self._hear(unasked)
                continue
            try:
                line = line[self._stdin.write(line) or 0 :]
            except OSError as error:
                raise EngineError("has ended") from error

    def _answer(self, deadline: float) -> tuple[bytes, str]:
        """Sign and text of a reply: from the first line with a sign to an empty one."""
        said = b""
        while True:
            start = _SIGN.search(said)
            end = start and _EMPTY_LINE.search(said, start.end())
            if start and end:
                text = said[start.end() : end.start()].decode(errors="replace")
                return start[1], "\n".join(line.strip() for line in text.split("\n")).strip()
            self._ready(deadline)
            said = self._hear(said)

    def _ready(self, deadline: float, *to_write: FileIO) -> list[object]:
        """The pipes that can be read or written; waits until one can be."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            for pipe in to_write:
                selector.register(pipe, selectors.EVENT_WRITE)
            left = deadline - time.monotonic()
            if left <= 0 or not (ready := selector.select(left)):
                raise EngineError("no answer in time")
        return [key.fileobj for key, _ in ready]

    def _hear(self, said: bytes) -> bytes:
        """`said`, and what the engine has said since."""
        chunk = self._stdout.read(_CHUNK)
        if chunk == b"":
            raise EngineError("has ended")
        said += chunk or b""
        if len(said) > MAX_BYTES:
            raise EngineError(f"more than {MAX_BYTES:,} bytes and no answer")
        return said

    def _end(self) -> None:
        self._ended = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(TimeoutExpired):
            self._process.wait(QUIT_SECONDS)
        self._stdin.close()
        self._stdout.close()
