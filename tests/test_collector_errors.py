"""Who learns of an error, an end or an interrupt among the threads of `GlobalPositionCollector`.

No test can fail by chance: what must happen is waited for up to `PATIENCE`.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from inference_toys import HashEvaluator, drawn
from thread_crew import (
    MANY,
    NEVER,
    PATIENCE,
    Crew,
    Harsh,
    Idler,
    Planned,
    ask,
    rows_of,
    rows_waiting,
    start_asking,
)
from torch import Tensor

from hex_ai.errors import CollectorError
from hex_ai.game.positions import Positions
from hex_ai.inference.global_collector import GlobalPositionCollector

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def crew() -> Iterator[Crew]:
    with Crew() as crew:
        yield crew


def fail_on_finished(positions: Positions) -> None:
    """The mark of a bad position."""
    if bool(positions.finished.any()):
        raise Planned


def bad_board() -> Positions:
    board = drawn(2, 4, 1)
    return board.retire(torch.tensor([False, True]))


def test_an_error_of_the_model_reaches_only_who_asked_for_it(crew: Crew) -> None:
    model = HashEvaluator(fail_on_finished)
    with GlobalPositionCollector(model, MANY, NEVER) as collector:
        together = threading.Barrier(4)

        def work(board: Positions) -> None:
            with collector.worker():
                together.wait(PATIENCE)
                try:
                    ask(collector, board)
                finally:
                    ask(collector, drawn(5, 4, 2))

        for board in (drawn(1, 4, 3), bad_board(), drawn(7, 5, 4), drawn(9, 4, 5)):
            crew.start(work, board)
        errors = crew.join()
        assert isinstance(errors.pop(1), Planned)
        assert errors == [None] * 3
    rows = rows_of(model)
    assert (rows[0], sorted(rows[1:5]), sum(rows[5:])) == (12, [1, 2, 7, 9], 20)


def test_a_worker_that_has_yet_to_hear_of_its_error_does_not_count_as_waiting(crew: Crew) -> None:
    """It is about to ask again, so the next batch starts with what it asks."""

    def wake_slowly(_: object, event: str, called: object) -> None:
        if event == "c_call" and getattr(called, "__name__", "") == "_acquire_restore":
            time.sleep(0.3)

    def fail_and_ask() -> None:
        with collector.worker():
            together.wait(PATIENCE)
            sys.setprofile(wake_slowly)
            with pytest.raises(Planned):
                ask(collector, bad_board())
            sys.setprofile(None)
            ask(collector, drawn(1, 4, 1))

    def ask_twice() -> None:
        with collector.worker():
            together.wait(PATIENCE)
            ask(collector, drawn(2, 4, 2))
            ask(collector, drawn(3, 4, 3))

    model, together = HashEvaluator(fail_on_finished), threading.Barrier(2)
    with GlobalPositionCollector(model, MANY, NEVER) as collector:
        crew.start(fail_and_ask)
        crew.start(ask_twice)
        assert crew.join() == [None, None]
    assert rows_of(model) == [4, 2, 2, 4]


def test_after_an_error_no_older_answer_comes() -> None:
    with GlobalPositionCollector(HashEvaluator(fail_on_finished), 2, NEVER) as collector:
        heard: list[Tensor] = []
        for board in (drawn(2, 4, 1), bad_board(), drawn(2, 4, 2), bad_board()):
            collector.request_policy(board, heard.append)
        with pytest.raises(Planned):
            collector.process_batches()
        heard.clear()
        for seed in range(5):
            ask(collector, drawn(3, 4, seed))
        assert heard == []


def test_after_an_error_nothing_of_its_round_waits_on(crew: Crew) -> None:
    """The five bad rows are a batch, the two good ones would wait for more."""
    model = HashEvaluator(fail_on_finished)
    with GlobalPositionCollector(model, 6, NEVER) as collector:
        idler = Idler(crew, collector)
        for board in (drawn(5, 4, 1).retire(torch.arange(5) == 3), drawn(2, 4, 2)):
            collector.request_value(board, lambda _: pytest.fail("an answer came"))
        with pytest.raises(Planned):
            collector.process_batches()
        assert rows_waiting(collector) == 0
        idler.let_go()
    assert rows_of(model) == [5]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals of POSIX")
def test_after_an_interrupted_wait_no_older_answer_comes(crew: Crew) -> None:
    """What Ctrl-C does to a main thread that waits for an answer."""

    def interrupt(*_: object) -> None:
        raise Harsh

    def send(_: Positions) -> None:
        if len(model.batches) == 1:
            time.sleep(0.05)  # until the main thread sleeps: not even Condition bears it earlier
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            assert go.wait(PATIENCE)

    model, go = HashEvaluator(send), threading.Event()
    heard: list[Tensor] = []
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with GlobalPositionCollector(model) as collector, collector.worker():
            collector.request_policy(drawn(1, 4, 1), heard.append)
            with pytest.raises(Harsh):
                collector.process_batches()
            go.set()
            # When another thread has been served, the older answer has come if it ever does.
            assert crew.join(crew.start(ask, collector, drawn(2, 4, 2))) == [None]
            ask(collector, drawn(3, 4, 3))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == []


def test_an_error_in_a_callback_reaches_only_its_owner(crew: Crew) -> None:
    def fail(_: Tensor) -> None:
        raise Planned

    with GlobalPositionCollector(HashEvaluator(), MANY, NEVER) as collector:
        together = threading.Barrier(3)

        def work(fails: bool) -> None:
            with collector.worker():
                together.wait(PATIENCE)
                if fails:
                    collector.request_value(drawn(3, 4, 1), fail)
                    collector.process_batches()
                for seed in range(3):
                    ask(collector, drawn(2, 4, seed))

        for fails in (False, True, False):
            crew.start(work, fails)
        first, second, third = crew.join()
        assert isinstance(second, Planned)
        assert first is third is None


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), Harsh()])
def test_the_death_of_the_inference_thread_is_told_to_all(crew: Crew, error: BaseException) -> None:
    def die(_: Positions) -> None:
        raise error

    with GlobalPositionCollector(HashEvaluator(die), 6, NEVER) as collector:
        idler = Idler(crew, collector)
        start_asking(crew, collector, 1, 2)
        crew.start(ask, collector, drawn(50, 4, 1))
        for death in (*crew.join(1, 2, 3), *[error_of(collector) for _ in range(2)]):
            assert isinstance(death, CollectorError)
            assert type(error).__name__ in str(death)
            assert death.__cause__ is error
        idler.let_go()


def error_of(collector: GlobalPositionCollector) -> BaseException:
    with pytest.raises(CollectorError) as caught:
        ask(collector, drawn(1, 4, 1))
    return caught.value


def test_close_tells_who_waits_and_who_comes_later(crew: Crew) -> None:
    model = HashEvaluator()
    collector = GlobalPositionCollector(model, MANY, NEVER)
    idler = Idler(crew, collector)
    askers = start_asking(crew, collector, 1, 2)
    collector.close()
    for error in (*crew.join(*askers), error_of(collector)):
        assert isinstance(error, CollectorError)
        assert "closed" in str(error)
    idler.let_go()
    collector.close()
    assert model.batches == []


def test_close_in_a_callback(crew: Crew) -> None:
    collector = GlobalPositionCollector(HashEvaluator(), MANY, NEVER)
    collector.request_value(drawn(1, 4, 1), lambda _: collector.close())
    collector.process_batches()
    assert isinstance(error_of(collector), CollectorError)


def test_close_in_the_model(crew: Crew) -> None:
    closed: list[bool] = []

    def close(_: Positions) -> None:
        collector.close()
        closed.append(True)

    collector = GlobalPositionCollector(HashEvaluator(close), MANY, NEVER)
    crew.start(ask, collector, drawn(1, 4, 1))
    crew.join()
    assert closed == [True]
    assert isinstance(error_of(collector), CollectorError)
    collector.close()


def test_no_lock_is_held_while_a_callback_runs(crew: Crew) -> None:
    """The callback waits for another thread's whole use of the collector."""
    with GlobalPositionCollector(HashEvaluator(), MANY, 0.0) as collector:

        def wait_for_another(_: Tensor) -> None:
            other = crew.start(ask, collector, drawn(2, 4, 2))
            assert crew.join(other) == [None]

        with collector.worker():
            collector.request_policy(drawn(1, 4, 1), wait_for_another)
            collector.process_batches()


def test_no_lock_is_held_while_the_model_runs(crew: Crew) -> None:
    """The model waits until one thread has come and gone, and another has asked."""

    def wait_for_others(_: Positions) -> None:
        if len(model.batches) == 1:
            Idler(crew, collector).let_go()
            assert crew.join(1) == [None]
            start_asking(crew, collector, 2)

    model = HashEvaluator(wait_for_others)
    with GlobalPositionCollector(model, MANY, 0.0) as collector:
        assert crew.join(crew.start(ask, collector, drawn(1, 4, 1))) == [None]
        assert crew.join() == [None] * 3
    assert rows_of(model) == [1, 2]
