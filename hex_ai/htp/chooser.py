"""Who chooses the move: a small type that any search can fill, and the fixed-width one.

Cells are canonical: as the mover of the position sees them.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from hex_ai.game.positions import MAX_SIZE, Positions
from hex_ai.inference.fixed_tree_search import (
    PositionCollector,
    SearchTree,
    build_search_tree_with_collection,
    check_widths,
)
from hex_ai.inference.position_collector import Evaluator

# Searches for a move of a given time, each some two to eight times as long as the one before.
LADDER = (
    (1,),
    (3, 2),
    (5, 3),
    (8, 4),
    (12, 6),
    (16, 8, 2),
    (16, 8, 4),
    (24, 12, 6),
    (24, 12, 6, 3),
    (32, 16, 8, 4),
    (48, 24, 12, 6),
)

# A search is begun if it would end in time even if it took so much longer than expected.
CAUTION = 1.25

# What a search once took counts for less with every one that was faster.
FORGETTING = 0.9


@dataclass(frozen=True)
class Choice:
    """What a search found in one position.

    Attributes:
      cell: the move chosen.
      value: of the position, the mover's view, in [-1, 1].
      policy: the network's probability of each move that was looked at, in falling order.
      values: the search value of each of them, the mover's view.
      variation: the line expected from here on, the chosen move first; every cell as its own mover
        sees it.
    """

    cell: int
    value: float
    policy: Mapping[int, float]
    values: Mapping[int, float]
    variation: tuple[int, ...]


class Chooser(Protocol):
    """Whatever chooses moves."""

    def choose(self, position: Positions, seconds: float | None) -> Choice:
        """Looks at one position (B = 1) that is not finished, for at most so many seconds.

        None leaves it to the chooser's own settings.
        """
        ...


def make_chooser(evaluator: Evaluator, device: torch.device, widths: Sequence[int]) -> Chooser:
    """The search that plays. The one place to put another one in."""
    return FixedWidthChooser(evaluator, device, widths)


def make_onlooker(evaluator: Evaluator, device: torch.device) -> Chooser:
    """Looks at every move, one ply deep: what the network alone thinks of a position."""
    return FixedWidthChooser(evaluator, device, (MAX_SIZE**2,))


class FixedWidthChooser:
    """The fixed-width tree search, one position at a time.

    Args:
      evaluator: evaluates positions.
      device: where it wants them.
      widths: of the search where no time is given. Where one is, ever wider searches are made while
        the next is sure to fit into the time.

    Raises:
      SettingError: unusable widths.
    """

    def __init__(self, evaluator: Evaluator, device: torch.device, widths: Sequence[int]) -> None:
        self._evaluator, self._device = evaluator, device
        self._widths = check_widths(widths)
        # By board size and widths: the seconds that such a search is to be reckoned with.
        self._durations: dict[tuple[int, tuple[int, ...]], float] = {}

    def choose(self, position: Positions, seconds: float | None) -> Choice:
        """Searches with the widths, or as wide as the time allows; see `Chooser`."""
        position = position.to(self._device)
        if seconds is None:
            return self._search(position, self._widths)
        return self._search_for(position, seconds)

    def _search(self, position: Positions, widths: tuple[int, ...]) -> Choice:
        collector = PositionCollector(self._evaluator)
        tree = build_search_tree_with_collection(position, widths, 0.0, collector)
        self._evaluator.check()
        return choice_of(tree)

    def _search_for(self, position: Positions, seconds: float) -> Choice:
        end = time.monotonic() + seconds
        ladder = _distinct_widths(position.moves)
        choice = self._timed_search(position, ladder[0])
        for narrower, wider in pairwise(ladder):
            expected = self._expected_seconds(position, narrower, wider)
            if choice.value >= 1 or time.monotonic() + CAUTION * expected > end:
                break
            choice = self._timed_search(position, wider)
        return choice

    def _timed_search(self, position: Positions, widths: tuple[int, ...]) -> Choice:
        started = time.monotonic()
        choice = self._search(position, widths)
        key = position.size, widths
        before = self._durations.get(key, 0.0)
        self._durations[key] = max(time.monotonic() - started, FORGETTING * before)
        return choice

    def _expected_seconds(
        self, position: Positions, narrower: tuple[int, ...], wider: tuple[int, ...]
    ) -> float:
        """By what it took before, else by the narrower search: a row costs no more in a wider."""
        known = self._durations.get((position.size, wider))
        if known is not None:
            return known
        return self._durations[position.size, narrower] * _requests(wider) / _requests(narrower)


def choice_of(tree: SearchTree) -> Choice:
    """What a search tree of one game says."""
    candidates = tree.candidates
    legal: list[bool] = candidates.legal[0].tolist()
    cells = [cell for cell, real in zip(candidates.cells[0].tolist(), legal, strict=True) if real]
    priors = candidates.log_priors[0].exp().tolist()
    cell = int(tree.chosen[0])
    return Choice(
        cell=cell,
        value=float(tree.values[0]),
        # Illegal candidates stand behind the legal ones, so the lists are cut, not misaligned.
        policy=dict(zip(cells, priors, strict=False)),
        values=dict(zip(cells, tree.q[0].tolist(), strict=False)),
        variation=_variation(tree, cell),
    )


def _variation(tree: SearchTree, chosen: int) -> tuple[int, ...]:
    """The best line of a tree of one game, from the chosen move on."""
    node = int((tree.levels[0].cells[0] == chosen).nonzero()[0])
    line = [chosen]
    for upper, lower in pairwise(tree.levels):
        width = lower.cells.shape[1] // upper.cells.shape[1]
        children = slice(node * width, (node + 1) * width)
        if bool(upper.finished[0, node]) or not bool(lower.real[0, children].any()):
            break
        node = node * width + _best_child(lower.values[0, children], lower.real[0, children])
        line.append(int(lower.cells[0, node]))
    return tuple(line)


def _best_child(values: Tensor, real: Tensor) -> int:
    """The child worst for its own mover; of equal ones the first, whose prior is higher."""
    return int(values.masked_fill(~real, math.inf).argmin())


def _distinct_widths(moves: int) -> list[tuple[int, ...]]:
    """The ladder on a board with so many cells, without steps that would search nothing new."""
    clipped = [tuple(min(width, moves) for width in widths) for widths in LADDER]
    return list(dict.fromkeys(clipped))


def _requests(widths: Sequence[int]) -> int:
    """Positions that a search asks about, the root included."""
    return 1 + sum(math.prod(widths[: depth + 1]) for depth in range(len(widths)))
