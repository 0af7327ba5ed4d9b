"""The tree of one game's search: which leaf to look at next, what is proven, what it is worth.

Plain Python, one object a node, but for the numbers of a node's moves: they are read again and
again, and stand in a table (`edge_tables`). Nothing here evaluates anything; `search` brings what
the network, `threats` and `hsearch` say.

Cells are counted in the tree's *frame*, the board as the first root's mover sees it; a node is
*transposed* if its own mover sees the transpose. A set of cells is an integer, bit k for cell k.
Values and proofs are the view of the node's own mover. Positions reached by several orders of moves
are one node with several parents.

A node keeps the moves that may still win, its `must`. A move that loses to a win with carrier C
rules out every move outside C, so each refutation cuts `must` down to C: Hayward's
must-play region. Nothing left: the node is lost, and the carriers used make up that of the
opponent's win.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hex_ai.puct.edge_tables import LEFT, PENDING, PRIOR, VALUE, VISITS, functions

WON, LOST, UNKNOWN = 1, -1, 0

# Weight of prior and visits against the value of a move.
EXPLORATION = 1.5

# How much less than its node's own value a move is thought to be worth before anybody looked at it.
UNSEEN = 0.2

# Of a node none of whose moves was looked at; never written to, as it has no columns.
_NO_MOVES: NDArray[Any] = np.empty((5, 0))


@dataclass(slots=True, eq=False)
class Edge:
    """A move of a node that was looked at.

    Attributes:
      node, place: whose move it is, and its column in that node's table, which has the leaves
        valued through it, those on their way, the value of the node behind it, the policy's share,
        and whether it is not ruled out.
      cell, child: the move, and the node behind it.
    """

    node: Node
    place: int
    cell: int
    child: Node

    @property
    def visits(self) -> int:
        """Leaves valued through it."""
        return int(self.node.table[VISITS, self.place])

    @property
    def prior(self) -> float:
        """The policy's share."""
        return float(self.node.table[PRIOR, self.place])


class Node:
    """A position.

    Attributes:
      stones: the stones of the frame's first side and of the other.
      transposed: the second side is to move.
      row: where the pool keeps the position, -1 before that.
      ready: it has been evaluated, so moves can be chosen.
      studied: H-search has looked at it.
      must: the legal moves not ruled out.
      ruled: pairs (moves left, carrier) of what cut `must` down.
      cells, priors: all cells, best prior first, and the policy's shares.
      next: the first of them that may still have to be looked at.
      edges, table: the moves looked at, in that order, and their numbers.
      visits, pending: leaves valued behind it, and leaves on their way there.
      network, value: what the network says, and what the search makes of it.
      proof, carrier, move: once proven, for whom, the cells needed, and a winning move or -1.
      model: where the proof was taken over from another node, that one: there the same replies win.
      parents: the moves that lead here.
    """

    __slots__ = (
        *("_value", "carrier", "cells", "edges", "model", "move", "must", "network", "next"),
        *("parents", "pending", "priors", "proof", "ready", "row", "ruled", "stones", "studied"),
        *("table", "transposed", "visits"),
    )

    def __init__(self, stones: tuple[int, int], transposed: bool) -> None:
        self.stones, self.transposed = stones, transposed
        self.row = self.move = -1
        self.ready = self.studied = False
        self.must = self.carrier = self.next = self.visits = self.pending = 0
        self.ruled: list[tuple[int, int]] = []
        self.cells: NDArray[Any] = np.empty(0, np.int16)
        self.priors: NDArray[Any] = np.empty(0, np.float32)
        self.edges: list[Edge] = []
        self.table = _NO_MOVES
        self.network = self._value = 0.0
        self.proof = UNKNOWN
        self.model: Node | None = None
        self.parents: list[Edge] = []

    @property
    def value(self) -> float:
        """What the search makes of it; told to the tables of its parents whenever it changes."""
        return self._value

    @value.setter
    def value(self, value: float) -> None:
        self._value = value
        for edge in self.parents:
            edge.node.table[VALUE, edge.place] = value

    @property
    def is_open(self) -> bool:
        """Nothing is known of it yet."""
        return not self.ready and not self.proof

    def edge_of(self, cell: int) -> Edge | None:
        """The move at a cell, if it was looked at."""
        return next((edge for edge in self.edges if edge.cell == cell), None)

    def child_of(self, cell: int) -> Node:
        """A new node for the position after a move."""
        first, second = self.stones
        stones = (first, second | 1 << cell) if self.transposed else (first | 1 << cell, second)
        return Node(stones, not self.transposed)


class Descent(NamedTuple):
    """A path from the root: the moves passed, and the node it ended at."""

    path: list[Edge]
    leaf: Node


class PuctTree:
    """One game's tree.

    Args:
      stones: of the root: its mover's, then the other's.

    Attributes:
      root: the position searched.
      nodes: every node by its stones.
      evaluations: nodes evaluated; whoever searches may count from 0 again.
      decided: an earlier root was proven, so there is a proof of this one, too.
    """

    def __init__(self, stones: tuple[int, int]) -> None:
        self.root = Node(stones, transposed=False)
        self.nodes = {stones: self.root}
        self.evaluations = 0
        self.decided = False
        self._best_move, self._mean_value = functions()

    def descend(self) -> Descent:
        """Goes down to a node that is not evaluated yet, or to one that is proven.

        Whatever it passes counts as pending, so that the next descent goes elsewhere, until `end`.
        """
        node, path = self.root, []
        while node.ready and not node.proof:
            edge = self._choose(node)
            path.append(edge)
            node.table[PENDING, edge.place] += 1
            node.pending += 1
            node = edge.child
            if node.proof:
                self._tell_parents(node)
        return Descent(path, node)

    def end(self, descent: Descent, counted: bool) -> None:
        """Takes a descent back, and if it is counted, backs its leaf's value up."""
        for edge in reversed(descent.path):
            node = edge.node
            node.pending -= 1
            node.table[PENDING, edge.place] -= 1
            if counted:
                node.visits += 1
                node.table[VISITS, edge.place] += 1
                if not node.proof:
                    node.value = self._mean_value(node.table, len(node.edges), node.network)

    def judge(
        self, node: Node, proof: int, carrier: int, must: int, threats: int, move: int
    ) -> None:
        """Takes in what `threats.Verdicts` says of a new node, in the frame."""
        node.must = must
        if not proof and must:
            node.ruled.append((must, threats))
            return
        node.proof = proof or LOST
        node.carrier, node.move = (carrier, move) if proof else (threats, -1)
        node.value = float(node.proof)
        self._tell_parents(node)

    def learn(
        self, node: Node, proof: int, carrier: int, must: int, threats: int, move: int
    ) -> None:
        """Takes in what H-search says of a node without a proof, in the frame."""
        if proof:
            node.proof, node.carrier, node.move = proof, carrier, move
        elif not _leaves_none(node, must, threats):
            return
        node.value = float(node.proof)
        self._tell_parents(node)

    def evaluate(self, node: Node, cells: NDArray[Any], priors: NDArray[Any], value: float) -> None:
        """Takes in an evaluation: int16 and float32 `[A]`, best prior first, and the value."""
        # Copies: what comes in are rows of a batch, which one node left would keep whole.
        node.cells, node.priors = cells.copy(), priors.copy()
        node.network = value
        node.value = float(node.proof) or value
        node.ready = True
        self.evaluations += 1

    def _tell_parents(self, proven: Node) -> None:
        waiting = [proven]
        while waiting:
            child = waiting.pop()
            for edge in child.parents:
                if not edge.node.proof and _settles(edge):
                    waiting.append(edge.node)

    def _choose(self, node: Node) -> Edge:
        """The move to look at next: see `edge_tables.best_move`.

        Moves nobody looked at are worth the same, so only the one of largest prior is compared.
        """
        scale = EXPLORATION * math.sqrt(node.visits + node.pending + 1)
        place, unseen = _next_unseen(node), -math.inf
        if place < len(node.cells):
            unseen = node.value - UNSEEN + scale * float(node.priors[place])
        best = self._best_move(node.table, len(node.edges), scale, node.value, unseen)
        return self._open(node, place) if best < 0 else node.edges[best]

    def _open(self, node: Node, place: int) -> Edge:
        """Adds the move at this place, with its node unless another order of moves made it."""
        cell = int(node.cells[place])
        node.next = place + 1
        child = node.child_of(cell)
        child = self.nodes.setdefault(child.stones, child)
        edge = Edge(node, len(node.edges), cell, child)
        if edge.place == node.table.shape[1]:
            node.table = _with_more_room(node.table)
        node.table[:, edge.place] = 0, 0, child.value, node.priors[place], 1
        node.edges.append(edge)
        child.parents.append(edge)
        return edge

    def advance(self, cell: int) -> list[int]:
        """Makes the node behind a move the root; the pool's rows that are free now.

        A move nobody looked at makes a new tree, which takes over what is proven.
        """
        before = list(self.nodes.values())
        edge = self.root.edge_of(cell)
        child = edge.child if edge else self.root.child_of(cell)
        if not child.proof:
            _take_over(child, self.root, cell)
        self.decided = self.decided or bool(self.root.proof)
        self.root = child
        self.nodes = _reachable(self.root)
        kept = set(map(id, self.nodes.values()))
        for node in self.nodes.values():
            node.parents = [edge for edge in node.parents if id(edge.node) in kept]
        return [node.row for node in before if node.row >= 0 and id(node) not in kept]


def expected_line(root: Node) -> list[int]:
    """The moves that both sides are expected to play, in the frame."""
    cells: list[int] = []
    node: Node | None = root
    while node is not None and (node.move >= 0 or node.ready):
        edge = _best_edge(node)
        if node.proof == WON:
            edge = node.edge_of(node.move)
            cells.append(node.move)
        else:
            cells.append(edge.cell if edge else _likeliest(node))
        node = edge.child if edge else None
    return cells


def _best_edge(node: Node) -> Edge | None:
    """The move looked at most of those not ruled out, in a lost node of all; None if none was."""
    lost = node.proof == LOST
    edges = [edge for edge in node.edges if lost or node.must >> edge.cell & 1]
    return max(edges, key=lambda edge: (edge.visits, -edge.child.value, edge.prior), default=None)


def _likeliest(node: Node) -> int:
    """The policy's favourite among the moves not ruled out, or among all legal ones."""
    first, second = node.stones
    legal = [cell for cell in map(int, node.cells) if not (first | second) >> cell & 1]
    return next((cell for cell in legal if node.must >> cell & 1), legal[0])


def _settles(edge: Edge) -> bool:
    """Lets a parent know that a child is proven; whether that proves the parent."""
    parent, child = edge.node, edge.child
    if child.proof == LOST:
        parent.proof, parent.move = WON, edge.cell
        parent.carrier = child.carrier | 1 << edge.cell
    elif not _leaves_none(parent, child.carrier, child.carrier):
        return False
    parent.value = float(parent.proof)
    return True


def _leaves_none(node: Node, kept: int, carrier: int) -> bool:
    """Rules out the moves that are not `kept`, for a carrier's sake; whether the node is lost."""
    if not node.must & ~kept:
        return False
    node.must &= kept
    node.ruled.append((kept, carrier))
    if node.must:
        for edge in node.edges:
            node.table[LEFT, edge.place] = node.must >> edge.cell & 1
        return False
    node.proof, node.carrier = LOST, _cover(node.ruled)
    return True


def _take_over(child: Node, parent: Node, cell: int) -> None:
    """Proves the node behind a move that its proven parent has left no hope, if it has seen why.

    A win within a carrier stays one whatever stones the loser has outside it. So where a refuted
    move stands for others, its refutation answers them, and whatever follows from there.
    """
    seen = parent.model or parent
    taken = child.stones[0] | child.stones[1]
    if parent.proof == LOST:
        models = [edge.child for edge in seen.edges if edge.child.proof == WON]
    else:
        edge = seen.edge_of(cell) if cell == parent.move else None
        models = [edge.child] if edge and edge.child.proof == LOST else []
    # The winner's next move need not be one of the proof's cells.
    models = [
        model
        for model in models
        if not model.carrier & taken and (model.move < 0 or not taken >> model.move & 1)
    ]
    if models:
        model = min(models, key=lambda node: node.carrier.bit_count())
        child.proof, child.carrier, child.move = model.proof, model.carrier, model.move
        child.value, child.model = float(child.proof), model


def _cover(ruled: list[tuple[int, int]]) -> int:
    """A small union of carriers that together leave no move."""
    left, union = -1, 0
    for kept, carrier in sorted(ruled, key=lambda pair: pair[0].bit_count()):
        if left & ~kept:
            left &= kept
            union |= carrier
    return union


def _next_unseen(node: Node) -> int:
    """The place of the first move that nobody looked at and nothing rules out."""
    place, cells, must = node.next, node.cells, node.must
    while place < len(cells) and not must >> int(cells[place]) & 1:
        place += 1
    node.next = place
    return place


def _with_more_room(table: NDArray[Any]) -> NDArray[Any]:
    """A table with twice the columns, or with the first ones."""
    room = table.shape[1]
    larger = np.zeros((len(table), max(4, 2 * room)))
    larger[:, :room] = table
    return larger


def _reachable(root: Node) -> dict[tuple[int, int], Node]:
    """All nodes below a root, with it."""
    found, waiting = {root.stones: root}, [root]
    while waiting:
        for edge in waiting.pop().edges:
            if edge.child.stones not in found:
                found[edge.child.stones] = edge.child
                waiting.append(edge.child)
    return found
