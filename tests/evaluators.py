"""Toy evaluators: their answers are exact, functions of the position alone, and written twice.

`batch_infer` answers a batch of `Positions` on any device; `slow` answers one `SlowBoard`, written
apart from it, for the slow reference. Every answer is exactly a float32, so both must agree to the
bit. A toy counts what it is asked, and refuses what no model has to bear: a batch of no positions,
and a second call while one is under way.
"""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from reference import BLUE, RED, SlowBoard, canonical
from torch import Tensor

from hex_ai.game.positions import Positions

SlowEvaluation = tuple[list[float], float]

# Levels of `Hashed`. Fine ones hardly ever tie. Coarse ones tie all the time, also as -0 and +0;
# 11/16 because steps of logits and of values weighted by 1.5 then never add up to the same score.
FINE_LOGITS = tuple((k - 4096) * 11 / 2**14 for k in range(8192))
FINE_VALUES = tuple(k / 1024 for k in range(-1023, 1024))
COARSE_LOGITS = (-0.6875, -0.0, 0.0, 0.6875)
COARSE_VALUES = (-0.5, -0.0, 0.0, 0.5)

_PRIME = 998_244_353  # below 2^30, so that no product of two residues leaves an int64


class Toy(ABC):
    """An evaluator that counts.

    Finished positions are no requests, but a batch may hold them. What a toy says of them is
    `finished_value`, by default a lie: nobody may believe it.

    Attributes:
      calls: calls of `batch_infer`.
      rows: positions in them.
      requests: positions in them that are not finished.
      largest: rows of the largest call.
    """

    def __init__(self, finished_value: float = 1.0) -> None:
        self.calls = self.rows = self.requests = self.largest = 0
        self._finished_value = finished_value
        self._busy = threading.Lock()

    def batch_infer(self, positions: Positions) -> tuple[Tensor, Tensor]:
        """Logits float32 `[B, A]` and the mover's values float32 `[B]`."""
        if not len(positions):
            raise ValueError("a batch of no positions")
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("two calls of one evaluator at once")
        try:
            self.calls += 1
            self.rows += len(positions)
            self.requests += int((~positions.finished).sum())
            self.largest = max(self.largest, len(positions))
            logits, values = self.answer(positions)
        finally:
            self._busy.release()
        assert logits.shape == (len(positions), positions.moves)
        assert logits.dtype == values.dtype == torch.float32
        return logits, values.masked_fill(positions.finished, self._finished_value)

    def check(self) -> None:  # noqa: B027 - nothing to do: toys are sound
        """Raises nothing."""

    @abstractmethod
    def answer(self, positions: Positions) -> tuple[Tensor, Tensor]:
        """What `batch_infer` says of positions that are not finished."""

    @abstractmethod
    def slow(self, board: SlowBoard) -> SlowEvaluation:
        """The same for one board, in plain Python."""


class Uniform(Toy):
    """All logits equal and all values equal, so that everything is a tie."""

    def __init__(self, value: float = 0.0, finished_value: float = 1.0) -> None:
        super().__init__(finished_value)
        self._value = value

    def answer(self, positions: Positions) -> tuple[Tensor, Tensor]:
        batch, device = len(positions), positions.device
        values = torch.full((batch,), self._value, device=device)
        return torch.zeros(batch, positions.moves, device=device), values

    def slow(self, board: SlowBoard) -> SlowEvaluation:
        return [0.0] * board.size**2, self._value


class Hashed(Toy):
    """Pseudo-random logits and values, drawn by a hash of the canonical position.

    Args:
      seed: of the hash.
      logits, values: the levels drawn from, each exactly a float32.
    """

    def __init__(
        self,
        seed: int = 0,
        logits: Sequence[float] = FINE_LOGITS,
        values: Sequence[float] = FINE_VALUES,
        finished_value: float = 1.0,
    ) -> None:
        super().__init__(finished_value)
        self._seed, self._logits, self._values = seed, tuple(logits), tuple(values)
        self._kept: dict[tuple[int, torch.device], tuple[list[Tensor], Tensor, Tensor]] = {}

    @classmethod
    def coarse(cls, seed: int = 0, finished_value: float = 1.0) -> Hashed:
        """Four levels each, of which two are equal: ties abound."""
        return cls(seed, COARSE_LOGITS, COARSE_VALUES, finished_value)

    def answer(self, positions: Positions) -> tuple[Tensor, Tensor]:
        (mine, theirs, shifts, factors), logits, values = self._tensors(
            positions.moves, positions.device
        )
        stones = positions.stones().flatten(1)
        position = ((stones > 0) * mine + (stones < 0) * theirs).sum(1, keepdim=True) % _PRIME
        draws = (position + shifts) * factors % _PRIME
        return logits[draws[:, :-1] % len(logits)], values[draws[:, -1] % len(values)]

    def _tensors(self, moves: int, device: torch.device) -> tuple[list[Tensor], Tensor, Tensor]:
        """The codes and the levels on the device, kept as they are needed for every call."""
        if (moves, device) not in self._kept:
            self._kept[moves, device] = (
                [torch.tensor(codes, device=device) for codes in _codes(self._seed, moves)],
                torch.tensor(self._logits, dtype=torch.float32, device=device),
                torch.tensor(self._values, dtype=torch.float32, device=device),
            )
        return self._kept[moves, device]

    def slow(self, board: SlowBoard) -> SlowEvaluation:
        mine, theirs, shifts, factors = _codes(self._seed, board.size**2)
        stones = [stone for row in canonical(board) for stone in row]
        position = sum(mine[cell] for cell, stone in enumerate(stones) if stone > 0)
        position += sum(theirs[cell] for cell, stone in enumerate(stones) if stone < 0)
        draws = [
            (position % _PRIME + shift) * factor % _PRIME
            for shift, factor in zip(shifts, factors, strict=True)
        ]
        logits = [self._logits[draw % len(self._logits)] for draw in draws[:-1]]
        return logits, self._values[draws[-1] % len(self._values)]


class Table(Toy):
    """Looks boards up; those not listed get equal logits and the value 0."""

    def __init__(self, table: Mapping[SlowBoard, tuple[Sequence[float], float]]) -> None:
        super().__init__()
        self._table = table

    def answer(self, positions: Positions) -> tuple[Tensor, Tensor]:
        answers = [self.slow(board) for board in slow_boards(positions)]
        logits = torch.tensor([row for row, _ in answers], device=positions.device)
        return logits, torch.tensor([value for _, value in answers], device=positions.device)

    def slow(self, board: SlowBoard) -> SlowEvaluation:
        logits, value = self._table.get(board, ([0.0] * board.size**2, 0.0))
        return list(logits), value


def slow_boards(positions: Positions) -> list[SlowBoard]:
    """Each position as the slow reference knows it."""
    return [
        SlowBoard(tuple(tuple(line) for line in stones), BLUE if blue else RED)
        for stones, blue in zip(
            positions.board().tolist(), positions.blue_to_move.tolist(), strict=True
        )
    ]


def random_roots(batch: int, size: int, seed: int, device: torch.device) -> Positions:
    """Positions of random play that are not finished, from the first ply to the last possible.

    A row whose random move would end the game tries another one a ply later, so that late rows have
    few moves left, and many of those win. Drawn on the CPU: the same on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, size * size + 1, (batch,), generator=generator)
    positions = Positions.empty(batch, size, "cpu")
    for ply in range(size * size):
        draws = torch.rand(batch, size * size, generator=generator)
        moved = positions.play(draws.masked_fill(~positions.legal_moves(), -1.0).argmax(1))
        positions = Positions.where((ply < lengths) & ~moved.finished, moved, positions)
    return Positions(
        positions.labels.to(device),
        positions.blue_to_move.to(device),
        positions.finished.to(device),
    )


@cache
def _codes(seed: int, moves: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """Random residues: of the mover's stones, of the opponent's, and two for each draw."""
    draw = random.Random(f"{seed} {moves}")

    def residues(count: int) -> list[int]:
        return [draw.randrange(1, _PRIME) for _ in range(count)]

    return residues(moves), residues(moves), residues(moves + 1), residues(moves + 1)
