"""Where the wall time of self-play goes, by looking at the stacks of its threads now and then.

A thread of its own looks every 20 milliseconds at what every thread that plays or evaluates is
doing. The code it measures knows nothing of it. On a GPU a share is the host's time, which stands
where the host waits for the device.
"""

import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

PARTS = ("network", "search", "rules", "cache", "store", "waiting")

SAMPLE_SECONDS = 0.02

_PACKAGE = f"{Path(__file__).parent}/"

# Files of the package by the part that their own time counts to; all others count as search.
_PART_OF_FILE = {
    "game/positions.py": "rules",
    "inference/evaluation_cache.py": "cache",
    "inference/model_inference.py": "cache",
    "selfplay/game_log.py": "store",
    "game/records.py": "store",
}
_LOGGING = {"_log_ply", "_log_random", "_records", "write", "take", "keep"}

# Functions by which a thread is known to play or to evaluate, and what counts whole.
_WORKING = {("selfplay/game_batch.py", "play"), ("inference/global_collector.py", "_serve")}
_NETWORK = ("inference/model_inference.py", "_evaluate")
_STORE = ("store/run_folder.py", "write")


class WallShares:
    """Counts samples from `start` to `stop`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="hex-ai shares", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """The share of each part in `PARTS` of the threads' time; they add up to 1."""
        self._done.set()
        if self._thread.ident is not None:
            self._thread.join()
        total = sum(self._counts.values())
        return {part: self._counts[part] / total if total else 0.0 for part in PARTS}

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            for frame in sys._current_frames().values():
                part = part_of(frame)
                if part is not None:
                    self._counts[part] += 1


def part_of(frame: FrameType | None) -> str | None:
    """What a thread is busy with, from its innermost frame; None if it does not play."""
    innermost = frame.f_code.co_filename if frame else ""
    stack = []
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_PACKAGE):
            stack.append((name[len(_PACKAGE) :], frame.f_code.co_name))
        frame = frame.f_back
    if _STORE in stack:
        return "store"
    if not _WORKING.intersection(stack):
        return None
    if innermost == threading.__file__:
        return "waiting"
    if _NETWORK in stack:
        return "network"
    file, function = stack[0]
    if file == "selfplay/game_batch.py" and function in _LOGGING:
        return "store"
    return _PART_OF_FILE.get(file, "search")
