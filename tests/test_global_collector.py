"""When `GlobalPositionCollector` starts a batch.

No test can fail by chance: a batch that must not start is looked for in vain, and what must happen
is waited for up to `PATIENCE`. Delays of `NEVER` mean that another rule has to start the batch.
"""

import threading
import time
from collections.abc import Iterator

import pytest
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
    start_asking,
)

from hex_ai.game.positions import Positions
from hex_ai.inference.global_collector import GlobalPositionCollector

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def crew() -> Iterator[Crew]:
    with Crew() as crew:
        yield crew


def test_a_batch_starts_when_every_worker_waits(crew: Crew) -> None:
    model = HashEvaluator()
    with GlobalPositionCollector(model, MANY, NEVER) as collector:
        together = threading.Barrier(3)

        def work(rows: int) -> None:
            with collector.worker(), collector.worker():
                together.wait(PATIENCE)
                for seed in range(5):
                    ask(collector, drawn(rows, 4, seed))
                together.wait(PATIENCE)

        for rows in (1, 4, 9):
            crew.start(work, rows)
        assert crew.join() == [None] * 3
    assert rows_of(model) == [14] * 5


def test_one_worker_alone_waits_for_nobody() -> None:
    model = HashEvaluator()
    with GlobalPositionCollector(model, MANY, NEVER) as collector:
        ask(collector, drawn(2, 4, 1))
        with collector.worker():
            ask(collector, drawn(3, 4, 2))
    assert rows_of(model) == [2, 3]


@pytest.mark.parametrize("end", [None, Planned(), Harsh()])
def test_a_worker_that_ends_releases_the_others(crew: Crew, end: BaseException | None) -> None:
    model = HashEvaluator()
    with GlobalPositionCollector(model, MANY, NEVER) as collector:
        idler = Idler(crew, collector, end)
        askers = start_asking(crew, collector, 2, 3)
        time.sleep(0.05)
        assert model.batches == []
        idler.let_go()
        assert crew.join(*askers) == [None, None]
        assert crew.join(idler.number) == [end]
    assert rows_of(model) == [5]


def test_leaving_an_inner_block_does_not_end_a_worker(crew: Crew) -> None:
    model = HashEvaluator()
    with GlobalPositionCollector(model, MANY, NEVER) as collector:
        left, go = threading.Event(), threading.Event()

        def work() -> None:
            with collector.worker():
                with collector.worker():
                    ask(collector, drawn(1, 4, 1))
                left.set()
                assert go.wait(PATIENCE)

        crew.start(work)
        assert left.wait(PATIENCE)
        start_asking(crew, collector, 2)
        time.sleep(0.05)
        assert rows_of(model) == [1]
        go.set()
        assert crew.join() == [None, None]


def test_a_batch_starts_when_batch_size_rows_wait(crew: Crew) -> None:
    model = HashEvaluator()
    with GlobalPositionCollector(model, 9, NEVER) as collector:
        idler = Idler(crew, collector)
        askers = start_asking(crew, collector, 3, 5)
        time.sleep(0.05)
        assert model.batches == []
        askers.append(crew.start(ask, collector, drawn(1, 4, 1)))
        assert crew.join(*askers) == [None] * 3
        assert rows_of(model) == [9]
        idler.let_go()


def test_a_batch_starts_when_its_oldest_request_is_old_enough(crew: Crew) -> None:
    """However many newer ones keep coming."""
    model = HashEvaluator()
    with GlobalPositionCollector(model, MANY, 200.0) as collector:
        idler = Idler(crew, collector)
        started = time.monotonic()
        first = crew.start(ask, collector, drawn(1, 4, 1))
        while crew.threads[first].is_alive():
            assert time.monotonic() - started < PATIENCE / 2, "newer requests hold the oldest up"
            crew.start(ask, collector, drawn(1, 4, 2))
            time.sleep(0.02)
        assert crew.join(first) == [None]
        assert time.monotonic() - started >= 0.2
        idler.let_go()
        assert set(crew.join()) == {None}
    assert sum(rows_of(model)) == len(crew.threads) - 1


@pytest.mark.parametrize("delay", [float("inf"), 1e300])
def test_the_longest_delay_means_for_ever(crew: Crew, delay: float) -> None:
    with GlobalPositionCollector(HashEvaluator(), MANY, delay) as collector:
        idler = Idler(crew, collector)
        asker = crew.start(ask, collector, drawn(1, 4, 1))
        time.sleep(0.05)
        idler.let_go()
        assert crew.join(asker) == [None]


def test_with_no_delay_a_free_inference_thread_starts_at_once(crew: Crew) -> None:
    model = HashEvaluator()
    with GlobalPositionCollector(model, MANY, 0.0) as collector:
        idler = Idler(crew, collector)
        for rows in (1, 4, 2):
            asker = crew.start(ask, collector, drawn(rows, 4, rows))
            assert crew.join(asker) == [None]
        idler.let_go()
    assert rows_of(model) == [1, 4, 2]


def test_what_comes_while_the_model_runs_is_one_batch_of_whole_requests(crew: Crew) -> None:
    """At most `batch_size` rows, the oldest first, none split."""
    busy, go = threading.Event(), threading.Event()

    def hold(_: Positions) -> None:
        busy.set()
        assert go.wait(PATIENCE)

    model = HashEvaluator(hold)
    with GlobalPositionCollector(model, 10, 0.0) as collector:
        crew.start(ask, collector, drawn(1, 4, 1))
        assert busy.wait(PATIENCE)
        start_asking(crew, collector, 3, 7, 4, 33, 2, 9)
        go.set()
        assert crew.join() == [None] * 7
    assert rows_of(model) == [1, 10, 4, 33, 2, 9]


def test_a_request_larger_than_batch_size_is_served_in_one_piece(crew: Crew) -> None:
    model = HashEvaluator()
    with GlobalPositionCollector(model, 8, NEVER) as collector:
        idler = Idler(crew, collector)
        assert crew.join(crew.start(ask, collector, drawn(100, 4, 1))) == [None]
        idler.let_go()
    assert rows_of(model) == [100]
