"""Networks to save and files that no reader should trust: what the tests of weights share.

`forge` writes checkpoints of format 1, made from docs/checkpoint.md alone; `forge_safetensors`
those of format 2, whatever they say.
"""

import gzip
import hashlib
import io
import json
import os
import pickle
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from hex_ai.errors import CheckpointError
from hex_ai.network.resnet import HexNetwork, NetworkConfig

MAGIC = b"hex_ai checkpoint\n"
DTYPES = (
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

M = TypeVar("M", bound=nn.Module)


def small_network(seed: int = 0) -> HexNetwork:
    return scrambled(HexNetwork(NetworkConfig(8, 1)), seed)


def scrambled(network: M, seed: int) -> M:
    """The network with random weights and statistics, also where it starts with 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.fill_(seed + 7)
        elif tensor.dim() == 1:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        else:
            spread = (2 / tensor[0].numel()) ** 0.5
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * spread)
    return network.eval()


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return list(ours) == list(theirs) and all(
        tensor.dtype == theirs[name].dtype and torch.equal(tensor, theirs[name])
        for name, tensor in ours.items()
    )


def refusal(path: Path, load: Callable[[Path], Any]) -> str:
    """The message that refuses the file, which is one line and names the path."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{str(path)!r}: ")
    assert "\n" not in message
    assert len(message) < 1000
    return message


def spell(header: Any) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def forge(header: Any, body: bytes, raw_header: bytes | None = None) -> bytes:
    """A checkpoint with right checksums, whatever is in it."""
    raw = spell(header) if raw_header is None else raw_header
    start = MAGIC + len(raw).to_bytes(8, "little") + raw
    start += hashlib.sha256(start).digest()
    return start + body + hashlib.sha256(start + body).digest()


def parts_of(network: nn.Module, notes: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    state = network.state_dict()
    header = {
        "format": "hex_ai-checkpoint",
        "version": 1,
        "architecture": "hex-resnet",
        "config": {"channels": 8, "blocks": 1},
        "tensors": [
            {"name": name, "dtype": str(t.dtype).split(".")[1], "shape": list(t.shape)}
            for name, t in state.items()
        ],
        "training": notes,
    }
    body = b"".join(t.reshape(-1).view(torch.uint8).numpy() for t in state.values())
    return header, body


@dataclass(frozen=True)
class OddConfig:
    width: int = 3
    drop: float = 0.1
    name: str = "odd"


class Odd(nn.Module):
    """Every dtype, an empty tensor, a number, a buffer that is not saved, tied weights."""

    def __init__(self, config: OddConfig) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Linear(config.width, config.width)
        self.second = nn.Linear(config.width, config.width)
        self.second.weight = self.first.weight
        self.rates = [float(rate) for rate in torch.linspace(0, config.drop, 3)]
        for dtype in DTYPES:
            values = torch.arange(6).reshape(2, 3).to(dtype)
            self.register_buffer(str(dtype).replace(".", "_"), values)
        self.register_buffer("empty", torch.zeros(0, 4))
        self.register_buffer("number", torch.tensor(5))
        self.register_buffer("unsaved", torch.arange(3.0), persistent=False)


class Canary:
    """Leaves a file behind when a pickle of it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def canaries(path: Path, network: nn.Module) -> list[bytes]:
    """Pickles and torch files, bare, packed or behind our magic, that run code when trusted."""
    bare = [pickle.dumps(Canary(path), protocol) for protocol in range(6)]
    bare.append(pickle.dumps({"model_state_dict": network.state_dict(), "x": Canary(path)}))
    for zipped in (True, False):
        file = io.BytesIO()
        content = {"state_dict": network.state_dict(), "notes": [Canary(path)]}
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        bare.append(file.getvalue())
    return [*bare, *(gzip.compress(data) for data in bare), *(MAGIC + data for data in bare[:2])]


def bomb(start: bytes, gibibytes: int = 2) -> bytes:
    """A gzip stream of `start` and then zeros, far past any limit."""
    head = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS + 16)
    packed = head.compress(start) + head.flush(zlib.Z_FULL_FLUSH)
    zeros = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = zeros.compress(bytes(2**24)) + zeros.flush(zlib.Z_FULL_FLUSH)
    return packed + block * (64 * gibibytes)


def forge_safetensors(network: nn.Module, **changed: str | None) -> bytes:
    """A checkpoint of format 2 of this small network; None takes an entry of its metadata out."""
    header, body = parts_of(network, {})
    entries = {
        "format": "hex_ai-checkpoint",
        "version": "2",
        "architecture": "hex-resnet",
        "config": spell(header["config"]).decode(),
        "training": "{}",
        "sha256": forge(header, body)[-32:].hex(),
        **changed,
    }
    metadata = {name: value for name, value in entries.items() if value is not None}
    return safetensors.torch.save(dict(network.state_dict()), metadata)


def bombs(header: dict[str, Any], body: bytes) -> list[bytes]:
    whole = forge(header, body)
    nested = b"[" * 10**6
    return [
        bomb(b""),
        bomb(MAGIC),
        bomb(MAGIC + b"\xff" * 8),
        bomb(whole),
        gzip.compress(whole + bytes(3 * 2**25), 1),
        gzip.compress(gzip.compress(whole)),
        gzip.compress(forge(None, b"", nested + nested.replace(b"[", b"]"))),
        forge(None, b"", b'{"version":' + b"9" * 10**6 + b"}"),
        b"\xff" * 8 + b"{",
        (2**30).to_bytes(8, "little") + b"{" + nested,
        len(nested).to_bytes(8, "little") + nested.replace(b"[", b"{", 1),
    ]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def forgeries(header: dict[str, Any], body: bytes) -> dict[str, bytes]:
    """Files with right checksums and wrong contents, each with words of the reason wanted."""
    tensors = header["tensors"]
    first, rest = tensors[0], tensors[1:]

    def changed(**entries: Any) -> bytes:
        return forge({**header, **entries}, body)

    def with_first(**entries: Any) -> bytes:
        return changed(tensors=[{**first, **entries}, *rest])

    def without(key: str) -> bytes:
        return forge({name: header[name] for name in header if name != key}, body)

    nan = np.float32("nan").tobytes()
    return {
        "is of version 2": changed(version=2),
        "is of version None": changed(version=None),
        "damaged: 'version'": without("version"),
        "its SHA-256 is another": changed(format="other"),
        "damaged: 'architecture'": without("architecture"),
        "damaged: 'config'": without("config"),
        "damaged: 'tensors'": without("tensors"),
        "damaged: 'training'": without("training"),
        "damaged: [] is no dict": changed(config=[]),
        "damaged: its SHA-256": changed(extra=1),
        "damaged: its SHA-256 is": changed(**{"k" * 10**6: 1}),
        "no architecture 'nobody'; known: hex-resnet, resnet18": changed(architecture="nobody"),
        "unhashable": changed(architecture=[]),
        "no setting 'depth'": changed(config={"depth": 3}),
        "channels -8 is not": changed(config={"channels": -8, "blocks": 1}),
        "want [16, 2, 3, 3]": changed(config={"channels": 16, "blocks": 1}),
        "lacks the tensor 'stem.conv.weight'": forge({**header, "tensors": rest}, body[576:]),
        "holds the tensor 'more'": forge(
            {**header, "tensors": [*tensors, {**first, "name": "more"}]}, body + body[:576]
        ),
        "its SHA-256": changed(tensors=[*tensors, first]),
        "damaged: 'dtype'": changed(tensors=[{"name": "x"}]),
        "'stem.conv.weight' is [8, 18], want [8, 2, 3, 3]": with_first(shape=[8, 18]),
        "is torch.int32, want torch.float32": with_first(dtype="int32"),
        "damaged: 'complex64'": with_first(dtype="complex64"),
        "is [8, 2, -3, -3], want": with_first(shape=[8, 2, -3, -3]),
        "is [536870912], want": with_first(shape=[2**29]),
        "'stem.conv.weight' holds weights that are not finite": forge(header, nan + body[4:]),
        "is cut off": forge(header, body)[:-33],
        "goes on after its": forge(header, body + b"\0"),
        "goes on after its last": forge(header, body) + b"\0",
        "damaged: Expecting": forge(None, b"", b"{"),
        "damaged: Out of range": forge(None, body, spell(header).replace(b"0.25", b"1e999")),
        "a header of 4194305 bytes": forge(None, b"", b" " * (2**22 + 1)),
        "SHA-256 is another": forge(None, body, spell(header).replace(b",", b", ")),
    }
