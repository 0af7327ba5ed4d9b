"""Collectors: requests about positions wait here until one batch answers them all.

A collector knows queues, and for the global one threads; it knows neither network nor search. The
search asks with a callback and goes on when the answer is there; how many games share a batch is
decided by which collector it was given.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions

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


class Collector(Protocol):
    """What a search asks: one batch and its answer, or the three calls with callbacks."""

    def evaluate(self, positions: Positions) -> Evaluation:
        """Asks about one batch and answers it: logits `[B, A]` and values `[B]`."""
        ...

    def request_policy(self, board: Positions, callback: Callback) -> None:
        """Asks for the logits `[B, A]` of a batch of positions."""
        ...

    def request_value(self, board: Positions, callback: Callback) -> None:
        """Asks for the values `[B]` of a batch of positions."""
        ...

    def process_batches(self) -> None:
        """Answers what waits, and what the callbacks ask in turn, until nothing waits."""
        ...


@dataclass(eq=False)
class _Request:
    """One batch of positions that somebody asked about, with everybody to be told."""

    board: Positions
    callbacks: list[tuple[int, Callback]] = field(default_factory=list)
    arrived: float = 0.0

    def tell(self, answer: Evaluation) -> None:
        for part, callback in self.callbacks:
            callback(answer[part])


class _Requests:
    """What one thread has asked since it last took an answer.

    Asking for the policy and for the value of one `Positions` object is one request.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, _Request] = {}

    def add(self, board: Positions, part: int, callback: Callback) -> None:
        request = self._waiting.setdefault(id(board), _Request(board))
        request.callbacks.append((part, callback))

    def take(self) -> list[_Request]:
        """Empties the list *before* anybody is called back, so that nothing asked then is lost."""
        taken, self._waiting = list(self._waiting.values()), {}
        return taken


class PositionCollector:
    """Collects the requests of one thread; each round of them is one `batch_infer`.

    Args:
      model: evaluates the positions.
      max_batch: positions a `batch_infer` at most; 1 asks singly. By default there is no limit.
    """

    def __init__(self, model: Evaluator, max_batch: int | None = None) -> None:
        if max_batch is not None and max_batch < 1:
            raise SettingError(f"max_batch {max_batch} is not positive")
        self._model, self._max_batch = model, max_batch
        self._requests = _Requests()

    def evaluate(self, positions: Positions) -> Evaluation:
        """Evaluates one batch: logits float32 `[B, A]` and the mover's values float32 `[B]`."""
        return _infer(self._model, positions, self._max_batch)

    def request_policy(self, board: Positions, callback: Callback) -> None:
        """Asks for policy logits; `callback` gets float32 `[B, A]` in `process_batches`."""
        self._requests.add(board, 0, callback)

    def request_value(self, board: Positions, callback: Callback) -> None:
        """Asks for the mover's values; `callback` gets float32 `[B]` in `process_batches`."""
        self._requests.add(board, 1, callback)

    def process_batches(self) -> None:
        """Answers all requests, also those made by callbacks, until nothing waits.

        An exception of the model or of a callback passes through; what waited then is dropped.
        """
        while requests := self._requests.take():
            try:
                for request, answer in answer_together(self._model, requests, self._max_batch):
                    request.tell(answer)
            except BaseException:
                self._requests.take()
                raise


def answer_together(
    model: Evaluator, requests: Sequence[_Request], max_batch: int | None = None
) -> Iterator[tuple[_Request, Evaluation]]:
    """Evaluates requests in as few batches as board sizes allow, then yields each its rows."""
    answers: dict[int, Evaluation] = {}
    for size in sorted({request.board.size for request in requests}):
        group = [request for request in requests if request.board.size == size]
        logits, values = _infer(model, Positions.cat([r.board for r in group]), max_batch)
        lengths = [len(request.board) for request in group]
        parts = zip(torch.split(logits, lengths), torch.split(values, lengths), strict=True)
        answers |= {id(request): part for request, part in zip(group, parts, strict=True)}
    return ((request, answers[id(request)]) for request in requests)


def _infer(model: Evaluator, board: Positions, max_batch: int | None) -> Evaluation:
    if max_batch is None:
        return model.batch_infer(board)
    # Who asks about few at a time can as well not ask about finished ones.
    live = (~board.finished).nonzero()[:, 0]
    logits = torch.zeros(len(board), board.moves, device=board.device)
    values = torch.full((len(board),), -1.0, device=board.device)
    for rows in torch.split(live, max_batch):
        if len(rows):
            logits[rows], values[rows] = model.batch_infer(board[rows])
    return logits, values
