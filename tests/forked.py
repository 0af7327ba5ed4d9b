"""`hex-ai` in processes that need no seconds to start.

They are forked from a process that has loaded what takes long to load, and done nothing else.
"""

import multiprocessing
import os
import sys
from multiprocessing.reduction import DupFd
from typing import Any

from hex_ai.selfplay import shard_writer

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        *(f"hex_ai.cli.{name}" for name in ("games", "htp", "match", "selfplay", "train")),
        *("hex_ai.htp.serve", "hex_ai.training.learner", "torch._dynamo"),
    ]
)


class Run:
    """One process that runs `hex-ai` with these arguments; its standard streams are pipes.

    Attributes:
      stdin, stdout, stderr: our ends of them. Whoever closes one tells the process so.

    Args:
      arguments: of the command line.
      stdout: a file descriptor for its standard output instead of a pipe.
      shard_games: games to a shard, if not as many as usual.
    """

    def __init__(
        self, *arguments: str, stdout: int | None = None, shard_games: int | None = None
    ) -> None:
        pipes = [os.pipe() for _ in range(3)]
        ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        self.stdin, self.stdout, self.stderr = os.fdopen(ours[0], "wb"), *map(_reader, ours[1:])
        self._process = _SERVER.Process(
            target=_Main(arguments, shard_games, [theirs[0], stdout or theirs[1], theirs[2]]),
            daemon=True,
        )
        self._process.start()
        for descriptor in theirs:
            os.close(descriptor)

    @property
    def status(self) -> int | None:
        """As of `subprocess.Popen`: None while it runs, negative where a signal has ended it."""
        return self._process.exitcode

    def send(self, number: int) -> None:
        """Sends a signal."""
        assert self._process.pid
        os.kill(self._process.pid, number)

    def wait(self, said: bytes = b"", seconds: float = 60) -> tuple[str, str]:
        """Says this to it and nothing more, and waits for its end; what it said on both streams."""
        with self.stdin:
            self.stdin.write(said)
        found = ["" if s.closed else s.read() for s in (self.stdout, self.stderr)]
        self._process.join(seconds)
        assert self.status is not None, "it did not end"
        self.stdout.close()
        self.stderr.close()
        return found[0], found[1]


def _reader(descriptor: int) -> Any:
    return os.fdopen(descriptor, encoding="utf-8")


class _Main:
    """What the process does."""

    def __init__(
        self, arguments: tuple[str, ...], shard_games: int | None, ends: list[int]
    ) -> None:
        self._arguments, self._shard_games, self._ends = arguments, shard_games, ends

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_ends": [DupFd(end) for end in self._ends]}

    def __call__(self) -> None:
        import torch

        from hex_ai.cli.main import main

        for descriptor, end in enumerate(self._ends):
            os.dup2(end.detach(), descriptor)  # type: ignore[attr-defined]
        sys.stdin, sys.stdout = os.fdopen(0, encoding="utf-8"), os.fdopen(1, "w", encoding="utf-8")
        sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8")
        torch.set_num_threads(1)
        if self._shard_games is not None:
            shard_writer.SHARD_GAMES = self._shard_games
        sys.argv = ["hex-ai", *self._arguments]
        try:
            main()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(int(end.code or 0))  # as Python ends: nobody needs to read standard error
