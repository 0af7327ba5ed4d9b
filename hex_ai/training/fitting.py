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
from hex_ai.inference.inference_plan import multiplies_bfloat16, resolve_device
from hex_ai.network.architecture import sees_colours
from hex_ai.network.checkpoint import load_checkpoint, require_checkpoint_path, save_checkpoint
from hex_ai.network.torch_state import undisturbed
from hex_ai.numbers import real, whole
from hex_ai.store.run_folder import read_games, read_run, shard_paths
from hex_ai.training.calibration import calibrate
from hex_ai.training.divergence import require_finite
from hex_ai.training.samples import Samples, samples_from_games
from hex_ai.training.schedule import MOST
from hex_ai.training.start import network_to_train
from hex_ai.training.trainer import Losses, Trainer, losses

# Bounds that only a typing error leaves.
MOST_PASSES = 10_000
MOST_SAMPLES_A_STEP = 2**20

# A network that begins from nothing has its batch norms frozen after this share of its steps.
FROZEN_NORMS_FROM = 0.75

# Games replayed side by side.
CHUNK = 2048

# Of so many games in a row, the last is kept to measure on.
MEASURED_EVERY = 20

# Samples of each board size that are measured on, at most.
MEASURED = 2048

# Steps between two reports.
REPORTED_EVERY = 200


@dataclass(frozen=True)
class FitReport:
    """How far a training is.

    Attributes:
      step, steps: steps done, and all.
      learnt: losses over the latest steps.
      measured: losses on games kept apart; None if there are none.
      factor: after the last step, what the log odds of winning were scaled by to fit those games.
    """

    step: int
    steps: int
    learnt: Losses
    measured: Losses | None
    factor: float | None


@undisturbed(gradients=True)
def train(
    folders: Sequence[Path | str],
    output: Path | str,
    *,
    init: Path | str | None = None,
    channels: int | None = None,
    blocks: int | None = None,
    passes: float = 2.0,
    batch: int = 256,
    learning_rate: float = 2e-3,
    seed: int = 0,
    device: str = "auto",
    report: Callable[[FitReport], None] = lambda _: None,
) -> None:
    """Trains a network on stored games alone; what is saved is the average of its weights.

    Values are calibrated at the end, see `hex_ai.training.calibration`.

    Args:
      folders: as `hex-ai selfplay` writes them, of any board sizes. All samples are held in memory,
        about 1 KB each.
      output: checkpoint to write, at every report.
      init: checkpoint to start from instead of random weights.
      channels, blocks: of a new network; None: those of `NEW_NETWORK`.
      passes: times that every sample is learnt from, on average.
      batch: samples a step, of one board size.
      learning_rate: at the start; falls along a cosine to a hundredth.
      seed: of weights and batches.
      device: `auto`, `cpu` or `cuda`.
      report: is told now and then how far it is.

    Raises:
      SettingError: an invalid setting; CheckpointError: `init` or `output` cannot be used.
      StoreError: a folder without games, or one that cannot be read.
      NetworkError: learning has diverged; what an earlier report has written stays.
    """
    passes, learning_rate = real("passes", passes), real("learning rate", learning_rate)
    batch, seed = whole("batch", batch), whole("seed", seed)
    _require_valid(passes, batch, learning_rate, seed)
    require_checkpoint_path(output)
    torch.manual_seed(seed)
    start = None if init is None else load_checkpoint(init).network
    network = network_to_train(start, channels, blocks).to(resolve_device(device))
    sources = [Path(folder) for folder in folders]
    learnt, measured = _split(sources, sees_colours(network))
    if not learnt:
        raise StoreError(f"{sources[0]}: holds no plies to learn from")
    trainer = Trainer(network, learning_rate, mixed=multiplies_bfloat16(resolve_device(device)))
    generator = torch.Generator().manual_seed(seed)
    count = sum(len(samples) for samples in learnt)
    steps = math.ceil(count * passes / batch)
    weighted = [(len(samples) / count, samples) for samples in learnt]
    frozen_from = math.ceil(FROZEN_NORMS_FROM * steps) if init is None else 0
    for step, few in _spans(frozen_from, steps):
        cosine = 0.5 + 0.5 * math.cos(math.pi * (step + few / 2) / steps)
        trainer.set_learning_rate(learning_rate * (0.01 + 0.99 * cosine))
        found = trainer.fit(weighted, few, batch, generator, frozen_norms=step >= frozen_from)
        done = f"by step {step + few} of {steps}"
        require_finite(done, learning_rate, trainer, found, learnt + measured)
        average = trainer.average_network.eval()
        factor = calibrate(average, measured) if step + few == steps else None
        save_checkpoint(output, average, {"games": [folder.name for folder in sources]})
        report(FitReport(step + few, steps, found, _measure(average, measured), factor))


def _require_valid(passes: float, batch: int, learning_rate: float, seed: int) -> None:
    for name, value in (("passes", passes), ("learning rate", learning_rate)):
        if not 0 < value < math.inf:
            raise SettingError(f"{name} {value} is not a positive number")
    if learning_rate > MOST["learning_rate"]:
        raise SettingError(f"learning rate {learning_rate} is more than {MOST['learning_rate']:g}")
    if passes > MOST_PASSES:
        raise SettingError(f"passes {passes} are more than {MOST_PASSES}")
    if not 1 <= batch <= MOST_SAMPLES_A_STEP:
        raise SettingError(f"batch {batch} is outside 1 to {MOST_SAMPLES_A_STEP}")
    if not 0 <= seed < 2**63:
        raise SettingError(f"seed {seed} is outside 0 to 2^63 - 1")


def _spans(frozen_from: int, steps: int) -> Iterator[tuple[int, int]]:
    """(first step, count) of the steps between two reports; all before `frozen_from`, or none."""
    step = 0
    while step < steps:
        end = frozen_from if step < frozen_from else steps
        few = min(REPORTED_EVERY, end - step)
        yield step, few
        step += few


def _split(folders: Sequence[Path], colours: bool) -> tuple[list[Samples], list[Samples]]:
    """The samples to learn from and those to measure on; one entry a board size each."""
    parts: dict[tuple[int, bool], list[Samples]] = {}
    for folder in [folder for folder in folders if not _waits(folder)] or folders:
        games = read_games(folder)
        while chunk := list(islice(games, CHUNK)):
            for kind, some in _by_use(chunk).items():
                samples = samples_from_games(some, colours)
                if len(samples):
                    parts.setdefault(kind, []).append(samples)
    return (
        [Samples.cat(found) for (_, measured), found in parts.items() if not measured],
        [_some(Samples.cat(found)) for (_, measured), found in parts.items() if measured],
    )


def _waits(folder: Path) -> bool:
    """Whether a run has made the folder and not come to its board size yet."""
    return not shard_paths(folder) and read_run(folder) is not None


def _by_use(games: list[GameRecord]) -> dict[tuple[int, bool], list[GameRecord]]:
    """Games by board size and whether they are measured on, in this order."""
    found: dict[tuple[int, bool], list[GameRecord]] = {}
    for game in games:
        measured = game.game_id % MEASURED_EVERY == MEASURED_EVERY - 1
        found.setdefault((game.board_size, measured), []).append(game)
    return dict(sorted(found.items()))


def _measure(network: nn.Module, measured: Sequence[Samples]) -> Losses | None:
    """Losses of a network, each board size alike; None where nothing is kept apart."""
    if not measured:
        return None
    with torch.no_grad():
        found = [losses(network, samples) for samples in measured]
    count = len(found)
    return Losses(
        policy=sum(one.policy for one in found) / count,
        value=sum(one.value for one in found) / count,
        entropy=sum(one.entropy for one in found) / count,
    )


def _some(samples: Samples) -> Samples:
    """At most `MEASURED` of them, evenly spread."""
    return samples.rows(slice(None, None, -(-len(samples) // MEASURED)))
