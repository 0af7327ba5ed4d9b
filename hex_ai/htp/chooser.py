"""Who chooses the move: a small type that any search can fill, and the fixed-width one.

Cells are canonical: as the mover of the position sees them.
"""

import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from hex_ai.game.positions import Positions
from hex_ai.game.records import MAX_SIZE
from hex_ai.inference.fixed_tree_search import (
    SearchTree,
    build_search_tree_with_collection,
    check_widths,
)
from hex_ai.inference.position_collector import Evaluator, PositionCollector
from hex_ai.puct.levels import level, policy_moves
from hex_ai.puct.search import PuctResult, PuctSearch, PuctSettings

# A search is given at least this long, for it evaluates its root whatever the time.
LEAST_SECONDS = 1e-3

# Nodes that a search keeps from move to move.
MAX_NODES = 200_000


@dataclass(frozen=True)
class Choice:
    """What a search found in one position.

    Attributes:
      cell: the move chosen.
      value: of the position, the mover's view, in [-1, 1].
      policy: of each move that was looked at, in falling order: the network's probability, or of a
        search for play the share of its leaves.
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


def make_chooser(
    evaluator: Evaluator, device: torch.device, widths: Sequence[int], level: int | None = None
) -> Chooser:
    """The search that plays. The one place to put another one in.

    Args:
      evaluator: evaluates positions.
      device: where it wants them.
      widths: of the search where neither a level nor a time is set.
      level: of play, see `hex_ai.puct.levels`; then no time counts.

    Raises:
      SettingError: unusable widths, or no such level.
    """
    if level is not None:
        return LevelChooser(evaluator, device, level)
    return FixedOrTimedChooser(evaluator, device, widths)


def make_onlooker(evaluator: Evaluator, device: torch.device) -> Chooser:
    """Looks at every move, one ply deep: what the network alone thinks of a position."""
    return FixedOrTimedChooser(evaluator, device, (MAX_SIZE**2,))


class FixedOrTimedChooser:
    """The fixed-width tree search where no time is given, and where one is, the search that scales
    with it, whose tree is kept from move to move.

    Args:
      evaluator: evaluates positions.
      device: where it wants them.
      widths: of the fixed-width search.

    Raises:
      SettingError: unusable widths.
    """

    def __init__(self, evaluator: Evaluator, device: torch.device, widths: Sequence[int]) -> None:
        self._evaluator, self._device = evaluator, device
        self._widths = check_widths(widths)
        self._timed: PuctSearch | None = None

    def choose(self, position: Positions, seconds: float | None) -> Choice:
        """Searches with the widths, or for the time given; see `Chooser`."""
        position = position.to(self._device)
        collector = PositionCollector(self._evaluator)
        if seconds is None:
            tree = build_search_tree_with_collection(position, self._widths, 0.0, collector)
            self._evaluator.check()
            return choice_of(tree)
        started = time.monotonic()
        if self._timed is None or not follow(self._timed, position):
            self._timed = PuctSearch(position, collector, PuctSettings(max_nodes=MAX_NODES))
        left = seconds - (time.monotonic() - started)
        found = self._timed.search(seconds=max(left, LEAST_SECONDS))
        self._evaluator.check()
        return choice_of_result(found, position)


class LevelChooser:
    """A level of play, whatever the time. Each session draws its own moves.

    Raises:
      SettingError: no such level.
    """

    def __init__(self, evaluator: Evaluator, device: torch.device, number: int) -> None:
        self._evaluator, self._device = evaluator, device
        self._level = level(number)
        self._seed, self._drawn = secrets.randbits(62), 0

    def choose(self, position: Positions, seconds: float | None) -> Choice:
        """Draws from the policy, or searches with the level's number of evaluations."""
        position = position.to(self._device)
        collector = PositionCollector(self._evaluator)
        found = PuctSearch(position, collector).search(evaluations=max(self._level.evaluations, 1))
        choice = choice_of_result(found, position)
        if not self._level.evaluations:
            self._drawn += 1
            count = torch.tensor([self._drawn], device=self._device)
            moves = policy_moves(
                position,
                collector,
                self._level.temperature(position.size),
                self._seed,
                count,
                count,
            )
            cell = int(moves[0])
            choice = replace(choice, cell=cell, variation=(cell,))
        self._evaluator.check()
        return choice


def follow(search: PuctSearch, position: Positions) -> bool:
    """Advances a search of one game to `position` (B = 1), if at most one move of each side leads
    there; says whether it did."""
    if search.positions.size != position.size:
        return False
    path = _path(search.positions.stones()[0].cpu(), position.stones()[0].cpu())
    if path is None:
        return False
    for cell in path:
        move = torch.tensor([cell], device=search.positions.device)
        if not bool(search.positions.legal_moves()[0, cell]):
            return False
        search.advance(move)
    return not bool(search.positions.finished.any())


def _path(before: Tensor, after: Tensor) -> tuple[int, ...] | None:
    """The moves, each as its mover sees it, from one board to another, or None if there are none.

    Both are int8 `[N, N]` as their movers see them, who may be one or two sides.
    """
    size = len(before)
    if torch.equal(before, after):
        return ()
    one = -after.mT - before
    if _is_new(one, before, 1, 0):
        return (int(one.flatten().argmax()),)
    two = after - before
    if _is_new(two, before, 1, 1):
        row, column = divmod(int(two.flatten().argmin()), size)
        return int(two.flatten().argmax()), column * size + row
    return None


def _is_new(change: Tensor, before: Tensor, own: int, other: int) -> bool:
    """Whether so many stones of each side have come, on empty cells, and nothing else."""
    counts = (int((change == 1).sum()), int((change == -1).sum()), int((change != 0).sum()))
    return counts == (own, other, own + other) and not bool(before[change != 0].any())


def choice_of_result(found: PuctResult, position: Positions) -> Choice:
    """What a search for play of one game says; its policy is where it looked, in shares."""
    visits = found.visits[0].double()
    order = visits.argsort(descending=True, stable=True).tolist()
    total = float(visits.sum())
    # A move that is proven at once has no leaves behind it, but is looked at.
    values = found.move_values[0].tolist()
    seen = [cell for cell in order if not math.isnan(values[cell])]
    # The search sees every cell as the root's mover does, the line wants each mover's own view.
    size = position.size
    turned = (
        cell if k % 2 == 0 else cell % size * size + cell // size
        for k, cell in enumerate(found.lines[0])
    )
    return Choice(
        cell=int(found.moves[0]),
        value=float(found.values[0]),
        policy={cell: float(visits[cell]) / max(total, 1.0) for cell in seen},
        values={cell: values[cell] for cell in seen},
        variation=tuple(turned),
    )


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
