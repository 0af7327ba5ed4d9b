"""The search for play: better the longer it runs, and exact once a position is decided.

One `PuctSearch` keeps a tree a game, for any number of games of one size:

    search = PuctSearch(Positions.empty(1, 11), collector)
    found = search.search(seconds=1.0)
    search.advance(found.moves)

A round sends a few leaves of every game through `threats` and, where that decides nothing, through
the collector; the trees take in the answers, all games in lockstep. How many leaves a game sends
depends on that game alone, so its tree does not depend on its neighbours, unless time is short.
Where it can, H-search studies nodes that many leaves have passed, one of each game a round.

Axes: `G` games, `A = N * N` moves, `B` leaves of a round.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hex_ai.errors import SettingError, ShapeError
from hex_ai.game import compiled
from hex_ai.game.hsearch import MAX_HSEARCH_SIZE, HSearch
from hex_ai.game.positions import Positions
from hex_ai.game.threats import Verdicts, resolve
from hex_ai.inference.move_choice import log_priors
from hex_ai.inference.position_collector import Collector
from hex_ai.network.torch_state import undisturbed
from hex_ai.numbers import real, settle, whole
from hex_ai.puct.cell_sets import Frame, as_integers
from hex_ai.puct.edge_tables import functions
from hex_ai.puct.position_pool import PositionPool
from hex_ai.puct.tree import WON, Descent, Node, PuctTree, expected_line

# A search that can be stopped looks up about this often, in seconds, but sends no round of fewer
# leaves than that, which would take nearly as long.
STOP_SECONDS = 0.1
STOP_LEAVES = 8

# Leaves valued behind a node before it is worth the time that H-search takes.
STUDY_VISITS = 50

# A share of the policy that goes to all cells alike, so that no move is out of reach.
UNIFORM_SHARE = 0.01


@dataclass(frozen=True)
class PuctSettings:
    """How a search for play runs.

    Attributes:
      leaves: leaves a game sends a round at most; a small tree sends fewer.
      max_nodes: nodes that all games together keep at most; the search stops when they are there.
    """

    leaves: int = 64
    max_nodes: int = 200_000

    def __post_init__(self) -> None:
        settle(self, ("leaves", "max_nodes"))
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


class PuctSearch:
    """Searches `G` games of one size and keeps their trees from move to move.

    Swapping sides does not change a canonical position, so it takes no call here.

    Args:
      positions: the roots, `G` ≥ 1, none of them finished.
      collector: answers the requests.
      settings: see `PuctSettings`.
      clock: seconds that pass; tests bring their own.
      stop: asked between rounds whether to end with what is there; rounds are short then.

    Attributes:
      positions: the roots as they are now.
      trees: each game's tree.

    Raises:
      ShapeError: no position, or a finished root.
    """

    @undisturbed()
    def __init__(
        self,
        positions: Positions,
        collector: Collector,
        settings: PuctSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        self.settings = settings or PuctSettings()
        self._stop = stop
        self.positions = positions
        self._require_unfinished()
        self._collector, self._clock = collector, clock
        self._pool = PositionPool(
            positions.size, max(self.settings.max_nodes, len(positions)), positions.device
        )
        self._frame = Frame(positions.size)
        self._seconds_a_leaf = 0.0
        can_study = compiled.usable(positions.device) and positions.size <= MAX_HSEARCH_SIZE
        self._hsearch = HSearch(positions.size) if can_study else None
        self.trees = [PuctTree(stones) for stones in _stones(positions)]

    @undisturbed()
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
        evaluations = None if evaluations is None else whole("evaluations", evaluations)
        seconds = None if seconds is None else real("seconds", seconds)
        _require_budget(evaluations, seconds)
        self._require_unfinished()
        started = self._clock()
        deadline = started + (math.inf if seconds is None else seconds)
        for tree in self.trees:
            tree.evaluations = 0
        if self._start():
            self._seconds_a_leaf = (self._clock() - started) / len(self.trees)
        self._go_on(sys.maxsize if evaluations is None else evaluations, deadline)
        return self.found()

    @undisturbed()
    def advance(self, moves: Tensor) -> None:
        """Plays a move in every game, int64 `[G]`; the trees below are kept.

        Raises:
          ShapeError, IllegalMoveError: see `Positions.require_legal`.
        """
        self.positions.require_legal(moves)
        for tree, move in zip(self.trees, moves.tolist(), strict=True):
            cell = self._frame.cell(move, tree.root.transposed)
            self._pool.drop(tree.advance(cell))
        self.positions = self.positions.play(moves)

    def _require_unfinished(self) -> None:
        if not len(self.positions) or bool(self.positions.finished.any()):
            raise ShapeError("a search starts from one or more positions that are not finished")

    def _start(self) -> bool:
        """Evaluates the roots that are not yet, proven or not: a lost one needs the policy too.

        Says whether there were any.
        """
        new = [number for number, tree in enumerate(self.trees) if tree.root.row < 0]
        if new:
            roots = self.positions[torch.tensor(new, device=self.positions.device)]
            self._judge([(self.trees[n], self.trees[n].root) for n in new], roots)
        self._study([(tree, tree.root) for tree in self.trees if tree.decided])
        asked = [(tree, tree.root) for tree in self.trees if not tree.root.ready]
        self._ask(asked)
        return bool(asked)

    def _go_on(self, evaluations: int, deadline: float) -> None:
        """Rounds, until a game's evaluations or the time are used up, or somebody stops it."""
        while leaves := self._affordable(deadline - self._clock()):
            started = self._clock()
            sent = [
                (tree, descent)
                for tree in self.trees
                for descent in _descents(tree, min(leaves, evaluations - tree.evaluations))
            ]
            if not self._round(sent):
                return
            # Small rounds cost more a leaf than large ones, so the last one is no sure guide.
            latest = (self._clock() - started) / len(sent)
            self._seconds_a_leaf = max(0.5 * self._seconds_a_leaf, latest)
            if self._stop and self._stop():
                return

    def _affordable(self, seconds: float) -> int:
        """Leaves a game that the next round may send: fewer, if there is no time for all."""
        wanted = self.settings.leaves
        total = self._seconds_a_leaf * len(self.trees)
        if self._stop and total:
            wanted = min(wanted, max(STOP_LEAVES, int(STOP_SECONDS / total)))
        if wanted * total < seconds:
            return wanted
        return max(0, int(seconds / total)) if total else 0

    def _round(self, sent: list[tuple[PuctTree, Descent]]) -> bool:
        """Values all leaves that were sent, and backs them up; whether there was room for it."""
        open_ones = {id(d.leaf): (g, d.leaf) for g, d in sent if d.leaf.is_open}
        room = self._pool.room >= len(open_ones)
        fresh = open_ones.copy() if room else {}
        try:
            self._expand(list(fresh.values()))
        finally:
            for tree, descent in sent:
                # Others that met the same leaf have learnt nothing more.
                first = fresh.pop(id(descent.leaf), None) is not None
                tree.end(descent, counted=first and not descent.leaf.is_open)
        self._study(_worth_studying(sent))
        return room and bool(sent)

    def _study(self, nodes: list[tuple[PuctTree, Node]]) -> None:
        """Looks for deeper proofs of nodes that have none, once each, where that is fast."""
        nodes = [(tree, node) for tree, node in nodes if not (node.studied or node.proof)]
        if not nodes or not self._hsearch:
            return
        found = self._hsearch.resolve(self._pool.read([node.row for _, node in nodes]))
        for (tree, node), *facts in self._in_frame(nodes, found):
            node.studied = True
            tree.learn(node, *facts)

    def _expand(self, fresh: list[tuple[PuctTree, Node]]) -> None:
        """Finds out what there is to know of leaves that are open."""
        new = [(tree, leaf) for tree, leaf in fresh if leaf.row < 0]
        if new:
            self._judge(new, self._played([leaf for _, leaf in new]))
        self._ask([(tree, leaf) for tree, leaf in fresh if not leaf.proof])

    def _played(self, leaves: list[Node]) -> Positions:
        """The positions of new nodes, by playing the moves that lead to them."""
        steps = [leaf.parents[-1] for leaf in leaves]
        moves = [self._frame.cell(step.cell, step.node.transposed) for step in steps]
        parents = self._pool.read([step.node.row for step in steps])
        played = torch.tensor(moves, device=parents.device)
        if compiled.usable(parents.device):
            return compiled.play(parents, played)
        return parents.play(played)

    def _judge(self, nodes: list[tuple[PuctTree, Node]], positions: Positions) -> None:
        """Stores new nodes, and takes in what can be said of them without the network."""
        rows = self._pool.keep(positions)
        for ((tree, node), *facts), row in zip(
            self._in_frame(nodes, resolve(positions)), rows, strict=True
        ):
            node.row = row
            tree.judge(node, *facts)

    def _in_frame(
        self, nodes: list[tuple[PuctTree, Node]], found: Verdicts
    ) -> Iterator[tuple[tuple[PuctTree, Node], int, int, int, int, int]]:
        """Each node with what is said of it: proof, carrier, must, threats and move."""
        transposed = np.array([node.transposed for _, node in nodes])
        marks = torch.stack((found.carriers, found.must, found.threats)).cpu().numpy()
        sets = map(as_integers, self._frame.transpose(marks, transposed))
        told = zip(nodes, found.proven.tolist(), *sets, found.moves.tolist(), strict=True)
        for (tree, node), proof, carrier, must, threats, move in told:
            cell = self._frame.cell(move, node.transposed) if proof == WON else -1
            yield (tree, node), proof, carrier, must, threats, cell

    def _ask(self, asked: list[tuple[PuctTree, Node]]) -> None:
        """Asks the collector about nodes, and gives them the answers."""
        if not asked:
            return
        positions = self._pool.read([node.row for _, node in asked])
        logits, values = self._collector.evaluate(positions)
        priors, order = _shares(logits, positions.legal_moves())
        transposed = np.array([node.transposed for _, node in asked])
        cells = self._frame.cells(order.cpu().numpy(), transposed)
        shares = priors.float().cpu().numpy()
        for (tree, node), *answer in zip(asked, cells, shares, values.tolist(), strict=True):
            tree.evaluate(node, *answer)

    @undisturbed()
    def found(self) -> PuctResult:
        """What is known so far; `stop` may ask for it too. The roots must have been evaluated."""
        found = [self._found(tree) for tree in self.trees]
        moves, values, proven, visits, q, lines = zip(*found, strict=True)
        device = self.positions.device
        return PuctResult(
            torch.tensor(moves, device=device),
            torch.tensor(values, dtype=torch.float32, device=device),
            torch.tensor(proven, dtype=torch.int8, device=device),
            torch.tensor(np.stack(visits), device=device),
            torch.tensor(np.stack(q), device=device),
            tuple(lines),
            torch.tensor([tree.evaluations for tree in self.trees], device=device),
        )

    def _found(self, tree: PuctTree) -> tuple[Any, ...]:
        """One game's part of each field of the result, but for the evaluations."""
        root, moves = tree.root, self.positions.moves
        visits, q = np.zeros(moves, np.int64), np.full(moves, np.nan, np.float32)
        for edge in root.edges:
            if edge.child.is_open:  # there was no room for it
                continue
            cell = self._frame.cell(edge.cell, root.transposed)
            visits[cell], q[cell] = edge.visits, -edge.child.value
        line = [self._frame.cell(cell, root.transposed) for cell in expected_line(root)]
        return line[0], root.value, root.proof, visits, q, tuple(line)


def make_ready(device: torch.device) -> None:
    """Loads the kernels of searches on a device, so that nobody's clock runs meanwhile.

    They take a second or two, and ten times that where they must be compiled first.
    """
    position = Positions.empty(1, 2, device)
    resolve(position)
    if compiled.usable(device):
        compiled.play(position, torch.zeros(1, dtype=torch.int64))
        HSearch(position.size).resolve(position)
    table = Node((0, 0), transposed=False).table
    best_move, mean_value = functions()
    best_move(table, 0, 1.0, 0.0, 0.0)
    mean_value(table, 0, 0.0)


def _stones(positions: Positions) -> list[tuple[int, int]]:
    stones = positions.stones().flatten(1).cpu().numpy()
    return list(zip(as_integers(stones > 0), as_integers(stones < 0), strict=True))


def _descents(tree: PuctTree, wanted: int) -> list[Descent]:
    """Up to `wanted` descents to nodes not evaluated yet, and what was met on the way to them.

    More fill batches better and aim worse: in a small tree they get in each other's way.
    """
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


def _worth_studying(sent: list[tuple[PuctTree, Descent]]) -> list[tuple[PuctTree, Node]]:
    """Of each tree one node that was passed often enough, if any: the first that was."""
    found: dict[int, tuple[PuctTree, Node]] = {}
    for tree, descent in sent:
        for node in (edge.node for edge in descent.path):
            if node.visits >= STUDY_VISITS and not (node.studied or node.proof):
                found.setdefault(id(tree), (tree, node))
    return list(found.values())


def _shares(logits: Tensor, legal: Tensor) -> tuple[Tensor, Tensor]:
    """The policy `[B, A]`, largest share first, and the cells in that order; illegal ones last."""
    policy = log_priors(logits, legal).exp()
    even = UNIFORM_SHARE * legal.float() / legal.sum(1, keepdim=True)
    mixed = (1 - UNIFORM_SHARE) * policy + even
    return mixed.sort(dim=1, descending=True, stable=True)


def _require_budget(evaluations: int | None, seconds: float | None) -> None:
    given = [limit for limit in (evaluations, seconds) if limit is not None]
    if not given or not all(limit > 0 for limit in given):
        raise SettingError(f"{evaluations} evaluations or {seconds} seconds: want one, above 0")
