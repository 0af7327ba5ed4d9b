"""The processes of actors on this machine, and waiting for what is to come."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")


def actors(of: int | None = None) -> list[int]:
    """The actors whose Ray a process has started, by default this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::GameActor"):
                found.append(int(path.parent.name))
        except OSError:  # it has ended meanwhile
            continue
    return [process for process in found if (of or os.getpid()) in ancestors(process)]


def ancestors(process: int) -> list[int]:
    """The parents of a process that still lives, theirs, and so on."""
    found = []
    while process > 1:
        try:
            status = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return []
        process = int(status.rpartition(")")[2].split()[1])
        found.append(process)
    return found


def eventually(found: Callable[[], Found]) -> Found:
    """What a function gives, once that is true."""
    until = time.monotonic() + 90
    while time.monotonic() < until:
        if result := found():
            return result
        time.sleep(0.05)
    raise AssertionError("it has not come to that")
