"""Training samples from game records.

A sample is a position that was searched and not swapped at: what the mover sees, the improved
policy, and a mix of the game's outcome and the search value, both in the mover's view. The ply of a
swap gives no sample: the position after it is the same one, seen by the other side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hex_ai.game.positions import Positions
from hex_ai.selfplay.records import SWAP, GameRecord
from hex_ai.value_utils import to_red_view

# Share of the game's outcome in the value target; the rest is the search value.
OUTCOME_SHARE = 0.5


@dataclass(frozen=True)
class Samples:
    """`T` samples of one board size N, with A = N * N.

    Attributes:
      planes: uint8 `[T, 2, N + 2, N + 2]`, see `Positions.planes`.
      policy: float32 `[T, A]`, target distribution, canonical cells.
      values: float32 `[T]`, target value, the mover's view.
    """

    planes: Tensor
    policy: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @staticmethod
    def cat(parts: Sequence["Samples"]) -> "Samples":
        """All samples of all parts, in order."""
        return Samples(
            torch.cat([part.planes for part in parts]),
            torch.cat([part.policy for part in parts]),
            torch.cat([part.values for part in parts]),
        )

    def rows(self, rows: Tensor | slice) -> "Samples":
        """The chosen samples."""
        return Samples(self.planes[rows], self.policy[rows], self.values[rows])

    def to(self, device: torch.device) -> "Samples":
        """The same samples on another device."""
        return Samples(self.planes.to(device), self.policy.to(device), self.values.to(device))

    def turned(self, rows: Tensor) -> "Samples":
        """The same samples with those in `rows` (bool `[T]`) turned by 180°."""
        turn = rows[:, None]
        return Samples(
            torch.where(turn[..., None, None], self.planes.flip(2, 3), self.planes),
            torch.where(turn, self.policy.flip(1), self.policy),
            self.values,
        )


def samples_from_games(games: Sequence[GameRecord]) -> Samples:
    """Replays games of one board size in lockstep and collects every sample in them."""
    positions = Positions.empty(len(games), games[0].board_size)
    winners = torch.tensor([game.winner for game in games])
    parts = []
    for ply in range(max(len(game.moves) for game in games)):
        moves = _column([game.moves for game in games], ply, 0).long()
        searched = _column([game.search for game in games], ply, 0) > 0
        rows = (searched & (moves != SWAP)).nonzero()[:, 0]
        if len(rows):
            played = [games[row] for row in rows.tolist()]
            parts.append(_samples_at(positions[rows], played, ply, winners[rows]))
        swaps = moves == SWAP
        cells = positions.to_board_cells(moves.clamp(min=0))
        positions = Positions.where(swaps, positions.swap(swaps), positions.play(cells))
    return Samples.cat(parts)


def _samples_at(
    positions: Positions, games: Sequence[GameRecord], ply: int, winners: Tensor
) -> Samples:
    """The samples of one ply; all games have it, and were searched there."""
    cells = torch.from_numpy(np.stack([game.policy_cells[ply] for game in games])).long()
    shares = torch.from_numpy(np.stack([game.policy_probabilities[ply] for game in games]))
    rest = torch.tensor([float(game.policy_rest[ply]) for game in games])
    known = torch.zeros(len(games), positions.moves)
    canonical = positions.to_board_cells(cells)
    known.scatter_add_(1, canonical.clamp(min=0), shares * (cells >= 0))
    # What the record keeps as one number is spread evenly over the legal cells it does not name.
    unnamed = positions.legal_moves() & (known == 0)
    policy = known + unnamed * (rest / unnamed.sum(1).clamp(min=1))[:, None]
    outcomes = to_red_view(winners.float(), positions.blue_to_move)
    searched = torch.tensor([float(game.values[ply]) for game in games])
    values = OUTCOME_SHARE * outcomes + (1 - OUTCOME_SHARE) * searched
    return Samples(positions.planes(torch.uint8), policy / policy.sum(1, keepdim=True), values)


def _column(rows: Sequence[np.ndarray], ply: int, missing: int) -> Tensor:
    """One ply of every game, `missing` where a game was over by then."""
    return torch.tensor([int(row[ply]) if ply < len(row) else missing for row in rows])
