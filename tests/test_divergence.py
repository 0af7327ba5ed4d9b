"""Learning that diverges says so, once and for all, and spoils nothing that is on the disk."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_files import small_network

from hex_ai.cli.main import main
from hex_ai.errors import NetworkError, SettingError
from hex_ai.network.checkpoint import load_checkpoint
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.training import learner as learner_module
from hex_ai.training.fitting import FitReport, train
from hex_ai.training.learn import learn

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = {"channels": 8, "blocks": 1, "device": "cpu"}
FEW = {"board_sizes": (3,), "search_widths": (2,), "games_per_round": 8, "reuse": 1.0} | SHAPE

# The first step is taken with finite losses: what it leaves is not, by its weights or its answers.
RATES = [1e6, 1e30]

Ended = tuple[int, str]
Command = Callable[..., Ended]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs hex-ai: exit status and standard error."""

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["hex-ai", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code)), capsys.readouterr().err

    return run


@pytest.fixture(scope="module")
def few_games(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with so few games that none is kept apart."""
    folder = tmp_path_factory.mktemp("few") / "games"
    engine = SelfPlayEngine(
        model=small_network(),
        board_size=3,
        search_widths=(2,),
        runtime="eager",
        device="cpu",
        output_dir=folder,
    )
    assert len(list(engine.generate_games(6))) == 6
    return folder


@pytest.mark.parametrize("rate", RATES)
def test_a_run_that_diverges_says_so_and_again_on_resume(rate: float, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"^learning has diverged in round 1: .* lower") as first:
        learn(tmp_path, games=24, learning_rate=rate, **FEW)
    kept = load_checkpoint(tmp_path / "network.safetensors").digest
    with pytest.raises(NetworkError) as again:
        learn(tmp_path, resume=True, device="cpu")
    assert str(again.value) == str(first.value)
    assert f"--learning-rate than {rate:g}" in str(first.value)
    assert load_checkpoint(tmp_path / "network.safetensors").digest == kept
    assert not (tmp_path / "state.pt").exists()


def test_a_spoilt_network_that_comes_to_play_is_told_as_learning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of 1e29 pass where nobody has tried them; the positions of the next round do not."""
    monkeypatch.setattr(learner_module, "require_finite", lambda *_: None)
    settings = FEW | {"batch": 1000}  # so that a round is one step
    for resume in (False, True):
        with pytest.raises(NetworkError, match=r"^learning has diverged in round 1: "):
            learn(tmp_path, games=24, learning_rate=1e30, resume=resume, **settings)


def test_rates_that_torch_cannot_step_by_are_refused(few_games: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^learning_rate 1e\+38 is more than 1e\+30$"):
        learn(tmp_path, games=24, learning_rate=1e38, **FEW)
    with pytest.raises(SettingError, match=r"^learning rate 1e\+38 is more than 1e\+30$"):
        train([few_games], tmp_path / "net.safetensors", learning_rate=1e38, **SHAPE)


@pytest.mark.parametrize("rate", RATES)
def test_training_that_diverges_saves_nothing(rate: float, few_games: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(NetworkError, match=r"^learning has diverged by step .* lower"):
        train([few_games], path, learning_rate=rate, **SHAPE)
    assert not path.exists()


def test_the_commands_end_with_one_line(command: Command, few_games: Path, tmp_path: Path) -> None:
    flags = ["--learning-rate", 1e30, "--channels", 8, "--blocks", 1, "--device", "cpu", "--out"]
    run = ["--board-sizes", 3, "--games", 16, "--games-per-round", 8, "--search-widths", 2]
    started = ["learn", *run, *flags, tmp_path / "run"]
    resumed = ["learn", "--resume", "--device", "cpu", "--out", tmp_path / "run"]
    trained = ["train", few_games, *flags, tmp_path / "net.safetensors"]
    for words in (started, resumed, trained):
        status, said = command(*words)
        assert status == 5
        assert said.count("error: learning has diverged ") == said.count("error") == 1
        assert "lower --learning-rate than 1e+30" in said


def test_with_no_game_kept_apart_training_says_so_and_measures_nothing(
    command: Command, few_games: Path, tmp_path: Path
) -> None:
    seen: list[FitReport] = []
    train([few_games], tmp_path / "net.safetensors", report=seen.append, **SHAPE)
    assert [(done.measured, done.factor) for done in seen] == [(None, None)] * len(seen)
    shape = ["--channels", 8, "--blocks", 1, "--device", "cpu"]
    status, said = command("train", few_games, *shape, "--out", tmp_path / "net.safetensors")
    assert status == 0
    assert "no game is kept apart to measure on: one in 20 is" in said
    assert "0.000" not in said
