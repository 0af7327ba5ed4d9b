"""Folders of games as a dataset of torch, for training loops of your own."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from hex_ai.errors import RecordError, SettingError
from hex_ai.keyed_random import Stream, random_bits
from hex_ai.store.run_folder import read_shard, shard_sizes
from hex_ai.training.samples import samples_from_games

Folder = str | os.PathLike[str]


class Sample(NamedTuple):
    """A position that was searched; `DataLoader` puts a dimension `B` in front of each tensor.

    Attributes:
      planes: float32 `[2, N + 2, N + 2]`, what the mover sees, see `Positions.planes`.
      policy: float32 `[A]`, target distribution over cells as the mover sees them, row then column.
      value: float32 `[]`, target value in [-1, 1], the mover's view.
      outcome: float32 `[]`, 1 where the mover went on to win and -1 where not.
    """

    planes: Tensor
    policy: Tensor
    value: Tensor
    outcome: Tensor


class GamesDataset(IterableDataset[Sample]):
    """The training samples of folders of games, in random order, one shard in memory at a time.

    An item is a tuple `(planes, policy, value, outcome)` with these names: float32
    `[2, N + 2, N + 2]`, what the mover sees (`Positions.planes`); float32 `[N * N]`, the search's
    improved policy over cells as the mover sees them; float32 `[]`, the target that `hex-ai train`
    learns from, a mean of later search values and the outcome, in [-1, 1], the mover's view;
    float32 `[]`, 1 where the mover went on to win and -1 where not. Plies that were not searched
    and swaps give no item. Blue's positions are transposed, so that the mover always joins top to
    bottom.

    Shards are read in random order and the samples of each are shuffled, by seed and epoch: the
    same order whenever both are the same. The workers of a `DataLoader` share the shards out, so
    more workers than shards are of no use.

    Args:
      folders: one or several, as `hex-ai selfplay` writes them.
      seed: of the order.

    Attributes:
      board_size: N, the same for all.

    Raises:
      SettingError: no folder, or an invalid seed.
      StoreError: a folder without games, or a shard that cannot be read; damage inside of a shard
        is found when it is read.
      RecordError: games of several board sizes.
    """

    board_size: int

    def __init__(self, folders: Folder | Sequence[Folder], *, seed: int = 0) -> None:
        _require_number("seed", seed)
        several = [folders] if isinstance(folders, str | os.PathLike) else folders
        sizes: dict[Path, int] = {}
        for folder in several:
            sizes |= shard_sizes(Path(folder))
        if not sizes:
            raise SettingError("a dataset needs a folder of games")
        self.board_size = _one_size(sizes)
        self._shards, self._seed = list(sizes), seed
        # Shared, so that workers that stay from epoch to epoch see it change.
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, 0 at first, whose order comes next; call it before each pass.

        Raises:
          SettingError: not 0 to 2^63 - 1.
        """
        _require_number("epoch", epoch)
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[Sample]:
        worker, epoch = get_worker_info(), self._epoch.clone()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for shard in self._order(len(self._shards), Stream.SHARD_ORDER, epoch)[first::step]:
            samples = samples_from_games(read_shard(self._shards[shard]))
            for row in self._order(len(samples), Stream.SAMPLE_ORDER, epoch, shard):
                # Copies, or whoever keeps a sample would keep its shard.
                yield Sample(
                    samples.planes[row].float(),
                    samples.policy[row].clone(),
                    samples.values[row].clone(),
                    samples.outcomes[row].clone(),
                )

    def _order(self, count: int, *keys: Tensor | int) -> list[int]:
        """The numbers below `count`, in an order that is a function of seed and keys."""
        counters = [torch.as_tensor(key) for key in keys]
        bits = random_bits(self._seed, *counters, torch.arange(count))
        order: list[int] = bits.argsort().tolist()
        return order


def _require_number(name: str, number: int) -> None:
    if not 0 <= number < 2**63:
        raise SettingError(f"{name} {number} is outside 0 to 2^63 - 1")


def _one_size(sizes: dict[Path, int]) -> int:
    (first, size), *others = sizes.items()
    for path, other in others:
        if other != size:
            raise RecordError(f"{path}: board size {other}, but {size} in {first}")
    return size
