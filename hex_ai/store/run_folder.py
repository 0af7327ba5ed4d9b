"""A folder of self-play games: `run.json`, Parquet shards, and `summary.json`.

A shard appears under its name only when it is whole and on the disk, so whatever happens to the
process, the games of the shards are exactly those that were stored.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from hex_ai.atomic_files import DRAFT_PATTERN, atomic_file
from hex_ai.errors import RecordError, StoreError
from hex_ai.game.records import SCHEMA_VERSION, GameRecord, Games
from hex_ai.store.folder_lock import lock_folder
from hex_ai.store.output_files import errors_named, write_json
from hex_ai.store.schema import (
    GAME_COLUMNS,
    REPEATING_COLUMNS,
    concatenated,
    from_table,
    records_of,
    require_schema,
    to_table,
)

RUN_FORMAT = "hex_ai-run"
RUN_VERSION = 1

# What must be the same for a run to be resumed.
_RUN_PARTS = ("network", "settings", "plan")

# Settings that the readers of games go by.
_KINDS: dict[str, Any] = {"board_size": int, "stop": list, "resign_threshold": (int, float)}

# No document that the package writes is as long.
_MOST_BYTES = 2**26

# The names of shards.
SHARD = re.compile(r"games-[0-9]{6,}\.parquet")


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
        damaged shard, or was made with other settings; RecordError: it holds a game twice.
    """

    def __init__(self, folder: Path, run: dict[str, Any], *, resume: bool = False) -> None:
        self.folder = folder
        with errors_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = lock_folder(folder)
        try:
            self._open(run, resume)
        except BaseException:
            self.close()
            raise

    def _open(self, run: dict[str, Any], resume: bool) -> None:
        with errors_named(self.folder):
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
        self.finished = set(_shard_of_each(shards))
        self._next_shard = 1 + _shard_number(shards[-1]) if shards else 0

    def __enter__(self) -> "GameStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Releases the lock."""
        self._lock.close()

    def is_complete(self, ids: range) -> bool:
        """Whether all games asked for are stored."""
        return len(self.finished) >= ids.stop - ids.start

    def missing(self, ids: range) -> Iterator[int]:
        """Those of the games asked for that are not stored. If there are any, the summary that an
        earlier sitting has left is wrong from now on, and goes.

        Raises:
          StoreError: a game is stored that was not asked for.
        """
        stray = min((game_id for game_id in self.finished if game_id not in ids), default=None)
        if stray is not None:
            raise StoreError(f"{self.folder}: holds game {stray}, which was not asked for")
        if not self.is_complete(ids):
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
    with errors_named(path), atomic_file(path) as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            use_dictionary=list(REPEATING_COLUMNS),
            write_statistics=list(GAME_COLUMNS),
            write_page_checksum=True,
        )


def load_games(folder: str | os.PathLike[str]) -> Games:
    """All games of a run's folder, in game-id order, as tensors.

    Raises:
      StoreError: no run there, or a shard that cannot be read; RecordError: games of several
        board sizes, or a game that is there twice.
    """
    tables = {path: read_table(path) for path in _some_shards(Path(folder))}
    _require_once((path, table["game_id"].to_pylist()) for path, table in tables.items())
    return from_table(concatenated(tables.values()).sort_by("game_id"))


def read_games(folder: str | os.PathLike[str]) -> Iterator[GameRecord]:
    """The games of a run's folder one by one, in game-id order, only the shards in use in memory.

    Rows of cells are as wide as the longest of their shard.

    Raises:
      StoreError: no run there, or a shard that cannot be read; RecordError: a game is there twice.
    """
    order = sorted(_shard_of_each(_some_shards(Path(folder))).items())
    last_use = {path: place for place, (_, path) in enumerate(order)}
    games: dict[Path, dict[int, GameRecord]] = {}
    for place, (game_id, path) in enumerate(order):
        if path not in games:
            games[path] = {game.game_id: game for game in read_shard(path)}
        yield games[path][game_id]
        if last_use[path] == place:
            del games[path]


def read_shard(path: Path) -> list[GameRecord]:
    """The records of one shard, in stored order. Raises `StoreError` if it cannot be read."""
    table = read_table(path)
    with errors_named(path), _way_out_told(path):
        return list(records_of(table))


def shard_sizes(folder: Path) -> dict[Path, int]:
    """The shards of a folder in the order in which they were written, with their board sizes.

    Raises:
      StoreError: no games there, a shard that cannot be read, or one with several board sizes.
    """
    sizes = {}
    for path in _some_shards(folder):
        found = sorted(set(read_table(path, ["board_size"])["board_size"].to_pylist()))
        if len(found) != 1:
            raise StoreError(f"{path}: want games of one board size, got {found or 'no games'}")
        sizes[path] = int(found[0])
    return sizes


def stored_ids(folder: Path) -> set[int]:
    """The ids of the games in a folder; none if it is not there.

    Raises:
      StoreError: a shard that cannot be read; RecordError: a game is there twice.
    """
    return set(_shard_of_each(shard_paths(folder)))


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a folder in the order in which they were written; none if it is not there."""
    if not folder.exists():
        return []
    require_folder(folder)
    with errors_named(folder):
        paths = [path for path in folder.iterdir() if SHARD.fullmatch(path.name)]
    return sorted(paths, key=_shard_number)


def require_no_run(folder: Path, way_on: str = "--resume") -> None:
    """Raises `StoreError` if the folder holds a run already; `way_on` goes on with it."""
    if read_run(folder) is not None:
        raise StoreError(f"{folder}: holds a run already; {way_on} goes on with it")


def read_run(folder: Path) -> dict[str, Any] | None:
    """What `run.json` says, or None if there is none.

    Raises:
      StoreError: it is damaged, or of another version, its own or that of the records.
    """
    path = folder / "run.json"
    run = read_document(path, RUN_FORMAT, RUN_VERSION, "a run")
    if run is None:
        return None
    if not all(isinstance(run.get(part), dict) for part in _RUN_PARTS):
        raise StoreError(f"{path}: lacks one of {', '.join(_RUN_PARTS)}")
    version = run.get("schema_version", SCHEMA_VERSION)
    if type(version) is not int or version != SCHEMA_VERSION:
        raise StoreError(
            f"{path}: record schema version {version!r}, this package reads {SCHEMA_VERSION}"
        )
    for name, value in run["settings"].items():
        if not isinstance(value, _KINDS.get(name, object)):
            raise StoreError(f"{path}: {name} {value!r} is no such setting")
    return run


def read_document(path: Path, kind: str, version: int, what: str) -> dict[str, Any] | None:
    """A JSON object that names its `format` and `version`, or None if there is no such file.

    Raises:
      StoreError: it cannot be read, or is not the description of `what` in this version.
    """
    if not path.exists():
        return None
    data = read_json(path)
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
    summary = read_json(path)
    try:
        range(summary["first_game"], summary["num_games"])
    except (TypeError, KeyError) as error:
        raise StoreError(f"{path}: not the summary of a run") from error
    return cast(dict[str, Any], summary)


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
    read_run(folder)  # a version that it names may be another
    return paths


def read_json(path: Path) -> Any:
    """What a file of JSON says. Raises `StoreError` if it cannot be read."""
    with errors_named(path):
        if not path.is_file():
            raise StoreError(f"{path}: not a file")
        if path.stat().st_size > _MOST_BYTES:
            raise StoreError(f"{path}: longer than any document of a run")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{path}: not JSON: {error}") from error


def _require_same(folder: Path, known: dict[str, Any], wanted: dict[str, Any]) -> None:
    before, now = known.get("package_version"), wanted.get("package_version")
    if before != now:
        raise StoreError(f"{folder}: was made by hex_ai {before}, not {now}")
    for part in _RUN_PARTS:
        for name in sorted(wanted[part].keys() | known[part].keys()):
            before, now = known[part].get(name), wanted[part].get(name)
            if before != now:
                raise StoreError(f"{folder}: {name} is {before!r} in this run, not {now!r}")


def count_games(path: Path) -> int:
    """How many games a shard says it holds. Raises `StoreError` if it cannot be read."""
    with errors_named(path):
        return int(_opened(path).metadata.num_rows)


def read_schema(path: Path) -> pa.Schema:
    """The columns of a shard. Raises `StoreError` if it cannot be read."""
    with errors_named(path):
        return _opened(path).schema_arrow


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The rows of a shard; None: with all columns. Raises `StoreError` if it cannot be read."""
    with errors_named(path):
        file = _opened(path)
        with _way_out_told(path):
            return file.read(columns=columns)


def _opened(path: Path) -> pq.ParquetFile:
    with _way_out_told(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    require_schema(file.schema_arrow)
    return file


@contextmanager
def _way_out_told(path: Path) -> Iterator[None]:
    """Says of a damaged shard what to do about it."""
    try:
        yield
    except (OSError, RecordError, pa.ArrowException) as error:
        # What the system says of a file is not about its bytes; Arrow's own errors have no number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise RecordError(f"{' '.join(str(error).split())}{_way_out(path.parent)}") from error


def _way_out(folder: Path) -> str:
    """How the games of a shard come back; those of a run of learning do not."""
    with suppress(StoreError):
        run = read_run(folder)
        if run is not None and "learnt_in" not in run["network"]:
            return "; damaged: delete it, and `hex-ai selfplay … --resume` plays its games again"
    return "; damaged"


def _shard_of_each(paths: Sequence[Path]) -> dict[int, Path]:
    """The shard of each game in these shards, by id."""
    return _require_once(
        (path, read_table(path, ["game_id"])["game_id"].to_pylist()) for path in paths
    )


def _require_once(shards: Iterable[tuple[Path, list[int]]]) -> dict[int, Path]:
    """The shard of each game, by id. Raises `RecordError` if one is there twice."""
    found: dict[int, Path] = {}
    for path, ids in shards:
        for game_id in ids:
            if (other := found.setdefault(game_id, path)) is not path:
                raise RecordError(f"{path}: game {game_id} is stored twice, in {other.name} too")
        if len(set(ids)) < len(ids):
            raise RecordError(f"{path}: a game is stored twice")
    return found


def _shard_number(path: Path) -> int:
    return int(path.stem.removeprefix("games-"))
