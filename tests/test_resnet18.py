"""The plan's ResNet-18 knows colours: whose win it tells, and who is to move, not by counting."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_files import small_network
from torch import nn

from hex_ai.game.positions import Positions
from hex_ai.game.records import SWAP
from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import Evaluation, PositionCollector
from hex_ai.network import checkpoint as checkpoint_module
from hex_ai.network.checkpoint import load_checkpoint, save_checkpoint
from hex_ai.network.import_weights import import_weights
from hex_ai.network.resnet18 import ResNet18, ResNet18Config
from hex_ai.puct.search import PuctSearch
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.training.samples import samples_from_games
from hex_ai.value_utils import to_win_probability

PLAN = default_plan(torch.device("cpu"), "eager", "float32").with_shapes((8,))


@pytest.fixture(scope="module")
def leaning_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Foreign weights that are 0 but for a bias of 3: who joins left to right wins, 95 %."""
    with torch.device("meta"):
        shapes = ResNet18(ResNet18Config()).state_dict()
    state = {name: torch.zeros_like(tensor, device="cpu") for name, tensor in shapes.items()}
    state["value_head.bias"].fill_(3.0)
    path = tmp_path_factory.mktemp("resnet18") / "old.pt"
    torch.save({"state_dict": state}, path)
    return path


def win_chances(network: nn.Module, positions: Positions) -> list[float]:
    values = ModelInference(network, PLAN).batch_infer(positions)[1]
    return [round(value, 3) for value in to_win_probability(values).tolist()]


def test_the_value_is_of_the_second_mover_whatever_the_stones_and_swaps(leaning_file: Path) -> None:
    """Each board with Red and then Blue to move: empty, after a handicap, with one Red stone; and
    the last one as a swap leaves it."""
    boards = torch.zeros(6, 13, 13, dtype=torch.int8)
    boards[2:4, 0, :3] = -1
    boards[4:6, 5, 5] = 1
    positions = Positions.from_stones(boards, torch.arange(6) % 2 == 1)
    swapped = positions[5:].swap(torch.tensor([True]))
    assert torch.equal(swapped.planes(), positions[5:].planes())
    chances = win_chances(
        import_weights(leaning_file, "resnet18"), Positions.cat([positions, swapped])
    )
    assert chances == [0.047, 0.953, 0.047, 0.953, 0.047, 0.953, 0.047]


def random_boards(count: int) -> torch.Tensor:
    """int8 `[count, 13, 13]` with a stone on some cells, of either colour."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(-6, 7, (count, 13, 13), generator=generator).div(6).to(torch.int8)


def test_both_colours_of_a_position_are_kept_apart_and_its_turn_is_not() -> None:
    """By duplicates, cache and batches."""
    network = ResNet18(ResNet18Config())
    plain = ModelInference(copy.deepcopy(network), PLAN, cache_size=0, deduplicate=False)
    model = ModelInference(network, PLAN)
    boards, blue = random_boards(2), torch.tensor([False, True])
    positions = Positions.from_stones(boards, blue)
    positions = Positions.cat([positions, positions.swap(torch.tensor([True, True]))])
    logits, values = plain.batch_infer(positions)
    assert len(set(values.tolist())) == 4
    rows = torch.tensor([3, 1, 0, 2, 0, 3])
    for _ in range(2):
        found = model.batch_infer(positions[rows])
        assert torch.equal(found[0], logits[rows])
        assert torch.equal(found[1], values[rows])
    model.batch_infer(Positions.from_stones(boards.flip(1, 2), blue))
    assert model.stats.evaluations == 4


def test_a_network_that_sees_no_colours_is_asked_once_for_both() -> None:
    model = ModelInference(small_network(), PLAN)
    before = Positions.empty(1, 5).play(torch.tensor([3]))
    model.batch_infer(Positions.cat([before, before.swap(torch.tensor([True]))]))
    assert model.stats.evaluations == 1


class Watcher(PositionCollector):
    """Keeps what it is asked about."""

    def __init__(self) -> None:
        super().__init__(ModelInference(small_network(), PLAN))
        self.asked: list[Positions] = []

    def evaluate(self, positions: Positions) -> Evaluation:
        self.asked.append(positions)
        return super().evaluate(positions)


def test_the_search_for_play_asks_about_the_colours_on_the_board() -> None:
    watcher = Watcher()
    root = Positions.empty(1, 5).play(torch.tensor([3]))
    PuctSearch(root, watcher).search(evaluations=12)
    assert len(watcher.asked) > 2
    for positions in watcher.asked:
        stones = positions.board().sum((1, 2))
        assert torch.equal(positions.blue_to_move, stones > 0)


def test_samples_of_swapped_games_tell_who_was_to_move() -> None:
    engine = SelfPlayEngine(
        model=small_network(), board_size=4, search_widths=(2,), runtime="eager", device="cpu"
    )
    games = [game for game in engine.generate_games(40) if SWAP in game.moves]
    assert games
    samples = samples_from_games(games, colours=True)
    searched = [
        ply
        for ply in range(max(len(game.moves) for game in games))
        for game in games
        if ply < len(game.moves) and game.search[ply] and game.moves[ply] != SWAP
    ]
    assert samples.planes[:, 2].amax((1, 2)).tolist() == [ply % 2 for ply in searched]
    assert torch.equal(samples.planes[:, :2], samples_from_games(games).planes)


@pytest.mark.parametrize(
    ("notes", "meant"),
    [
        ({"imported": "old.pt"}, "second mover"),
        ({}, "second mover"),
        ({"games": ["RUN"]}, "first mover"),
    ],
)
def test_a_checkpoint_from_before_the_setting_means_what_it_learnt(
    notes: dict[str, Any], meant: str
) -> None:
    config = ResNet18Config.completed({"board_size": 13}, notes)
    assert config == {"board_size": 13, "win_logit_of": meant}
    for said in ("first mover", "second mover"):
        config["win_logit_of"] = said
        assert ResNet18Config.completed(config, notes) == config


def test_an_import_from_before_the_setting_is_put_right_and_told_apart(
    leaning_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "before.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_module, "config_of", lambda _: {"board_size": 13})
        before = save_checkpoint(path, import_weights(leaning_file, "resnet18"))
    loaded = load_checkpoint(path)
    assert loaded.digest != before
    assert loaded.digest == save_checkpoint(path, loaded.network)
    assert win_chances(loaded.network, Positions.empty(1, 13)) == [0.047]
