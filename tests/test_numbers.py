"""Numbers of NumPy and torch do as settings wherever Python's own do, and no others."""

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile_files import small_network

from hex_ai.bench.modes import BenchSettings
from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.fixed_tree_search import check_widths
from hex_ai.inference.global_collector import GlobalPositionCollector
from hex_ai.inference.inference_plan import InferencePlan, default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.network.checkpoint import load_checkpoint
from hex_ai.network.resnet import NetworkConfig
from hex_ai.numbers import flag, real, whole, wholes
from hex_ai.puct.levels import level
from hex_ai.puct.search import PuctSearch, PuctSettings
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.training.fitting import train
from hex_ai.training.learn import learn
from hex_ai.training.schedule import LearnSettings, Length

THREES = [3, np.int8(3), np.uint64(3), np.array(3), torch.tensor(3), np.array([3])[0]]
HALVES = [0.5, np.float32(0.5), np.float16(0.5), np.array(0.5), torch.tensor(0.5), Fraction(1, 2)]


@pytest.mark.parametrize("three", THREES, ids=repr)
def test_whole_numbers_become_pythons(three: Any) -> None:
    assert (whole("n", three), type(whole("n", three))) == (3, int)
    assert (real("x", three), type(real("x", three))) == (3.0, float)


@pytest.mark.parametrize("half", HALVES, ids=repr)
def test_other_numbers_become_pythons(half: Any) -> None:
    assert (real("x", half), type(real("x", half))) == (0.5, float)
    with pytest.raises(SettingError, match=r"^n .* is not a whole number$"):
        whole("n", half)


@pytest.mark.parametrize(
    "odd",
    [True, np.bool_(True), torch.tensor(True), "3", None, [3], np.array([3, 4]), 1j],
    ids=repr,
)
def test_what_is_no_number_is_refused_in_a_line(odd: Any) -> None:
    for convert in (whole, real):
        with pytest.raises(SettingError, match=r"^seed .* is not a (whole )?number$"):
            convert("seed", odd)


def test_a_number_beyond_all_floats_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^hours 1000.* is not a number$"):
        real("hours", 10**400)


def test_true_and_false_may_be_numpys() -> None:
    assert flag("swap", np.bool_(False)) is False
    with pytest.raises(SettingError, match=r"^swap 1 is not true or false$"):
        flag("swap", 1)


@pytest.mark.parametrize("many", [(3, 2), [3, 2], np.array([3, 2]), torch.tensor([3, 2])], ids=repr)
def test_lists_of_numbers_may_be_arrays(many: Any) -> None:
    assert wholes("widths", many) == check_widths(many) == (3, 2)
    assert {type(width) for width in check_widths(many)} == {int}
    with pytest.raises(SettingError, match=r"^widths 3 is not a list of whole numbers$"):
        wholes("widths", 3)


MADE_OF_NUMPY = {
    "self-play": lambda: SelfPlaySettings(
        np.int64(5), np.array([3, 2]), np.uint32(7), np.float32(0.5), swap=np.bool_(False)
    ).to_json(),
    "learning": lambda: LearnSettings(
        np.array([3, 4]), np.array([3]), reuse=np.float64(2), batch=np.int32(8)
    ).to_json(),
    "length": lambda: vars(Length(np.int64(5), np.float32(2))),
    "plan": lambda: InferencePlan(
        "cpu", "eager", "float32", np.array([8, 16]), np.int64(1)
    ).to_json(),
    "network": lambda: vars(NetworkConfig(np.int64(8), np.int16(1), np.bool_(True), np.int8(2))),
    "play": lambda: vars(PuctSettings(np.int64(4), np.int64(100))),
    "bench": lambda: vars(
        BenchSettings(np.int64(5), np.array([3]), seconds=np.float32(1), repeats=np.int8(2))
    ),
}


@pytest.mark.parametrize("made", MADE_OF_NUMPY.values(), ids=MADE_OF_NUMPY)
def test_settings_hold_pythons_numbers(made: Callable[[], dict[str, Any]]) -> None:
    for value in made().values():
        for part in value if isinstance(value, tuple | list) else (value,):
            assert type(part) in (int, float, str, bool, type(None))


def test_games_of_numpys_numbers_are_those_of_pythons(tmp_path: Path) -> None:
    def games(folder: Path, number: Callable[[int], Any], widths: Any) -> list[Any]:
        engine = SelfPlayEngine(
            model=small_network(),
            board_size=number(4),
            search_widths=widths,
            seed=number(3),
            games_in_flight=number(2),
            num_workers=number(1),
            batch_size=number(8),
            max_batch_delay_ms=number(0),
            cache_size=number(100),
            runtime="eager",
            device="cpu",
            output_dir=folder,
        )
        played = engine.generate_games(number(3), first_game=number(2))
        return sorted((game.game_id, game.moves.tolist()) for game in played)

    assert games(tmp_path / "a", np.int64, np.array([2])) == games(tmp_path / "b", int, (2,))
    runs = [json.loads((tmp_path / name / "run.json").read_text()) for name in "ab"]
    assert runs[0]["settings"] == runs[1]["settings"]


def test_runs_of_learning_and_training_take_numpys_numbers(tmp_path: Path) -> None:
    """And go on with Python's."""
    sizes, few = np.array([3]), np.int64(8)
    shape = {"channels": np.int64(8), "blocks": np.int64(1), "batch": few, "device": "cpu"}
    one = np.float32(1)
    learn(tmp_path / "a", board_sizes=sizes, games=few, games_per_round=few, hours=one, **shape)
    learnt = learn(tmp_path / "a", board_sizes=(3,), games=16, batch=8, resume=True, device="cpu")
    assert learnt.games == 16
    path = tmp_path / "net.safetensors"
    train([tmp_path / "a/games/3x3"], path, passes=one, learning_rate=one / 100, seed=few, **shape)
    assert load_checkpoint(path).config["channels"] == 8


REFUSED: dict[str, Callable[[Any], object]] = {
    "games": lambda odd: next(SelfPlayEngine(device="cpu", runtime="eager").generate_games(odd)),
    "workers": lambda odd: SelfPlayEngine(device="cpu", runtime="eager", num_workers=odd),
    "cache size": lambda odd: ModelInference(small_network(), cache_size=odd),
    "batch_size": lambda odd: GlobalPositionCollector(_model(), odd),
    "max_batch": lambda odd: PositionCollector(_model(), odd),
    "board size": lambda odd: Positions.empty(1, odd),
    "level": level,
    "threads": lambda odd: InferencePlan("cpu", "eager", "float32", (8,), odd),
    "channels": NetworkConfig,
    "evaluations": lambda odd: PuctSearch(
        Positions.empty(1, 3), PositionCollector(_model())
    ).search(evaluations=odd),
    "seed": lambda odd: LearnSettings(seed=odd),
    "batch": lambda odd: train(["RUN"], "net.safetensors", batch=odd),
    "games in flight": lambda odd: learn("no-such-folder/x", games=1, games_in_flight=odd),
}


def _model() -> ModelInference:
    return ModelInference(small_network(), default_plan(torch.device("cpu"), "eager"))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("odd", [2.5, np.float64(2.5), True, math.nan, "3"], ids=repr)
def test_what_is_no_whole_number_is_refused_by_name(name: str, odd: Any) -> None:
    with pytest.raises(SettingError, match=f"^{name} .* is not a whole number$"):
        REFUSED[name](odd)
