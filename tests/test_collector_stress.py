"""`GlobalPositionCollector` under many threads that behave in every way a thread may.

Threads come and go, nest requests in callbacks, raise in callbacks, ask about bad positions, leave
with requests open, or never ask at all. The seeds fix what each does; the order among them is
whatever the machine makes of it, and no order may break a promise, so none fails by chance.
"""

import itertools
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from inference_toys import HashEvaluator, hash_evaluation, random_positions
from thread_crew import Crew, Planned
from torch import Tensor

from hex_ai.game.positions import Positions
from hex_ai.inference.global_collector import GlobalPositionCollector

pytestmark = pytest.mark.timeout(600)

THREADS = (1, 2, 3, 8, 32)
BATCH_SIZES = (1, 2, 7, 64, 4096)
DELAYS = (0.0, 1.0, 20.0)

# How a thread behaves, and how often.
MANNERS = {
    "steady": 6,
    "raises in callbacks": 3,
    "asks about bad positions": 3,
    "asks without registering": 1,
    "leaves early": 1,
    "leaves with open requests": 1,
    "dies of an error": 1,
    "never asks": 1,
}


class Bad(Exception):
    """What the model says of a position that is finished."""


def refuse_bad(positions: Positions) -> None:
    if bool(positions.finished.any()):
        raise Bad


@dataclass
class Stock:
    """Positions of one size, the last of them bad, with the right answers."""

    board: Positions
    answers: tuple[Tensor, Tensor]

    @staticmethod
    def make(size: int) -> "Stock":
        board = random_positions(101, size, size).retire(torch.arange(101) == 100)
        return Stock(board, hash_evaluation(board))


STOCKS = {size: Stock.make(size) for size in (3, 4, 6)}


@dataclass
class Ticket:
    """One callback: what it has to get, and how often it came right or otherwise.

    It must come once if `due`, and not at all when its round is `over`.
    """

    expected: Tensor
    owner: int = field(default_factory=threading.get_ident)
    right: int = 0
    wrong: int = 0
    due: bool = False
    over: bool = False

    def hear(self, answer: Tensor) -> None:
        astray = self.over or threading.get_ident() != self.owner
        if not astray and torch.equal(answer, self.expected):
            self.right += 1
        else:
            self.wrong += 1


class Asker:
    """One thread: asks in rounds, and keeps a ticket for everything it asked."""

    def __init__(self, collector: GlobalPositionCollector, manner: str, seed: str) -> None:
        self.collector, self.manner = collector, manner
        self.draw = random.Random(seed)
        self.tickets: list[Ticket] = []
        self.bad_asked = 0

    def live(self) -> None:
        if self.manner == "asks without registering":
            self.rounds(4)
            return
        with self.collector.worker():
            if self.manner != "never asks":
                self.rounds(1 if self.manner == "leaves early" else 4)
            if self.manner == "leaves with open requests":
                self.ask(2)
            if self.manner == "dies of an error":
                self.ask(2)
                raise Planned

    def rounds(self, count: int) -> None:
        for _ in range(count):
            first = len(self.tickets)
            for _ in range(self.draw.randint(1, 3)):
                self.ask(2)
            self.bad_asked = 0
            if self.manner == "asks about bad positions" and self.draw.random() < 0.5:
                self.ask_bad()
            try:
                self.collector.process_batches()
            except Planned:
                assert self.manner == "raises in callbacks"
            except Bad:
                assert self.bad_asked
            else:
                assert not self.bad_asked, "nobody was told of a bad position"
                for ticket in self.tickets[first:]:
                    ticket.due = True
            for ticket in self.tickets[first:]:
                ticket.over = True

    def ask(self, depth: int) -> None:
        """One request for policy, value or both, which may ask again when it is answered."""
        stock = STOCKS[self.draw.choice(list(STOCKS))]
        rows = torch.tensor([self.draw.randrange(100) for _ in range(self.draw.choice((1, 2, 30)))])
        board = stock.board[rows]
        for part in self.draw.choice(((0,), (1,), (0, 1))):
            ticket = Ticket(stock.answers[part][rows])
            self.tickets.append(ticket)
            calls = (self.collector.request_policy, self.collector.request_value)
            calls[part](board, self.callback(ticket, depth))

    def ask_bad(self) -> None:
        self.bad_asked += 1
        board = STOCKS[4].board[torch.tensor([3, 100])]
        self.collector.request_policy(board, lambda _: pytest.fail("a bad position was answered"))

    def callback(self, ticket: Ticket, depth: int) -> Callable[[Tensor], None]:
        def hear(answer: Tensor) -> None:
            ticket.hear(answer)
            if depth and self.draw.random() < 0.4:
                self.ask(depth - 1)
            if self.manner == "raises in callbacks" and self.draw.random() < 0.15:
                raise Planned

        return hear

    def assert_all_served(self) -> None:
        for ticket in self.tickets:
            assert ticket.wrong == 0, self.manner
            assert ticket.right == 1 if ticket.due else ticket.right <= 1, self.manner


def run_crew(threads: int, batch_size: int, delay: float, seed: int) -> None:
    draw = random.Random(f"{threads} {batch_size} {delay} {seed}")
    model = HashEvaluator(refuse_bad)
    with Crew() as crew, GlobalPositionCollector(model, batch_size, delay) as collector:
        manners = draw.choices(list(MANNERS), list(MANNERS.values()), k=threads)
        askers = [Asker(collector, manner, f"{draw.random()}") for manner in manners]
        for asker in askers:
            crew.start(asker.live)
        for asker, error in zip(askers, crew.join(), strict=True):
            assert isinstance(error, Planned if asker.manner == "dies of an error" else type(None))
            asker.assert_all_served()
        assert not collector._waiting, "a request was left behind"


def test_every_request_of_every_thread_is_answered_once(share: Callable[[int, int], int]) -> None:
    """Every number of threads, batch size and delay, in an order that mixes them early."""
    combinations = list(itertools.product(THREADS, BATCH_SIZES, DELAYS))
    random.Random(4).shuffle(combinations)
    for combination in combinations[: share(8, len(combinations))]:
        for seed in range(share(1, 2)):
            run_crew(*combination, seed)
