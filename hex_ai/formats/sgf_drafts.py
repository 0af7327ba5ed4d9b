"""Nodes of trees as they are read from the text of an SGF file."""

from dataclasses import dataclass, field

from hex_ai.errors import NotationError
from hex_ai.formats.game_tree import LABEL, MARK_KINDS, Mark, TreeNode, tidy_marks
from hex_ai.formats.moves import Move
from hex_ai.formats.sgf_nodes import COLOURS, STONES, PropertyReader, cell_of
from hex_ai.formats.sgf_text import (
    Node,
    Property,
    TextTree,
    escaped,
    many_lines,
    one_line,
    require_whole,
    well_escaped,
)

# Names that never stand among the other properties of a node, and of a root.
NODE_NAMES = frozenset({*COLOURS, *STONES, "PL", "C"})
ROOT_NAMES = frozenset({"FF", "GM", "CA", "AP", "SZ", "PB", "PW", "RE"})

KINDS = dict(zip(("LB", "MA", "CR", "TR", "SQ", "SL"), MARK_KINDS, strict=True))


@dataclass
class Draft:
    """A node that is being read; `swap` is the word of a swap, which may mean another one."""

    parent: int | None = None
    move: Move | None = None
    swap: str = ""
    setup: dict[int, int] = field(default_factory=dict)
    turn: int | None = None
    comments: list[str] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    other: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def node(self) -> TreeNode:
        """The node, once it is whole."""
        return TreeNode(
            self.parent,
            self.move,
            tuple(sorted(self.setup.items())),
            self.turn,
            "\n".join(self.comments),
            tidy_marks(self.marks),
            tuple(self.other),
        )


def read_drafts(tree: TextTree, properties: PropertyReader) -> tuple[list[Draft], list[str]]:
    """Reads all nodes of a text, in its order.

    Args:
      tree: the text.
      properties: their reader.

    Returns:
      the nodes, and why variations are cut off, if any are.

    Raises:
      NotationError: a node of the main line cannot be read.
    """
    drafts, troubles = list[Draft](), list[str]()
    reader, main = _NodeReader(properties), len(tree.main_line())
    # Where among the drafts each node of the text ends; None where it is left out.
    ends: list[int | None] = []
    for place, (node, parent) in enumerate(zip(tree.nodes, tree.parents, strict=True)):
        before = ends[parent] if place and parent >= 0 else None
        if place and before is None:
            ends.append(None)
            continue
        try:
            read = reader.read(node, is_root=not place)
        except NotationError as error:
            if place < main:
                raise
            troubles.append(str(error))
            ends.append(None)
            continue
        for draft in read:
            draft.parent, before = before, len(drafts)
            drafts.append(draft)
        ends.append(before)
    return drafts, troubles


class _NodeReader:
    """Reads nodes of a text.

    A node there may have several moves, or stones set up before one; it becomes several nodes.
    """

    def __init__(self, reader: PropertyReader) -> None:
        self._reader = reader
        self._size = reader.head.board_size
        self._dialect = reader.head.dialect

    def read(self, node: Node, is_root: bool) -> list[Draft]:
        """The nodes that one of a text becomes. Raises `NotationError`."""
        drafts, comments, marks = [Draft()], list[str](), list[Mark]()
        for item in node:
            for k in range(len(item.values)):
                require_whole(self._reader.source, item, k)
            if item.name in COLOURS:
                self._move(drafts, item)
            elif item.name in STONES:
                cells = self._reader.stones(item)
                drafts[-1].setup.update(dict.fromkeys(cells, STONES[item.name]))
            elif item.name == "PL":
                if drafts[-1].turn is not None:
                    drafts.append(Draft())
                drafts[-1].turn = self._reader.turn(item)
            elif item.name == "C":
                comments += [many_lines(self._dialect.text(value)) for value in item.values]
            elif not (is_root and item.name in ROOT_NAMES):
                drafts[0].other += self._other(item, marks)
        drafts[-1].comments, drafts[-1].marks = comments, marks
        return drafts

    def _move(self, drafts: list[Draft], item: Property) -> None:
        last = drafts[-1]
        if last.move is not None or last.setup or last.turn is not None:
            drafts.append(Draft())
        drafts[-1].move, drafts[-1].swap = self._reader.move(item)

    def _other(self, item: Property, marks: list[Mark]) -> list[tuple[str, tuple[str, ...]]]:
        """The property without what goes to the marks; nothing if nothing is left."""
        values = item.values
        if item.name in KINDS:
            values = [value for value in values if not self._mark(item.name, value, marks)]
        kept = tuple(
            well_escaped(value) if self._dialect.escapes else escaped(value) for value in values
        )
        return [(item.name, kept)] if kept else []

    def _mark(self, name: str, value: str, marks: list[Mark]) -> bool:
        """Adds the mark of a value; False if it marks no cell."""
        place, colon, text = one_line(self._dialect.text(value)).partition(":")
        try:
            cell = cell_of(place, self._size)
        except NotationError:
            return False
        if colon and KINDS[name] != LABEL:
            return False
        marks.append(Mark(KINDS[name], cell, text))
        return True
