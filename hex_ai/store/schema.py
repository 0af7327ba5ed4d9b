"""Game records as rows of an Arrow table: schema version 1, described in docs/records.md."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from hex_ai.errors import RecordError
from hex_ai.game.records import BLUE, ENDS, NO_CELL, RED, SCHEMA_VERSION, SWAP, GameRecord, Games

# Fields of a record, those with one entry a ply, and those with a row of entries a ply.
_GAME_FIELDS = {
    "game_id": pa.int64(),
    "board_size": pa.uint8(),
    "swapped": pa.bool_(),
    "winner": pa.string(),
    "end": pa.string(),
    "network": pa.string(),
}
PLY_FIELDS = {
    "moves": pa.int16(),
    "search": pa.uint8(),
    "values": pa.float32(),
    "preferred": pa.int16(),
    "policy_rest": pa.float32(),
}
ROW_FIELDS = {
    "candidate_cells": pa.int16(),
    "candidate_priors": pa.float32(),
    "candidate_values": pa.float32(),
    "policy_cells": pa.int16(),
    "policy_probabilities": pa.float32(),
}

# A column of its own for the games of a run that mixes hardware.
_PLAN = "plan"

# Columns with one entry a game, by which readers look for some of them.
GAME_COLUMNS = tuple(_GAME_FIELDS)

# Columns that repeat few values, for which Parquet is to keep a dictionary. It would make those of
# numbers that are nearly all distinct slower to write, and larger.
REPEATING_COLUMNS = (
    *(name for name, kind in _GAME_FIELDS.items() if kind == pa.string()),
    _PLAN,
    *(f"{name}.list.element" for name, kind in PLY_FIELDS.items() if kind != pa.float32()),
    *(
        f"{name}.list.element.list.element"
        for name, kind in ROW_FIELDS.items()
        if kind != pa.float32()
    ),
)

# The cells that the numbers of a row belong to.
_ROW_CELLS = {
    "candidate_priors": "candidate_cells",
    "candidate_values": "candidate_cells",
    "policy_probabilities": "policy_cells",
}

_WINNERS = {RED: "red", BLUE: "blue"}

_SCHEMA = pa.schema(
    [
        *(pa.field(name, kind, nullable=False) for name, kind in _GAME_FIELDS.items()),
        *(pa.field(name, pa.list_(kind), nullable=False) for name, kind in PLY_FIELDS.items()),
        *(
            pa.field(name, pa.list_(pa.list_(kind)), nullable=False)
            for name, kind in ROW_FIELDS.items()
        ),
    ],
    metadata={"hex_ai.schema_version": str(SCHEMA_VERSION)},
)
_SCHEMA_WITH_PLAN = _SCHEMA.append(pa.field(_PLAN, pa.string()))


def to_table(games: Sequence[GameRecord]) -> pa.Table:
    """One row a game. Raises `RecordError` for a record with a number that is not finite."""
    fields = {
        name: np.concatenate([getattr(game, name) for game in games])
        for name in (*PLY_FIELDS, *ROW_FIELDS)
    }
    if not all(np.isfinite(field).all() for field in fields.values()):
        raise RecordError(f"game {_not_finite(games)} holds a number that is not finite")
    winners = {"winner": [_WINNERS[game.winner] for game in games]}
    columns = [
        pa.array(winners.get(name) or [getattr(game, name) for game in games], kind)
        for name, kind in _GAME_FIELDS.items()
    ]
    plies = _offsets([len(game.moves) for game in games])
    for name, kind in PLY_FIELDS.items():
        columns.append(pa.ListArray.from_arrays(plies, pa.array(fields[name], kind)))
    used = {name: fields[name] != NO_CELL for name in ROW_FIELDS if name not in _ROW_CELLS}
    rows = {name: _offsets(np.count_nonzero(cells, 1)) for name, cells in used.items()}
    for name, kind in ROW_FIELDS.items():
        cells = _ROW_CELLS.get(name, name)
        inner = pa.ListArray.from_arrays(rows[cells], pa.array(fields[name][used[cells]], kind))
        columns.append(pa.ListArray.from_arrays(plies, inner))
    if not any(game.plan for game in games):
        return pa.Table.from_arrays(columns, schema=_SCHEMA)
    columns.append(pa.array([game.plan or None for game in games], pa.string()))
    return pa.Table.from_arrays(columns, schema=_SCHEMA_WITH_PLAN)


def concatenated(tables: Iterable[pa.Table]) -> pa.Table:
    """The rows of tables with this schema, some of which may have plans and others not."""
    return pa.concat_tables(tables, promote_options="default")


def _not_finite(games: Sequence[GameRecord]) -> int:
    """The id of the first game with a number that is not finite."""
    names = (*PLY_FIELDS, *ROW_FIELDS)
    return next(
        game.game_id
        for game in games
        if not all(np.isfinite(getattr(game, name)).all() for name in names)
    )


def from_table(table: pa.Table, widths: Mapping[str, int] | None = None) -> Games:
    """The games of a table with this schema, as tensors.

    Args:
      table: of one row a game.
      widths: of the rows of cells, by column; None: as the longest of the table.

    Raises:
      RecordError: another schema or version, no game, or games of several board sizes.
    """
    require_schema(table.schema)
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    _require_consistent(columns)
    winners = {name: winner for winner, name in _WINNERS.items()}
    moves = columns["moves"]
    fields = {name: _tensor(columns[name].flatten()) for name in PLY_FIELDS}
    fields |= {
        name: _padded(
            columns[name].flatten(),
            NO_CELL if name.endswith("cells") else 0,
            widths[name] if widths else None,
        )
        for name in ROW_FIELDS
    }
    first_ply = _tensor(moves.offsets).long() - int(moves.offsets[0].as_py())
    second = torch.cat((fields["moves"], fields["moves"].new_zeros(2)))[first_ply[:-1] + 1]
    swapped = (second == SWAP) & (first_ply.diff() > 1)
    if swapped.tolist() != columns["swapped"].to_pylist():
        raise RecordError("swapped says otherwise than moves")
    return Games(
        game_ids=_tensor(columns["game_id"]),
        board_size=columns["board_size"][0].as_py(),
        winners=torch.tensor(
            [winners[name] for name in columns["winner"].to_pylist()], dtype=torch.int8
        ),
        ends=tuple(columns["end"].to_pylist()),
        first_ply=first_ply,
        **fields,
    )


def _require_consistent(columns: dict[str, pa.Array]) -> None:
    """Raises `RecordError` unless these are games of one size whose lists fit each other."""
    sizes = set(columns["board_size"].to_pylist())
    if len(sizes) != 1:
        raise RecordError(f"want games of one board size, got {sorted(sizes) or 'no games'}")
    if not set(_WINNERS.values()) >= set(columns["winner"].to_pylist()):
        raise RecordError("a winner that is neither red nor blue")
    if not set(ENDS) >= set(columns["end"].to_pylist()):
        raise RecordError(f"an end that is none of {', '.join(ENDS)}")
    plies = columns["moves"].value_lengths()
    for name in (*PLY_FIELDS, *ROW_FIELDS):
        if not columns[name].value_lengths().equals(plies):
            raise RecordError(f"{name} and moves have unequal numbers of plies")
    for name, cells in _ROW_CELLS.items():
        one, other = (columns[part].flatten().value_lengths() for part in (name, cells))
        if not one.equals(other):
            raise RecordError(f"{name} and {cells} have rows of unequal length")


def records_of(table: pa.Table, widths: Mapping[str, int] | None = None) -> Iterator[GameRecord]:
    """The games of a table one by one; arguments and errors are those of `from_table`."""
    games = from_table(table, widths)
    networks = table["network"].to_pylist()
    plans = table[_PLAN].to_pylist() if _PLAN in table.column_names else [None] * len(networks)
    fields = {name: getattr(games, name).numpy() for name in (*PLY_FIELDS, *ROW_FIELDS)}
    bounds = games.first_ply.tolist()
    for row, (start, end) in enumerate(pairwise(bounds)):
        yield GameRecord(
            game_id=int(games.game_ids[row]),
            board_size=games.board_size,
            winner=int(games.winners[row]),
            end=games.ends[row],
            network=networks[row],
            plan=plans[row] or "",
            **{name: field[start:end] for name, field in fields.items()},
        )


def require_schema(schema: pa.Schema) -> None:
    """Raises `RecordError` unless this is the schema of version 1, with plans or without."""
    version = (schema.metadata or {}).get(b"hex_ai.schema_version", b"none")
    if version != str(SCHEMA_VERSION).encode():
        said = ascii(version[:20].decode(errors="replace"))[1:-1]
        raise RecordError(f"record schema version {said}, this package reads {SCHEMA_VERSION}")
    if not (schema.equals(_SCHEMA) or schema.equals(_SCHEMA_WITH_PLAN)):
        raise RecordError("the columns are not those of the record schema")


def _offsets(lengths: Sequence[int] | NDArray[np.int_]) -> pa.Array:
    return pa.array(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32), pa.int32())


def _tensor(array: pa.Array) -> Tensor:
    return torch.from_numpy(array.to_numpy(zero_copy_only=False).copy())


def _padded(lists: pa.Array, filler: int, width: int | None) -> Tensor:
    """Rows of unequal length as one tensor `[T, width]`, by default as wide as the longest."""
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    values = lists.flatten().to_numpy(zero_copy_only=False)
    if width is None:
        width = int(lengths.max(initial=0))
    padded = np.full((len(lengths), width), filler, values.dtype)
    padded[np.arange(width) < lengths[:, None]] = values
    return torch.from_numpy(padded)
