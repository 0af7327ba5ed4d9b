"""Learning from folders of games alone, however they were made: `hex-ai train`."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from hex_ai.errors import SettingError, StoreError
from hex_ai.game.records import GameRecord
from hex_ai.inference.inference_plan import multiplies_bfloat16
from hex_ai.store.run_folder import read_games, read_run, shard_paths
from hex_ai.training.calibration import calibrate
from hex_ai.training.samples import Samples, samples_from_games
from hex_ai.training.trainer import Losses, Trainer, losses

# Bounds that only a slip of the finger leaves.
MOST_PASSES = 10_000
MOST_SAMPLES_A_STEP = 2**20

# After this share of its steps a network that began from nothing has its norms settled.
SETTLED_FROM = 0.75

# Games replayed side by side.
CHUNK = 2048

# Of so many games in a row, the last is kept to measure on.
MEASURED_EVERY = 20

# Samples of each board size that are measured on, at most.
MEASURED = 2048

# Steps between two reports.
REPORTED_EVERY = 200


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted to games.

    Attributes:
      passes: times that every sample is learnt from, on average.
      batch: samples a step, of one board size.
      learning_rate: at the start; falls along a cosine to a hundredth.
      seed: of the batches.
      settled_from: share of the steps after which the norms are settled, see `Trainer.fit`; 0 suits
        a network that knows the game already.
    """

    passes: float = 2.0
    batch: int = 256
    learning_rate: float = 2e-3
    seed: int = 0
    settled_from: float = SETTLED_FROM

    def __post_init__(self) -> None:
        for name in ("passes", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingError(f"{name} {getattr(self, name)} is not a positive number")
        if self.passes > MOST_PASSES:
            raise SettingError(f"passes {self.passes} are more than {MOST_PASSES}")
        if not 1 <= self.batch <= MOST_SAMPLES_A_STEP:
            raise SettingError(f"batch {self.batch} is outside 1 to {MOST_SAMPLES_A_STEP}")
        if not 0 <= self.settled_from <= 1:
            raise SettingError(f"settled_from {self.settled_from} is not a share from 0 to 1")
        if not 0 <= self.seed < 2**63:
            raise SettingError(f"seed {self.seed} is outside 0 to 2^63 - 1")


@dataclass(frozen=True)
class FitReport:
    """Steps done of all, losses over the last of them and on games that were not learnt from, and
    the average of the weights so far; after the last step, the factor that its log odds of winning
    were scaled by to come true on those games."""

    network: nn.Module
    step: int
    steps: int
    learnt: Losses
    measured: Losses
    factor: float | None


def fit_games(
    network: nn.Module,
    folders: Sequence[Path],
    settings: FitSettings,
    report: Callable[[FitReport], None],
) -> nn.Module:
    """Fits a network to the games of these folders; returns the average of its weights.

    Values are calibrated at the end, see `hex_ai.training.calibration`.

    Args:
      network: trained in place, where it is.
      folders: as `hex-ai selfplay` writes them, of any board sizes. All samples are held in memory,
        about 1 KB each.

    Raises:
      StoreError: a folder without games, or one that cannot be read.
    """
    learnt, measured = _split(folders)
    if not learnt:
        raise StoreError(f"{folders[0]}: holds no plies to learn from")
    device = next(network.parameters()).device
    trainer = Trainer(network, settings.learning_rate, mixed=multiplies_bfloat16(device))
    generator = torch.Generator().manual_seed(settings.seed)
    count = sum(len(samples) for samples in learnt)
    steps = math.ceil(count * settings.passes / settings.batch)
    weighted = [(len(samples) / count, samples) for samples in learnt]
    unsettled = math.ceil(settings.settled_from * steps)
    for step, few in _spans(unsettled, steps):
        done = (step + few / 2) / steps
        cosine = 0.5 + 0.5 * math.cos(math.pi * done)
        trainer.set_learning_rate(settings.learning_rate * (0.01 + 0.99 * cosine))
        settled = step >= unsettled
        found = trainer.fit(weighted, few, settings.batch, generator, settled=settled)
        average = trainer.average_network.eval()
        factor = calibrate(average, measured) if step + few == steps else None
        report(FitReport(average, step + few, steps, found, _measure(average, measured), factor))
    return trainer.average_network


def _spans(unsettled: int, steps: int) -> Iterator[tuple[int, int]]:
    """(first step, count) of all steps between two reports; all before `unsettled`, or none."""
    step = 0
    while step < steps:
        end = unsettled if step < unsettled else steps
        few = min(REPORTED_EVERY, end - step)
        yield step, few
        step += few


def _split(folders: Sequence[Path]) -> tuple[list[Samples], list[Samples]]:
    """The samples to learn from and those to measure on; one entry a board size each."""
    parts: dict[tuple[int, bool], list[Samples]] = {}
    for folder in [folder for folder in folders if not _waits(folder)] or folders:
        games = read_games(folder)
        while chunk := list(islice(games, CHUNK)):
            for apart, some in _by_use(chunk):
                samples = samples_from_games(some)
                if len(samples):
                    parts.setdefault((some[0].board_size, apart), []).append(samples)
    return (
        [Samples.cat(found) for (_, apart), found in parts.items() if not apart],
        [_some(Samples.cat(found)) for (_, apart), found in parts.items() if apart],
    )


def _waits(folder: Path) -> bool:
    """Whether a run has made the folder and not come to its board size yet."""
    return not shard_paths(folder) and read_run(folder) is not None


def _by_use(games: list[GameRecord]) -> Iterator[tuple[bool, list[GameRecord]]]:
    """Games to learn from, and those kept apart, of one board size each; never none."""
    for size in sorted({game.board_size for game in games}):
        for apart in (False, True):
            some = [
                game
                for game in games
                if game.board_size == size
                and (game.game_id % MEASURED_EVERY == MEASURED_EVERY - 1) == apart
            ]
            if some:
                yield apart, some


def _measure(network: nn.Module, measured: Sequence[Samples]) -> Losses:
    """Losses of a network, each board size alike; 0 where nothing is kept apart."""
    with torch.no_grad():
        return _mean([losses(network, samples) for samples in measured])


def _some(samples: Samples) -> Samples:
    """At most `MEASURED` of them, evenly spread."""
    return samples.rows(slice(None, None, -(-len(samples) // MEASURED)))


def _mean(found: Sequence[Losses]) -> Losses:
    count = max(len(found), 1)
    return Losses(
        policy=sum(one.policy for one in found) / count,
        value=sum(one.value for one in found) / count,
        entropy=sum(one.entropy for one in found) / count,
    )
