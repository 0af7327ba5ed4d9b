"""The simplest loop that works: play with the average network, learn from it, repeat.

Board sizes take turns; small ones teach the larger ones, since all share their weights.
"""

import copy
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hex_ai.errors import SettingError
from hex_ai.inference.checkpoint import save_checkpoint
from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.selfplay.lane import SelfPlaySettings
from hex_ai.selfplay.lanes import Lanes
from hex_ai.selfplay.records import GameRecord
from hex_ai.training.samples import Samples, samples_from_games
from hex_ai.training.trainer import Losses, Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoopSettings:
    """Settings of a training loop.

    Attributes:
      seconds: how long it runs; the schedules of sizes and learning rate stretch over it.
      board_sizes: ascending; larger ones join as time goes on, and each gets a like share of time.
      search_widths: of the self-play search.
      games: played at one size between two rounds of learning.
      window: samples kept of each size.
      reuse: how often a new sample is learnt from, on average.
      batch: samples a step.
      learning_rate: at the start; falls to a twentieth along a cosine.
      seed: of games and batches.
    """

    seconds: float = 3600.0
    board_sizes: tuple[int, ...] = (5, 7, 9, 11)
    search_widths: tuple[int, ...] = (6, 2)
    games: int = 128
    window: int = 60_000
    reuse: float = 2.0
    batch: int = 256
    learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.board_sizes or list(self.board_sizes) != sorted(set(self.board_sizes)):
            raise SettingError(f"board sizes {self.board_sizes} are not ascending")
        for size in self.board_sizes:
            SelfPlaySettings(size, self.search_widths, self.seed)
        for name in ("seconds", "reuse", "learning_rate", "games", "window", "batch"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingError(f"{name} {getattr(self, name)} is not positive")


@dataclass(frozen=True)
class Round:
    """What one round of play and learning came to."""

    number: int
    seconds: float
    board_size: int
    games: int
    samples: int
    mean_length: float
    losses: Losses


def train(
    network: nn.Module, settings: LoopSettings, path: Path, report: Callable[[Round], None]
) -> nn.Module:
    """Plays and learns until the time is up; saves the averaged network after each round.

    Args:
      network: trained in place.
      path: checkpoint to write.
      report: called after each round.

    Returns:
      The averaged network.
    """
    trainer = Trainer(network, settings.learning_rate)
    generator = torch.Generator().manual_seed(settings.seed)
    windows: dict[int, Samples] = {}
    spent = dict.fromkeys(settings.board_sizes, 0.0)
    started, number = time.monotonic(), 0
    while (now := time.monotonic() - started) < settings.seconds:
        done = now / settings.seconds
        size = _next_size(spent, done)
        trainer.set_learning_rate(settings.learning_rate * (0.05 + 0.95 * _cosine(done)))
        games = _play(trainer.average_network, settings, size, number)
        new = samples_from_games(games)
        windows[size] = _slide(windows.get(size), new, settings.window)
        steps = math.ceil(len(new) * settings.reuse / settings.batch)
        losses = trainer.fit(windows[size], steps, settings.batch, generator)
        elapsed = time.monotonic() - started
        spent[size] += elapsed - now
        number += 1
        mean_length = sum(len(game.moves) for game in games) / len(games)
        save_checkpoint(path, trainer.average_network, {"rounds": number, "seconds": elapsed})
        report(Round(number, elapsed, size, len(games), len(new), mean_length, losses))
    return trainer.average_network


def _next_size(spent: dict[int, float], done: float) -> int:
    """The size that has had the least time, among those that have joined by now."""
    sizes = list(spent)
    joined = sizes[: 2 + int(done / 0.6 * (len(sizes) - 1))]
    return min(joined, key=lambda size: spent[size])


def _cosine(done: float) -> float:
    return 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))


def _play(network: nn.Module, settings: LoopSettings, size: int, number: int) -> list[GameRecord]:
    """One round's games; their ids go on from round to round, so no two are alike."""
    plan = default_plan(torch.device("cpu"), runtime="eager")
    model = ModelInference(copy.deepcopy(network), plan)
    choice = SelfPlaySettings(size, settings.search_widths, settings.seed)
    lanes = Lanes(model, choice, games_in_flight=settings.games)
    ids = range(number * settings.games, (number + 1) * settings.games)
    return [game for games in lanes.play(ids) for game in games]


def _slide(window: Samples | None, new: Samples, limit: int) -> Samples:
    """The latest samples, at most `limit`."""
    joined = new if window is None else Samples.cat([window, new])
    return joined.rows(slice(-limit, None))
