"""What OpenVINO and NNCF do to a whole process, kept away from it."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_TELEMETRY = "openvino_telemetry"

Answer = TypeVar("Answer")


@contextlib.contextmanager
def telemetry_hidden() -> Iterator[None]:
    """Inside, OpenVINO and NNCF are imported as if their telemetry were not installed.

    It would fork a process from a thread at the import alone, to tell the makers over the network.
    """
    before = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is not None:  # else nobody has asked for it, and it stays hidden
            sys.modules[_TELEMETRY] = before


def in_a_thread(call: Callable[[], Answer]) -> Answer:
    """What a call gives that is made in a thread which then ends.

    OpenVINO's plugin for processors gives the thread that loads it a stack for its signals, and
    takes it back when the plugin goes. Plugins that do not go in the order in which they came leave
    a stack that is gone, and the next signal, be it Ctrl-C, ends the process.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()
