"""`progress.json` in a run's folder: how the run is going, for other processes to see."""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hex_ai.atomic_files import atomic_file
from hex_ai.errors import StoreError
from hex_ai.game.records import SWAP
from hex_ai.selfplay.game_batch import GameBatch, StepWatcher
from hex_ai.store.run_folder import read_document

PROGRESS_FORMAT = "hex_ai-progress"
PROGRESS_VERSION = 1

# Seconds from one writing to the next, and games under way that are told of.
SECONDS = 1.0
SHOWN_GAMES = 4

_NAME = "progress.json"

log = logging.getLogger(__name__)


class ProgressFile(StepWatcher):
    """Writes `progress.json` as a batch of games advances, at most once a second.

    Where several batches play, it tells of the games of one. What goes wrong with the file is
    logged once, and play goes on.

    Args:
      folder: of the run.
      describe: what else the file is to say, plain JSON.
      other: watches too.
    """

    def __init__(
        self,
        folder: Path,
        describe: Callable[[], Mapping[str, object]],
        other: StepWatcher | None = None,
    ) -> None:
        self._path, self._describe = folder / _NAME, describe
        self._other = other or StepWatcher()
        self._lock = threading.Lock()
        self._shown: GameBatch | None = None
        self._due, self._failed = 0.0, False

    def started(self, batch: GameBatch) -> None:
        """Tells the other watcher."""
        self._other.started(batch)

    def stepped(self, batch: GameBatch) -> None:
        """Writes the file if it is time to, and tells the other watcher."""
        self._write_when_due(batch)
        self._other.stepped(batch)

    def _write_when_due(self, batch: GameBatch) -> None:
        if time.monotonic() < self._due or not self._lock.acquire(blocking=False):
            return
        try:
            if self._shown is None:
                self._shown = batch
            if self._shown is batch:
                self._write(batch)
                self._due = time.monotonic() + SECONDS
        finally:
            self._lock.release()

    def _write(self, batch: GameBatch) -> None:
        games = [{"game_id": n, "moves": moves} for n, moves in batch.under_way(SHOWN_GAMES)]
        about = {"format": PROGRESS_FORMAT, "version": PROGRESS_VERSION, "time": time.time()}
        shown = {"board_size": batch.settings.board_size, "games": games}
        text = json.dumps(about | shown | dict(self._describe()), allow_nan=False) + "\n"
        try:
            with atomic_file(self._path, durable=False) as file:
                file.write(text.encode())
        except OSError as error:
            if not self._failed:
                log.warning("%s: %s; the run goes on without", self._path, error.strerror or error)
            self._failed = True


def read_progress(folder: Path) -> dict[str, Any] | None:
    """What `progress.json` in a folder says, or None if there is none.

    Raises:
      StoreError: it is damaged, or of another version.
    """
    path = folder / _NAME
    data = read_document(path, PROGRESS_FORMAT, PROGRESS_VERSION, "a run's progress")
    if data is not None and not _is_whole(data):
        raise StoreError(f"{path}: lacks a part")
    return data


def remove_progress(folder: Path) -> None:
    """Removes the file of a run that is complete, if it can be."""
    with suppress(OSError):
        (folder / _NAME).unlink(missing_ok=True)


def _is_whole(data: dict[str, Any]) -> bool:
    """Whether the file has the parts that are read, and board cells for moves."""
    size, games = data.get("board_size"), data.get("games")
    if type(size) is not int or not isinstance(data.get("stats"), dict):
        return False
    cells = range(SWAP, size * size)
    return isinstance(games, list) and all(
        isinstance(game, dict)
        and isinstance(game.get("moves"), list)
        and all(type(move) is int and move in cells for move in game["moves"])
        for game in games
    )
