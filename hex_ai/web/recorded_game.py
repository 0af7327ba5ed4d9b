"""A game of a run as the page shows it: a tree of one line, chances and candidates."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hex_ai.errors import RecordError, StoreError
from hex_ai.formats.games import tree_of_record
from hex_ai.formats.moves import Word
from hex_ai.game.notation import cell_name
from hex_ai.game.records import NO_CELL, SWAP, GameRecord
from hex_ai.store.output_files import errors_named
from hex_ai.store.run_folder import read_table
from hex_ai.store.schema import records_of
from hex_ai.value_utils import to_win_probability
from hex_ai.web.run_index import chances_of
from hex_ai.web.trees import tree_json


def read_game(path: Path, row: int, game_id: int) -> GameRecord:
    """One game of a shard. Raises `StoreError` if it is not there, or cannot be shown."""
    table = read_table(path).slice(row, 1)
    with errors_named(path):
        if table["game_id"].to_pylist() != [game_id]:
            raise StoreError(f"{path}: has changed; look again")
        game = next(records_of(table))
        _require_on_board(game)
    return game


def shown_game(game: GameRecord) -> dict[str, Any]:
    """The game as JSON: `tree`; `values`, Red's chance at each ply, null where not searched; and
    `candidates` of each ply, the best first, with chances of the mover."""
    blue_to_move = np.arange(len(game.moves)) % 2 == 1
    chances = chances_of(game.values, game.moves == SWAP, blue_to_move)
    searched = game.search > 0
    return {
        "tree": _tree(game),
        "values": [
            _finite(chance) if known else None
            for chance, known in zip(chances, searched, strict=True)
        ],
        "candidates": [_candidates(game, ply) for ply in range(len(game.moves))],
    }


def move_name(move: int, size: int) -> str:
    """A board cell or `SWAP` as the page names it."""
    return Word.SWAP_PIECES.value if move == SWAP else cell_name(move, size)


def _require_on_board(game: GameRecord) -> None:
    cells = game.board_size**2
    for ply, move in enumerate(game.moves.tolist()):
        if not 0 <= move < cells and not (move == SWAP and ply == 1):
            raise RecordError(f"game {game.game_id}: ply {ply + 1} is illegal")
    for named in (game.candidate_cells, game.policy_cells):
        if named.size and not (named.min() >= NO_CELL and named.max() < cells):
            raise RecordError(f"game {game.game_id}: a candidate is off the board")


def _tree(game: GameRecord) -> dict[str, Any]:
    network = f"network {game.network[:12]}"
    return tree_json(replace(tree_of_record(game), red_name=network, blue_name=network))


def _candidates(game: GameRecord, ply: int) -> list[dict[str, Any]]:
    """What the search looked at, with the chances of the mover."""
    chances = to_win_probability(torch.from_numpy(game.candidate_values[ply])).tolist()
    rows = zip(
        game.candidate_cells[ply].tolist(),
        chances,
        game.candidate_priors[ply].tolist(),
        strict=True,
    )
    return [
        {
            "cell": cell_name(cell, game.board_size),
            "value": _finite(value),
            "policy": _finite(prior),
        }
        for cell, value, prior in rows
        if cell != NO_CELL
    ]


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
