"""Checkpoints: a network's architecture, settings and weights in one file, read and written safely.

The format is our own and holds data only, so that loading never runs code; `docs/checkpoint.md`
describes it byte by byte:

    magic, header length, header (JSON), checksum, the tensors' bytes, checksum, end

A checksum is the SHA-256 of every byte before it. Each step of loading trusts only what the steps
before it have checked, and no memory is taken for more bytes than have come.
"""

import hashlib
import json
import math
import os
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import hex_ai.network.resnet
import hex_ai.network.resnet18  # noqa: F401  (known by name once imported)
from hex_ai.errors import CheckpointError, SettingError
from hex_ai.network.architecture import architecture, architecture_of, config_of
from hex_ai.network.weight_files import (
    LIMIT,
    Source,
    Spec,
    StrPath,
    named,
    open_source,
    require_finite,
    require_fit,
    specs,
    write_atomically,
)

MAGIC = b"hex_ai checkpoint\n"
FORMAT = "hex_ai-checkpoint"
VERSION = 1
HEADER_LIMIT = 2**22
CHECKSUM_BYTES = 32

_LENGTH_BYTES = 8
_MOST_AXES = 8
_HEADER_TYPES = {
    "format": str,
    "version": int,
    "architecture": str,
    "config": dict,
    "tensors": list,
    "training": dict,
}
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    )
}


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
      network: on the CPU, in evaluation mode.
      architecture: the name it is registered under.
      config: the settings it was made from.
      training: whatever notes were saved with it.
      digest: 64 hex digits for architecture, settings and weights, whatever the notes and the file.
    """

    network: nn.Module
    architecture: str
    config: dict[str, Any]
    training: dict[str, Any]
    digest: str


def save_checkpoint(
    path: StrPath, network: nn.Module, training: dict[str, Any] | None = None
) -> str:
    """Writes a network to `path`, wholly or not at all, and returns its digest.

    Args:
      path: ends in `.pt.gz` (gzip-ed) or `.pt` (plain). Equal content gives equal bytes.
      network: of a registered architecture, on any device.
      training: notes on where it comes from: plain numbers, strings, lists and dicts.

    Raises:
      SettingError: another ending, a class that is not registered, notes or settings that JSON
        cannot say.
      CheckpointError: weights that are not finite or not those of the architecture, or a file
        that cannot be written.
    """
    packed = _is_packed(path)
    header, state = _contents(network, training or {})
    with named(path):
        _require_room(header, specs(state))
        _require_fit(header, specs(state))
        require_finite(state)
        write_atomically(path, _pieces(header, state), packed)
    return _digest(header, state)


def require_checkpoint_path(path: StrPath) -> None:
    """Raises what `save_checkpoint` would raise for the path alone, before work is put into it.

    Raises:
      SettingError: an ending that is neither `.pt` nor `.pt.gz`; CheckpointError: no such folder.
    """
    _is_packed(path)
    if not Path(path).parent.is_dir():
        raise CheckpointError(f"{os.fspath(path)}: there is no folder {Path(path).parent}")


def load_checkpoint(path: StrPath) -> Checkpoint:
    """Reads a checkpoint, packed or plain whatever its name, without running anything in it.

    The architecture must be registered: a network of your own needs its module imported first.

    Raises:
      CheckpointError: anything else than a whole, undamaged checkpoint of a known architecture;
        the message names the path and the reason.
    """
    with open_source(path) as source:
        checked = _Checked(source)
        header = _read_header(checked)
        table = _table(header)
        _require_fit(header, table)
        state = {name: _read_tensor(checked, name, *spec) for name, spec in table.items()}
        checked.require_checksum()
        if source.read(1):
            raise CheckpointError("goes on after its last checksum")
        require_finite(state)
        name, config = header["architecture"], header["config"]
        network = _blank(name, config, "cpu")
        network.load_state_dict(state)
    return Checkpoint(network.eval(), name, config, header["training"], _digest(header, state))


def network_digest(network: nn.Module) -> str:
    """The digest that a checkpoint of this network has: 64 hex digits.

    Raises:
      SettingError: a class that is not registered, or settings that JSON cannot say.
    """
    return _digest(*_contents(network, {}))


class _Checked:
    """A source that keeps the checksum of all that was taken from it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sha = hashlib.sha256()

    def take(self, count: int) -> bytearray:
        data = self._source.take(count)
        self._sha.update(data)
        return data

    def require_checksum(self) -> None:
        """Takes the checksum that comes next, which must be that of everything before it."""
        if self._sha.digest() != self.take(CHECKSUM_BYTES):
            raise CheckpointError("is damaged: a checksum does not agree with the bytes before it")


def _is_packed(path: StrPath) -> bool:
    name = os.fspath(path)
    if not name.endswith((".pt.gz", ".pt")):
        raise SettingError(f"a checkpoint ends in .pt.gz or .pt, not as {name!r}")
    return name.endswith(".gz")


def _contents(
    network: nn.Module, training: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors that stand for a network and its notes."""
    kind, config, state = architecture_of(network), config_of(network), network.state_dict()
    _require_plain(f"the config of {kind.name}", config)
    _require_plain("training", training)
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor) or tensor.dtype not in _DTYPES.values():
            raise SettingError(f"a checkpoint has no room for {name!r} of {kind.name}")
    tensors = [
        {"name": name, "dtype": str(dtype).removeprefix("torch."), "shape": list(shape)}
        for name, (dtype, shape) in specs(state).items()
    ]
    header = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": kind.name,
        "config": config,
        "tensors": tensors,
        "training": training,
    }
    return header, state


def _require_plain(what: str, data: dict[str, Any]) -> None:
    """Refuses what would not come back from JSON as it went in."""
    try:
        plain = isinstance(data, dict) and json.loads(_json(data)) == data
    except (TypeError, ValueError, RecursionError):
        plain = False
    if not plain:
        raise SettingError(
            f"{what} must be a dict of finite numbers, strings, lists and dicts with string keys"
        )


def _json(data: Any) -> bytes:
    """The one spelling of `data`: sorted keys, no spaces, ASCII, finite numbers only."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def _prefix(header: dict[str, Any]) -> bytes:
    raw = _json(header)
    return MAGIC + len(raw).to_bytes(_LENGTH_BYTES, "little") + raw


def _pieces(header: dict[str, Any], state: Mapping[str, Tensor]) -> Iterator[bytes]:
    """The bytes of a checkpoint from first to last; the last piece is the last checksum."""
    prefix = _prefix(header)
    sha = hashlib.sha256(prefix)
    checksum = sha.digest()
    sha.update(checksum)
    yield prefix + checksum
    for tensor in state.values():
        raw = _raw(tensor)
        sha.update(raw)
        yield raw
    yield sha.digest()


def _digest(header: dict[str, Any], state: Mapping[str, Tensor]) -> str:
    """The last checksum that these contents have without notes."""
    return deque(_pieces({**header, "training": {}}, state), maxlen=1).pop().hex()


def _raw(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def _read_tensor(
    checked: _Checked, name: str, dtype: torch.dtype, shape: tuple[int, ...]
) -> Tensor:
    raw = checked.take(math.prod(shape) * dtype.itemsize)
    if dtype is torch.bool and max(raw, default=0) > 1:
        raise CheckpointError(f"{name!r} holds truth values that are neither 0 nor 1")
    if not raw:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(raw, dtype=dtype).reshape(shape)


def _read_header(checked: _Checked) -> dict[str, Any]:
    """The header with its checksum, every key of the right type, in a version that we read."""
    magic = bytes(checked.take(len(MAGIC)))
    if magic != MAGIC:
        torch_made = magic.startswith((b"PK\x03\x04", b"\x80"))
        hint = ": a file of torch.save? `hex-ai import` reads those" if torch_made else ""
        raise CheckpointError(f"is not a hex_ai checkpoint{hint}")
    length = int.from_bytes(checked.take(_LENGTH_BYTES), "little")
    if length > HEADER_LIMIT:
        raise CheckpointError(f"has a header of {length} bytes, the limit is {HEADER_LIMIT}")
    raw = bytes(checked.take(length))
    checked.require_checksum()
    return _with_all_keys(_parse(raw))


def _parse(raw: bytes) -> Any:
    """JSON in its one spelling, which leaves no room for repeated keys or numbers like NaN."""
    try:
        header = json.loads(raw.decode("ascii"))
        canonical = _json(header)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"has a header that is not plain JSON: {error}") from error
    if canonical != raw:
        raise CheckpointError("has a header that is not in the canonical spelling of JSON")
    return header


def _with_all_keys(header: Any) -> dict[str, Any]:
    """The header, if it has the keys of this version and no others, each of its type."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(f"has a header that does not say {FORMAT}")
    version = header.get("version")
    if type(version) is not int or version != VERSION:
        raise CheckpointError(f"is of version {version!r}; this hex_ai reads version {VERSION}")
    for key, kind in _HEADER_TYPES.items():
        if type(header.get(key)) is not kind:
            raise CheckpointError(f"has a header whose {key!r} is missing or no {kind.__name__}")
    for key in header:
        if key not in _HEADER_TYPES:
            raise CheckpointError(f"has a header with an unknown key {key!r}")
    return header


def _table(header: dict[str, Any]) -> dict[str, Spec]:
    """The tensors' names, dtypes and shapes in the order of their bytes."""
    table: dict[str, Spec] = {}
    for entry in header["tensors"]:
        if not isinstance(entry, dict) or set(entry) != {"name", "dtype", "shape"}:
            raise CheckpointError("lists a tensor without exactly a name, a dtype and a shape")
        name, dtype, shape = entry["name"], entry["dtype"], entry["shape"]
        if not isinstance(name, str) or name in table:
            raise CheckpointError(f"lists a tensor twice or without a name: {name!r}")
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise CheckpointError(f"{name!r} has an unknown dtype {dtype!r}")
        if not _is_shape(shape):
            raise CheckpointError(f"{name!r} has no shape: {shape!r}")
        table[name] = _DTYPES[dtype], tuple(shape)
    _require_room(header, table)
    return table


def _is_shape(shape: Any) -> bool:
    if not isinstance(shape, list) or len(shape) > _MOST_AXES:
        return False
    return all(type(length) is int and 0 <= length <= LIMIT for length in shape)


def _require_room(header: dict[str, Any], table: Mapping[str, Spec]) -> None:
    """Refuses contents that pass a limit."""
    length = len(_json(header))
    if length > HEADER_LIMIT:
        raise CheckpointError(f"has a header of {length} bytes, the limit is {HEADER_LIMIT}")
    body = sum(math.prod(shape) * dtype.itemsize for dtype, shape in table.values())
    if len(MAGIC) + _LENGTH_BYTES + length + body + 2 * CHECKSUM_BYTES > LIMIT:
        raise CheckpointError(f"has tensors of {body} bytes, the limit for all is {LIMIT}")


def _require_fit(header: dict[str, Any], table: Mapping[str, Spec]) -> None:
    """Refuses tensors that are not those of the architecture with these settings."""
    skeleton = _skeleton(header["architecture"], header["config"])
    require_fit(table, specs(skeleton.state_dict()))


def _skeleton(name: str, config: dict[str, Any]) -> nn.Module:
    """A network for its names and shapes alone, if possible without memory for the weights.

    Raises:
      CheckpointError: no such architecture, or settings that it cannot be made from.
    """
    try:
        with _Unfilled():
            return _blank(name, config, "meta")
    except CheckpointError:
        # A constructor that reads its own numbers cannot run without them.
        return _blank(name, config, "cpu")


class _Unfilled(TorchFunctionMode):
    """Draws no random weights: where there is no memory for them, torch takes seconds to say so."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))


def _blank(name: str, config: dict[str, Any], device: str) -> nn.Module:
    # Untrained weights are drawn only to be replaced: the caller's random stream stays as it is.
    try:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            return architecture(name).network(config)
    except (ArithmeticError, RuntimeError, ValueError) as error:
        raise CheckpointError(str(error)) from error


def default_model_path() -> Path:
    """The network that comes with the package."""
    return Path(str(files("hex_ai") / "network" / "default.pt.gz"))
