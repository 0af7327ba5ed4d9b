"""How much memory there is, asked before much of it is taken.

A process that takes more than there is may be ended without a word, so what is known to be too much
is refused before. What is wanted is estimated low: nothing is refused that would have worked.
"""

import resource
from collections.abc import Iterator
from pathlib import Path

import torch

from hex_ai.errors import MemoryShortError

# A limit of 8 EiB or so is how the kernel says that there is none.
_NO_LIMIT = 2**60

# For each version of control groups: the limit, what is in use, and in `memory.stat` what of that
# are copies of files, which the kernel gives back.
_CGROUP_FILES = {
    "": ("memory.max", "memory.current", "file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"),
}


def require_memory(wanted: int, device: torch.device, what: str) -> None:
    """Raises `MemoryShortError` if `what` want more memory than this process can have.

    Args:
      wanted: bytes.
      device: where they are taken.
      what: begins the message, in the plural.
    """
    available = available_memory(device)
    if available is not None and wanted > available:
        raise MemoryShortError(
            f"{what} want {wanted / 1e9:.1f} GB of memory at least, {available / 1e9:.1f} are free"
        )


def available_memory(device: torch.device) -> int | None:
    """Bytes that this process can still take on a device; None where the system does not say."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + held
    machine = _read_fields(Path("/proc/meminfo"))
    swap = machine.get("SwapFree:", 0) * 1024
    limits = [free + swap for free in _free_in_cgroups()]
    if "MemAvailable:" in machine:
        limits.append(machine["MemAvailable:"] * 1024 + swap)
    limits += _free_addresses()
    return max(0, min(limits)) if limits else None


def _free_addresses() -> Iterator[int]:
    """Bytes of address space that `ulimit -v` leaves, if it is set."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        pages = _numbers(Path("/proc/self/statm"))
        yield most - (pages[0] if pages else 0) * resource.getpagesize()


def _free_in_cgroups() -> Iterator[int]:
    """Bytes that each control group of this process, and each above it, leaves."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, inside = line.split(":", 2)
        for name in {"", "memory"} & set(controllers.split(",")):
            root = Path("/sys/fs/cgroup") / name
            group = root / inside.lstrip("/")
            # Within a container its own group is the root, whatever the name that it has outside.
            for folder in {root, *(p for p in (group, *group.parents) if root in p.parents)}:
                yield from _free_in(folder, *_CGROUP_FILES[name])


def _free_in(folder: Path, most: str, used: str, files: str) -> Iterator[int]:
    limit, usage = _numbers(folder / most), _numbers(folder / used)
    if limit and usage and limit[0] < _NO_LIMIT:
        yield limit[0] - usage[0] + _read_fields(folder / "memory.stat").get(files, 0)


def _read_fields(path: Path) -> dict[str, int]:
    """Names and numbers of a file that has one of each a line."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _numbers(path: Path) -> list[int]:
    return [int(word) for word in _text(path).split() if word.isdecimal()]


def _text(path: Path) -> str:
    """Nothing where there is no such file, as on systems that are not Linux."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
