"""A contender in a process of its own, which keeps the thread pools of torch and JAX apart.

It compiles once, and waits on a pipe while another is measured.
"""

import importlib
import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

from common import PeerAbsentError, PeerError, Setup

from hex_ai.errors import HexAIError


class Late(Exception):
    """An answer has not come in time; the process has been ended."""


class Worker:
    """Calls functions of a contender's module, which only its own process imports.

    Args:
      name: of the module.
      setup: the first argument of its functions.
    """

    def __init__(self, name: str, setup: Setup) -> None:
        self._name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(name, setup, other_end), daemon=True)
        self._process.start()
        other_end.close()

    def ask(self, function: str, *arguments: Any, seconds: float) -> Any:
        """What the function returns.

        Raises:
          Late: it has not returned after so many seconds.
          PeerError, HexAIError: what it raised, or that the process has died.
        """
        try:
            self._pipe.send((function, arguments))
            if not self._pipe.poll(max(0.0, seconds)):
                self.end()
                raise Late
            answer = self._pipe.recv()
        except (EOFError, BrokenPipeError) as error:
            raise PeerError(f"the process of {self._name} has died") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.join()


def _serve(name: str, setup: Setup, pipe: Connection) -> None:
    """Answers until the other end of the pipe is closed."""
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        answer: Any
        try:
            answer = getattr(_module(name), function)(setup, *arguments)
        except (PeerError, HexAIError) as error:
            answer = error
        pipe.send(answer)


def _module(name: str) -> Any:
    """The contender's module. Raises `PeerAbsentError` where a package of it is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise PeerAbsentError(
            f"{name} needs the package {error.name}: see benchmarks/peers/README.md"
        ) from error
