"""Networks: what every network is to the rest of hex_ai, and the one we ship.

A network is any `torch.nn.Module` registered under a name with `register_architecture`. It maps
planes to a policy and a value:

    planes         floating point `[B, 2, N + 2, N + 2]`, see `Positions.planes`
    policy_logits  floating point `[B, N * N]`, raw and unmasked, cells as the mover sees them
    values         floating point `[B]` in [-1, 1], the mover's view

and is made from a frozen dataclass of plain numbers, its config.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hex_ai.errors import SettingError

ConfigClass = type[Any]
Module = Callable[[Any], nn.Module]


@dataclass(frozen=True)
class Architecture:
    """A kind of network: its name, the dataclass of its settings, and how it is built."""

    name: str
    config_class: ConfigClass
    build: Module

    def network(self, config: dict[str, Any]) -> nn.Module:
        """An untrained network with these settings.

        Raises:
          SettingError: settings that the config class refuses or does not know.
        """
        known = {field.name for field in fields(self.config_class)}
        if set(config) - known:
            raise SettingError(f"{self.name} has no setting {sorted(set(config) - known)[0]!r}")
        try:
            return self.build(self.config_class(**config))
        except TypeError as error:
            raise SettingError(f"settings of {self.name}: {error}") from error


_ARCHITECTURES: dict[str, Architecture] = {}


def register_architecture(name: str, config_class: ConfigClass) -> Callable[[Module], Module]:
    """Class decorator that lets checkpoints of this architecture be saved and loaded by name.

    The class takes the config as its only argument and keeps it as `self.config`.
    """

    def register(build: Module) -> Module:
        _ARCHITECTURES[name] = Architecture(name, config_class, build)
        return build

    return register


def architecture(name: str) -> Architecture:
    """The architecture registered under this name.

    Raises:
      SettingError: there is none; the message lists those there are.
    """
    if name not in _ARCHITECTURES:
        raise SettingError(f"no architecture {name!r}; known: {', '.join(sorted(_ARCHITECTURES))}")
    return _ARCHITECTURES[name]


def architecture_of(network: nn.Module) -> Architecture:
    """The architecture whose class this network is.

    Raises:
      SettingError: its class was never registered.
    """
    for candidate in _ARCHITECTURES.values():
        if type(network) is candidate.build:
            return candidate
    raise SettingError(f"{type(network).__name__} is not a registered architecture")


def config_of(network: nn.Module) -> dict[str, Any]:
    """The settings that `network` was made from, as plain numbers."""
    return asdict(cast(Any, network.config))


def parameter_count(network: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(parameter.numel() for parameter in network.parameters())


def for_inference(network: nn.Module) -> nn.Module:
    """The same function for evaluation only: evaluation mode, batch norms folded if it knows how.

    A network folds by a method `fold_norms()` that changes it in place; those without are used
    as they are.
    """
    network = network.eval().requires_grad_(False)
    fold = getattr(network, "fold_norms", None)
    if fold is not None:
        fold()
    return network


def in_precision(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Gives a network this precision, in place; what it names in `heads` keeps float32.

    The heads are the small layers at its ends. A bfloat16 has too few digits for their answers:
    moves and values would tie that are not equal.
    """
    names = getattr(network, "heads", ())
    heads = {part for name in names for part in network.get_submodule(name).modules()}
    for module in network.modules():
        if module not in heads:
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if tensor.is_floating_point():
                    tensor.data = tensor.data.to(dtype)
    return network


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
