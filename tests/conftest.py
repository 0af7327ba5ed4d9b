"""What all tests share: the device they run on and how much of a long sweep they do."""

import os
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from inference_toys import TEST_DEVICE

# Whatever imports OpenVINO, nobody is told of tests.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

# A GPU that the tests are not for is hidden, so that `auto` means the same on every machine.
if TEST_DEVICE == "cpu":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Plans that this machine's user has remembered are no matter of the tests."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where tensors live: `HEX_AI_TEST_DEVICE`, or else the CPU."""
    return torch.device(TEST_DEVICE)


@pytest.fixture(scope="session")
def share() -> Callable[[int, int], int]:
    """`share(few, whole)`: the length of a sweep, whole only with `HEX_AI_TEST_ALL=1`."""
    run_all = os.environ.get("HEX_AI_TEST_ALL") == "1"
    return lambda few, whole: whole if run_all else few


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks this small are slower with two threads, and much slower beside another process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
