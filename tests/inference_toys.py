"""What tests of collectors and inference share: positions, exact evaluators, small networks.

The evaluators compute in integers, so an answer has the same bits in every batch and every order.
"""

import os
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from hex_ai.game.positions import Positions
from hex_ai.keyed_random import random_bits
from hex_ai.network.resnet import HexNetwork, NetworkConfig

# Where tests that run a network do so: `HEX_AI_TEST_DEVICE`, or else the CPU.
TEST_DEVICE = os.environ.get("HEX_AI_TEST_DEVICE", "cpu")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_positions(
    batch: int, size: int, seed: int, device: torch.device | str = "cpu"
) -> Positions:
    """Rows of uniform play, each stopped after a number of moves of its own, before the end."""
    generator = seeded(seed)
    lengths = torch.randint(0, size * size, (batch,), generator=generator)
    positions = Positions.empty(batch, size)
    for ply in range(int(lengths.max())):
        draws = torch.rand(batch, size * size, generator=generator)
        moved = positions.play(draws.masked_fill(~positions.legal_moves(), -1.0).argmax(1))
        positions = Positions.where((lengths > ply) & ~moved.finished, moved, positions)
    state = positions.labels, positions.blue_to_move, positions.finished
    return Positions(*(part.to(device) for part in state))


def drawn(rows: int, size: int, seed: int) -> Positions:
    """Rows of a small stock of `random_positions`: quick to get, each time another object."""
    return _stock(size)[torch.randint(0, 100, (rows,), generator=seeded(seed))]


@lru_cache
def _stock(size: int) -> Positions:
    return random_positions(100, size, size)


def turn(positions: Positions) -> Positions:
    """The same positions turned by 180°, the same side to move."""
    return Positions.from_stones(positions.board().flip(1, 2), positions.blue_to_move)


def hashed(numbers: Tensor, moves: int) -> tuple[Tensor, Tensor]:
    """An evaluation that is a function of one number a row: logits `[B, moves]`, values `[B]`."""
    cells = torch.arange(moves, device=numbers.device)
    logits = random_bits(1, numbers[:, None], cells) >> 40
    values = random_bits(2, numbers) >> 40
    return logits.float() / 2**20, values.float() / 2**23


def hash_evaluation(positions: Positions) -> tuple[Tensor, Tensor]:
    """What `HashEvaluator` says of each position."""
    codes = random_bits(3, torch.arange(positions.moves, device=positions.device))
    return hashed((positions.stones().flatten(1) * codes).sum(1), positions.moves)


class HashEvaluator:
    """Evaluates by a hash of the stones.

    Attributes:
      before: called with every batch first; it may raise, or wait.
      batches: size and rows of each batch.
    """

    def __init__(self, before: Callable[[Positions], None] = lambda _: None) -> None:
        self.before = before
        self.batches: list[tuple[int, int]] = []

    def batch_infer(self, positions: Positions) -> tuple[Tensor, Tensor]:
        self.batches.append((positions.size, len(positions)))
        self.before(positions)
        return hash_evaluation(positions)

    def check(self) -> None:
        pass


class HashNetwork(nn.Module):
    """Evaluates planes by a hash of them.

    Attributes:
      before: called with the planes of every call first; it may raise.
      calls: rows of each call that `before` let pass.
    """

    def __init__(self, before: Callable[[Tensor], None] = lambda _: None) -> None:
        super().__init__()
        self.before = before
        self.calls: list[int] = []

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        self.before(planes)
        self.calls.append(len(planes))
        seen = planes.flatten(1).long()
        codes = random_bits(3, torch.arange(seen.shape[1], device=planes.device))
        logits, values = hashed((seen * codes).sum(1), (planes.shape[-1] - 2) ** 2)
        return logits.to(planes.dtype), values.to(planes.dtype)


def random_network(
    seed: int, channels: int = 8, blocks: int = 2, hexagonal: bool = True, paths: int = 1
) -> HexNetwork:
    """A network whose batch norms have seen something: no block is the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = HexNetwork(NetworkConfig(channels, blocks, hexagonal, paths))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2.0)
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_(0, 0.3)
    return network.eval()
