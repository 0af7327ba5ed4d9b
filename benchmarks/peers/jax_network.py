"""`HexNetwork` with its norms folded, in plain JAX. Channels last, which XLA's CPU code prefers."""

from typing import Any

import jax
import jax.numpy as jnp
from common import Setup, make_network
from jax import Array
from torch import nn

from hex_ai.network.architecture import for_inference
from hex_ai.network.resnet import Block

Weights = dict[str, Any]


def copied_weights(setup: Setup, precision: str) -> Weights:
    """The torch network's weights, as `forward` takes them."""
    network: Any = for_inference(make_network(setup))
    weights = {
        "stem": _conv(network.stem.conv),
        "blocks": [_block(block) for block in network.blocks],
        "policy": _conv(network.policy[0].conv),
        "policy_logit": _conv(network.policy_logit),
        "value": [_dense(network.value[0]), _dense(network.value[2])],
    }
    return jax.tree.map(lambda array: jnp.asarray(array, precision), weights)


def forward(weights: Weights, planes: Array) -> tuple[Array, Array]:
    """Planes `[B, N + 2, N + 2, 2]` to policy logits `[B, N * N]` and values `[B]`, in float32."""
    features = jax.nn.relu(_convolve(planes, weights["stem"], "VALID"))
    for block in weights["blocks"]:
        features = _residual(features, block)
    hidden = jax.nn.relu(_convolve(features, weights["policy"]))
    logits = _convolve(hidden, weights["policy_logit"]).reshape(len(planes), -1)
    first, last = weights["value"]
    values = jnp.tanh(_linear(jax.nn.relu(_linear(_pool(features), first)), last))[:, 0]
    return logits.astype(jnp.float32), values.astype(jnp.float32)


def _residual(x: Array, block: Weights) -> Array:
    y = jax.nn.relu(_convolve(x, block["first"]))
    if "pool" in block:
        y = y + _linear(_pool(y), block["pool"])[:, None, None]
    return jax.nn.relu(x + _convolve(y, block["second"]))


def _convolve(x: Array, layer: Weights, padding: str = "SAME") -> Array:
    layout = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(x, layer["kernel"], (1, 1), padding, dimension_numbers=layout)
    return y + layer["bias"]


def _linear(x: Array, layer: Weights) -> Array:
    return x @ layer["kernel"] + layer["bias"]


def _pool(x: Array) -> Array:
    return jnp.concatenate((x.mean((1, 2)), x.max((1, 2))), 1)


def _block(block: Block) -> Weights:
    layers = {"first": _conv(block.first.conv), "second": _conv(block.second.conv)}
    return layers if block.pool is None else layers | {"pool": _dense(block.pool)}


def _conv(layer: nn.Conv2d) -> Weights:
    kernel = layer.weight.detach().permute(2, 3, 1, 0)
    return {"kernel": kernel.numpy(), "bias": layer.bias.detach().numpy()}


def _dense(layer: nn.Linear) -> Weights:
    return {"kernel": layer.weight.detach().T.numpy(), "bias": layer.bias.detach().numpy()}
