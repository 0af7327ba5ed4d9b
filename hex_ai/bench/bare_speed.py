"""What the hardware could do: operations of a network, the peak of a device, its name."""

import copy
import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hex_ai.game.positions import Positions

# Rows and columns of the square matrices that the peak is measured with.
_PEAK_SIDE = {"cpu": 2048, "cuda": 8192}
_PEAK_REPEATS = 5
# Products between two looks at the clock, for each of which the host waits for the device.
_PEAK_PRODUCTS = {"cpu": 1, "cuda": 20}


def flops_per_row(network: nn.Module, size: int) -> int:
    """Floating point operations of one evaluation, a multiplication and an addition being two.

    Counts matrix products and convolutions, on a board of `size`, as the convolutions are written:
    what they multiply with their own zero padding is counted too.
    """
    network = copy.deepcopy(network).eval().cpu().float()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(Positions.empty(1, size).planes())
    return int(counter.get_total_flops())


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating point operations a second of a large matrix product: the best of a few."""
    side, products = _PEAK_SIDE[device.type], _PEAK_PRODUCTS[device.type]
    one, other = torch.randn(2, side, side, device=device).to(dtype)
    best = float("inf")
    for _ in range(_PEAK_REPEATS):
        started = time.perf_counter()
        for _ in range(products):
            product = one @ other
        float(product[0, 0])  # waits for the device
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 * products / best
