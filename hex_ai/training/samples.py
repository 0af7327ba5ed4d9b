"""Training samples from game records.

A sample is a position that was searched and not swapped at: what the mover sees, the improved
policy, and a mean of the search values from here on and of the outcome. The ply of a swap gives no
sample: the position after it is the same one, as the other player sees it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hex_ai.game.positions import Positions
from hex_ai.game.records import NO_CELL, SWAP, GameRecord
from hex_ai.network.architecture import with_colours
from hex_ai.value_utils import to_red_view

# λ: what each ply leaves to those after it. A search value has a maximisation bias in favour of its
# mover, and movers alternate: at 0.8 a target keeps a ninth of it, at 0 all, and the next network's
# search adds to it.
TRACE_DECAY = 0.8


@dataclass(frozen=True)
class Samples:
    """`T` samples of one board size N, with A = N * N.

    Attributes:
      planes: uint8 `[T, 2, N + 2, N + 2]`, see `Positions.planes`; for a network that sees colours
        3, see `hex_ai.network.architecture`.
      policy: float32 `[T, A]`, target distribution, canonical cells.
      values: float32 `[T]`, target value, the mover's view.
      outcomes: float32 `[T]`, 1 where the mover went on to win and -1 where not.
    """

    planes: Tensor
    policy: Tensor
    values: Tensor
    outcomes: Tensor

    def __len__(self) -> int:
        return len(self.values)

    @staticmethod
    def none(size: int, colours: bool = False) -> "Samples":
        """No samples of this board size."""
        planes = torch.zeros(0, 2 + colours, size + 2, size + 2, dtype=torch.uint8)
        policy, none = (torch.zeros(0, *shape, dtype=torch.float32) for shape in ((size**2,), ()))
        return Samples(planes, policy, none, none.clone())

    @staticmethod
    def cat(parts: Sequence["Samples"]) -> "Samples":
        """All samples of all parts, in order."""
        tensors = zip(*(vars(part).values() for part in parts), strict=True)
        return Samples(*map(torch.cat, tensors))

    def rows(self, rows: Tensor | slice) -> "Samples":
        """The chosen samples."""
        return Samples(*(tensor[rows] for tensor in vars(self).values()))

    def to(self, device: torch.device) -> "Samples":
        """The same samples on another device."""
        return Samples(*(tensor.to(device) for tensor in vars(self).values()))

    def rotated(self, rows: Tensor) -> "Samples":
        """The same samples with those in `rows` (bool `[T]`) rotated by 180°."""
        planes = torch.where(rows[:, None, None, None], self.planes.flip(2, 3), self.planes)
        policy = torch.where(rows[:, None], self.policy.flip(1), self.policy)
        return replace(self, planes=planes, policy=policy)


def samples_from_games(games: Sequence[GameRecord], colours: bool = False) -> Samples:
    """Replays games of one board size in lockstep and collects every sample in them.

    With `colours`, they are for a network that sees colours.
    """
    positions = Positions.empty(len(games), games[0].board_size)
    winners = torch.tensor([game.winner for game in games])
    moves = _table([game.moves for game in games]).long()
    searched = (_table([game.search for game in games]) > 0) & (moves != SWAP)
    targets = value_targets(_table([game.values for game in games]), searched, winners)
    parts = [Samples.none(games[0].board_size, colours)]
    for ply in range(moves.shape[1]):
        rows = searched[:, ply].nonzero()[:, 0]
        if len(rows):
            played, asked = [games[row] for row in rows.tolist()], positions[rows]
            policy = _policies(asked, played, ply)
            planes = asked.planes(torch.uint8)
            if colours:
                planes = with_colours(planes, asked.blue_to_move)
            won = to_red_view(winners[rows].to(targets), torch.tensor(ply % 2 == 1))
            parts.append(Samples(planes, policy, targets[rows, ply], won))
        swaps = moves[:, ply] == SWAP
        cells = positions.to_board_cells(moves[:, ply].clamp(min=0))
        positions = Positions.where(swaps, positions.swap(swaps), positions.play(cells))
    return Samples.cat(parts)


def value_targets(values: Tensor, searched: Tensor, winners: Tensor) -> Tensor:
    """float32 `[G, P]`: the λ-returns (Sutton and Barto 2018, 12.1) of every ply, the mover's view.

    The target of a ply is a share 1 - λ of its search value and a share λ of the next ply's target
    with its sign changed; after the last ply it is the outcome. Plies that were not searched pass
    on what comes after them.

    Args:
      values: float32 `[G, P]`, search values, the mover's view; anything where not searched.
      searched: bool `[G, P]`, false also at swaps and after the end of a game.
      winners: `[G]`, `RED` or `BLUE`.
    """
    blue_to_move = torch.arange(values.shape[1]) % 2 == 1
    red = to_red_view(values, blue_to_move)
    targets, target = torch.empty_like(red), winners.to(red)
    for ply in reversed(range(values.shape[1])):
        mixed = (1 - TRACE_DECAY) * red[:, ply] + TRACE_DECAY * target
        target = torch.where(searched[:, ply], mixed, target)
        targets[:, ply] = target
    return to_red_view(targets, blue_to_move)


def _policies(positions: Positions, games: Sequence[GameRecord], ply: int) -> Tensor:
    """float32 `[G, A]`: the improved policies of one ply; all games have it, searched."""
    cells = _table([game.policy_cells[ply] for game in games], NO_CELL).long()
    shares = _table([game.policy_probabilities[ply] for game in games])
    rest = torch.tensor([float(game.policy_rest[ply]) for game in games], dtype=torch.float32)
    known = torch.zeros(len(games), positions.moves, dtype=torch.float32)
    canonical = positions.to_board_cells(cells)
    known.scatter_add_(1, canonical.clamp(min=0), shares * (cells >= 0))
    # What the record keeps as one number is spread evenly over the legal cells it does not name.
    unnamed = positions.legal_moves() & (known == 0)
    policy = known + unnamed * (rest / unnamed.sum(1).clamp(min=1))[:, None]
    return policy / policy.sum(1, keepdim=True)


def _table(rows: Sequence[np.ndarray], filler: int = 0) -> Tensor:
    """One row a game, as long as the longest: plies, or entries of which some shards keep fewer."""
    tensors = [torch.from_numpy(row) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=filler)
