"""A game as a tree: moves with variations, stones set up by hand, marks and comments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hex_ai.formats.moves import Move, SetUp

# What can be marked on a cell, in the order in which a node has its marks.
LABEL = "label"
MARK_KINDS = (LABEL, "cross", "circle", "triangle", "square", "selected")


@dataclass(frozen=True)
class Mark:
    """A mark on a board: `kind` is one of `MARK_KINDS`, `text` that of a label, else empty."""

    kind: str
    cell: int
    text: str = ""


@dataclass(frozen=True)
class TreeNode:
    """A node of a tree. First its move is played, then stones are set up, then a turn is given.

    Attributes:
      parent: the place of the node that it follows; None for the root.
      move: or None.
      setup: cell and colour of each stone set up, by cell; 0 for a cell that becomes empty.
      turn: who moves next where the node says so, `RED` or `BLUE`.
      comment: of any number of lines, which end in line feeds.
      marks: kind by kind, in the order of `MARK_KINDS`.
      other: names and values of all other properties as in SGF, still escaped.
    """

    parent: int | None
    move: Move | None = None
    setup: tuple[tuple[int, int], ...] = ()
    turn: int | None = None
    comment: str = ""
    marks: tuple[Mark, ...] = ()
    other: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class GameTree:
    """A game with its variations, in the colours of stones.

    Attributes:
      board_size: N.
      nodes: each after its parent; the root is the first. A node's first child is its main line.
      red_name: of the player, or empty.
      blue_name: the same.
      result: as RE of SGF has it, by the colour of stones at the end; empty where not known.
      note: how the game was read, if there is anything to say about that.
    """

    board_size: int
    nodes: tuple[TreeNode, ...]
    red_name: str = ""
    blue_name: str = ""
    result: str = ""
    note: str = field(default="", compare=False)

    def children(self) -> list[list[int]]:
        """The places of the nodes that follow each node."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for place, node in enumerate(self.nodes):
            if node.parent is not None:
                found[node.parent].append(place)
        return found

    def main_line(self) -> list[TreeNode]:
        """The root, its first child, and so on."""
        return [self.nodes[place] for place in first_line(first_children(self.nodes))]

    def main_moves(self) -> tuple[tuple[Move, ...], tuple[SetUp, ...]]:
        """The moves of the main line, and what is set up on it, in their order."""
        moves, setup = list[Move](), list[SetUp]()
        for node in self.main_line():
            if node.move is not None:
                moves.append(node.move)
            setup += [SetUp(len(moves), cell, colour) for cell, colour in node.setup]
            if node.turn is not None:
                setup.append(SetUp(len(moves), None, node.turn))
        return tuple(moves), tuple(setup)


def first_children(nodes: Sequence[TreeNode]) -> dict[int, int]:
    """The place of the first child of each node that has any."""
    first: dict[int, int] = {}
    for place, node in enumerate(nodes):
        if node.parent is not None:
            first.setdefault(node.parent, place)
    return first


def first_line(first: Mapping[int, int]) -> Iterator[int]:
    """The places of a main line, by `first_children`."""
    place: int | None = 0
    while place is not None:
        yield place
        place = first.get(place)


def turn_after(nodes: Sequence[TreeNode], first: Mapping[int, int], place: int) -> int | None:
    """Who moves next by the first variation from a node on: by a turn given, or by the move itself.

    Args:
      nodes: of the tree, and their `first_children`.
      first: these.
      place: of the node.
    """
    turn = nodes[place].turn
    while turn is None and place in first:
        place = first[place]
        move = nodes[place].move
        turn = nodes[place].turn if move is None else move.colour
    return turn


def tidy_marks(marks: list[Mark]) -> tuple[Mark, ...]:
    """Marks kind by kind, those of a kind in their order."""
    return tuple(sorted(marks, key=lambda mark: MARK_KINDS.index(mark.kind)))
