"""What a caller has set in torch, or wrapped a network in, changes neither games nor networks."""

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from hex_ai.game.positions import Positions
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.network import architecture as network_module
from hex_ai.network.architecture import register_architecture
from hex_ai.network.checkpoint import load_checkpoint, network_digest, save_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.puct.search import PuctSearch
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.training.fitting import train
from hex_ai.training.learn import learn

SHAPE = NetworkConfig(8, 1, hexagonal=True, paths=1)


@contextmanager
def float64_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "float64": float64_by_default,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
}
surrounded = pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)


def network() -> HexNetwork:
    """Of values and policies that are not all alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made = HexNetwork(SHAPE)
        for weights in made.parameters():
            weights.data += torch.randn(weights.shape, dtype=weights.dtype) / 8
    return made


def engine(model: nn.Module, **more: Any) -> SelfPlayEngine:
    eager = {"runtime": "eager", "device": "cpu", "precision": "float32"}
    return SelfPlayEngine(model=model, board_size=4, search_widths=(3, 2), **eager, **more)


def games(model: nn.Module, **more: Any) -> list[Any]:
    """What the records say, to the bit."""
    return told(list(engine(model, **more).generate_games(12)))


def told(records: list[Any]) -> list[Any]:
    return [
        (
            game.game_id,
            game.moves.tolist(),
            game.values.tolist(),
            game.policy_probabilities.tolist(),
        )
        for game in sorted(records, key=lambda game: game.game_id)
    ]


@pytest.fixture(scope="module")
def plain_games() -> list[Any]:
    return games(network())


@surrounded
@pytest.mark.parametrize("workers", [1, 2])
def test_self_play_is_the_same_in_all_surroundings(
    surroundings: Callable[[], AbstractContextManager[Any]], workers: int, plain_games: list[Any]
) -> None:
    with surroundings():
        assert games(network(), num_workers=workers) == plain_games


def test_games_may_begin_in_inference_mode_and_end_outside(plain_games: list[Any]) -> None:
    with torch.inference_mode():
        rest = engine(network(), games_in_flight=3).generate_games(12)
        first = next(rest)
    assert told([first, *rest]) == plain_games


@surrounded
def test_searches_are_the_same_in_all_surroundings(
    surroundings: Callable[[], AbstractContextManager[Any]],
) -> None:
    def found() -> list[Any]:
        plan = default_plan(torch.device("cpu"), "eager", "float32")
        collector = PositionCollector(ModelInference(network(), plan))
        search = PuctSearch(Positions.empty(2, 4), collector)
        search.search(evaluations=5)
        search.advance(torch.tensor([3, 4]))
        result = search.search(evaluations=9)
        tree = build_search_tree_with_collection(Positions.empty(2, 4), (3, 2), 0.0, collector)
        return [result.values.tolist(), result.visits.tolist(), tree.improved_policy.tolist()]

    wanted = found()
    with surroundings():
        assert found() == wanted


def learnt(folder: Path) -> list[str]:
    """Digests of what a run in two parts and a training come to."""
    shape = {"channels": 8, "blocks": 1, "batch": 16, "device": "cpu"}
    few = {"board_sizes": (3,), "search_widths": (2,), "games_per_round": 8, "reuse": 1.0}
    learn(folder, games=8, **few, **shape)
    run = learn(folder, games=16, resume=True, device="cpu")
    trained = folder / "trained.safetensors"
    train([folder / "games" / "3x3"], trained, passes=1.0, **shape)
    return [load_checkpoint(path).digest for path in (run.network, trained)]


@pytest.fixture(scope="module")
def plainly_learnt(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return learnt(tmp_path_factory.mktemp("plain") / "run")


@surrounded
def test_learning_and_training_are_the_same_in_all_surroundings(
    surroundings: Callable[[], AbstractContextManager[Any]],
    plainly_learnt: list[str],
    tmp_path: Path,
) -> None:
    with surroundings():
        assert learnt(tmp_path / "run") == plainly_learnt


def compiled(model: nn.Module) -> nn.Module:
    """By the backend that is quickly there; what it makes of a network looks the same."""
    made: nn.Module = torch.compile(model, backend="eager")
    return made


def in_place(model: HexNetwork) -> HexNetwork:
    """Compiled as a whole and in a part, which changes the names of its tensors."""
    model.compile(backend="eager")
    model.blocks[0] = compiled(model.blocks[0])
    return model


WRAPPED: dict[str, Callable[[HexNetwork], nn.Module]] = {
    "compiled": compiled,
    "compiled in place": in_place,
    "averaged": AveragedModel,
    "averaged, compiled": lambda model: AveragedModel(compiled(model)),
    "parallel": nn.DataParallel,
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_wrapped_networks_play_and_are_saved_as_the_one_within(
    wrap: Callable[[HexNetwork], nn.Module], plain_games: list[Any], tmp_path: Path
) -> None:
    wrapped = wrap(network())
    assert games(wrapped) == plain_games
    saved = save_checkpoint(tmp_path / "net.safetensors", wrapped)
    assert saved == network_digest(wrapped) == network_digest(network())


class Falsy(HexNetwork):
    """A network without a length, as a container of layers may be."""

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return False


def test_a_network_that_counts_as_false_plays(
    monkeypatch: pytest.MonkeyPatch, plain_games: list[Any]
) -> None:
    known = dict(network_module._ARCHITECTURES)
    monkeypatch.setattr(network_module, "_ARCHITECTURES", known)
    register_architecture("falsy", NetworkConfig)(Falsy)
    model = Falsy(SHAPE)
    model.load_state_dict(network().state_dict())
    assert games(model) == games(copy.deepcopy(model)) == plain_games
    assert games(compiled(model)) == plain_games


def test_networks_are_float32_whatever_the_default(tmp_path: Path) -> None:
    path = os.fspath(tmp_path / "net.safetensors")
    with float64_by_default():
        made = HexNetwork(SHAPE)
        save_checkpoint(path, made)
        loaded = load_checkpoint(path).network
        assert torch.get_default_dtype() == torch.float64
    for model in (made, loaded):
        assert {weights.dtype for weights in model.parameters()} == {torch.float32}
