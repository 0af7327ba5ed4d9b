"""Collectors: queues between searches and the network that answers in batches.

A collector knows queues, and the global one threads; it knows neither network nor search. Our own
searches ask by `evaluate`, a batch at a time. Other searches may ask for one board after the other
by `request_policy` and `request_value`, whose callbacks `process_batches` calls. How many games
share a batch is decided by which collector a search was given.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.numbers import whole

Callback = Callable[[Tensor], None]
Evaluation = tuple[Tensor, Tensor]


class Evaluator(Protocol):
    """Whatever evaluates positions: `ModelInference`, or an exact toy in a test."""

    def batch_infer(self, positions: Positions) -> Evaluation:
        """Policy logits float32 `[B, A]` and the mover's values float32 `[B]`."""
        ...

    def check(self) -> None:
        """Raises the error of a batch that `batch_infer` did not wait for."""
        ...


@dataclass(eq=False)
class _Request:
    """A board that somebody asked about: for its policy, its values, or both."""

    board: Positions
    callbacks: list[tuple[int, Callback]] = field(default_factory=list)


class Collector(ABC):
    """What a search is given: one call that evaluates a batch, and three for single boards.

    Boards asked about between two calls of `process_batches` share batches. Asking for the policy
    and for the values of one `Positions` object is one request. Each thread has requests of its
    own, and its callbacks run in it.
    """

    def __init__(self, model: Evaluator) -> None:
        self._model = model
        self._asked = threading.local()

    @abstractmethod
    def evaluate(self, positions: Positions) -> Evaluation:
        """Evaluates one batch: logits float32 `[B, A]` and the mover's values float32 `[B]`."""

    @abstractmethod
    def _evaluate_all(self, boards: Sequence[Positions]) -> Sequence[Evaluation]:
        """Evaluates boards, perhaps of several sizes, in as few batches as can be."""

    def check(self) -> None:
        """Raises the error of a batch that nobody has waited for yet; see `ModelInference`."""
        self._model.check()

    def request_policy(self, board: Positions, callback: Callback) -> None:
        """Asks for policy logits; `callback` gets float32 `[B, A]` in `process_batches`."""
        self._request(board, 0, callback)

    def request_value(self, board: Positions, callback: Callback) -> None:
        """Asks for the mover's values; `callback` gets float32 `[B]` in `process_batches`."""
        self._request(board, 1, callback)

    def process_batches(self) -> None:
        """Answers this thread's requests, also those made by callbacks, until nothing waits.

        An exception of the model or of a callback passes through; what waited then is dropped.
        """
        while requests := self._take_requests():
            try:
                answers = self._evaluate_all([request.board for request in requests])
                for request, answer in zip(requests, answers, strict=True):
                    for part, callback in request.callbacks:
                        callback(answer[part])
            except BaseException:
                self._take_requests()
                raise

    def _request(self, board: Positions, part: int, callback: Callback) -> None:
        requests: dict[int, _Request] = self._asked.__dict__.setdefault("requests", {})
        requests.setdefault(id(board), _Request(board)).callbacks.append((part, callback))

    def _take_requests(self) -> list[_Request]:
        """Empties the list *before* anybody is called back, so that nothing asked then is lost."""
        requests: dict[int, _Request] = self._asked.__dict__.pop("requests", {})
        return list(requests.values())


class PositionCollector(Collector):
    """Evaluates at once, in the thread that asks.

    Args:
      model: evaluates the positions.
      max_batch: positions a `batch_infer` at most, by default all; finished ones are left out then.
    """

    def __init__(self, model: Evaluator, max_batch: int | None = None) -> None:
        self._max_batch = None if max_batch is None else whole("max_batch", max_batch)
        if self._max_batch is not None and self._max_batch < 1:
            raise SettingError(f"max_batch {max_batch} is not positive")
        super().__init__(model)

    def evaluate(self, positions: Positions) -> Evaluation:
        """Evaluates one batch, see `Collector`."""
        if self._max_batch is None:
            return self._model.batch_infer(positions)
        unfinished = (~positions.finished).nonzero()[:, 0]
        count, place = len(positions), positions.device
        logits = torch.zeros(count, positions.moves, dtype=torch.float32, device=place)
        values = torch.full((count,), -1.0, dtype=torch.float32, device=place)
        for rows in torch.split(unfinished, self._max_batch):
            if len(rows):
                logits[rows], values[rows] = self._model.batch_infer(positions[rows])
        return logits, values

    def _evaluate_all(self, boards: Sequence[Positions]) -> Sequence[Evaluation]:
        return evaluate_together(boards, self.evaluate)


def evaluate_together(
    boards: Sequence[Positions], evaluate: Callable[[Positions], Evaluation]
) -> list[Evaluation]:
    """Evaluates all boards of a size in one batch; the evaluations in the order of the boards."""
    answers: dict[int, Evaluation] = {}
    for size in sorted({board.size for board in boards}):
        group = [k for k, board in enumerate(boards) if board.size == size]
        logits, values = evaluate(Positions.cat([boards[k] for k in group]))
        lengths = [len(boards[k]) for k in group]
        parts = zip(torch.split(logits, lengths), torch.split(values, lengths), strict=True)
        answers |= zip(group, parts, strict=True)
    return [answers[k] for k in range(len(boards))]
