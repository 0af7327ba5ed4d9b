"""Replay: what breaks the rules in a record is found and named, and clean games have no faults."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from evaluators import Hashed

from hex_ai.errors import RecordError
from hex_ai.game.records import NO_CELL, SWAP, GameRecord
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.store.replay import find_faults, replay


@pytest.fixture(scope="module")
def games() -> list[GameRecord]:
    """Clean games, with a swap and without."""
    runner = Runner(Hashed(4), SelfPlaySettings(4, (9, 2)), games_in_flight=12)
    found = [game for some in runner.play(range(12)) for game in some]
    assert {game.swapped for game in found} == {True, False}
    return found


def planted(game: GameRecord, ply: int, **entries: Any) -> GameRecord:
    """The record with other entries at one ply."""
    fields: dict[str, Any] = {name: getattr(game, name).copy() for name in entries}
    for name, entry in entries.items():
        fields[name][ply] = entry
    return replace(game, **fields)


def cut(game: GameRecord, plies: int) -> GameRecord:
    """The first plies of a record."""
    fields = {name: value[:plies] for name, value in vars(game).items() if hasattr(value, "shape")}
    return replace(game, **fields)


def longer(game: GameRecord) -> GameRecord:
    """The record with one more ply, not searched, on a cell that is still empty."""
    free = next(cell for cell in range(16) if cell not in stones(game))
    last = cut(game, 1)
    fields: dict[str, Any] = {
        name: np.concatenate([value, getattr(last, name)])
        for name, value in vars(game).items()
        if hasattr(value, "shape")
    }
    return planted(replace(game, **fields), -1, moves=free)


def stones(game: GameRecord) -> list[int]:
    """Cells taken at the end of a game without swap."""
    return [int(move) for move in game.moves]


def faults_of(game: GameRecord) -> list[Callable[[], tuple[GameRecord, str]]]:
    """Every kind of fault in a clean game without swap, and what is to be said of it."""
    first, second = stones(game)[:2]
    half = game.policy_probabilities[3] / 2
    return [
        lambda: (planted(game, 3, moves=first), "ply 4 is illegal"),
        lambda: (planted(game, 3, moves=16), "ply 4 is illegal"),
        lambda: (planted(game, 3, moves=-2), "ply 4 is illegal"),
        lambda: (planted(game, 3, moves=SWAP), "ply 4 is illegal"),
        lambda: (planted(game, 0, moves=SWAP), "ply 1 is illegal"),
        lambda: (replace(game, winner=-game.winner), "the winner is wrong"),
        lambda: (replace(game, winner=0), "the winner is wrong"),
        lambda: (longer(game), f"ply {len(game.moves) + 1} is illegal"),
        lambda: (cut(game, len(game.moves) - 1), "the game is not over at its last ply"),
        lambda: (planted(game, 3, values=1.01), "a value outside"),
        lambda: (planted(game, 3, values=np.nan), "a value outside"),
        lambda: (planted(game, 3, candidate_values=-1.5), "a value outside"),
        lambda: (planted(game, 3, candidate_cells=second), "not an empty cell"),
        lambda: (planted(game, 3, policy_cells=second), "not an empty cell"),
        lambda: (planted(game, 3, preferred=second), "not an empty cell"),
        lambda: (planted(game, 3, preferred=NO_CELL), "not an empty cell"),
        lambda: (planted(game, 3, candidate_cells=NO_CELL), "not among its candidates"),
        lambda: (planted(game, 3, policy_probabilities=half), "improved policy that sums to"),
        lambda: (planted(game, 3, policy_rest=np.nan), "improved policy"),
        lambda: (planted(game, 3, search=0), "a search that was not made"),
        lambda: (planted(game, 3, policy_probabilities=-half, policy_rest=1.5), "policy"),
        lambda: (planted(game, 3, candidate_priors=7.0), "prior"),
        lambda: (planted(game, 0, values=0.5), "a search that was not made"),
        lambda: (planted(game, 0, preferred=5), "a search that was not made"),
        lambda: (planted(game, 0, policy_rest=1.0), "a search that was not made"),
    ]


@pytest.mark.parametrize("kind", range(25))
def test_planted_faults_are_found(kind: int, games: list[GameRecord]) -> None:
    clean = next(game for game in games if not game.swapped)
    others = [game for game in games if game is not clean]
    assert find_faults(games) == []
    wrong, text = faults_of(clean)[kind]()
    (found,) = find_faults([*others[:3], wrong, *others[3:]])
    assert found.startswith(f"game {clean.game_id}: ")
    assert text in found


def test_faults_at_a_swap_are_found_and_replay_names_the_ply(games: list[GameRecord]) -> None:
    game = next(game for game in games if game.swapped)
    moves = [int(move) for move in game.moves]
    boards = replay(4, moves)
    assert len(boards) == len(moves) + 1
    assert int(boards[-1].winner()[0]) == game.winner
    (found,) = find_faults([planted(game, 1, policy_cells=game.candidate_cells[1, :1])])
    assert "ply 2: a swap with a policy target" in found
    for place in (0, 2, len(moves)):
        late = [*moves[:place], SWAP, *moves[place:]]
        with pytest.raises(RecordError, match=f"ply {place + 1} is illegal"):
            replay(4, late)
