"""Plays recorded games again, in lockstep, and says what in them breaks the rules."""

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor

from hex_ai.errors import RecordError
from hex_ai.game.connections import opponent_has_won
from hex_ai.game.positions import Positions
from hex_ai.game.records import NO_CELL, STOPS, SWAP, GameRecord


def replay(board_size: int, moves: Sequence[int]) -> list[Positions]:
    """The positions (each B = 1) of one game, before the first move and after each.

    Args:
      board_size: N.
      moves: board cells, or `SWAP` at the second place.

    Raises:
      RecordError: an illegal move; the message names the ply, counted from 1.
    """
    positions = [Positions.empty(1, board_size)]
    for ply, move in enumerate(moves):
        legal, after = _advance(positions[-1], torch.tensor([int(move)]), ply)
        if not bool(legal):
            raise RecordError(f"ply {ply + 1} is illegal")
        positions.append(after)
    return positions


def find_faults(games: Sequence[GameRecord]) -> list[str]:
    """Replays games of one board size; a line for each that is wrong, naming the first fault.

    Checked are: every move legal; the game over at its last ply and not before, or decided there
    as the record says; the winner; and at each searched ply that the numbers are in range, the
    candidates and the improved policy on empty cells, and the move played among the candidates.
    """
    positions = Positions.empty(len(games), games[0].board_size)
    faults: dict[int, str] = {}

    def note(rows: Tensor, text: str) -> None:
        for row in rows.nonzero()[:, 0].tolist():
            faults.setdefault(row, text)

    lengths = torch.tensor([len(game.moves) for game in games])
    plies = zip_longest(*(game.moves.tolist() for game in games), fillvalue=0)
    for ply, moves in enumerate(plies):
        running = lengths > ply
        legal, after = _advance(positions, torch.tensor(moves), ply)
        note(running & ~legal, f"ply {ply + 1} is illegal")
        free = (positions.board() == 0).flatten(1).numpy()
        for row in running.nonzero()[:, 0].tolist():
            empty = set(np.flatnonzero(free[row]).tolist())
            if row not in faults and (fault := _search_fault(games[row], ply, empty)):
                faults[row] = f"ply {ply + 1}: {fault}"
        positions = Positions.where(running & legal, after, positions)
    for rows, text in _end_faults(games, positions):
        note(rows, text)
    return [f"game {games[row].game_id}: {text}" for row, text in sorted(faults.items())]


def _end_faults(games: Sequence[GameRecord], last: Positions) -> list[tuple[Tensor, str]]:
    """What may be wrong with the ends of games: bool `[G]` and why. `last` are the last boards."""
    proven, gave_up = (torch.tensor([game.end == end for game in games]) for end in STOPS)
    agreed = [len(g.values) > 1 and bool(g.values[-1] > 0 > g.values[-2]) for g in games]
    ended = last.retire(proven | gave_up)
    return [
        ((proven | gave_up) & last.finished, "the game was over before it was stopped"),
        (proven & ~opponent_has_won(last), "the win is not proven at its last ply"),
        (gave_up & ~torch.tensor(agreed), "nobody has reason to resign at its last ply"),
        (~ended.finished, "the game is not over at its last ply"),
        (ended.winner() != torch.tensor([g.winner for g in games]), "the winner is wrong"),
    ]


def _advance(positions: Positions, moves: Tensor, ply: int) -> tuple[Tensor, Positions]:
    """Whether `moves` (int64 `[B]`, board cells or `SWAP`) are legal, and what comes after them."""
    swaps = (moves == SWAP) & ~positions.finished & (ply == 1)
    on_board = (moves >= 0) & (moves < positions.moves)
    cells = positions.to_board_cells(torch.where(on_board, moves, 0))
    legal = on_board & positions.legal_moves().gather(1, cells[:, None])[:, 0]
    played = positions.play(torch.where(legal, cells, 0))
    return legal | swaps, Positions.where(swaps, positions.swap(swaps), played)


def _search_fault(game: GameRecord, ply: int, empty: set[int]) -> str | None:
    """The first thing that is wrong with the numbers of one ply; `empty` are cells before it."""
    candidates = set(game.candidate_cells[ply].tolist()) - {NO_CELL}
    policy = set(game.policy_cells[ply].tolist()) - {NO_CELL}
    value, preferred, rest = game.values[ply], int(game.preferred[ply]), game.policy_rest[ply]
    if not game.search[ply]:
        made = candidates or policy or value or rest or preferred != NO_CELL
        return "numbers of a search that was not made" if made else None
    values, priors = np.append(game.candidate_values[ply], value), game.candidate_priors[ply]
    probabilities, move = game.policy_probabilities[ply], int(game.moves[ply])
    total, swap = probabilities.sum() + rest, move == SWAP
    sound = {
        "a value outside -1 to 1": (np.abs(values) <= 1).all(),
        "a prior outside 0 to 1": ((priors >= 0) & (priors <= 1 + 1e-5)).all(),
        "an improved policy with an entry that is no probability": (probabilities >= 0).all()
        and rest >= 0,
        "a candidate or policy entry that is not an empty cell": candidates | policy | {preferred}
        <= empty,
        "a swap with a policy target": not (swap and policy),
        "the move is not among its candidates": swap or move in candidates,
        f"an improved policy that sums to {total:.4f}": swap or abs(total - 1) < 1e-3,
    }
    return next((fault for fault, holds in sound.items() if not holds), None)
