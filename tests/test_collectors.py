"""What both collectors promise a search that runs in one thread.

Every random test is seeded and compares exactly: none can fail by chance.
"""

import random
import threading
from collections.abc import Iterator

import pytest
import torch
from inference_toys import HashEvaluator, drawn, hash_evaluation
from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.global_collector import GlobalPositionCollector
from hex_ai.inference.position_collector import PositionCollector

pytestmark = pytest.mark.timeout(60)

Collectors = PositionCollector | GlobalPositionCollector


@pytest.fixture
def model() -> HashEvaluator:
    return HashEvaluator()


@pytest.fixture(params=["of one thread", "global"])
def collector(request: pytest.FixtureRequest, model: HashEvaluator) -> Iterator[Collectors]:
    if request.param == "of one thread":
        yield PositionCollector(model)
    else:
        with GlobalPositionCollector(model, batch_size=100_000) as shared:
            yield shared


class Asked:
    """One request for the policy (part 0) or the values (part 1), and what came of it."""

    def __init__(self, collector: Collectors, board: Positions, part: int) -> None:
        self.board, self.part = board, part
        self.answers: list[Tensor] = []
        (collector.request_policy, collector.request_value)[part](board, self.answers.append)

    def assert_answered_once(self) -> None:
        (answer,) = self.answers
        shape = (len(self.board), self.board.moves) if self.part == 0 else (len(self.board),)
        assert answer.shape == shape
        assert answer.dtype == torch.float32
        assert torch.equal(answer, hash_evaluation(self.board)[self.part])


def test_every_callback_gets_its_own_rows(collector: Collectors, model: HashEvaluator) -> None:
    choose = random.Random(1)
    for _ in range(20):
        asked = [
            Asked(collector, board, part)
            for rows in choose.choices((1, 1, 2, 3, 7, 40), k=choose.randint(1, 12))
            for board in [drawn(rows, choose.choice((2, 3, 5, 11)), choose.getrandbits(30))]
            for part in choose.choices(((0,), (1,), (0, 1), (1, 0)))[0]
        ]
        model.batches.clear()
        collector.process_batches()
        for request in asked:
            request.assert_answered_once()
        sizes = [size for size, _ in model.batches]
        assert sorted(set(sizes)) == sorted(sizes), "two batches of one size"


def test_requests_made_in_callbacks_are_answered_five_deep(
    collector: Collectors, model: HashEvaluator
) -> None:
    asked: list[Asked] = []

    def ask(depth: int, seed: int) -> None:
        board = drawn(2, 4, seed)
        asked.append(Asked(collector, board, seed % 2))

        def go_on(_: Tensor) -> None:
            if depth < 5:
                ask(depth + 1, 3 * seed + 1)
                ask(depth + 1, 3 * seed + 2)

        collector.request_value(board, go_on)

    ask(0, 1)
    collector.process_batches()
    assert len(asked) == 1 + 2 + 4 + 8 + 16 + 32
    for request in asked:
        request.assert_answered_once()
    assert model.batches == [(4, 2 * 2**depth) for depth in range(6)]


def test_the_same_board_may_be_asked_about_again_in_its_callback(
    collector: Collectors, model: HashEvaluator
) -> None:
    board = drawn(3, 4, 1)
    again: list[Asked] = []
    collector.request_policy(board, lambda _: again.append(Asked(collector, board, 1)))
    collector.process_batches()
    again[0].assert_answered_once()
    assert model.batches == [(4, 3), (4, 3)]


def test_policy_and_value_of_one_object_are_one_row_set(
    collector: Collectors, model: HashEvaluator
) -> None:
    board, equal = drawn(3, 4, 1), drawn(3, 4, 1)
    asked = [Asked(collector, board, part) for part in (0, 1, 1, 0)]
    asked.append(Asked(collector, equal, 0))
    collector.process_batches()
    for request in asked:
        request.assert_answered_once()
    assert model.batches == [(4, 6)]


def test_boards_made_and_forgotten_are_not_taken_for_each_other(collector: Collectors) -> None:
    """Objects are told apart by their address, which the next one may get."""
    asked = []
    for seed in range(50):
        asked.append(Asked(collector, drawn(1, 5, seed), seed % 2))
        asked[-1].board = drawn(1, 5, seed)
    collector.process_batches()
    for request in asked:
        request.assert_answered_once()


def test_one_batch_for_each_board_size_and_round(
    collector: Collectors, model: HashEvaluator
) -> None:
    def next_round(_: Tensor) -> None:
        for seed, size in enumerate((7, 4, 7)):
            Asked(collector, drawn(2, size, seed), 0)

    collector.request_policy(drawn(1, 4, 9), next_round)
    for seed, size in enumerate((5, 4, 5, 2, 4)):
        Asked(collector, drawn(1, size, seed), 1)
    collector.process_batches()
    assert sorted(model.batches[:3]) == [(2, 1), (4, 3), (5, 2)]
    assert sorted(model.batches[3:]) == [(4, 2), (7, 4)]


def test_process_batches_inside_a_callback(collector: Collectors) -> None:
    inner: list[Asked] = []

    def ask_and_wait(_: Tensor) -> None:
        inner.append(Asked(collector, drawn(2, 5, len(inner)), 0))
        collector.process_batches()
        inner[-1].assert_answered_once()

    for seed in range(3):
        collector.request_value(drawn(1, 5, seed), ask_and_wait)
    collector.process_batches()
    assert len(inner) == 3


def test_nothing_asked_is_nothing_done(collector: Collectors, model: HashEvaluator) -> None:
    collector.process_batches()
    assert model.batches == []


def test_callbacks_run_in_the_thread_that_asked(collector: Collectors) -> None:
    seen: list[threading.Thread] = []
    collector.request_value(drawn(1, 3, 1), lambda _: seen.append(threading.current_thread()))
    collector.process_batches()
    assert seen == [threading.current_thread()]


class Planned(Exception):
    """Raised on purpose."""


class Harsh(BaseException):
    """The like of KeyboardInterrupt."""


@pytest.mark.parametrize("error", [Planned, Harsh])
def test_an_error_in_a_callback_passes_through_and_leaves_nothing_behind(
    collector: Collectors, error: type[BaseException]
) -> None:
    def ask_then_raise(_: Tensor) -> None:
        dropped.append(Asked(collector, drawn(1, 4, 5), 0))
        raise error

    dropped: list[Asked] = []
    before = Asked(collector, drawn(1, 4, 1), 0)
    collector.request_policy(drawn(1, 4, 2), ask_then_raise)
    dropped.append(Asked(collector, drawn(1, 4, 3), 0))
    with pytest.raises(error):
        collector.process_batches()
    assert_usable_and_empty(collector, dropped)
    before.assert_answered_once()


def test_an_error_of_the_model_passes_through_and_leaves_nothing_behind(
    collector: Collectors, model: HashEvaluator
) -> None:
    def fail_on_size_5(positions: Positions) -> None:
        if positions.size == 5:
            raise Planned

    model.before = fail_on_size_5
    dropped = [Asked(collector, drawn(2, size, size), 0) for size in (5, 5)]
    with pytest.raises(Planned):
        collector.process_batches()
    model.before = lambda _: None
    assert_usable_and_empty(collector, dropped)


def assert_usable_and_empty(collector: Collectors, dropped: list[Asked]) -> None:
    collector.process_batches()
    asked = [Asked(collector, drawn(2, 4, seed), seed % 2) for seed in range(4)]
    collector.process_batches()
    for request in asked:
        request.assert_answered_once()
    assert [request.answers for request in dropped] == [[]] * len(dropped)


@pytest.mark.parametrize("wrong_rows", [0, 1, 5])
def test_a_model_that_answers_another_number_of_rows_is_an_error(
    collector: Collectors,
    model: HashEvaluator,
    monkeypatch: pytest.MonkeyPatch,
    wrong_rows: int,
) -> None:
    answer = torch.zeros(wrong_rows, 16), torch.zeros(wrong_rows)
    monkeypatch.setattr(model, "batch_infer", lambda _: answer)
    request = Asked(collector, drawn(3, 4, 1), 0)
    with pytest.raises(RuntimeError):
        collector.process_batches()
    assert request.answers == []


@pytest.mark.parametrize("max_batch", [1, 2, 4, 5, 11, 12])
def test_max_batch_splits(model: HashEvaluator, max_batch: int) -> None:
    collector = PositionCollector(model, max_batch)
    asked = [Asked(collector, drawn(rows, 4, rows), rows % 2) for rows in (1, 7, 3)]
    asked.append(Asked(collector, drawn(2, 3, 1), 0))
    collector.process_batches()
    for request in asked:
        request.assert_answered_once()
    rows = [rows for size, rows in model.batches if size == 4]
    assert rows == [max_batch] * (11 // max_batch) + [11 % max_batch] * (11 % max_batch > 0)


@pytest.mark.parametrize("max_batch", [0, -1])
def test_max_batch_that_is_not_positive_is_refused(model: HashEvaluator, max_batch: int) -> None:
    with pytest.raises(SettingError, match="max_batch"):
        PositionCollector(model, max_batch)


@pytest.mark.parametrize(
    "setting",
    [
        {"batch_size": 0},
        {"batch_size": -5},
        {"max_batch_delay_ms": -0.001},
        {"max_batch_delay_ms": float("nan")},
    ],
)
def test_settings_of_the_global_collector_are_checked(
    model: HashEvaluator, setting: dict[str, float]
) -> None:
    threads = threading.active_count()
    with pytest.raises(SettingError, match=next(iter(setting))):
        GlobalPositionCollector(model, **setting)  # type: ignore[arg-type]
    assert threading.active_count() == threads
