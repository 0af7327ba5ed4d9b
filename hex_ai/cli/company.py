"""How torch's threads wait, which has to be settled before torch is loaded.

The threads of an operation spin while they wait for the last of them, which is the fastest way on
cores that nobody else uses. Where another program keeps one of them from running, all others spin
in vain, and whatever torch does takes several times as long; threads that sleep lose little then.
"""

import os
import sys
import time
from pathlib import Path

# Whoever has set one of these has chosen.
_CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")

# For so long the machine is looked at, in seconds.
_LOOK = 0.1

# Processors that others keep busy, from which on they are company.
_BUSY = 0.4


def wait_in_company() -> None:
    """Lets threads sleep while they wait if other programs are at work now, and says so."""
    if any(name in os.environ for name in _CHOICES) or _busy_processors() < _BUSY:
        return
    os.environ["OMP_WAIT_POLICY"] = "passive"
    if sys.stderr is not None:
        line = "other programs are at work: threads sleep while they wait (OMP_WAIT_POLICY=passive)"
        print(line, file=sys.stderr, flush=True)


def _busy_processors() -> float:
    """How many processors are at work, by a short look; 0 where the system does not tell."""
    before, started = _busy_seconds(), time.monotonic()
    if before is None:
        return 0.0
    time.sleep(_LOOK)
    after = _busy_seconds()
    return 0.0 if after is None else (after - before) / (time.monotonic() - started)


def _busy_seconds() -> float | None:
    """Seconds that all processors have worked, together, for this system or for its neighbours."""
    try:
        name, *ticks = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        user, nice, system, _, _, interrupts, soft, stolen = map(int, ticks[:8])
    except (OSError, ValueError):
        return None
    busy = user + nice + system + interrupts + soft + stolen
    return busy / os.sysconf("SC_CLK_TCK") if name == "cpu" else None
