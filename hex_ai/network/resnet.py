"""The residual network that we ship: one set of weights for every board size."""

from dataclasses import dataclass, field
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hex_ai.errors import SettingError
from hex_ai.network.architecture import ADDED_LATER, register_architecture
from hex_ai.network.paths import ShortestPaths
from hex_ai.network.torch_state import float32_made
from hex_ai.numbers import flag, settle


@dataclass(frozen=True)
class NetworkConfig:
    """Settings of `HexNetwork`.

    Attributes:
      channels: features per cell in the trunk, 8 to 1024.
      blocks: residual blocks of two 3 × 3 convolutions, 1 to 100. Every third one, and the last,
        adds what it pools from the whole board.
      hexagonal: whether a kernel covers a cell and its six neighbours alone, and not the two other
        corners of the 3 × 3 square, which touch none of its sides; the kernel of prices is square.
      paths: maps of learnt prices for each player, 0 to 64; see `hex_ai.network.paths`. The second
        block's features are joined by what the shortest paths say; with 0 they are not.
    """

    channels: int = 64
    blocks: int = 6
    hexagonal: bool = field(default=False, metadata=ADDED_LATER)
    paths: int = field(default=0, metadata=ADDED_LATER)

    def __post_init__(self) -> None:
        settle(self, ("channels", "blocks", "paths"))
        for name, low, high in (("channels", 8, 1024), ("blocks", 1, 100), ("paths", 0, 64)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingError(f"{name} {value!r} is not a whole number from {low} to {high}")
        object.__setattr__(self, "hexagonal", flag("hexagonal", self.hexagonal))


class HexConv2d(nn.Conv2d):
    """A 3 × 3 convolution without the two corners of its kernel that touch no side of a cell."""

    def __init__(self, inputs: int, outputs: int, padding: int, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 3, padding=padding, bias=bias)
        self.taps: Tensor
        taps = torch.ones(3, 3)
        taps[0, 0] = taps[2, 2] = 0
        self.register_buffer("taps", taps, persistent=False)
        self.clear_corners()

    def clear_corners(self) -> None:
        """Sets their weights to 0. So they stay: they get no gradient, and nothing to decay."""
        self.weight.data.mul_(self.taps)

    def forward(self, x: Tensor) -> Tensor:
        """Features `[B, inputs, H, W]` to features `[B, outputs, H', W']`."""
        out: Tensor = self._conv_forward(x, self.weight * self.taps, self.bias)
        return out


def conv_3x3(inputs: int, outputs: int, padding: int, hexagonal: bool, bias: bool) -> nn.Conv2d:
    """A 3 × 3 convolution of either kind."""
    kind = HexConv2d if hexagonal else partial(nn.Conv2d, kernel_size=3)
    conv: nn.Conv2d = kind(inputs, outputs, padding=padding, bias=bias)
    return conv


class ConvNorm(nn.Module):
    """A 3 × 3 convolution and its batch norm, which folds into the convolution for inference."""

    def __init__(self, inputs: int, outputs: int, padding: int, hexagonal: bool) -> None:
        super().__init__()
        self.conv = conv_3x3(inputs, outputs, padding, hexagonal, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        if isinstance(self.conv, HexConv2d):
            self.conv.clear_corners()

    def forward(self, x: Tensor) -> Tensor:
        """Features `[B, inputs, H, W]` to normed features `[B, outputs, H', W']`."""
        out: Tensor = self.norm(self.conv(x))
        return out

    def fold(self) -> None:
        """Merges the norm's frozen statistics into the convolution."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


# The block, counted from 0, whose features the shortest paths are added to.
PATHS_AFTER = 1


class Block(nn.Module):
    """Two 3 × 3 convolutions around a residual connection, optionally with a global view."""

    def __init__(self, channels: int, pooled: bool, hexagonal: bool) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 1, hexagonal)
        self.second = ConvNorm(channels, channels, 1, hexagonal)
        self.pool = nn.Linear(2 * channels, channels) if pooled else None
        # Starting as the identity keeps deep stacks trainable from the first step.
        cast(nn.BatchNorm2d, self.second.norm).weight.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Features `[B, channels, N, N]` to features of the same shape."""
        y = torch.relu(self.first(x))
        if self.pool is not None:
            y = y + self.pool(pool_board(y))[:, :, None, None]
        return torch.relu(x + self.second(y))


def _paths(config: NetworkConfig) -> ShortestPaths:
    """Shortest paths that say nothing yet."""
    distances = ConvNorm(6 * config.paths, config.channels, 1, config.hexagonal)
    cast(nn.BatchNorm2d, distances.norm).weight.data.zero_()
    return ShortestPaths(config.channels, config.paths, distances)


def pool_board(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Mean and maximum over the board of each channel: `[B, C, N, N]` to `[B, 2 * C]`."""
    return torch.cat((x.mean((2, 3), dtype=dtype), x.amax((2, 3)).to(dtype or x.dtype)), 1)


@register_architecture("hex-resnet", NetworkConfig)
class HexNetwork(nn.Module):
    """Residual network with one set of weights for every board size.

    The first convolution takes the rim away: it reads the edges that are drawn as stones and leaves
    N × N cells, on which the trunk works. Pooled blocks and paths let far ends of the board talk.
    """

    heads = ("policy_logit", "value")

    @float32_made()
    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        channels, blocks = config.channels, config.blocks
        hexagonal = config.hexagonal
        self.stem = ConvNorm(2, channels, 0, hexagonal)
        self.blocks = nn.ModuleList(
            Block(channels, i % 3 == 2 or i == blocks - 1, hexagonal) for i in range(blocks)
        )
        self.paths = _paths(config) if config.paths else None
        self._paths_after = min(PATHS_AFTER, blocks - 1)
        self.policy = nn.Sequential(ConvNorm(channels, channels // 2, 1, hexagonal), nn.ReLU())
        # Not 1 × 1: torch runs small batches of those by another kernel, with other last bits.
        self.policy_logit = conv_3x3(channels // 2, 1, 1, hexagonal, bias=True)
        self.value = nn.Sequential(
            nn.Linear(2 * channels, channels), nn.ReLU(), nn.Linear(channels, 1)
        )

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Planes to policy logits `[B, N * N]` and values `[B]`; see the module's docstring."""
        features = torch.relu(self.stem(planes))
        for place, block in enumerate(self.blocks):
            features = block(features)
            if self.paths is not None and place == self._paths_after:
                features = torch.relu(features + self.paths(features, planes))
        exact = self.policy_logit.weight.dtype
        logits = self.policy_logit(self.policy(features).to(exact)).flatten(1)
        values = torch.tanh(self.value(pool_board(features, exact))).flatten()
        return logits, values

    def scale_win_logits(self, factor: float) -> None:
        """Multiplies the log odds of winning of every position; what is even stays even."""
        last = cast(nn.Linear, self.value[-1])
        with torch.no_grad():
            last.weight.mul_(factor)
            last.bias.mul_(factor)

    def fold_norms(self) -> None:
        """Folds every batch norm into its convolution; for evaluation only."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fold()
