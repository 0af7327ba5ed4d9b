"""A folder of self-play games: `run.json`, Parquet shards, and `summary.json`.

A shard appears under its name only when it is whole and on the disk, so whatever happens to the
process, the games of the shards are exactly those that were stored.
"""

import errno
import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from hex_ai.atomic_files import DRAFT_PATTERN, atomic_file
from hex_ai.errors import RecordError, StoreError
from hex_ai.game.records import GameRecord, Games
from hex_ai.store.schema import from_table, games_of, require_schema, to_table

RUN_FORMAT = "hex_ai-run"
RUN_VERSION = 1

# What must be the same for a run to be resumed.
_RUN_PARTS = ("network", "settings", "plan")

_SHARD = re.compile(r"games-[0-9]{6,}\.parquet")


class GameStore:
    """Writes the games of one run; one process at a time. Use it as a context manager.

    Args:
      folder: made if it is not there.
      run: what decides the games, plain JSON; written to `run.json`, compared on resume.
      resume: go on with what the folder holds; with nothing in it, simply start.

    Attributes:
      finished: ids of the games stored so far.

    Raises:
      StoreError: the folder cannot be written, is in use, holds games without `resume`, holds a
        damaged shard, or was made with other settings.
    """

    def __init__(self, folder: Path, run: dict[str, Any], *, resume: bool = False) -> None:
        self.folder = folder
        with _errors_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(folder)
        try:
            self._open(run, resume)
        except BaseException:
            self.close()
            raise

    def _open(self, run: dict[str, Any], resume: bool) -> None:
        with _errors_named(self.folder):
            for draft in self.folder.glob(DRAFT_PATTERN):
                draft.unlink()
        shards = shard_paths(self.folder)
        known = read_run(self.folder)
        if known is None:
            if shards:
                raise StoreError(f"{self.folder}: holds games but no run.json")
            write_json(self.folder / "run.json", run)
        elif not resume:
            require_no_run(self.folder)
        else:
            _require_same(self.folder, known, run)
        self.finished = {game_id for path in shards for game_id in _ids(path)}
        self._next_shard = 1 + _shard_number(shards[-1]) if shards else 0

    def __enter__(self) -> "GameStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Releases the lock."""
        self._lock.close()

    def missing(self, ids: range) -> Iterator[int]:
        """Those of the games asked for that are not stored. If there are any, the summary that an
        earlier sitting has left is wrong from now on, and goes.

        Raises:
          StoreError: a game is stored that was not asked for.
        """
        stray = min((game_id for game_id in self.finished if game_id not in ids), default=None)
        if stray is not None:
            raise StoreError(f"{self.folder}: holds game {stray}, which was not asked for")
        if len(ids) > len(self.finished):
            (self.folder / "summary.json").unlink(missing_ok=True)
        finished = frozenset(self.finished)
        return (game_id for game_id in ids if game_id not in finished)

    def write(self, games: Sequence[GameRecord]) -> None:
        """Stores games as one more shard. When this returns, they are there for good.

        Raises:
          StoreError: the disk is full or the folder gone; nothing of this shard is left.
        """
        # Counted before it is there: an interrupt in between costs a replay, never a double.
        self.finished.update(game.game_id for game in games)
        self._next_shard += 1
        write_shard(self.folder, self._next_shard - 1, games)


def write_shard(folder: Path, number: int, games: Sequence[GameRecord]) -> None:
    """Stores games as the shard of this number. When it returns, they are there for good.

    Raises:
      StoreError: the disk is full or the folder gone; nothing of this shard is left.
    """
    table, path = to_table(games), folder / f"games-{number:06d}.parquet"
    with _errors_named(path), atomic_file(path) as file:
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def load_games(folder: str | os.PathLike[str]) -> Games:
    """All games of a run's folder, in game-id order, as tensors.

    Raises:
      StoreError: no run there, or a shard that cannot be read; RecordError: games of several
        board sizes.
    """
    tables = [_read(path) for path in _some_shards(Path(folder))]
    return from_table(pa.concat_tables(tables).sort_by("game_id"))


def read_games(folder: str | os.PathLike[str]) -> Iterator[GameRecord]:
    """The games of a run's folder one by one, in game-id order, only the shards in use in memory.

    Rows of cells are as wide as the longest of their shard.

    Raises:
      StoreError: no run there, or a shard that cannot be read.
    """
    paths = _some_shards(Path(folder))
    order = sorted((id_, path, row) for path in paths for row, id_ in enumerate(_ids(path)))
    last_use = {path: place for place, (_, path, _) in enumerate(order)}
    games: dict[Path, list[GameRecord]] = {}
    for place, (_, path, row) in enumerate(order):
        if path not in games:
            games[path] = read_shard(path)
        yield games[path][row]
        if last_use[path] == place:
            del games[path]


def read_shard(path: Path) -> list[GameRecord]:
    """The records of one shard, in stored order. Raises `StoreError` if it cannot be read."""
    table = _read(path)
    with _errors_named(path):
        return list(games_of(from_table(table), table["network"].to_pylist()))


def shard_sizes(folder: Path) -> dict[Path, int]:
    """The shards of a folder in the order in which they were written, with their board sizes.

    Raises:
      StoreError: no games there, a shard that cannot be read, or one with several board sizes.
    """
    sizes = {}
    for path in _some_shards(folder):
        found = sorted(set(_read(path, ["board_size"])["board_size"].to_pylist()))
        if len(found) != 1:
            raise StoreError(f"{path}: want games of one board size, got {found or 'no games'}")
        sizes[path] = int(found[0])
    return sizes


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a folder in the order in which they were written; none if it is not there."""
    if not folder.exists():
        return []
    require_folder(folder)
    with _errors_named(folder):
        paths = [path for path in folder.iterdir() if _SHARD.fullmatch(path.name)]
    return sorted(paths, key=_shard_number)


def require_no_run(folder: Path) -> None:
    """Raises `StoreError` if the folder holds a run already."""
    if read_run(folder) is not None:
        raise StoreError(f"{folder}: holds a run already; --resume goes on with it")


def read_run(folder: Path) -> dict[str, Any] | None:
    """What `run.json` says, or None if there is none. Raises `StoreError` if it is damaged."""
    path = folder / "run.json"
    run = read_document(path, RUN_FORMAT, RUN_VERSION, "a run")
    if run is not None and not all(isinstance(run.get(part), dict) for part in _RUN_PARTS):
        raise StoreError(f"{path}: lacks one of {', '.join(_RUN_PARTS)}")
    return run


def read_document(path: Path, kind: str, version: int, what: str) -> dict[str, Any] | None:
    """A JSON object that names its `format` and `version`, or None if there is no such file.

    Raises:
      StoreError: it cannot be read, or is not the description of `what` in this version.
    """
    if not path.exists():
        return None
    data = _read_json(path)
    if not isinstance(data, dict) or data.get("format") != kind:
        raise StoreError(f"{path}: not the description of {what}")
    if data.get("version") != version:
        raise StoreError(f"{path}: version {data.get('version')}, this package reads {version}")
    return data


def read_summary(folder: Path) -> dict[str, Any] | None:
    """What `summary.json` says, or None if the run has not ended yet."""
    path = folder / "summary.json"
    if not path.exists():
        return None
    summary = _read_json(path)
    try:
        range(summary["first_game"], summary["num_games"])
    except (TypeError, KeyError) as error:
        raise StoreError(f"{path}: not the summary of a run") from error
    return cast(dict[str, Any], summary)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Writes JSON whole or not at all. Raises `StoreError` if it cannot be written."""
    write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text whole or not at all; to a pipe or a device as it comes.

    Raises:
      StoreError: it cannot be written.
    """
    with _errors_named(path), open(path, "wb") if _is_special(path) else atomic_file(path) as file:
        file.write(text.encode())


def require_writable(path: Path) -> None:
    """Raises `StoreError` if no file can be written there, before work is put into it."""
    with _errors_named(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
        if not _is_special(path):
            TemporaryFile(dir=path.resolve().parent).close()


def lock_folder(folder: Path) -> BinaryIO:
    """The folder's lock, which the system takes back when the process ends, however it ends.

    Raises:
      StoreError: another process holds it, or the folder cannot be written.
    """
    path = folder / ".lock"
    with _errors_named(path), ExitStack() as unless_locked:
        file = unless_locked.enter_context(open(path, "ab"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"{folder}: another process is writing here") from error
        unless_locked.pop_all()
    return file


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Makes what goes wrong with a file or in it a `StoreError` that names it."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or ' '.join(str(error).split())}") from error
    except (RecordError, KeyError, UnicodeDecodeError, pa.ArrowException) as error:
        raise StoreError(f"{path}: {error}") from error


def _is_special(path: Path) -> bool:
    """Whether this is a pipe, a terminal or the like."""
    return path.exists() and not path.is_file() and not path.is_dir()


def require_folder(folder: Path) -> None:
    """Raises `StoreError` if there is no such folder."""
    if not folder.is_dir():
        there = "a file, not a folder" if folder.exists() else "no such folder"
        raise StoreError(f"{folder}: {there}")


def _some_shards(folder: Path) -> list[Path]:
    require_folder(folder)
    paths = shard_paths(folder)
    if not paths:
        raise StoreError(f"{folder}: holds no games")
    return paths


def _read_json(path: Path) -> Any:
    with _errors_named(path):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{path}: not JSON: {error}") from error


def _require_same(folder: Path, known: dict[str, Any], wanted: dict[str, Any]) -> None:
    before, now = known.get("package_version"), wanted.get("package_version")
    if before != now:
        raise StoreError(f"{folder}: was made by hex_ai {before}, not {now}")
    for part in _RUN_PARTS:
        for name, now in sorted(wanted[part].items()):
            if (before := known[part].get(name)) != now:
                raise StoreError(f"{folder}: {name} is {before!r} in this run, not {now!r}")


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    with _errors_named(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        require_schema(file.schema_arrow)
        return file.read(columns=columns)


def _ids(path: Path) -> list[int]:
    return cast(list[int], _read(path, ["game_id"])["game_id"].to_pylist())


def _shard_number(path: Path) -> int:
    return int(path.stem.removeprefix("games-"))
