"""Checkpoints come back bit for bit, or are refused by name; no code in them is run."""

import gzip
import pickle
import random
import re
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from hostile_files import (
    MAGIC,
    Odd,
    OddConfig,
    bombs,
    canaries,
    flipped,
    forge,
    forge_safetensors,
    forgeries,
    parts_of,
    refusal,
    same,
    small_network,
    spell,
)
from inference_toys import random_network
from torch import nn

from hex_ai.errors import CheckpointError, SettingError
from hex_ai.game.positions import Positions
from hex_ai.network import architecture as network_module
from hex_ai.network import checkpoint as checkpoint_module
from hex_ai.network import weight_files
from hex_ai.network.architecture import config_of, register_architecture
from hex_ai.network.checkpoint import (
    default_model_path,
    load_checkpoint,
    network_digest,
    save_checkpoint,
)
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.network.resnet18 import ResNet18, ResNet18Config

PAGE = Path(__file__).parent.parent / "docs" / "checkpoint.md"
CONFIG = {"channels": 8, "blocks": 1}
NOTES = {"games": 100_000, "loss": [0.5, 0.25], "by": "tésts", "more": {"done": True, "none": None}}


@pytest.fixture(autouse=True)
def own_register(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    known = dict(network_module._ARCHITECTURES)
    monkeypatch.setattr(network_module, "_ARCHITECTURES", known)


def test_a_network_comes_back_bit_for_bit_with_its_settings_and_notes(tmp_path: Path) -> None:
    network, path = small_network(), tmp_path / "net.safetensors"
    digest = save_checkpoint(path, network.train(), NOTES)
    loaded = load_checkpoint(path)
    assert same(loaded.network, network)
    assert not loaded.network.training
    assert (loaded.architecture, loaded.config) == ("hex-resnet", CONFIG)
    assert loaded.training == NOTES
    assert loaded.digest == digest == network_digest(network)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    planes = Positions.empty(2, 5).planes()
    for ours, theirs in zip(network.eval()(planes), loaded.network(planes), strict=True):
        assert torch.equal(ours, theirs)


def test_the_shipped_network_has_a_name_unless_a_file_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_checkpoint("shipped").digest == load_checkpoint(default_model_path()).digest
    digest = save_checkpoint("shipped", random_network(1))
    assert load_checkpoint("shipped").digest == digest


def test_settings_that_came_later_count_where_they_are_not_the_default(tmp_path: Path) -> None:
    """Networks from before there were paths keep their digests, and files without them load."""
    plain = random_network(1, hexagonal=False, paths=0)
    save_checkpoint(tmp_path / "net", plain)
    assert load_checkpoint(tmp_path / "net").config == {"channels": 8, "blocks": 2}
    assert config_of(random_network(1)) == {
        "channels": 8,
        "blocks": 2,
        "hexagonal": True,
        "paths": 1,
    }


def test_resnet18_comes_back_bit_for_bit(tmp_path: Path) -> None:
    network, path = ResNet18(ResNet18Config()), tmp_path / "net.safetensors"
    digest = save_checkpoint(path, network)
    loaded = load_checkpoint(path)
    assert same(loaded.network, network)
    assert (loaded.architecture, loaded.training) == ("resnet18", {})
    assert loaded.digest == digest


def test_the_file_is_one_of_safetensors_with_metadata_as_the_page_says(tmp_path: Path) -> None:
    network, path = small_network(), tmp_path / "net.safetensors"
    save_checkpoint(path, network, NOTES)
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[name], t) for name, t in network.state_dict().items())
    assert metadata == {
        "format": "hex_ai-checkpoint",
        "version": "2",
        "architecture": "hex-resnet",
        "config": '{"blocks":1,"channels":8}',
        "training": spell(NOTES).decode(),
        "sha256": forge(*parts_of(network, NOTES))[-32:].hex(),
    }


def test_files_of_format_1_are_read_packed_or_plain(tmp_path: Path) -> None:
    network = small_network()
    data, path = forge(*parts_of(network, NOTES)), tmp_path / "old"
    for written in (data, gzip.compress(data)):
        path.write_bytes(written)
        loaded = load_checkpoint(path)
        assert same(loaded.network, network)
        assert (loaded.config, loaded.training) == (CONFIG, NOTES)
        assert loaded.digest == network_digest(network)


def test_an_empty_tensor_of_format_1_is_read(tmp_path: Path) -> None:
    register_architecture("odd", OddConfig)(Odd)
    network = Odd(OddConfig())
    header, body = parts_of(network, {})
    config = {"width": 3, "drop": 0.1, "name": "odd"}
    (tmp_path / "old").write_bytes(forge({**header, "architecture": "odd", "config": config}, body))
    assert same(load_checkpoint(tmp_path / "old").network, network)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    """The library draws the order of metadata anew at every save; the odds of four times the same
    one by chance are below 1 in 10^8."""
    save_checkpoint(tmp_path / "a.safetensors", small_network(), {"b": 1, "a": 2})
    for name in "bcd":
        save_checkpoint(tmp_path / name, small_network(), {"a": 2, "b": 1})
        assert (tmp_path / name).read_bytes() == (tmp_path / "a.safetensors").read_bytes()


def test_the_digest_depends_on_the_network_and_on_nothing_else(tmp_path: Path) -> None:
    digest = save_checkpoint(tmp_path / "a.pt.gz", small_network(), {"epoch": 1})
    assert save_checkpoint(tmp_path / "b.pt", small_network(), {"epoch": 2}) == digest
    changed = small_network()
    changed.value[2].bias.data += 2**-20
    assert save_checkpoint(tmp_path / "c.pt", changed) != digest
    assert network_digest(HexNetwork(NetworkConfig(8, 2))) != digest

    @register_architecture("namesake", NetworkConfig)
    class Namesake(HexNetwork):
        pass

    namesake = Namesake(NetworkConfig(8, 1))
    namesake.load_state_dict(small_network().state_dict())
    assert network_digest(namesake) != digest


def test_loading_and_saving_leave_the_global_random_stream_alone(tmp_path: Path) -> None:
    network = small_network()
    before = torch.get_rng_state()
    save_checkpoint(tmp_path / "net.safetensors", network)
    load_checkpoint(tmp_path / "net.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    assert len([line for line in found[1].splitlines() if line.strip()]) <= 22
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(found[1], str(PAGE), "exec", dont_inherit=True), names)
    loaded = load_checkpoint("tiny.safetensors")
    assert same(loaded.network, names["network"])
    assert loaded.config == {"channels": 32}
    logits, values = loaded.network(Positions.empty(3, 5).planes())
    assert (logits.shape, values.shape) == ((3, 25), (3,))


def test_a_network_of_ones_own_comes_back_whatever_it_is_made_of(tmp_path: Path) -> None:
    register_architecture("odd", OddConfig)(Odd)
    network = Odd(OddConfig(width=4, drop=0.25))
    save_checkpoint(tmp_path / "odd.pt", network)
    loaded = load_checkpoint(tmp_path / "odd.pt").network
    assert same(loaded, network)
    assert isinstance(loaded, Odd)
    assert (loaded.rates, loaded.config) == (network.rates, network.config)
    assert torch.equal(loaded.unsaved, torch.arange(3.0))
    assert loaded.first.weight is loaded.second.weight


class Moody(nn.Module):
    """A flag, and a constructor that may fail in a way of its own."""

    def __init__(self, config: OddConfig) -> None:
        super().__init__()
        self.config = config
        self.rate = 1 / config.width
        if config.name != "odd":
            raise ValueError("two\nlines")
        self.register_buffer("flag", torch.tensor([True]))


def test_what_a_class_of_ones_own_cannot_be_is_refused_by_name(tmp_path: Path) -> None:
    register_architecture("moody", OddConfig)(Moody)
    path = tmp_path / "moody"
    save_checkpoint(path, Moody(OddConfig()))
    assert isinstance(load_checkpoint(path).network, Moody)
    header, body = parts_of(small_network(), {})
    for config, reason in (({"name": "other"}, "two lines"), ({"width": 0}, "division by zero")):
        path.write_bytes(forge({**header, "architecture": "moody", "config": config}, body))
        assert reason in refusal(path, load_checkpoint)


def test_a_class_that_is_not_registered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="Odd is not a registered architecture"):
        save_checkpoint(tmp_path / "odd.pt", Odd(OddConfig()))
    register_architecture("odd", OddConfig)(Odd)
    save_checkpoint(tmp_path / "odd.pt", Odd(OddConfig()))
    del network_module._ARCHITECTURES["odd"]
    assert "no architecture 'odd'; known: hex-resnet, resnet18" in refusal(
        tmp_path / "odd.pt", load_checkpoint
    )


@pytest.mark.parametrize(
    "notes",
    [
        {"loss": float("nan")},
        {"loss": float("inf")},
        {"shape": (1, 2)},
        {1: "one"},
        {"when": object()},
        {"weights": torch.ones(1)},
        ["a", "list"],
    ],
)
def test_notes_that_json_cannot_say_are_refused(tmp_path: Path, notes: Any) -> None:
    with pytest.raises(SettingError, match="training notes must be a dict of finite numbers"):
        save_checkpoint(tmp_path / "net.safetensors", small_network(), notes)
    endless: dict[str, Any] = {}
    endless["more"] = endless
    with pytest.raises(SettingError):
        save_checkpoint(tmp_path / "net.safetensors", small_network(), endless)
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_read_back_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.safetensors"
    infinite = small_network()
    infinite.policy_logit.bias.data[0] = float("inf")
    folded = small_network()
    folded.fold_norms()
    for network, reason in [
        (infinite, "'policy_logit.bias' holds weights that are not finite"),
        (folded, "lacks the tensor 'stem.norm.weight'"),
        (small_network().half(), r"is torch.float16, want torch.float32"),
    ]:
        with pytest.raises(CheckpointError, match=f"net.safetensors': .*{reason}"):
            save_checkpoint(path, network)
    with pytest.raises(CheckpointError, match=r"has notes of \d+ bytes, the limit is 4194304"):
        save_checkpoint(path, small_network(), {"log": "x" * 2**22})
    monkeypatch.setattr(checkpoint_module, "LIMIT", 9000)
    with pytest.raises(CheckpointError, match=r"would have \d+ bytes, the limit is 9000"):
        save_checkpoint(path, small_network())
    assert list(tmp_path.iterdir()) == []


def test_right_checksums_do_not_help_wrong_contents(tmp_path: Path) -> None:
    for reason, data in forgeries(*parts_of(small_network(), NOTES)).items():
        path = tmp_path / "forged.pt"
        path.write_bytes(data)
        assert reason in refusal(path, load_checkpoint)


def damaged_files(canary: Path) -> Iterator[tuple[str, bytes]]:
    """300 damaged files of format 1, each with its kind."""
    pick, network = random.Random(20), small_network()
    header, body = parts_of(network, NOTES)
    plain = forge(header, body)
    packed = gzip.compress(plain, mtime=0)
    hostile = canaries(canary, network)
    yield from (("packed flip", flipped(packed, bit)) for bit in range(80))
    yield from (
        ("packed flip", flipped(packed, pick.randrange(len(packed) * 8))) for _ in range(50)
    )
    yield from (("plain flip", flipped(plain, pick.randrange(len(plain) * 8))) for _ in range(39))
    yield from (("cut", packed[:-count]) for count in range(1, 9))
    yield from (("cut", packed[: pick.randrange(len(packed))]) for _ in range(12))
    yield from (("cut", plain[: pick.randrange(len(plain))]) for _ in range(20))
    for data in (plain, packed):
        yield from (("more", data + pick.randbytes(pick.randint(1, 40))) for _ in range(8))
        yield from (("more", data + tail) for tail in (b"\0", bytes(512), plain, packed))
    yield from (("more", packed + gzip.compress(tail)) for tail in (b"", b"\0", b"more"))
    yield from (("bomb", data) for data in bombs(header, body))
    yield from (("pickle", data) for data in hostile)
    yield from (("forged", data) for data in forgeries(header, body).values())


def test_300_damaged_files_are_refused_or_hold_the_same_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_files, "LIMIT", 2**26)
    canary, path = tmp_path / "canary", tmp_path / "damaged.pt.gz"
    whole = small_network()
    files = list(damaged_files(canary))
    assert len(files) == 300
    accepted, reasons = [], []
    for kind, data in files:
        path.write_bytes(data)
        try:
            accepted.append((kind, load_checkpoint(path)))
        except CheckpointError as error:
            reasons.append(str(error))
    assert all(text.startswith(f"{str(path)!r}: ") and "\n" not in text for text in reasons)
    # A gzip header has a time, hints and the name of a system, which nothing is read from.
    assert 0 < len(accepted) < 60
    for kind, loaded in accepted:
        assert kind == "packed flip"
        assert same(loaded.network, whole)
        assert (loaded.architecture, loaded.config) == ("hex-resnet", CONFIG)
        assert (loaded.training, loaded.digest) == (NOTES, network_digest(whole))
    assert not canary.exists()
    pickle.loads(canaries(canary, whole)[0])
    assert canary.exists(), "the canary cannot sing, so its silence means nothing"


def test_every_byte_of_the_checksum_of_a_header_counts(tmp_path: Path) -> None:
    data, path = forge(*parts_of(small_network(), NOTES)), tmp_path / "old.pt"
    start = len(MAGIC) + 8
    end = start + int.from_bytes(data[len(MAGIC) : start], "little")
    for byte in range(end, end + 32):
        path.write_bytes(flipped(data, 8 * byte + byte % 8))
        assert "the SHA-256 of its header is another" in refusal(path, load_checkpoint)


def test_damaged_files_of_safetensors_are_refused(tmp_path: Path) -> None:
    """Flips all over the header, of which no byte is without meaning, and in the tensors."""
    path, pick = tmp_path / "net.safetensors", random.Random(4)
    save_checkpoint(path, small_network(), NOTES)
    whole = path.read_bytes()
    header = 8 * (8 + int.from_bytes(whole[:8], "little"))
    bits = [*range(0, header, 37), *(pick.randrange(header, 8 * len(whole)) for _ in range(100))]
    damaged = [flipped(whole, bit) for bit in bits]
    damaged += [whole[: pick.randrange(len(whole))] for _ in range(50)]
    damaged += [whole + tail for tail in (b"\0", bytes(512), whole)]
    for data in damaged:
        path.write_bytes(data)
        refusal(path, load_checkpoint)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"format": None}, "holds tensors, but no hex_ai-checkpoint"),
        ({"version": "3"}, "is of version '3'; this hex_ai reads '2'"),
        ({"version": None}, "is of version None"),
        ({"architecture": "nobody"}, "no architecture 'nobody'; known: hex-resnet, resnet18"),
        ({"config": "[]"}, "[] is no dict"),
        ({"config": "{"}, "damaged: Expecting"),
        ({"config": '{"channels":16,"blocks":1}'}, "], want ["),
        ({"config": '{"channels":8.0,"blocks":1}'}, "channels 8.0 is not"),
        ({"training": '{"games":1}'}, "its SHA-256 is another"),
        ({"training": '{"loss":NaN}'}, "Out of range float"),
        ({"sha256": "0" * 64}, "its SHA-256 is another"),
        ({"sha256": None}, "metadata where 'sha256' is missing or unknown"),
        ({"extra": "1"}, "metadata where 'extra' is missing or unknown"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(
    tmp_path: Path, changed: dict[str, str | None], reason: str
) -> None:
    path = tmp_path / "forged.safetensors"
    path.write_bytes(forge_safetensors(small_network()))
    assert same(load_checkpoint(path).network, small_network())
    path.write_bytes(forge_safetensors(small_network(), **changed))
    assert reason in refusal(path, load_checkpoint)


def test_metadata_that_are_null_are_refused(tmp_path: Path) -> None:
    path, raw = tmp_path / "forged.safetensors", b'{"__metadata__":null}   '
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)
    assert "holds tensors, but no hex_ai-checkpoint" in refusal(path, load_checkpoint)


def test_a_bomb_takes_little_memory_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_files, "LIMIT", 2**27)
    path = tmp_path / "bomb.pt.gz"
    for data in bombs(*parts_of(small_network(), {})):
        path.write_bytes(data)
        started = time.process_time()
        tracemalloc.start()
        refusal(path, load_checkpoint)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32 * 2**20
        assert time.process_time() - started < 5


def test_a_torch_file_is_pointed_to_the_import(tmp_path: Path) -> None:
    for zipped in (True, False):
        torch.save({}, tmp_path / "old.pt", _use_new_zipfile_serialization=zipped)
        assert "`hex-ai import` reads files of torch.save" in refusal(
            tmp_path / "old.pt", load_checkpoint
        )
