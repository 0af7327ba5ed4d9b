"""What is known of each game of a run, as arrays in memory, to count and to filter by.

Axes: `G` games. Only shards that are new or have changed are read, and of them only some columns.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from hex_ai.errors import HexAIError, RecordError
from hex_ai.game.records import BLUE, ENDS, MAX_SIZE, RED, SWAP
from hex_ai.store.output_files import errors_named
from hex_ai.store.run_folder import read_table
from hex_ai.value_utils import to_red_view, to_win_probability
from hex_ai.web.run_files import Stamp

_COLUMNS = [
    *("game_id", "board_size", "swapped", "winner", "end", "network"),
    *("moves", "search", "values"),
]
_WINNERS = {"red": RED, "blue": BLUE}

_DTYPES: dict[str, Any] = {
    "game_id": np.int64,
    "board_size": np.int16,
    "length": np.int32,
    "winner": np.int8,
    "end": np.int8,
    "opening": np.int16,
    "swapped": np.bool_,
    "upset": np.float32,
    "network": np.int32,
    "shard": np.int32,
    "row": np.int32,
}

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class IndexedGames:
    """The games of a run at one time, in game-id order.

    Attributes:
      columns: of `[G]` each: `game_id`, `board_size`, `length` in plies, `winner` (`RED` or
        `BLUE`), `end` (index into `ENDS`), `opening` (first cell, −1 if none), `swapped`, `upset`
        (the winner's lowest chance by the search, 0 to 1, NaN if not searched), `network` (index
        into `networks`), `shard` (index into `shards`), `row` within it.
      networks: digests.
      shards: paths.
      troubles: a line for each shard that cannot be read, or game that is there twice.
    """

    columns: Columns
    networks: tuple[str, ...]
    shards: tuple[Path, ...]
    troubles: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.columns["game_id"])


class RunIndex:
    """The index of one run. May be asked by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[Path, tuple[Stamp, Columns | str]] = {}
        self._networks: dict[str, int] = {}
        self._games: IndexedGames | None = None

    def games(self, shards: Mapping[Path, Stamp]) -> IndexedGames:
        """The games of these shards."""
        with self._lock:
            known = {path: stamp for path, (stamp, _) in self._parts.items()}
            if self._games is None or known != dict(shards):
                self._parts = {path: self._part(path, stamp) for path, stamp in shards.items()}
                self._games = self._joined()
            return self._games

    def _part(self, path: Path, stamp: Stamp) -> tuple[Stamp, Columns | str]:
        known = self._parts.get(path)
        if known is not None and known[0] == stamp:
            return known
        try:
            return stamp, _read_part(path, self._networks)
        except HexAIError as error:
            return stamp, str(error)

    def _joined(self) -> IndexedGames:
        read = {path: part for path, (_, part) in self._parts.items() if isinstance(part, dict)}
        numbered = [
            part | {"shard": np.full(len(part["row"]), number)}
            for number, part in enumerate(read.values())
        ]
        columns = {
            name: np.concatenate(
                [np.zeros(0, kind), *(part[name] for part in numbered)], dtype=kind
            )
            for name, kind in _DTYPES.items()
        }
        order = np.argsort(columns["game_id"], kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
        troubles = [part for _, part in self._parts.values() if isinstance(part, str)]
        ids = columns["game_id"]
        troubles += [f"game {twice} is stored twice" for twice in ids[1:][ids[1:] == ids[:-1]][:1]]
        return IndexedGames(columns, tuple(self._networks), tuple(read), tuple(troubles))


def _read_part(path: Path, networks: dict[str, int]) -> Columns:
    """The columns of one shard, but for `shard`; digests that are new are added to `networks`.

    Raises:
      StoreError: it cannot be read, or contradicts itself.
    """
    table = read_table(path, _COLUMNS)
    with errors_named(path):
        arrays = {name: table[name].combine_chunks() for name in _COLUMNS}
        if any(array.null_count for array in arrays.values()):
            raise RecordError("a field is missing")
        sizes = arrays["board_size"].to_numpy()
        if len(sizes) and not (sizes.min() >= 1 and sizes.max() <= MAX_SIZE):
            raise RecordError(f"a board size outside 1 to {MAX_SIZE}")
        ends = {end: number for number, end in enumerate(ENDS)}
        winners = _numbered(arrays["winner"], _WINNERS, "a winner that is neither red nor blue")
        for digest in arrays["network"].unique().to_pylist():
            networks.setdefault(digest, len(networks))
        return {
            "game_id": arrays["game_id"].to_numpy(),
            "board_size": sizes,
            "length": arrays["moves"].value_lengths().to_numpy(),
            "winner": winners,
            "end": _numbered(arrays["end"], ends, f"an end that is none of {', '.join(ENDS)}"),
            "opening": _openings(arrays["moves"], sizes),
            "swapped": arrays["swapped"].to_numpy(zero_copy_only=False),
            "upset": _upsets(arrays["moves"], arrays["search"], arrays["values"], winners),
            "network": _numbered(arrays["network"], networks, "a network without a name"),
            "row": np.arange(len(table)),
        }


def _numbered(texts: pa.Array, numbers: Mapping[str, int], otherwise: str) -> NDArray[Any]:
    """The number of each text. Raises `RecordError` if one has none."""
    coded = texts.dictionary_encode()
    names = coded.dictionary.to_pylist()
    if not numbers.keys() >= set(names):
        raise RecordError(otherwise)
    of_name = np.array([numbers[name] for name in names], np.int64)
    numbered: NDArray[Any] = of_name[coded.indices.to_numpy()]
    return numbered


def _openings(moves: pa.Array, sizes: NDArray[Any]) -> NDArray[Any]:
    """The first cell of each game, −1 where there is none on the board."""
    offsets = moves.offsets.to_numpy()
    flat = np.append(moves.flatten().to_numpy(), -1)
    first = np.where(np.diff(offsets) > 0, flat[offsets[:-1] - offsets[0]], -1)
    return np.where((first >= 0) & (first < sizes.astype(np.int64) ** 2), first, -1)


def _upsets(
    moves: pa.Array, search: pa.Array, values: pa.Array, winners: NDArray[Any]
) -> NDArray[Any]:
    """float32 `[G]`: the winner's lowest chance at a searched ply, NaN where there is none."""
    lengths = moves.value_lengths().to_numpy()
    for other in (search, values):
        if not np.array_equal(other.value_lengths().to_numpy(), lengths):
            raise RecordError("moves, search and values have unequal numbers of plies")
    starts = np.cumsum(lengths) - lengths
    plies = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    loser_moves = (plies % 2 == 0) != (np.repeat(winners, lengths) == RED)
    chances = chances_of(
        values.flatten().to_numpy(), moves.flatten().to_numpy() == SWAP, loser_moves
    )
    known = (search.flatten().to_numpy() > 0) & np.isfinite(chances)
    lowest = np.full(len(lengths), np.inf, np.float32)
    np.minimum.at(lowest, np.repeat(np.arange(len(lengths)), lengths)[known], chances[known])
    return np.where(np.isfinite(lowest), lowest, np.nan)


def chances_of(
    values: NDArray[np.float32], swaps: NDArray[np.bool_], other_moves: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """One player's chances, 0 to 1, by the values of plies.

    Args:
      values: float32 `[P]`, of the mover; at a swap, of not swapping, so the swap is worth its
        opposite.
      swaps: bool `[P]`, where the move is a swap.
      other_moves: bool `[P]`, where the other player moves.
    """
    mover = torch.from_numpy(np.where(swaps, -values, values))
    view = to_red_view(mover, torch.from_numpy(other_moves))
    return to_win_probability(view).numpy()
