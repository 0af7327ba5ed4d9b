"""A match from Python: the shipped network's policy against one of our own making.

python examples/match.py
"""

import torch
from torch import Tensor

from hex_ai import match
from hex_ai.arena.players import Turn


class NearTheCentre:
    """Plays the free cell nearest the centre."""

    name = "near the centre"

    def choose(self, turn: Turn) -> Tensor:
        """The moves, int64 `[B]`, as the movers see them."""
        size = turn.positions.size
        cells = torch.cartesian_prod(torch.arange(size), torch.arange(size))
        distance = (cells - (size - 1) / 2).square().sum(1)
        taken = ~turn.positions.legal_moves()
        return distance.expand(len(taken), -1).masked_fill(taken, torch.inf).argmin(1)

    def close(self) -> None:
        """Nothing to give back."""


def main() -> None:
    """Plays ten games on 5 × 5 and prints the score."""
    print(match("shipped@policy", NearTheCentre(), board_size=5, games=10).line())


if __name__ == "__main__":
    main()
