"""Networks that grow: a larger one that answers as a smaller one does, and can learn more."""

from torch import Tensor, nn

from hex_ai.errors import SettingError
from hex_ai.network.resnet import HexNetwork, NetworkConfig

# What is learnt from nothing unless told otherwise.
NEW_NETWORK = NetworkConfig(channels=32, blocks=6)


def shape_like(usual: NetworkConfig, channels: int | None, blocks: int | None) -> NetworkConfig:
    """The shape asked for; what is None is as in `usual`. Errors: see `NetworkConfig`."""
    return NetworkConfig(
        usual.channels if channels is None else channels,
        usual.blocks if blocks is None else blocks,
    )


def shaped(network: nn.Module | None, channels: int | None, blocks: int | None) -> nn.Module:
    """A new network of this shape, or `network`, grown to it if one is asked for.

    Raises:
      SettingError: a shape for another kind of network; else see `NetworkConfig` and `grown`.
    """
    if network is None:
        return HexNetwork(shape_like(NEW_NETWORK, channels, blocks))
    if channels is None and blocks is None:
        return network
    if not isinstance(network, HexNetwork):
        raise SettingError(f"only a {HexNetwork.__name__} can grow")
    return grown(network, shape_like(network.config, channels, blocks))


def grown(network: HexNetwork, shape: NetworkConfig) -> HexNetwork:
    """A larger network that computes the same function in evaluation mode.

    New channels begin with random weights on their way in and with zeros on their way to the old
    ones; new blocks begin as the identity. Both go back to Net2Net (Chen, Goodfellow, Shlens 2016).

    Raises:
      SettingError: the shape is smaller in one way, or adds blocks to a number that is no multiple
        of 3: the last block, which pools the board, would pool it no more.
    """
    old = network.config
    if shape.channels < old.channels or shape.blocks < old.blocks:
        raise SettingError(
            f"{shape.channels} channels and {shape.blocks} blocks are fewer than the "
            f"{old.channels} and {old.blocks} to grow from"
        )
    if shape.blocks > old.blocks and old.blocks % 3:
        raise SettingError(f"only a multiple of 3 blocks can grow, not {old.blocks}")
    larger = HexNetwork(shape)
    targets = larger.state_dict()
    for name, weights in network.state_dict().items():
        target = targets[name]
        if _reads_pool(network, name):
            weights, target = weights.unflatten(1, (2, -1)), target.unflatten(1, (2, -1))
        _put(weights, target)
    return larger.train(network.training)


def _reads_pool(network: HexNetwork, name: str) -> bool:
    """Whether these weights read what `pool_board` gives: all means, then all maxima."""
    owner, _, kind = name.rpartition(".")
    module = network.get_submodule(owner)
    wide = isinstance(module, nn.Linear) and module.in_features == 2 * network.config.channels
    return wide and kind == "weight"


def _put(weights: Tensor, target: Tensor) -> None:
    """Copies weights to the first places of a larger tensor; the old rows read nothing new."""
    if weights.dim() > 1:
        target[: len(weights)] = 0
    target[tuple(map(slice, weights.shape))] = weights
