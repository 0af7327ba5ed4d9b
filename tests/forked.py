"""`hex-ai` in processes that need no seconds to start.

They are forked from a process that has loaded what takes long to load, and done nothing else.
"""

import multiprocessing
import os
import sys
import time
from pathlib import Path

from hex_ai.selfplay import shard_writer

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["hex_ai.cli.selfplay", "hex_ai.cli.train", "hex_ai.training.learner", "torch._dynamo"]
)


class Run:
    """One process that runs `hex-ai` with these arguments.

    Args:
      arguments: of the command line.
      folder: where its two streams are kept.
      shard_games: games to a shard, if not as many as usual.
    """

    def __init__(self, arguments: list[str], folder: Path, shard_games: int | None = None) -> None:
        name = str(time.monotonic_ns())
        self._streams = [folder / f"{name}.{kind}" for kind in ("out", "err")]
        self._process = _SERVER.Process(
            target=_main, args=(arguments, self._streams, shard_games), daemon=True
        )
        self._process.start()

    @property
    def status(self) -> int | None:
        """As of `subprocess.Popen`: None while it runs, negative where a signal has ended it."""
        return self._process.exitcode

    def send(self, number: int) -> None:
        """Sends a signal."""
        assert self._process.pid
        os.kill(self._process.pid, number)

    def wait(self, seconds: float = 60) -> tuple[str, str]:
        """Waits for the end; what was said on standard output and standard error."""
        self._process.join(seconds)
        assert self.status is not None, "it did not end"
        out, err = (path.read_text() if path.exists() else "" for path in self._streams)
        return out, err


def _main(arguments: list[str], streams: list[Path], shard_games: int | None) -> None:
    import torch

    from hex_ai.cli.main import main

    for descriptor, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    torch.set_num_threads(1)
    if shard_games is not None:
        shard_writer.SHARD_GAMES = shard_games
    sys.argv = ["hex-ai", *arguments]
    main()
