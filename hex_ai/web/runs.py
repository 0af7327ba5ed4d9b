"""The runs below a folder, as the page lists, shows, filters and downloads them.

Everything that is returned is plain JSON but for downloads. Names are looked up in what a scan of
the folder has found; no path of a caller is opened.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hex_ai.errors import HexAIError, SettingError, StoreError
from hex_ai.formats.moves import short
from hex_ai.numbers import whole
from hex_ai.store.run_folder import count_games
from hex_ai.web.recorded_game import read_game, shown_game
from hex_ai.web.run_files import FoundRun, RunFiles, Stamp, files_of, find_runs, read_documents
from hex_ai.web.run_games import (
    DOWNLOADS,
    MOST_GAMES,
    as_lines,
    as_parquet,
    begun,
    chosen,
    place_of,
    told,
)
from hex_ai.web.run_index import IndexedGames, RunIndex
from hex_ai.web.run_view import run_row, run_view

# Seconds for which a scan of the folder holds, indices in memory, and shards whose counts are.
SCAN_SECONDS, MOST_INDICES, MOST_COUNTS = 1.0, 4, 200_000


class Runs:
    """The runs in a folder and below it. May be asked by several threads.

    Args:
      folder: may come to be later, and may change at any time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._found: dict[str, FoundRun] = {}
        self._looked = -SCAN_SECONDS
        self._rows: dict[str, tuple[str, dict[str, Any]]] = {}
        self._counts: OrderedDict[Path, tuple[Stamp, int | str]] = OrderedDict()
        self._indices: OrderedDict[str, RunIndex] = OrderedDict()

    def listing(self) -> list[dict[str, Any]]:
        """A row for each run, the one that has changed last first."""
        found = self._scan()
        with self._lock:
            self._rows = {name: row for name, row in self._rows.items() if name in found}
        looked = ((run, files_of(run)) for run in found.values())
        rows = [self._row(run, files) for run, files in looked if files.documents or files.shards]
        return sorted(rows, key=lambda row: (-row["changed"], row["name"]))

    def view(self, name: str) -> dict[str, Any]:
        """All that is told of one run: its row, and more. Raises `StoreError` if there is none."""
        run = self._run(name)
        files = self._files(run)
        read, games = read_documents(run, files), self._index(name).games(files.shards)
        row = run_row(run, files, read, len(games), list(games.troubles))
        self._keep_row(files, row)  # a shard may be found damaged only now
        return run_view(run, row, read, games)

    def fingerprint(self, name: str) -> str:
        """Another text whenever `view` would tell something else; costs the look at the folder.

        Raises:
          StoreError: no such run.
        """
        return files_of(self._run(name)).fingerprint()

    def games(
        self, name: str, *, start: int = 0, count: int = 100, **filters: Any
    ) -> dict[str, Any]:
        """How many games the filters let through, in all, and some of them in game-id order.

        Args:
          name: of the run.
          start: of those let through, the first to tell of.
          count: how many to tell of, up to `MOST_GAMES`.
          filters: see `hex_ai.web.run_games.chosen`.

        Raises:
          StoreError: no such run; SettingError, NotationError: a filter that is invalid.
        """
        start, count = whole("start", start), whole("count", count)
        if start < 0 or count < 0:
            raise SettingError(f"start {start} and count {count} are not both 0 or more")
        games = self._games(name)
        rows = chosen(games, **filters)
        shown = rows[start : start + min(count, MOST_GAMES)]
        return {"total": len(rows), "games": told(games, shown)}

    def game(self, name: str, size: int, game_id: int) -> dict[str, Any]:
        """One game: see `hex_ai.web.recorded_game.shown_game`.

        Raises:
          StoreError: no such run or game, or its shard cannot be read.
        """
        place = place_of(self._games(name), size, game_id)
        if place is None:
            raise StoreError(f"{name}: no game {game_id} of {size}x{size}")
        path, row = place
        with self._places_hidden():
            return shown_game(read_game(path, row, game_id))

    def download(self, name: str, to: str) -> tuple[str, Iterator[bytes]]:
        """A name for the file, and all games of a run as `parquet` (one file), `sgf` or `trmph`.

        What is wrong with the run is said at once where it can be known at once; the iterator
        raises the same errors.

        Raises:
          StoreError: no such run, no games in it, or a shard that cannot be read; RecordError: a
            game is there twice; SettingError: no such format.
        """
        if to not in DOWNLOADS:
            raise SettingError(f"format {short(to)} is not one of {', '.join(DOWNLOADS)}")
        run = self._run(name)
        shards = list(self._files(run).shards)
        if not shards:
            raise StoreError(f"{name}: holds no games")
        folders = list(dict.fromkeys(path.parent for path in shards))
        pieces = as_parquet(shards) if to == "parquet" else as_lines(folders, to)
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "games"
        return f"{stem}.{to}", begun(self._named_by_run(pieces))

    def _run(self, name: str) -> FoundRun:
        run = self._scan().get(name)
        if run is None:
            raise StoreError(f"no run {name[:200]}")
        return run

    def _scan(self) -> dict[str, FoundRun]:
        with self._lock:
            if time.monotonic() - self._looked >= SCAN_SECONDS:
                self._found = find_runs(self._folder)
                self._looked = time.monotonic()
            return self._found

    def _files(self, run: FoundRun) -> RunFiles:
        """The files of a run, if it has not gone meanwhile."""
        files = files_of(run)
        if not files.documents and not files.shards:
            raise StoreError(f"no run {run.name}")
        return files

    def _row(self, run: FoundRun, files: RunFiles) -> dict[str, Any]:
        """The row of a run, of the last time where nothing has changed since."""
        fingerprint = files.fingerprint()
        known = self._rows.get(run.name)
        if known is not None and known[0] == fingerprint:
            return known[1]
        counts = [self._count(path, stamp) for path, stamp in files.shards.items()]
        troubles = [count for count in counts if isinstance(count, str)]
        games = sum(count for count in counts if isinstance(count, int))
        row = run_row(run, files, read_documents(run, files), games, troubles)
        self._keep_row(files, row)
        return row

    def _keep_row(self, files: RunFiles, row: dict[str, Any]) -> None:
        with self._lock:
            self._rows[row["name"]] = files.fingerprint(), row

    def _count(self, path: Path, stamp: Stamp) -> int | str:
        """The games of a shard, or what is wrong with it."""
        with self._lock:
            known = self._counts.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
        try:
            count: int | str = count_games(path)
        except HexAIError as error:
            count = str(error)
        with self._lock:
            self._counts[path] = stamp, count
            if len(self._counts) > MOST_COUNTS:
                self._counts.popitem(last=False)
        return count

    def _games(self, name: str) -> IndexedGames:
        return self._index(name).games(self._files(self._run(name)).shards)

    def _index(self, name: str) -> RunIndex:
        with self._lock:
            index = self._indices.setdefault(name, RunIndex())
            self._indices.move_to_end(name)
            if len(self._indices) > MOST_INDICES:
                self._indices.popitem(last=False)
            return index

    @contextmanager
    def _places_hidden(self) -> Iterator[None]:
        """Takes out of errors where on this machine the folder is."""
        try:
            yield
        except HexAIError as error:
            text = str(error).replace(f"{self._folder.resolve()}/", "")
            raise type(error)(text) from error

    def _named_by_run(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        with self._places_hidden():
            yield from pieces
