"""Old weights of other programs are imported and play the same, or are refused by name."""

import gzip
import io
import random
import tracemalloc
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from hostile_files import (
    Odd,
    OddConfig,
    bomb,
    canaries,
    flipped,
    refusal,
    same,
    scrambled,
    small_network,
)
from torch import Tensor, nn

from hex_ai.errors import CheckpointError, SettingError
from hex_ai.game.positions import Positions
from hex_ai.network import architecture as network_module
from hex_ai.network import import_weights as import_module
from hex_ai.network import weight_files
from hex_ai.network.architecture import register_architecture
from hex_ai.network.checkpoint import load_checkpoint, save_checkpoint
from hex_ai.network.import_weights import import_weights
from hex_ai.network.resnet import HexNetwork, NetworkConfig


@pytest.fixture(autouse=True)
def own_register(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    known = dict(network_module._ARCHITECTURES)
    monkeypatch.setattr(network_module, "_ARCHITECTURES", known)


class OldBlock(nn.Module):
    """A residual block in the plan's words."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential()
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


class OldNet(nn.Module):
    """The ResNet-18 of the plan, written apart from ours, with its names."""

    def __init__(self) -> None:
        super().__init__()
        self.value_head = nn.Linear(512, 1)
        self.input_conv = nn.Conv2d(3, 64, 5, padding=2, bias=False)
        self.input_bn = nn.BatchNorm2d(64)
        sizes = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        for number, (inputs, outputs, stride) in enumerate(sizes, 1):
            stage = nn.Sequential(OldBlock(inputs, outputs, stride), OldBlock(outputs, outputs, 1))
            self.add_module(f"layer{number}", stage)
        self.policy_head = nn.Conv2d(512, 169, 1)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.input_bn(self.input_conv(planes)))
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        x = F.adaptive_avg_pool2d(x, 1)
        return self.policy_head(x).flatten(1), self.value_head(x.flatten(1))


def random_boards() -> tuple[Tensor, Tensor]:
    """Boards `[6, 13, 13]` with Red to move in the first three and Blue in the others."""
    generator = torch.Generator().manual_seed(5)
    boards, blue = torch.zeros(6, 169), torch.arange(6) >= 3
    for row in range(6):
        cells = torch.randperm(169, generator=generator)[: 20 + int(blue[row])]
        boards[row, cells[0::2]], boards[row, cells[1::2]] = 1, -1
    return boards.view(6, 13, 13), blue


def require_same_answers(network: nn.Module, old: nn.Module) -> None:
    """The imported network says of canonical positions what the old one says of boards.

    The plan calls the first mover, who joins top to bottom, Blue, and its value head speaks for the
    other one. In float64, where the order of additions does not show.
    """
    boards, blue = random_boards()
    side = blue[:, None, None].expand_as(boards)
    planes = Positions.from_stones(boards.to(torch.int8), blue).planes(torch.float64)
    with torch.no_grad():
        board_planes = torch.stack((boards == 1, boards == -1, side), 1).double()
        old_logits, left_right_logit = old.double()(board_planes)
        logits, values = network.double()(planes)
    for row in range(len(boards)):
        cells = old_logits[row].view(13, 13)
        left_right_value = 2 * torch.sigmoid(left_right_logit[row, 0]) - 1
        wanted = cells.T if blue[row] else cells
        torch.testing.assert_close(logits[row].view(13, 13), wanted, atol=1e-9, rtol=1e-9)
        wanted_value = left_right_value if blue[row] else -left_right_value
        torch.testing.assert_close(values[row], wanted_value, atol=1e-9, rtol=1e-9)
    assert logits.std() > 0.05
    assert values.std() > 0.01


def write(path: Path, content: Any, packed: bool = False) -> Path:
    file = io.BytesIO()
    torch.save(content, file)
    data = file.getvalue()
    path.write_bytes(gzip.compress(data, 0) if packed else data)
    return path


def test_old_weights_under_other_names_answer_as_before(tmp_path: Path) -> None:
    old = scrambled(OldNet(), 1)
    # Numbers of half precision have a difference that float32 holds exactly.
    state = old.half().state_dict()
    content = {
        "epoch": 3,
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.ones(3)}}},
        "best_val_loss": np.float64(0.5),
        "history": [np.float32(1), np.int64(2), {"mixed_precision": True}],
        "model": {"state_dict": {f"module._orig_mod.{name}": state[name] for name in state}},
    }
    path = write(tmp_path / "old.pt.gz", content, packed=True)
    require_same_answers(import_weights(path, "resnet18"), old)


def test_the_first_norm_has_two_names(tmp_path: Path) -> None:
    state = {k.replace("input_bn.", "input_bn1."): v for k, v in OldNet().state_dict().items()}
    assert "input_bn1.weight" in state
    import_weights(write(tmp_path / "old.pt", state), "resnet18")


def test_a_layer_under_two_names_is_refused(tmp_path: Path) -> None:
    state = OldNet().state_dict()
    path = write(tmp_path / "old.pt", {**state, "conv1.weight": state["input_conv.weight"] + 1})
    message = refusal(path, lambda path: import_weights(path, "resnet18"))
    assert "holds the tensor 'conv1.weight' under two names" in message


def default_network() -> HexNetwork:
    return scrambled(HexNetwork(NetworkConfig()), 4)


def import_small(path: Path) -> nn.Module:
    return import_weights(path, "hex-resnet")


def test_any_architecture_can_be_imported_by_names_in_any_order(tmp_path: Path) -> None:
    network = default_network()
    state = network.state_dict()
    shuffled = {name: state[name] for name in sorted(state, reverse=True)}
    imported = import_small(write(tmp_path / "a.pt", shuffled))
    assert same(imported, network)
    assert not imported.training
    save_checkpoint(tmp_path / "new.pt", imported)
    assert same(load_checkpoint(tmp_path / "new.pt").network, network)
    tracked = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    state = import_small(write(tmp_path / "b.pt", {"net": tracked})).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in tracked.items())


def test_wrappers_are_taken_off_the_names(tmp_path: Path) -> None:
    network = default_network()
    state = network.state_dict()
    for wrapper in ("module.", "_orig_mod.module."):
        wrapped = {wrapper + name: state[name] for name in sorted(state, reverse=True)}
        path = write(tmp_path / "old.pt", {"epoch": 3, "state_dict": wrapped})
        assert same(import_small(path), network)


Named = dict[str, Any]


def prefixed(prefix: str, state: Named) -> Named:
    return {prefix + name: state[name] for name in state}


def averaged(state: Named) -> Named:
    """As `torch.optim.swa_utils.AveragedModel` names them."""
    return {"n_averaged": torch.tensor(7), **prefixed("module.", state)}


def partly_compiled(state: Named) -> Named:
    return {name.replace("blocks.1.", "blocks.1._orig_mod."): state[name] for name in state}


WRITTEN_ELSEWHERE = {
    "an average": averaged,
    "an average of a compiled network": lambda state: averaged(prefixed("_orig_mod.", state)),
    "an average in a trainer": lambda state: {
        "state_dict": prefixed("model.", averaged(state)),
        "optimizer_states": [{"state": {0: torch.ones(2)}}],
    },
    "a trainer with a loss of its own": lambda state: {
        "state_dict": {"loss.weight": torch.ones(2), **prefixed("net.", state)}
    },
    "names nobody foresaw": lambda state: prefixed("agent.brain.module.", state),
    "a compiled part": partly_compiled,
    "averages alone": lambda state: {"epoch": 2, "ema": averaged(state)},
    "weights before averages": lambda state: {
        "ema": {name: tensor * 0 for name, tensor in state.items()},
        "model": state,
    },
    "two dicts deep": lambda state: {"checkpoint": 1, "model": {"module": {"state_dict": state}}},
}


@pytest.mark.parametrize("written", WRITTEN_ELSEWHERE.values(), ids=WRITTEN_ELSEWHERE)
def test_weights_are_found_under_whatever_holds_them(
    written: Callable[[Named], Named], tmp_path: Path
) -> None:
    network = default_network()
    path = write(tmp_path / "old.pt", written(network.state_dict()))
    assert same(import_small(path), network)


def test_an_average_beside_the_weights_themselves_is_not_chosen_by_chance(tmp_path: Path) -> None:
    state = default_network().state_dict()
    path = write(tmp_path / "old.pt", prefixed("online.", state) | prefixed("ema.", state))
    assert "holds the weights twice: under 'ema.' and 'online.'" in refusal(path, import_small)


@pytest.mark.parametrize("read", [import_small, load_checkpoint], ids=["import", "load"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            {"conv1.weight": torch.zeros(64, 3, 3, 3), "fc.bias": torch.zeros(9)},
            "holds 2 tensors such as conv1.weight [64, 3, 3, 3]; "
            "this is none of hex-resnet, resnet18",
        ),
        ({"w": torch.zeros(2)}, "holds 1 tensor such as w [2]; this is none of"),
        (torch.optim.AdamW([torch.zeros(2)]).state_dict(), "holds the state of an optimizer"),
        ({"epoch": 3, "optimizer": {"lr": 0.1}}, "holds a dict of epoch, optimizer"),
        ({}, "holds an empty dict"),
        ([1, 2, 3], "holds a list of 3"),
        (torch.zeros(2, 5), "holds a tensor [2, 5] without a name"),
        (small_network(), "'hex_ai.network.resnet.HexNetwork', which is more than weights"),
    ],
)
def test_weights_of_nobody_here_are_told_by_what_they_hold(
    read: Callable[[Path], Any], content: Any, told: str, tmp_path: Path
) -> None:
    assert told in refusal(write(tmp_path / "old.pt", content), read)


def test_weights_of_another_architecture_are_told_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "old.pt", OldNet().state_dict())
    assert "it holds 124 tensors such as value_head.weight [1, 512]; they fit resnet18" in refusal(
        path, import_small
    )


def test_foreign_files_of_safetensors_are_told_by_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    safetensors.torch.save_file({"stem.weight": torch.zeros(4, 2)}, path)
    told = "holds tensors, but no hex_ai-checkpoint: it holds 1 tensor such as stem.weight [4, 2];"
    assert told in refusal(path, load_checkpoint)
    assert "is a file of safetensors, not of torch.save" in refusal(path, import_small)


def test_a_dict_whose_methods_are_hidden_is_still_read(tmp_path: Path) -> None:
    network = default_network()
    hidden = OrderedDict(network.state_dict())
    hidden.__dict__.update(hide_=3)
    path = tmp_path / "old.pt"
    torch.save(hidden, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"hide_", b"items"))
    assert same(import_small(path), network)


def test_the_old_torch_format_can_be_imported(tmp_path: Path) -> None:
    network, path = default_network(), tmp_path / "old.pt"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=False)
    assert same(import_small(path), network)


def test_an_import_that_does_not_fit_is_refused_with_the_layer(tmp_path: Path) -> None:
    state, path = default_network().state_dict(), tmp_path / "old.pt"
    stem, norm = state["stem.conv.weight"], "stem.norm.running_var"
    for content, reason in [
        ({k: v for k, v in state.items() if k != norm}, f"lacks the tensor '{norm}'"),
        ({**state, "extra.weight": stem}, "holds the tensor 'extra.weight'"),
        ({**state, "stem.conv.bias": torch.ones(3)}, "holds the tensor 'stem.conv.bias'"),
        ({**state, "stem.conv.weight": stem.mT[:1]}, "is [1, 2, 3, 3], want [64, 2, 3, 3]"),
        ({**state, "stem.conv.weight": torch.ones(1).half().expand(2**44)}, "is [17592186044416]"),
        ({**state, "stem.conv.weight": stem.int()}, "is torch.int32, want torch.float32"),
        ({**state, "stem.conv.weight": stem.to(torch.complex64)}, "is torch.complex64, want"),
        ({**state, "stem.conv.weight": stem * torch.inf}, "holds weights that are not finite"),
        ({**state, "stem.conv.weight": stem.to_sparse()}, "is not an ordinary tensor"),
        ({**state, "stem.conv.weight": stem.to("meta")}, "is not an ordinary tensor"),
        ({"epoch": 3, "model": {"notes": "none"}}, "holds no weights"),
        ([1, 2, 3], "holds no weights"),
        (stem, "holds no weights"),
    ]:
        assert reason in refusal(write(path, content), import_small)
    with pytest.raises(SettingError, match="no architecture 'nobody'; known: hex-resnet, resnet18"):
        import_weights(path, "nobody")


def test_a_whole_pickled_network_is_refused_without_running_it(tmp_path: Path) -> None:
    message = refusal(write(tmp_path / "old.pt", small_network()), import_small)
    assert "'hex_ai.network.resnet.HexNetwork', which is more than weights" in message


def test_hostile_pickles_are_not_run_by_the_import(tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "old.pt"
    for data in canaries(canary, small_network()):
        path.write_bytes(data)
        refusal(path, import_small)
    assert not canary.exists()


def test_damaged_torch_files_are_refused(tmp_path: Path) -> None:
    """Flips in a zip may fall where nothing is read or be caught by no checksum, so no more is said
    than that the import ends in a network or in a refusal, and in no other error."""
    pick, path, messages = random.Random(3), tmp_path / "old.pt", list[str]()
    register_architecture("odd", OddConfig)(Odd)
    old = Odd(OddConfig()).state_dict()
    for zipped in (True, False):
        torch.save(old, path, _use_new_zipfile_serialization=zipped)
        data = path.read_bytes()
        changes = [data[: pick.randrange(len(data))] for _ in range(40)]
        changes += [flipped(data, pick.randrange(len(data) * 8)) for _ in range(160)]
        for changed in changes:
            path.write_bytes(changed)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    import_weights(path, "odd")
                except CheckpointError as error:
                    messages.append(str(error))
    assert len(messages) > 100
    assert all(message.startswith(f"{str(path)!r}: ") for message in messages)


def test_bombs_are_not_kept_by_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "LIMIT", 2**26)
    path = tmp_path / "old.pt.gz"
    path.write_bytes(bomb(b"PK\x03\x04", gibibytes=1))
    tracemalloc.start()
    assert "holds more than 67108864 bytes" in refusal(path, import_small)
    assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    tracemalloc.stop()


def test_a_torch_file_that_unpacks_to_more_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module, "LIMIT", 2**24)
    plain, packed = write(tmp_path / "plain.pt", {"x": torch.zeros(10**6)}), tmp_path / "packed.pt"
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) * (5 if name.endswith("data/0") else 1))
    assert packed.stat().st_size < 2**21
    assert "bytes, the limit is 16777216" in refusal(packed, import_small)
