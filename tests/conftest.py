"""What all tests share: the device they run on and how much of a long sweep they do."""

import os
from collections.abc import Callable

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where tensors live: `HEX_AI_TEST_DEVICE`, or else the CPU."""
    return torch.device(os.environ.get("HEX_AI_TEST_DEVICE", "cpu"))


@pytest.fixture(scope="session")
def share() -> Callable[[int, int], int]:
    """`share(few, whole)`: the length of a sweep, whole only with `HEX_AI_TEST_ALL=1`."""
    run_all = os.environ.get("HEX_AI_TEST_ALL") == "1"
    return lambda few, whole: whole if run_all else few
