"""Converted networks that are kept from one run to the next, in the user's cache folder.

A file is known by everything that its content follows from: the weights, the size of the boards,
the precision, the versions, and the source files that say how a network is run and converted.
Networks of other packages are not kept, for nobody can tell what their code depends on.
"""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from hex_ai.atomic_files import atomic_file
from hex_ai.errors import StoreError
from hex_ai.inference.user_cache import user_cache

log = logging.getLogger(__name__)

# Bytes of all that are kept. Those that were not used for the longest time go first.
MOST_BYTES = 256 * 2**20

_PACKAGES = ("openvino", "nncf", "torch")

_FOLDER = "networks"


class KeptConversion:
    """The place of one converted network.

    Args:
      path: of its file; None if it is not to be kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> dict[str, bytes] | None:
        """What `write` was given, if it is there and whole."""
        if self._path is None or not self._path.exists():
            return None
        try:
            content = load_file(self._path)
            os.utime(self._path)
        except (OSError, SafetensorError) as error:
            log.warning("%s: cannot be read, converting the network anew: %s", self._path, error)
            return None
        return {name: part.numpy().tobytes() for name, part in content.items()}

    def write(self, content: dict[str, bytes]) -> None:
        """Keeps the content; where that fails, with a warning, the next run has to convert."""
        if self._path is None:
            return
        parts = {
            name: torch.frombuffer(bytearray(part), dtype=torch.uint8)
            for name, part in content.items()
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self._path) as file:
                file.write(save(parts))
            _drop_oldest(self._path.parent)
        except OSError as error:
            log.warning("%s: the converted network is not kept: %s", self._path, error.strerror)


def kept_conversion(network: nn.Module, shape: Sequence[int], precision: str) -> KeptConversion:
    """The place for a network that is converted for planes of a shape, in a precision."""
    if not type(network).__module__.startswith("hex_ai.network."):
        return KeptConversion(None)
    known_by = [list(shape), precision, _versions(), _sources(), _digest(network)]
    key = hashlib.sha256(json.dumps(known_by).encode()).hexdigest()[:32]
    try:
        return KeptConversion(user_cache() / _FOLDER / f"{key}.safetensors")
    except StoreError as error:
        log.warning("converted networks are not kept: %s", error)
        return KeptConversion(None)


def _digest(network: nn.Module) -> str:
    """Of a network's kind and of its weights as they are now."""
    digest = hashlib.sha256(repr((type(network).__name__, str(network))).encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _versions() -> list[str]:
    found = []
    for package in _PACKAGES:
        try:
            found.append(version(package))
        except PackageNotFoundError:
            found.append("")
    return found


@cache
def _sources() -> str:
    """Digest of the files that say how a network is run, converted and calibrated."""
    package = Path(__file__).parent.parent
    files = [*package.glob("network/*.py"), *package.glob("inference/*.py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def _drop_oldest(folder: Path) -> None:
    """Removes files until the rest has no more than `MOST_BYTES`."""
    used, total = sorted(folder.glob("*.safetensors"), key=_last_used, reverse=True), 0
    for path in used:
        total += path.stat().st_size
        if total > MOST_BYTES:
            path.unlink(missing_ok=True)


def _last_used(path: Path) -> float:
    return path.stat().st_mtime
