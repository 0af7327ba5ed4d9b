"""The residual network that we ship: one set of weights for every board size."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hex_ai.errors import SettingError
from hex_ai.network.architecture import register_architecture


@dataclass(frozen=True)
class NetworkConfig:
    """Settings of `HexNetwork`.

    Attributes:
      channels: features per cell in the trunk, 8 to 1024.
      blocks: residual blocks of two 3 × 3 convolutions, 1 to 100. Every third one, and the last,
        adds what it pools from the whole board.
    """

    channels: int = 64
    blocks: int = 6

    def __post_init__(self) -> None:
        for name, low, high in (("channels", 8, 1024), ("blocks", 1, 100)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise SettingError(f"{name} {value!r} is not a whole number from {low} to {high}")


class ConvNorm(nn.Module):
    """A convolution and its batch norm, which folds into the convolution for inference."""

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Features `[B, inputs, H, W]` to normed features `[B, outputs, H', W']`."""
        out: Tensor = self.norm(self.conv(x))
        return out

    def fold(self) -> None:
        """Merges the norm's frozen statistics into the convolution."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class Block(nn.Module):
    """Two 3 × 3 convolutions around a residual connection, optionally with a global view."""

    def __init__(self, channels: int, pooled: bool) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3, 1)
        self.second = ConvNorm(channels, channels, 3, 1)
        self.pool = nn.Linear(2 * channels, channels) if pooled else None
        # Starting as the identity keeps deep stacks trainable from the first step.
        cast(nn.BatchNorm2d, self.second.norm).weight.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Features `[B, channels, N, N]` to features of the same shape."""
        y = torch.relu(self.first(x))
        if self.pool is not None:
            y = y + self.pool(pool_board(y))[:, :, None, None]
        return torch.relu(x + self.second(y))


def pool_board(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Mean and maximum over the board of each channel: `[B, C, N, N]` to `[B, 2 * C]`."""
    return torch.cat((x.mean((2, 3), dtype=dtype), x.amax((2, 3)).to(dtype or x.dtype)), 1)


@register_architecture("hex-resnet", NetworkConfig)
class HexNetwork(nn.Module):
    """Residual network with one set of weights for every board size.

    The first convolution takes the rim away: it reads the edges that are drawn as stones and leaves
    N × N cells, on which the trunk works. Pooled blocks let far ends of the board talk.
    """

    heads = ("policy_logit", "value")

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        channels, blocks = config.channels, config.blocks
        self.stem = ConvNorm(2, channels, 3, 0)
        self.blocks = nn.Sequential(
            *(Block(channels, i % 3 == 2 or i == blocks - 1) for i in range(blocks))
        )
        self.policy = nn.Sequential(ConvNorm(channels, channels // 2, 3, 1), nn.ReLU())
        # Not 1 × 1: torch runs small batches of those by another kernel, with other last bits.
        self.policy_logit = nn.Conv2d(channels // 2, 1, 3, padding=1)
        self.value = nn.Sequential(
            nn.Linear(2 * channels, channels), nn.ReLU(), nn.Linear(channels, 1)
        )

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Planes to policy logits `[B, N * N]` and values `[B]`; see the module's docstring."""
        features = self.blocks(torch.relu(self.stem(planes)))
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
