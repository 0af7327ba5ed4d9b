"""SGF as text, of any game: properties, nodes and the tree that they make.

Source: the description of FF[4], red-bean.com/sgf/sgf4.html. A tree is a sequence of nodes and then
perhaps trees that go on from there; the first of them is the main line.

Some programs write names and comments without escapes. So a `]` ends a value only where something
may follow that can follow a value, and a value that swallows the next property is refused.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from hex_ai.errors import NotationError
from hex_ai.formats.moves import short

_NAME = r"[A-Za-z][A-Za-z0-9]*+"
_AFTER_VALUE = (
    rf"(?=\s*+(?:[\[)]|{_NAME}\s*+\[|;\s*+(?:{_NAME}\s*+\[|[;()]|\Z)|\(\s*+(?:[;()]|\Z)|\Z))"
)
_SPACE = re.compile(r"\s*+")
_ESCAPED = re.compile(r"\\(\r\n|\n\r|.)", re.DOTALL)

# The end of a value that has run over the end of the one before: it breaks off in a property.
_SWALLOWED = re.compile(r"(?<![A-Za-z])([A-Z]{1,2})\s*+\[[^\[\]]*+\Z")

# Nothing but a root begins like this, up to the bracket.
ROOT_START = r"\(\s*+;\s*+(?:FF|GM|SZ|CA|AP|ST)\s*+"

# What may follow what.
_FOLLOWS = {
    "(": {";"},
    ";": {";", "(", ")", "name"},
    "name": {"value"},
    "value": {"value", "name", ";", "(", ")"},
    ")": {"(", ")"},
}
_MEANING = {"name": "a property", "value": "a value in brackets"}


@dataclass(frozen=True)
class Property:
    """A property of a node: its name, its values still escaped, and where each begins."""

    name: str
    values: list[str]
    places: list[int]


Node = list[Property]


@dataclass(frozen=True)
class TextTree:
    """The nodes of a tree, each after the one that it follows, and first variations first.

    Attributes:
      nodes: the root is the first.
      parents: of each node, the place of the one that it follows; -1 for the root.
    """

    nodes: list[Node]
    parents: list[int]

    def add(self, parent: int) -> int:
        """Adds an empty node and says where it stands."""
        self.nodes.append([])
        self.parents.append(parent)
        return len(self.nodes) - 1

    def main_line(self) -> list[Node]:
        """The first of all variations: the nodes up to the first that goes back to a fork."""
        back = (place for place, parent in enumerate(self.parents) if parent != place - 1)
        return self.nodes[: next(back, None)]


class _Token(NamedTuple):
    kind: str
    text: str
    place: int


@dataclass(frozen=True)
class Source:
    """The text of one tree, and where in its file it begins.

    Attributes:
      text: the tree, and whatever stands between it and the next.
      line: of the first character, from 1.
      column: of it, from 1.
    """

    text: str
    line: int = 1
    column: int = 1

    def place_name(self, place: int) -> str:
        """`line 1, column 1` for the first character of a file, and so on."""
        lines = bisect_left(self._breaks, place)
        start = self._breaks[lines - 1] + 1 if lines else 0
        column = place - start + (1 if lines else self.column)
        return f"line {self.line + lines}, column {column}"

    @cached_property
    def _breaks(self) -> list[int]:
        """Where lines end. Found once, for a tree may have many faults."""
        return [match.start() for match in re.finditer("\n", self.text)]


@lru_cache
def value_pattern(escapes: bool = True, units: tuple[str, str] = ("", "")) -> str:
    """A value with its brackets, as a regular expression.

    Possessive, so that a text which does not match is refused in one pass.

    Args:
      escapes: a backslash takes its meaning from the next character.
      units: see `Charset.units`, in a text that is bytes of a file as characters.
    """
    first, rest = units
    plain = rf"[^\]{first}" + (r"\\" if escapes else "") + "]++"
    unit = rf"|[{first}](?:{rest})?+" if first else ""
    escaped_one = r"|\\." if escapes else ""
    return rf"\[(?:{plain}{unit}{escaped_one}|\](?!{_AFTER_VALUE}))*+\]"


@lru_cache
def _token_pattern(escapes: bool) -> re.Pattern[str]:
    value = value_pattern(escapes)
    return re.compile(
        rf"(?P<mark>[();])|(?P<name>{_NAME})|(?P<value>{value})",
        re.DOTALL,
    )


def read_tree(source: Source, *, escapes: bool = True) -> TextTree:
    """All nodes of a tree. On its main line no value may have swallowed another property.

    Reads in one pass and without recursion, so long and deep files are no problem.

    Raises:
      NotationError: a text that is not one tree; the message names line and column.
    """
    tree = TextTree([], [])
    # The nodes that the trees not closed yet go on from, and the node that a next one would follow.
    forks, node = list[int](), -1
    last, main = ")", True
    for token in _tokens(source, escapes):
        kind = token.kind
        _require_follows(source, token, last, len(forks))
        if kind == "(":
            forks.append(node)
        elif kind == ")":
            # The first tree to close ends the main line, whichever it is.
            node, main = forks.pop(), False
        elif kind == ";":
            node = tree.add(node)
        else:
            _take(source, tree.nodes[-1], token, main)
        last = kind
    if forks:
        raise NotationError(
            f"{source.place_name(len(source.text.rstrip()))}: the text ends inside a game"
        )
    return tree


def _require_follows(source: Source, token: _Token, last: str, depth: int) -> None:
    wanted = _FOLLOWS[last] if depth else {"("}
    if token.kind not in wanted:
        got = short(token.text) if token.kind in _MEANING else repr(token.kind)
        names = " or ".join(_MEANING.get(kind, repr(kind)) for kind in sorted(wanted))
        raise NotationError(f"{source.place_name(token.place)}: got {got}, want {names}")


def _take(source: Source, node: Node, token: _Token, main: bool) -> None:
    """Adds a name or a value to a node."""
    if token.kind == "name":
        node.append(Property(token.text, [], []))
        return
    node[-1].values.append(token.text)
    node[-1].places.append(token.place)
    if main:
        require_whole(source, node[-1])


def require_whole(source: Source, item: Property, k: int = -1) -> None:
    """Refuses a property whose value k has swallowed another one. Raises `NotationError`."""
    swallowed = _SWALLOWED.search(item.values[k]) if "[" in item.values[k] else None
    if swallowed:
        place = source.place_name(item.places[k])
        what = f"{swallowed[1]}["
        raise NotationError(
            f"{place}: the value of {item.name} runs on into {what!r}: is a ']' missing?"
        )


def _tokens(source: Source, escapes: bool) -> Iterator[_Token]:
    text, pattern = source.text, _token_pattern(escapes)
    place, end = 0, len(text.rstrip())
    while place < end:
        match = pattern.match(text, place)
        if match is None:
            what = short(text[place : place + 41])
            raise NotationError(f"{source.place_name(place)}: cannot read {what}")
        kind = match.lastgroup or ""
        found = match[kind]
        if kind == "value":
            found = found[1:-1]
        yield _Token(found if kind == "mark" else kind, found, place)
        space = _SPACE.match(text, match.end())
        place = space.end() if space else match.end()


def unescaped(value: str) -> str:
    """A value without its escapes; a line break that is escaped is none."""
    return _ESCAPED.sub(lambda match: "" if match[1][0] in "\r\n" else match[1], value)


def plain_text(value: str) -> str:
    """A value as one line of text: escapes undone, white space replaced by spaces."""
    return one_line(unescaped(value))


def one_line(value: str) -> str:
    """A value with white space replaced by spaces, backslashes as they are."""
    return re.sub(r"\s", " ", value)


def many_lines(value: str) -> str:
    """A value with its line breaks as `\\n`, and tabs as spaces; backslashes as they are."""
    return re.sub(r"[\t\v\f]", " ", re.sub(r"\r\n|\n\r|\r", "\n", value))


def escaped(text: str) -> str:
    """A text as it stands in a file, with its line breaks; `unescaped` reads it back."""
    return well_escaped(re.sub(r"([\\\]])", r"\\\1", text))


def well_escaped(value: str) -> str:
    """A value with those escapes added that keep it one value wherever it stands; else as it is."""
    value = re.sub(r"(\\.)|([\\\]])", lambda m: m[1] or f"\\{m[2]}", value, flags=re.DOTALL)
    # What looks like another game, or as if it ran on into a property.
    value = re.sub(rf"{ROOT_START}(?=\[)", lambda match: f"{match[0]}\\", value)
    swallowed = _SWALLOWED.search(value)
    if swallowed is None:
        return value
    bracket = value.index("[", swallowed.start())
    return f"{value[:bracket]}\\{value[bracket:]}"
