"""Learning that has gone astray is told as such, and before anything of it is saved."""

import math
from collections.abc import Sequence
from dataclasses import astuple

import torch

from hex_ai.errors import NetworkError
from hex_ai.training.samples import Samples
from hex_ai.training.trainer import Losses, Trainer, losses

# Samples of a board size that the averaged network is tried on.
TRIED = 64


def require_finite(
    place: str, learning_rate: float, trainer: Trainer, learnt: Losses, samples: Sequence[Samples]
) -> None:
    """Checks what a few steps of learning have come to.

    Args:
      place: in words, such as `in round 3`.
      learning_rate: that the run began with.
      trainer: after the steps.
      learnt: its losses over them.
      samples: one entry a board size, to try the averaged network on.

    Raises:
      NetworkError: a weight, or a loss in the steps or after them, is infinite or NaN.
    """
    average = trainer.average_network.eval()
    with torch.no_grad():
        tried = [losses(average, some.rows(slice(TRIED))) for some in samples]
    numbers = [number for found in (learnt, *tried) for number in astuple(found)]
    if not all(map(math.isfinite, numbers)) or not trainer.is_finite():
        raise diverged(place, learning_rate)


def diverged(place: str, learning_rate: float) -> NetworkError:
    """The error that says so, and what helps."""
    return NetworkError(
        f"learning has diverged {place}: losses or weights are no longer finite; "
        f"begin again with a lower --learning-rate than {learning_rate:g}"
    )
