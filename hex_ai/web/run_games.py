"""Games of a run chosen by what the index knows, and whole runs as one stream of bytes."""

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hex_ai.errors import NotationError, SettingError, StoreError
from hex_ai.formats.games import written_games
from hex_ai.formats.moves import short
from hex_ai.game.notation import cell_index, cell_name
from hex_ai.game.records import BLUE, ENDS, MAX_SIZE, RED
from hex_ai.numbers import real, whole
from hex_ai.store.output_files import errors_named
from hex_ai.store.run_folder import read_schema, read_table
from hex_ai.store.schema import concatenated
from hex_ai.web.run_index import IndexedGames

DOWNLOADS = ("parquet", "sgf", "trmph")

# Games told of at once, rows of a group of a Parquet file, and bytes of a piece of a stream.
MOST_GAMES, GROUP_ROWS, PIECE = 1000, 8192, 2**20

_COLOURS = {"red": RED, "blue": BLUE}


def chosen(
    games: IndexedGames,
    *,
    size: int | None = None,
    opening: str | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    winner: str | None = None,
    end: str | None = None,
    upset: float | None = None,
) -> NDArray[np.int64]:
    """Indices of the games that all filters let through; None lets all through.

    Args:
      size: N.
      opening: name of the first cell.
      min_length: and `max_length`, plies, both included.
      winner: `red` or `blue`.
      end: one of `ENDS`.
      upset: the winner's chance by the search fell to this, 0 to 1, or below.

    Raises:
      SettingError: a filter that can let nothing through; NotationError: no cell.
    """
    columns = games.columns
    kept = np.ones(len(games), np.bool_)
    if size is not None:
        kept &= columns["board_size"] == whole("board size", size)
    if opening is not None:
        kept &= _opens_with(columns, opening)
    if min_length is not None:
        kept &= columns["length"] >= whole("shortest game", min_length)
    if max_length is not None:
        kept &= columns["length"] <= whole("longest game", max_length)
    if winner is not None:
        kept &= columns["winner"] == _COLOURS[_one_of("winner", winner, tuple(_COLOURS))]
    if end is not None:
        kept &= columns["end"] == ENDS.index(_one_of("end", end, ENDS))
    if upset is not None:
        kept &= columns["upset"] <= np.float32(real("upset", upset))
    return np.flatnonzero(kept)


def told(games: IndexedGames, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
    """What the index knows of these games, as JSON."""
    lists = {name: column[rows].tolist() for name, column in games.columns.items()}
    return [
        _told(dict(zip(lists, values, strict=True)), games.networks)
        for values in zip(*lists.values(), strict=True)
    ]


def place_of(games: IndexedGames, size: int, game_id: int) -> tuple[Path, int] | None:
    """The shard of a game and its row there; None if there is no such game."""
    columns = games.columns
    rows = np.flatnonzero((columns["game_id"] == game_id) & (columns["board_size"] == size))
    if not len(rows):
        return None
    return games.shards[columns["shard"][rows[0]]], int(columns["row"][rows[0]])


def as_lines(folders: list[Path], to: str) -> Iterator[bytes]:
    """The games of these folders in a format, one a line; each folder in game-id order.

    Raises:
      StoreError, RecordError: a shard cannot be read, or a game is there twice.
    """
    for folder in folders:
        for _, line in written_games(folder, to):
            yield f"{line}\n".encode()


def as_parquet(shards: list[Path]) -> Iterator[bytes]:
    """All games of these shards as one Parquet file, which lies on the disk while it is read.

    Raises:
      StoreError: a shard cannot be read, or there is no room on the disk.
    """
    with TemporaryFile() as file:
        with errors_named(Path("the file to download")):
            _write_parquet(file, shards)
            file.seek(0)
        while piece := file.read(PIECE):
            yield piece


def begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, the first of them made already, so that what fails at once fails now."""
    first = next(pieces, b"")
    return chain((first,), pieces)


def _write_parquet(file: BinaryIO, shards: list[Path]) -> None:
    """Writes the rows of shards in groups of about `GROUP_ROWS`."""
    if not shards:
        raise StoreError("the run holds no games")
    schema = pa.unify_schemas([read_schema(path) for path in shards])
    waiting = [schema.empty_table()]
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for path in shards:
            if sum(map(len, waiting)) >= GROUP_ROWS:
                writer.write_table(concatenated(waiting))
                waiting = [schema.empty_table()]
            waiting.append(read_table(path))
        writer.write_table(concatenated(waiting))


def _told(game: Mapping[str, Any], networks: tuple[str, ...]) -> dict[str, Any]:
    size, opening, upset = game["board_size"], game["opening"], game["upset"]
    return {
        "id": game["game_id"],
        "size": size,
        "length": game["length"],
        "winner": "red" if game["winner"] == RED else "blue",
        "end": ENDS[game["end"]],
        "opening": None if opening < 0 else cell_name(opening, size),
        "swapped": game["swapped"],
        "upset": None if math.isnan(upset) else upset,
        "network": networks[game["network"]],
    }


def _opens_with(columns: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.bool_]:
    """bool `[G]`: the games whose first stone is on the cell of this name."""
    cell_index(name, MAX_SIZE)
    kept = np.zeros(len(columns["opening"]), np.bool_)
    for size in np.unique(columns["board_size"]).tolist():
        try:
            cell = cell_index(name, size)
        except NotationError:  # of a larger board
            continue
        kept |= (columns["board_size"] == size) & (columns["opening"] == cell)
    return kept


def _one_of(what: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise SettingError(f"{what} {short(value)} is not one of {', '.join(known)}")
    return value
