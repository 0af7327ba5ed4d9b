"""A process for each contender, which keeps the thread pools of torch and JAX apart.

It stays for all repeats, so that it compiles once, and waits on a pipe while another is measured.
"""

import importlib
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

from common import PeerError, Setup

from hex_ai.errors import HexAIError


@contextmanager
def worker(name: str, setup: Setup) -> Iterator[Callable[[str], Any]]:
    """Calls functions of a contender's module, by name, in a process that lasts for the block.

    The call raises:
      PeerError, HexAIError: as the function does, or the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, name, setup))
    process.start()
    there.close()  # so that each side learns of the other's end

    def call(function: str) -> Any:
        try:
            here.send(function)
            answer = here.recv()
        except (EOFError, OSError) as error:
            raise PeerError(f"the process of {name} ended without an answer") from error
        if isinstance(answer, PeerError | HexAIError):
            raise answer
        return answer

    try:
        yield call
    finally:
        here.close()
        process.join()


def serve(pipe: Connection, name: str, setup: Setup) -> None:
    """Answers calls until the other side is gone."""
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            function = pipe.recv()
            try:
                answer = call_contender(name, function, setup)
            except (PeerError, HexAIError) as error:
                answer = error
            pipe.send(answer)


def call_contender(name: str, function: str, setup: Setup) -> Any:
    """Calls a function of a contender's module, which only its own process imports.

    Raises:
      PeerError: the contender is not installed.
    """
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise PeerError(
            f"{name} needs the package {error.name}: see benchmarks/peers/README.md"
        ) from error
    return getattr(module, function)(setup)
