"""Keeps what a caller has set in torch away from what is computed here.

`torch.autocast`, `torch.inference_mode` and `torch.no_grad` hold for all that runs within them, and
`torch.set_default_dtype` for the whole process. None of them may change a game or a network.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def undisturbed(*, gradients: bool = False) -> Iterator[None]:
    """Inside, no autocast and no inference mode are in force, and gradients are recorded or not.

    Also a decorator. Tensors made inside can be changed later on, inside and outside.
    """
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(gradients),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield


@contextmanager
def float32_made() -> Iterator[None]:
    """Inside, layers and tensors that name no type are float32. Also a decorator.

    The type is the whole process's: for short spans in which networks are made.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
