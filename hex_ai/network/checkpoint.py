"""Checkpoints: a network's architecture, settings and weights in one file of safetensors.

Such a file holds data only, so loading never runs code. Its metadata name the architecture, and a
SHA-256 of all that the file says. Files of format 1, our own before that, are read as well.
docs/checkpoint.md describes both.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import hex_ai.network.resnet
import hex_ai.network.resnet18  # noqa: F401  (known by name once imported)
from hex_ai.atomic_files import atomic_file
from hex_ai.errors import CheckpointError, SettingError
from hex_ai.network.architecture import architecture, architecture_of, config_of, unwrapped
from hex_ai.network.import_weights import told_content
from hex_ai.network.told_weights import told_tensors
from hex_ai.network.torch_state import undisturbed
from hex_ai.network.weight_files import (
    LIMIT,
    Source,
    StrPath,
    named,
    open_source,
    require_finite,
    require_fit,
    specs,
)

FORMAT, VERSION = "hex_ai-checkpoint", "2"

MAGIC_1 = b"hex_ai checkpoint\n"
CHECKSUM_BYTES = 32
# The most bytes of settings and notes, and of the header of a file of format 1: 4 MiB.
HEADER_LIMIT = 2**22

_METADATA = {"format", "version", "architecture", "config", "training", "sha256"}
_LENGTH_BYTES = 8
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}

State = Mapping[str, Tensor]


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


def default_model_path() -> Path:
    """The network that comes with the package."""
    return Path(str(files("hex_ai") / "network" / "default.safetensors"))


def save_checkpoint(
    path: StrPath, network: nn.Module, training: dict[str, Any] | None = None
) -> str:
    """Writes a network to `path`, wholly or not at all, and returns its digest.

    Args:
      path: usually ends in `.safetensors`. Equal content gives equal bytes.
      network: of a registered architecture, on any device.
      training: notes on where it comes from: plain numbers, strings, lists and dicts.

    Raises:
      SettingError: a class that is not registered, notes or settings that JSON cannot say.
      CheckpointError: weights that are not finite or not those of the architecture, or a file
        that cannot be written.
    """
    name, config, training = architecture_of(network).name, config_of(network), training or {}
    _require_plain(f"the config of {name}", config)
    _require_plain("training notes", training)
    state = _state(network)
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": name,
        "config": _json(config).decode(),
        "training": _json(training).decode(),
        "sha256": _digest(name, config, state, training),
    }
    with named(path):
        if (length := sum(map(len, metadata.values()))) > HEADER_LIMIT:
            raise CheckpointError(f"has notes of {length} bytes, the limit is {HEADER_LIMIT}")
        require_fit(specs(state), specs(_skeleton(name, config).state_dict()))
        require_finite(state)
        data = _with_sorted_header(safetensors.torch.save(state, metadata))
        if len(data) > LIMIT:
            raise CheckpointError(f"would have {len(data)} bytes, the limit is {LIMIT}")
        with atomic_file(Path(path)) as file:
            file.write(data)
    return _digest(name, config, state)


def require_checkpoint_path(path: StrPath) -> None:
    """Raises `CheckpointError` if there is no folder for the file, before work is put into it."""
    if not Path(path).parent.is_dir():
        raise CheckpointError(f"{os.fspath(path)}: there is no folder {Path(path).parent}")


@undisturbed(gradients=True)
def load_checkpoint(path: StrPath) -> Checkpoint:
    """Reads a checkpoint of either format, whatever its name, without running anything in it.

    The architecture must be known: see `hex_ai.network.architecture`.

    Args:
      path: of a file; `shipped`, where no file has that name, is the network of the package.

    Raises:
      CheckpointError: anything else than a whole, undamaged checkpoint of a known architecture;
        the message names the path and the reason.
    """
    if os.fspath(path) == "shipped" and not Path(path).exists():
        path = default_model_path()
    with open_source(path) as source:
        start = source.start(len(MAGIC_1))
        if start == MAGIC_1:
            read = _read_format_1
        elif start[_LENGTH_BYTES:].startswith(b"{") and not source.is_packed:
            read = _read_safetensors
        else:
            torch_made = start.startswith((b"PK\x03\x04", b"\x80"))
            raise CheckpointError(f"is not a checkpoint{_hint(path) if torch_made else ''}")
        try:
            return _checked(*read(source))
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"is not a checkpoint, or is damaged: {error}") from error


def network_digest(network: nn.Module) -> str:
    """The digest that a checkpoint of this network has: 64 hex digits.

    Raises:
      SettingError: a class that is not registered, or settings that JSON cannot say.
    """
    name, config = architecture_of(network).name, config_of(network)
    _require_plain(f"the config of {name}", config)
    return _digest(name, config, _state(network))


def _hint(path: StrPath) -> str:
    """What to do with a file of `torch.save`, and what is in it."""
    try:
        return f": `hex-ai import` reads files of torch.save; this one {told_content(path)}"
    except CheckpointError as error:
        reason = str(error).removeprefix(f"{os.fspath(path)!r}: ")
        return f": `hex-ai import` reads files of torch.save, but this one {reason}"


# Architecture, config, training notes, tensors and checksum, as a file has them.
Contents = tuple[str, dict[str, Any], dict[str, Any], dict[str, Tensor], str]


def _checked(
    name: str, config: dict[str, Any], training: dict[str, Any], state: State, checksum: str
) -> Checkpoint:
    """The checkpoint of these contents, if they are whole and fit their architecture."""
    wanted = _skeleton(name, config).state_dict()
    require_fit(specs(state), specs(wanted))
    state = {key: state[key] for key in wanted}
    if _digest(name, config, state, training) != checksum:
        raise CheckpointError("is damaged: its SHA-256 is another")
    require_finite(state)
    config = architecture(name).completed(config, training)
    network = _untrained(name, config, "cpu")
    network.load_state_dict(state)
    return Checkpoint(network.eval(), name, config, training, _digest(name, config, state))


def _read_safetensors(source: Source) -> Contents:
    data = bytes(source.rest())
    try:
        state = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"is damaged: {error}") from error
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "little")
    about = json.loads(data[_LENGTH_BYTES:end]).get("__metadata__") or {}
    if about.get("format") != FORMAT:
        told = f": it {told_tensors(state)}" if state else ""
        raise CheckpointError(f"holds tensors, but no {FORMAT}{told}")
    if about.get("version") != VERSION:
        version = about.get("version")
        raise CheckpointError(f"is of version {version!r}; this hex_ai reads {VERSION!r}")
    if odd := sorted(about.keys() ^ _METADATA):
        raise CheckpointError(f"has metadata where {odd[0]!r} is missing or unknown")
    config, training = (_dict(json.loads(about[key])) for key in ("config", "training"))
    return about["architecture"], config, training, state, about["sha256"]


def _read_format_1(source: Source) -> Contents:
    """Magic, header length, header (JSON), its SHA-256, the tensors' bytes, SHA-256 of it all."""
    start = source.take(len(MAGIC_1) + _LENGTH_BYTES)
    length = int.from_bytes(start[len(MAGIC_1) :], "little")
    if length > HEADER_LIMIT:
        raise CheckpointError(f"has a header of {length} bytes, the limit is {HEADER_LIMIT}")
    raw = source.take(length)
    if source.take(CHECKSUM_BYTES) != hashlib.sha256(start + raw).digest():
        raise CheckpointError("is damaged: the SHA-256 of its header is another")
    header = json.loads(raw)
    if header["version"] != 1:
        raise CheckpointError(f"is of version {header['version']!r}, which nobody reads")
    table = {
        each["name"]: (_DTYPES[each["dtype"]], tuple(each["shape"])) for each in header["tensors"]
    }
    name, config, training = header["architecture"], _dict(header["config"]), header["training"]
    require_fit(table, specs(_skeleton(name, config).state_dict()))
    state = {key: _read_tensor(source, *spec) for key, spec in table.items()}
    checksum = source.take(CHECKSUM_BYTES).hex()
    if source.start(1):
        raise CheckpointError("goes on after its last checksum")
    return name, config, _dict(training), state, checksum


def _read_tensor(source: Source, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    raw = source.take(math.prod(shape) * dtype.itemsize)
    # An empty buffer is none to torch.
    return torch.frombuffer(raw or bytearray(8), dtype=dtype)[: math.prod(shape)].reshape(shape)


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.40} is no dict")
    return value


def _state(network: nn.Module) -> dict[str, Tensor]:
    """The network's tensors on the CPU, none sharing memory with another."""
    state = {}
    for name, tensor in unwrapped(network).state_dict().items():
        name = name.replace("_orig_mod.", "")  # a part of it may be compiled
        if not isinstance(tensor, Tensor) or tensor.dtype not in _DTYPES.values():
            raise SettingError(f"a checkpoint has no room for {name!r}")
        state[name] = tensor.detach().to("cpu", copy=True).contiguous()
    return state


def _digest(
    name: str, config: dict[str, Any], state: State, training: dict[str, Any] | None = None
) -> str:
    """The SHA-256 of contents: the last checksum of a file of format 1 that held them."""
    tensors = [
        {"name": key, "dtype": str(dtype).removeprefix("torch."), "shape": list(shape)}
        for key, (dtype, shape) in specs(state).items()
    ]
    about = {"format": FORMAT, "version": 1, "architecture": name, "config": config}
    header = _json(about | {"tensors": tensors, "training": training or {}})
    sha = hashlib.sha256(MAGIC_1 + len(header).to_bytes(_LENGTH_BYTES, "little") + header)
    sha.update(sha.digest())
    for tensor in state.values():
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _with_sorted_header(data: bytes) -> bytes:
    """A file of safetensors with the keys of its header sorted; the library's order is random."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    header = _json(json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length]))
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of 8
    return len(header).to_bytes(_LENGTH_BYTES, "little") + header + data[_LENGTH_BYTES + length :]


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


def _skeleton(name: str, config: dict[str, Any]) -> nn.Module:
    """A network for its names and shapes alone, without memory for the weights where possible."""
    try:
        with _Unfilled():
            return _untrained(name, config, "meta")
    except CheckpointError:
        # A constructor that reads its own numbers cannot run without them.
        return _untrained(name, config, "cpu")


def _untrained(name: str, config: dict[str, Any], device: str) -> nn.Module:
    # Weights are drawn only to be replaced: the caller's random stream stays as it is.
    try:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            return architecture(name).network(config)
    except (ArithmeticError, RuntimeError, ValueError) as error:
        raise CheckpointError(str(error)) from error


class _Unfilled(TorchFunctionMode):
    """Leaves weights as they are where random numbers would be drawn.

    On the meta device torch loads its compiler to draw them, which takes seconds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))
