"""What learning starts from: a new network, or one that is there already."""

from dataclasses import replace
from typing import Any

from torch import nn

from hex_ai.errors import SettingError
from hex_ai.network.architecture import config_of
from hex_ai.network.resnet import HexNetwork, NetworkConfig

# What is learnt from nothing unless told otherwise.
NEW_NETWORK = NetworkConfig(channels=32, blocks=6, hexagonal=True, paths=2)


def new_shape(channels: int | None, blocks: int | None) -> NetworkConfig:
    """The shape asked for; what is None is as in `NEW_NETWORK`. Errors: see `NetworkConfig`."""
    return replace(NEW_NETWORK, **_given(channels, blocks))


def network_to_train(
    start: nn.Module | None, channels: int | None = None, blocks: int | None = None
) -> nn.Module:
    """`start`, or a new network of this shape, whose weights can change.

    Raises:
      SettingError: an invalid shape, or one that `start` does not have.
    """
    if start is None:
        return HexNetwork(new_shape(channels, blocks))
    for name, value in _given(channels, blocks).items():
        if config_of(start).get(name) != value:
            raise SettingError(f"{name} {value}: the shape of a network cannot be changed")
    return start.requires_grad_(True)


def _given(channels: int | None, blocks: int | None) -> dict[str, Any]:
    both = {"channels": channels, "blocks": blocks}
    return {name: value for name, value in both.items() if value is not None}
