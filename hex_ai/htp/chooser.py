"""How the engine chooses a move: by widths, by time, or by a level of play."""

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from hex_ai.errors import HexAIError
from hex_ai.game.notation import mirror
from hex_ai.game.positions import Positions
from hex_ai.game.records import MAX_SIZE
from hex_ai.htp.board import Board
from hex_ai.inference.fixed_tree_search import SearchTree, build_search_tree_with_collection
from hex_ai.inference.move_choice import log_priors
from hex_ai.inference.position_collector import Evaluation, Evaluator, PositionCollector
from hex_ai.puct.levels import level, policy_moves
from hex_ai.puct.search import PuctResult, PuctSearch, PuctSettings, make_ready

# One ply deep, every move: what the network alone thinks of a position.
ALL_MOVES = (MAX_SIZE**2,)

# A search is given at least this long, for it evaluates its root whatever the time.
LEAST_SECONDS = 1e-3

# Rows that are evaluated between two looks at whether a search is to end.
STOP_ROWS = 32

# Nodes that a search keeps from move to move.
MAX_NODES = 200_000


@dataclass(frozen=True)
class Choice:
    """What a search found in one position; cells are as its mover sees them.

    Attributes:
      cell: the move chosen.
      value: of the position, the mover's view, in [-1, 1].
      values: the search value of each move that was looked at, the mover's view.
      variation: the line expected from here on, the chosen move first.
    """

    cell: int
    value: float
    values: Mapping[int, float]
    variation: tuple[int, ...]


class _Stopped(HexAIError):
    """A search by widths that was to end before it had an answer."""


class _Stoppable:
    """An evaluator that is asked for a few rows at a time and gives up once it is told to."""

    def __init__(self, evaluator: Evaluator, stop: Callable[[], bool]) -> None:
        self._evaluator, self._stop = evaluator, stop

    def batch_infer(self, positions: Positions) -> Evaluation:
        parts = []
        for start in range(0, len(positions), STOP_ROWS):
            if self._stop():
                raise _Stopped("interrupted")
            parts.append(self._evaluator.batch_infer(positions[start : start + STOP_ROWS]))
        logits, values = zip(*parts, strict=True)
        return torch.cat(logits), torch.cat(values)

    def check(self) -> None:
        self._evaluator.check()


class MoveChooser:
    """Chooses moves on boards whose game is not over.

    Args:
      evaluator: evaluates positions.
      device: where it wants them.
      stop: asked during a search whether to end it with what it has found.
    """

    def __init__(
        self, evaluator: Evaluator, device: torch.device, stop: Callable[[], bool]
    ) -> None:
        self._evaluator, self._device, self._stop = evaluator, device, stop
        self._collector = PositionCollector(evaluator)
        self._stoppable = PositionCollector(_Stoppable(evaluator, stop))
        self._kept: tuple[Board, PuctSearch] | None = None
        # Each session draws its own moves.
        self._seed, self._drawn = secrets.randbits(62), 0

    def make_ready(self) -> None:
        """Does beforehand what the first search for play would otherwise do on its clock."""
        make_ready(self._device)

    def policy(self, board: Board) -> dict[int, float]:
        """The network's probability of each legal move, in falling order."""
        position = self._position(board)
        logits, _ = self._collector.evaluate(position)
        self._evaluator.check()
        legal = position.legal_moves()
        chances, cells = log_priors(logits, legal)[0].exp().sort(descending=True, stable=True)
        count = int(legal.sum())
        return dict(zip(cells[:count].tolist(), chances[:count].tolist(), strict=True))

    def by_widths(self, board: Board, widths: Sequence[int]) -> Choice:
        """By the fixed-width search; by the policy's favourite if it is stopped."""
        try:
            tree = self._tree(board, widths, self._stoppable)
        except _Stopped:
            tree = self._tree(board, (1,), self._collector)
        return Choice(
            int(tree.chosen[0]), float(tree.values[0]), _by_cell(tree, tree.q), _variation(tree)
        )

    def by_time(self, board: Board, seconds: float) -> Choice:
        """By the search for play, for at most so many seconds; its tree is kept for the next."""
        started = time.monotonic()
        search = self._search_from(board)
        left = seconds - (time.monotonic() - started)
        found = search.search(seconds=max(left, LEAST_SECONDS))
        self._evaluator.check()
        self._kept = board, search
        return _choice_of(found)

    def by_level(self, board: Board, number: int) -> Choice:
        """By a level of play: drawn from the policy, or by a search of the level's evaluations."""
        chosen, position = level(number), self._position(board)
        search = PuctSearch(position, self._collector, stop=self._stop)
        choice = _choice_of(search.search(evaluations=max(chosen.evaluations, 1)))
        if not chosen.evaluations:
            self._drawn += 1
            key, temperature = torch.tensor([self._drawn]), chosen.temperature(board.size)
            moves = policy_moves(position, self._collector, temperature, self._seed, key, key)
            choice = replace(choice, cell=int(moves[0]), variation=(int(moves[0]),))
        self._evaluator.check()
        return choice

    def _position(self, board: Board) -> Positions:
        return board.position().to(self._device)

    def _tree(
        self, board: Board, widths: Sequence[int], collector: PositionCollector
    ) -> SearchTree:
        position = self._position(board)
        tree = build_search_tree_with_collection(position, widths, 0.0, collector)
        self._evaluator.check()
        return tree

    def _search_from(self, board: Board) -> PuctSearch:
        """The search kept, if the moves played since lead to the board; else a new one."""
        kept, self._kept = self._kept, None
        moves = kept and board.moves_since(kept[0])
        if kept is None or moves is None:
            settings = PuctSettings(max_nodes=MAX_NODES)
            position = self._position(board)
            return PuctSearch(position, self._collector, settings, stop=self._stop)
        for cell in moves:
            kept[1].advance(torch.tensor([cell], device=self._device))
        return kept[1]


def fairest(values: Mapping[int, float]) -> int:
    """The move that leaves neither side ahead, where the opponent may take the better side.

    Args:
      values: of the moves, the mover's view.
    """
    return min(values, key=lambda cell: (abs(values[cell]), cell))


def _choice_of(found: PuctResult) -> Choice:
    """What a search for play of one game says; the moves it looked at most come first."""
    # A move that is proven at once has no leaves behind it, but is looked at.
    values = found.move_values[0].tolist()
    order = found.visits[0].argsort(descending=True, stable=True).tolist()
    seen = {cell: values[cell] for cell in order if not math.isnan(values[cell])}
    return Choice(int(found.moves[0]), float(found.values[0]), seen, found.lines[0])


def _by_cell(tree: SearchTree, numbers: Tensor) -> dict[int, float]:
    """Numbers `[1, W]` of the candidates of a tree of one game, by the cells of those legal."""
    legal = tree.candidates.legal[0]
    cells, values = tree.candidates.cells[0][legal], numbers[0][legal]
    return dict(zip(cells.tolist(), values.tolist(), strict=True))


def _variation(tree: SearchTree) -> tuple[int, ...]:
    """The best line of a tree of one game, from the chosen move on, as the root's mover sees it."""
    node = int((tree.levels[0].cells[0] == tree.chosen[0]).nonzero()[0])
    line = [int(tree.chosen[0])]
    for ply, (upper, lower) in enumerate(pairwise(tree.levels), 1):
        width = lower.cells.shape[1] // upper.cells.shape[1]
        children = slice(node * width, (node + 1) * width)
        if bool(upper.finished[0, node]) or not bool(lower.real[0, children].any()):
            break
        # The child worst for its own mover; of equal ones the first, whose prior is higher.
        values = lower.values[0, children].masked_fill(~lower.real[0, children], math.inf)
        node = node * width + int(values.argmin())
        cell = int(lower.cells[0, node])
        line.append(mirror(cell, tree.positions.size) if ply % 2 else cell)
    return tuple(line)
