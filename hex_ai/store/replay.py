"""Plays recorded games again, in lockstep, and says what in them breaks the rules."""

from collections.abc import Sequence

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
        column = torch.tensor([int(move)])
        if not bool(_legal(positions[-1], column, ply)):
            raise RecordError(f"ply {ply + 1} is illegal")
        positions.append(_advance(positions[-1], column))
    return positions


def find_faults(games: Sequence[GameRecord]) -> list[str]:
    """Replays games of one board size; a line for each that is wrong, naming the first fault.

    Checked are: every move legal; the game over at its last ply and not before, or decided there
    as the record says; the winner; and at each searched ply that the numbers are in range, the
    candidates and the improved policy on empty cells, and the move played among the candidates.
    """
    size = games[0].board_size
    positions = Positions.empty(len(games), size)
    faults: dict[int, str] = {}

    def note(rows: Tensor, text: str) -> None:
        for row in rows.nonzero()[:, 0].tolist():
            faults.setdefault(row, text)

    lengths = torch.tensor([len(game.moves) for game in games])
    for ply in range(int(lengths.max())):
        running = lengths > ply
        moves = torch.tensor([_at(game.moves, ply) for game in games])
        illegal = running & ~_legal(positions, moves, ply)
        note(illegal, f"ply {ply + 1} is illegal")
        free = (positions.board() == 0).flatten(1).numpy()
        for row in running.nonzero()[:, 0].tolist():
            if row not in faults and (fault := _search_fault(games[row], ply, free[row])):
                faults[row] = f"ply {ply + 1}: {fault}"
        moves = torch.where(running & ~illegal, moves, 0)
        after = _advance(positions, moves)
        positions = Positions.where(running & ~illegal, after, positions)
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


def _legal(positions: Positions, moves: Tensor, ply: int) -> Tensor:
    """bool `[B]`: whether board cells `moves` (int64 `[B]`, or `SWAP`) may be played."""
    on_board = (moves >= 0) & (moves < positions.moves)
    cells = positions.to_board_cells(moves.clamp(0, positions.moves - 1))
    empty = positions.legal_moves().gather(1, cells[:, None])[:, 0]
    swap = (moves == SWAP) & ~positions.finished if ply == 1 else torch.zeros_like(on_board)
    return (on_board & empty) | swap


def _advance(positions: Positions, moves: Tensor) -> Positions:
    swaps = moves == SWAP
    cells = positions.to_board_cells(moves.clamp(min=0))
    return Positions.where(swaps, positions.swap(swaps), positions.play(cells))


def _at(moves: np.ndarray, ply: int) -> int:
    return int(moves[ply]) if ply < len(moves) else 0


def _search_fault(game: GameRecord, ply: int, free: np.ndarray) -> str | None:
    """What is wrong with the numbers of one ply, if anything; bool `free` `[A]` are the board cells
    that were empty before it."""
    candidates = game.candidate_cells[ply]
    candidates = candidates[candidates != NO_CELL]
    policy = game.policy_cells[ply]
    policy = policy[policy != NO_CELL]
    if not game.search[ply]:
        beside = game.values[ply] or game.policy_rest[ply] or game.preferred[ply] != NO_CELL
        made = len(candidates) + len(policy) or beside
        return "numbers of a search that was not made" if made else None
    numbers = np.concatenate(([game.values[ply]], game.candidate_values[ply]))
    if not (np.abs(numbers) <= 1).all():
        return "a value outside -1 to 1"
    priors = game.candidate_priors[ply]
    if not ((priors >= 0) & (priors <= 1 + 1e-5)).all():
        return "a prior outside 0 to 1"
    if not (np.append(game.policy_probabilities[ply], game.policy_rest[ply]) >= 0).all():
        return "an improved policy with an entry that is no probability"
    cells = np.concatenate((candidates, policy, [game.preferred[ply]]))
    if ((cells < 0) | (cells >= len(free))).any() or not free[cells].all():
        return "a candidate or policy entry that is not an empty cell"
    if game.moves[ply] == SWAP:
        return "a swap with a policy target" if len(policy) else None
    if game.moves[ply] not in candidates:
        return "the move is not among its candidates"
    total = game.policy_probabilities[ply].sum() + game.policy_rest[ply]
    return None if abs(total - 1) < 1e-3 else f"an improved policy that sums to {total:.4f}"
