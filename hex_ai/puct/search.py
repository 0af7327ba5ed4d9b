"""The search for play: better the longer it runs, and exact once a position is decided.

One `PuctSearch` keeps a tree a game, for any number of games of one size:

    search = PuctSearch(Positions.empty(1, 11), collector)
    found = search.search(seconds=1.0)
    search.advance(found.moves)

A round sends a few leaves of every game through `threats` and, where that decides nothing, through
the collector; the trees take in the answers, all games in lockstep. How many leaves a game sends
depends on that game alone, so its tree does not depend on its neighbours, unless time is short.

Axes: `G` games, `A = N * N` moves, `B` leaves of a round.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hex_ai.errors import SettingError, ShapeError
from hex_ai.game.positions import Positions
from hex_ai.game.threats import resolve
from hex_ai.inference.move_choice import log_priors
from hex_ai.inference.position_collector import Collector
from hex_ai.puct.cell_sets import Frame, as_integers
from hex_ai.puct.position_pool import PositionPool
from hex_ai.puct.tree import WON, Descent, Node, PuctTree, TreeSettings, Verdict, expected_line

# A share of the policy that goes to all cells alike, so that no move is out of reach.
UNIFORM_SHARE = 0.01


@dataclass(frozen=True)
class PuctSettings:
    """How a search for play runs.

    Attributes:
      tree: how leaves are chosen.
      leaves: leaves a game sends a round at most; a small tree sends fewer.
      max_nodes: nodes that all games together keep at most; the search stops when they are there.
    """

    tree: TreeSettings = field(default_factory=TreeSettings)
    leaves: int = 64
    max_nodes: int = 200_000

    def __post_init__(self) -> None:
        if self.leaves < 1 or self.max_nodes < 1:
            raise SettingError(f"{self.leaves} leaves and {self.max_nodes} nodes are not positive")


@dataclass(frozen=True)
class PuctResult:
    """What a search found; cells are as the mover of the root sees them.

    Attributes:
      moves: int64 `[G]`, the moves chosen.
      values: float32 `[G]`, the mover's view; ±1 where it is proven.
      proven: int8 `[G]`: +1 the mover wins, -1 the mover loses, 0 not known.
      visits: int64 `[G, A]`, leaves valued behind each move, those of earlier searches included.
      move_values: float32 `[G, A]`, the root mover's view; NaN where nobody looked.
      lines: for each game the moves that both sides are expected to play, the first one first.
      evaluations: int64 `[G]`, positions this search asked the network about.
    """

    moves: Tensor
    values: Tensor
    proven: Tensor
    visits: Tensor
    move_values: Tensor
    lines: tuple[tuple[int, ...], ...]
    evaluations: Tensor


@dataclass(frozen=True)
class _Budget:
    """When to stop: at a number of evaluations a game, at a time of the clock, or at either."""

    evaluations: int | None
    deadline: float

    def left(self, used: int, leaves: int) -> int:
        """Leaves that a game may still send, at most `leaves`."""
        return leaves if self.evaluations is None else min(leaves, self.evaluations - used)


class _Game:
    """One game's tree, and how many evaluations it has asked for in the search under way."""

    def __init__(self, tree: PuctTree) -> None:
        self.tree = tree
        self.evaluations = 0


class PuctSearch:
    """Searches `G` games of one size and keeps their trees from move to move.

    Swapping sides does not change a canonical position, so it takes no call here.

    Args:
      positions: the roots, `G` ≥ 1, none of them finished.
      collector: answers the requests.
      settings: see `PuctSettings`.
      clock: seconds that pass; tests bring their own.

    Raises:
      ShapeError: no position, or a finished root.
    """

    def __init__(
        self,
        positions: Positions,
        collector: Collector,
        settings: PuctSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or PuctSettings()
        self.positions = positions
        self._require_unfinished()
        self._collector, self._clock = collector, clock
        self._pool = PositionPool(
            positions.size, max(self.settings.max_nodes, len(positions)), positions.device
        )
        self._frame = Frame(positions.size)
        self._seconds_a_leaf = 0.0
        self._games = [
            _Game(PuctTree(stones, self.settings.tree)) for stones in self._stones(positions)
        ]

    @property
    def trees(self) -> list[PuctTree]:
        """Each game's tree."""
        return [game.tree for game in self._games]

    def search(self, *, evaluations: int | None = None, seconds: float | None = None) -> PuctResult:
        """Searches until the budget is used up or every root is proven.

        Args:
          evaluations: positions to ask the network about, a game; what the tree holds from earlier
            searches is not counted. The root is always evaluated.
          seconds: for the whole call. The last round may end a little later.

        Raises:
          SettingError: no budget, or one that is not positive.
          ShapeError: a finished root.
        """
        _require_budget(evaluations, seconds)
        self._require_unfinished()
        started = self._clock()
        budget = _Budget(evaluations, started + (math.inf if seconds is None else seconds))
        for game in self._games:
            game.evaluations = 0
        if self._start():
            self._seconds_a_leaf = (self._clock() - started) / len(self._games)
        self._go_on(budget)
        return self._result()

    def advance(self, moves: Tensor) -> None:
        """Plays a move in every game, int64 `[G]`; the trees below are kept.

        Raises:
          ShapeError, IllegalMoveError: see `Positions.require_legal`.
        """
        self.positions.require_legal(moves)
        for game, move in zip(self._games, moves.tolist(), strict=True):
            cell = self._frame.cell(move, game.tree.root.turned)
            self._pool.drop(game.tree.advance(cell))
        self.positions = self.positions.play(moves)

    def keep(self, games: Sequence[int]) -> None:
        """Goes on with these games only, in this order: for when some are finished."""
        chosen = set(games)
        for number, game in enumerate(self._games):
            if number not in chosen:
                rows = [node.row for node in game.tree.nodes.values()]
                self._pool.drop([row for row in rows if row >= 0])
        self._games = [self._games[number] for number in games]
        self.positions = self.positions[
            torch.tensor(games, dtype=torch.int64, device=self.positions.device)
        ]

    def _require_unfinished(self) -> None:
        if not len(self.positions) or bool(self.positions.finished.any()):
            raise ShapeError("a search starts from one or more positions that are not finished")

    def _stones(self, positions: Positions) -> list[tuple[int, int]]:
        stones = positions.stones().flatten(1).cpu().numpy()
        return list(zip(as_integers(stones > 0), as_integers(stones < 0), strict=True))

    def _start(self) -> bool:
        """Evaluates the roots that are not yet, proven or not: a lost one needs the policy too.

        Says whether there were any.
        """
        new = [number for number, game in enumerate(self._games) if game.tree.root.row < 0]
        if new:
            roots = self.positions[torch.tensor(new, device=self.positions.device)]
            self._judge([(self._games[n].tree, self._games[n].tree.root) for n in new], roots)
        asked = [(game, game.tree.root) for game in self._games if not game.tree.root.ready]
        self._ask(asked)
        return bool(asked)

    def _go_on(self, budget: _Budget) -> None:
        """Rounds, until the budget is used up."""
        while leaves := self._affordable(budget.deadline - self._clock()):
            started = self._clock()
            sent = [
                (game, descent)
                for game in self._games
                for descent in _descents(game, budget.left(game.evaluations, leaves))
            ]
            if not self._round(sent):
                return
            # Small rounds cost more a leaf than large ones, so the last one is no sure guide.
            latest = (self._clock() - started) / len(sent)
            self._seconds_a_leaf = max(0.5 * self._seconds_a_leaf, latest)

    def _affordable(self, seconds: float) -> int:
        """Leaves a game that the next round may send: fewer, if there is no time for all."""
        wanted = self.settings.leaves
        total = self._seconds_a_leaf * len(self._games)
        if wanted * total < seconds:
            return wanted
        return max(0, int(seconds / total)) if total else 0

    def _round(self, sent: list[tuple[_Game, Descent]]) -> bool:
        """Values all leaves that were sent, and backs them up; whether there was room for it."""
        open_ones = {id(d.leaf): (g, d.leaf) for g, d in sent if d.leaf.is_open}
        room = self._pool.room >= len(open_ones)
        fresh = open_ones.copy() if room else {}
        try:
            self._expand(list(fresh.values()))
        finally:
            for game, descent in sent:
                # Others that met the same leaf have learnt nothing more.
                first = fresh.pop(id(descent.leaf), None) is not None
                game.tree.end(descent, counted=first and not descent.leaf.is_open)
        return room and bool(sent)

    def _expand(self, fresh: list[tuple[_Game, Node]]) -> None:
        """Finds out what there is to know of leaves that are open."""
        new = [(game.tree, leaf) for game, leaf in fresh if leaf.row < 0]
        if new:
            self._judge(new, self._played([leaf for _, leaf in new]))
        self._ask([(game, leaf) for game, leaf in fresh if not leaf.proof])

    def _played(self, leaves: list[Node]) -> Positions:
        """The positions of new nodes, by playing the moves that lead to them."""
        steps = [leaf.parents[-1] for leaf in leaves]
        moves = [self._frame.cell(cell, parent.turned) for parent, cell in steps]
        parents = self._pool.read([parent.row for parent, _ in steps])
        return parents.play(torch.tensor(moves, device=parents.device))

    def _judge(self, nodes: list[tuple[PuctTree, Node]], positions: Positions) -> None:
        """Stores new nodes, and takes in what can be said of them without the network."""
        rows = self._pool.keep(positions)
        turned = np.array([node.turned for _, node in nodes])
        found = resolve(positions)
        sets = (
            as_integers(self._frame.turn(part.cpu().numpy(), turned))
            for part in (found.carriers, found.must, found.threats)
        )
        moves = found.moves.tolist()
        for (tree, node), row, proof, move, carrier, must, threats in zip(
            nodes, rows, found.proven.tolist(), moves, *sets, strict=True
        ):
            node.row = row
            move = self._frame.cell(move, node.turned) if proof == WON else -1
            tree.judge(node, Verdict(proof, carrier, must, threats, move))

    def _ask(self, asked: list[tuple[_Game, Node]]) -> None:
        """Asks the collector about nodes, and gives them the answers."""
        if not asked:
            return
        positions = self._pool.read([node.row for _, node in asked])
        answers: list[Tensor] = []
        self._collector.request_policy(positions, answers.append)
        self._collector.request_value(positions, answers.append)
        self._collector.process_batches()
        logits, values = answers
        priors, order = _shares(logits, positions.legal_moves())
        turned = np.array([node.turned for _, node in asked])
        cells = self._frame.cells(order.cpu().numpy(), turned)
        shares = priors.float().cpu().numpy()
        for (game, node), *answer in zip(asked, cells, shares, values.tolist(), strict=True):
            game.tree.evaluate(node, *answer)
            game.evaluations += 1

    def _result(self) -> PuctResult:
        found = [self._found(game) for game in self._games]
        moves, values, proven, visits, q, lines = zip(*found, strict=True)
        device = self.positions.device
        return PuctResult(
            torch.tensor(moves, device=device),
            torch.tensor(values, dtype=torch.float32, device=device),
            torch.tensor(proven, dtype=torch.int8, device=device),
            torch.tensor(np.stack(visits), device=device),
            torch.tensor(np.stack(q), device=device),
            tuple(lines),
            torch.tensor([game.evaluations for game in self._games], device=device),
        )

    def _found(self, game: _Game) -> tuple[Any, ...]:
        """One game's part of each field of the result, but for the evaluations."""
        root, moves = game.tree.root, self.positions.moves
        visits, q = np.zeros(moves, np.int64), np.full(moves, np.nan, np.float32)
        for edge in root.edges:
            if edge.child.is_open:  # there was no room for it
                continue
            cell = self._frame.cell(edge.cell, root.turned)
            visits[cell], q[cell] = edge.visits, -edge.child.value
        line = [self._frame.cell(cell, root.turned) for cell in expected_line(root)]
        return line[0], root.value, root.proof, visits, q, tuple(line)


def _descents(game: _Game, wanted: int) -> list[Descent]:
    """Up to `wanted` descents to nodes not evaluated yet, and what was met on the way to them.

    More fill batches better and aim worse: in a small tree they get in each other's way.
    """
    tree = game.tree
    nodes = len(tree.nodes)
    wanted = min(wanted, 1 + nodes // 4, 16 + nodes // 64)
    found: list[Descent] = []
    seen: set[int] = set()
    attempts = 2 * wanted
    while len(seen) < wanted and attempts and not tree.root.proof:
        attempts -= 1
        descent = tree.descend()
        found.append(descent)
        if not descent.leaf.proof:
            seen.add(id(descent.leaf))
    return found


def _shares(logits: Tensor, legal: Tensor) -> tuple[Tensor, Tensor]:
    """The policy `[B, A]`, largest share first, and the cells in that order; illegal ones last."""
    policy = log_priors(logits, legal).exp()
    mixed = (1 - UNIFORM_SHARE) * policy + UNIFORM_SHARE * legal / legal.sum(1, keepdim=True)
    return mixed.sort(dim=1, descending=True, stable=True)


def _require_budget(evaluations: int | None, seconds: float | None) -> None:
    if evaluations is None and seconds is None:
        raise SettingError("a search wants a number of evaluations, or seconds, or both")
    if evaluations is not None and evaluations < 1:
        raise SettingError(f"{evaluations} evaluations are not positive")
    if seconds is not None and not seconds > 0:
        raise SettingError(f"{seconds} seconds are not positive")
