"""Stores finished games while play goes on."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from hex_ai.game.records import GameRecord
from hex_ai.store.run_folder import GameStore

# A shard is closed once it has this many games, or its first game is this many seconds old.
SHARD_GAMES = 256
SHARD_SECONDS = 5.0

# Play waits for the disk when more shards than this wait for it.
MOST_SHARDS = 4


class ShardWriter:
    """Stores games in a thread of its own, a shard at a time.

    When its block ends, however it ends, it waits until all that it was given is stored.
    """

    def __init__(self, store: GameStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "hex-ai store")
        self._waiting: list[GameRecord] = []
        self._since = 0.0
        self._shards: deque[Future[list[GameRecord]]] = deque()

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_: object) -> None:
        with self._thread:
            deque(self.finish(), maxlen=0)

    def add(self, games: list[GameRecord]) -> Iterator[GameRecord]:
        """Takes finished games; yields those that have been stored since the last call.

        Raises:
          StoreError: a shard could not be stored.
        """
        if games and not self._waiting:
            self._since = time.monotonic()
        self._waiting += games
        aged = bool(self._waiting) and time.monotonic() - self._since >= SHARD_SECONDS
        if aged or len(self._waiting) >= SHARD_GAMES:
            self._close_shard()
        while self._shards and (self._shards[0].done() or len(self._shards) > MOST_SHARDS):
            yield from self._shards.popleft().result()

    def finish(self) -> Iterator[GameRecord]:
        """Stores what is left; yields all games that `add` has not yielded."""
        self._close_shard()
        while self._shards:
            yield from self._shards.popleft().result()

    def _close_shard(self) -> None:
        games, self._waiting = self._waiting, []
        if games:
            self._shards.append(self._thread.submit(self._write, games))

    def _write(self, games: list[GameRecord]) -> list[GameRecord]:
        self._store.write(games)
        return games
