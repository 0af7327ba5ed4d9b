"""Positions of all kinds, to compare the batch shapes of a network with, and to time them."""

import torch

from hex_ai.game.positions import Positions
from hex_ai.keyed_random import random_bits


def probe_positions(count: int, size: int, device: torch.device) -> Positions:
    """Unlike positions after 0, 1, 2, … random moves: of the first rows each has one more.

    An empty board would be faster than a real one.
    """
    positions = Positions.empty(count, size, device)
    rows = torch.arange(count, device=device)
    for ply in range(size * size // 2):
        order = random_bits(ply, rows[:, None], torch.arange(size * size, device=device))
        moves = order.masked_fill(~positions.legal_moves(), torch.iinfo(torch.int64).min).argmax(1)
        moved = positions.play(moves)
        stay = (rows % (size * size // 2) <= ply) | moved.finished
        positions = Positions.cat([positions, moved])[torch.where(stay, rows, rows + count)]
    return positions
