"""Conversions of values, here and nowhere else.

A *value* is always the mover's: float in [-1, 1], +1 when the mover is sure to win. A chance of
winning is in [0, 1], a win logit is its log odds. All functions are elementwise and take tensors of
any shape.
"""

import torch
from torch import Tensor


def to_win_probability(value: Tensor) -> Tensor:
    """Value in [-1, 1] to the same player's chance of winning, in [0, 1]."""
    return (value + 1) / 2


def from_win_probability(probability: Tensor) -> Tensor:
    """Chance of winning in [0, 1] to the same player's value, in [-1, 1]."""
    return probability * 2 - 1


def from_win_logit(logit: Tensor) -> Tensor:
    """Log odds of winning (any real) to the same player's value: 2 sigmoid(logit) - 1."""
    return from_win_probability(torch.sigmoid(logit))


def to_win_logit(value: Tensor) -> Tensor:
    """Value in (-1, 1) to the same player's log odds of winning; infinite at the bounds."""
    return 2 * torch.atanh(value)


def to_red_view(value: Tensor, blue_to_move: Tensor) -> Tensor:
    """The mover's value to Red's, given who moves (bool, same shape). Its own inverse."""
    return torch.where(blue_to_move, -value, value)
