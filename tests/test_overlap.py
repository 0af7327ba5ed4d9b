"""Learning while the next round is played: by which weights, that it is so, and how it ends."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from inference_toys import TEST_DEVICE
from test_learning import OVERLAPPING, SMALL, learn, weights

from hex_ai.errors import InvalidEvaluationError, NetworkError, SettingError
from hex_ai.training.learner import Learner
from hex_ai.training.round_player import Players, players_here
from hex_ai.training.schedule import Length
from hex_ai.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


def has_ended() -> bool:
    """Whether no thread plays any more."""
    return not any(thread.name.startswith("round") for thread in threading.enumerate())


def test_each_round_is_played_by_weights_that_are_one_round_older(tmp_path: Path) -> None:
    learnt, played = list[str](), list[str]()
    with Learner(tmp_path / "overlap", OVERLAPPING, device=TEST_DEVICE) as learner:
        for done in learner.rounds(Length(games=72)):
            learnt.append(weights(tmp_path / "overlap"))
            played.append(done.network)
    assert len(set(learnt)) == 6
    assert played[0] == played[1] != learnt[0]
    assert played[2:] == learnt[:-2]
    # The first round is the same in turns; there the second one is played by what it has taught.
    in_turns = [done.network for done in learn(tmp_path / "in turns", 72, SMALL)]
    assert in_turns[:2] == [played[0], learnt[0]]


def test_a_round_is_played_while_the_one_before_is_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = [threading.Event() for _ in range(4)]
    rounds, fit, waited = iter(begun), Trainer.fit, list[bool]()

    def players(*given: Any) -> Any:
        next(rounds).set()
        return players_here(*given)

    def fit_later(trainer: Trainer, *given: Any, **named: Any) -> Any:
        following = begun[min(len(waited) + 1, 3)]
        waited.append(following.wait(timeout=20))
        return fit(trainer, *given, **named)

    monkeypatch.setattr(Trainer, "fit", fit_later)
    learn(tmp_path, 48, OVERLAPPING, players=players)
    assert waited == [True] * 4
    assert has_ended()


def failing(from_play: int, error: Exception) -> Players:
    """Players whose play fails from that one on, counted from 1."""
    plays = 0

    def players(*given: Any) -> Any:
        nonlocal plays
        plays += 1
        model, runner = players_here(*given)
        play: Callable[..., Iterator[Any]] = runner.play

        def some(ids: range) -> Iterator[Any]:
            yield from play(ids[:3])
            raise error

        if plays >= from_play:
            monkeyed: Any = runner
            monkeyed.play = some
        return model, runner

    return players


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (SettingError("no memory"), SettingError, "no memory"),
        (InvalidEvaluationError("nan"), NetworkError, "diverged in round 2"),
    ],
    ids=["any", "invalid"],
)
def test_what_stops_the_play_stops_the_run_and_loses_nothing(
    error: Exception, raised: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(raised, match=said):
        learn(tmp_path / "run", 84, OVERLAPPING, players=failing(4, error))
    assert has_ended()
    learn(tmp_path / "run", 84, OVERLAPPING, resume=True)
    learn(tmp_path / "whole", 84, OVERLAPPING)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_a_network_that_was_given_is_not_said_to_have_diverged(tmp_path: Path) -> None:
    with pytest.raises(InvalidEvaluationError, match="nan"):
        learn(tmp_path, 84, OVERLAPPING, players=failing(2, InvalidEvaluationError("nan")))


def test_a_time_ends_a_run_that_overlaps(tmp_path: Path) -> None:
    with Learner(tmp_path, OVERLAPPING, device=TEST_DEVICE) as learner:
        # The second round had begun before the first could say how long a round takes.
        assert len(list(learner.rounds(Length(seconds=1e-6)))) == 2
        assert not list(learner.rounds(Length(seconds=1e-6)))
