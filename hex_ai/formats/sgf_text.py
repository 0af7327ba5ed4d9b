"""SGF as text, of any game: properties, nodes and trees.

Source: the description of FF[4], red-bean.com/sgf/sgf4.html. A tree is a sequence of nodes and then
perhaps trees that go on from there; the first of them is the main line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hex_ai.errors import NotationError
from hex_ai.formats.moves import short

# Possessive, so that a text which does not match is refused in one pass.
_TOKEN = re.compile(
    r"(?P<mark>[();])|(?P<name>[A-Za-z][A-Za-z0-9]*+)|\[(?P<value>(?:[^\]\\]++|\\.)*+)\]", re.DOTALL
)
_SPACE = re.compile(r"\s*+")
_START = re.compile(r"\(\s*+;")
_ESCAPED = re.compile(r"\\(\r\n|\n\r|.)", re.DOTALL)

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


class _Token(NamedTuple):
    kind: str
    text: str
    place: int


def read_main_lines(text: str) -> list[list[Node]]:
    """The main line of every tree in a text, root first; text before the first is skipped.

    Reads in one pass and without recursion, so long and deep files are no problem.

    Raises:
      NotationError: no tree, or a text that is not one; the message names line and column.
    """
    start = _START.search(text)
    if start is None:
        raise NotationError(f"{short(text)} is not SGF: want '(;' to begin with")
    lines: list[list[Node]] = []
    depth, last, main = 0, ")", False
    for token in _tokens(text, start.start()):
        kind = token.kind
        _require_follows(text, token, last, depth)
        if kind == "(" and depth == 0:
            lines.append([])
            main = True
        elif main:
            _take(lines[-1], token)
        # The first tree to close ends the main line, whichever it is.
        main = main and kind != ")"
        depth += (kind == "(") - (kind == ")")
        last = kind
    if depth:
        raise NotationError(f"{place_name(text, len(text))}: the text ends inside a game")
    return lines


def _require_follows(text: str, token: _Token, last: str, depth: int) -> None:
    wanted = _FOLLOWS[last] if depth else {"("}
    if token.kind not in wanted:
        got = short(token.text) if token.kind in _MEANING else repr(token.kind)
        names = " or ".join(_MEANING.get(kind, repr(kind)) for kind in sorted(wanted))
        raise NotationError(f"{place_name(text, token.place)}: got {got}, want {names}")


def _take(line: list[Node], token: _Token) -> None:
    """Adds a token to a line of nodes."""
    if token.kind == ";":
        line.append([])
    elif token.kind == "name":
        line[-1].append(Property(token.text, [], []))
    elif token.kind == "value":
        line[-1][-1].values.append(token.text)
        line[-1][-1].places.append(token.place)


def _tokens(text: str, start: int) -> Iterator[_Token]:
    place, end = start, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            what = short(text[place : place + 41])
            raise NotationError(f"{place_name(text, place)}: cannot read {what}")
        kind = match.lastgroup or ""
        found = match[kind]
        yield _Token(found if kind == "mark" else kind, found, place)
        space = _SPACE.match(text, match.end())
        place = space.end() if space else match.end()


def place_name(text: str, place: int) -> str:
    """`line 1, column 1` for the first character, and so on."""
    line_start = text.rfind("\n", 0, place) + 1
    return f"line {text.count(chr(10), 0, place) + 1}, column {place - line_start + 1}"


def plain_text(value: str) -> str:
    """A value as one line of text: escapes undone, white space replaced by spaces."""
    value = _ESCAPED.sub(lambda match: "" if match[1][0] in "\r\n" else match[1], value)
    return re.sub(r"\s", " ", value)


def escaped(text: str) -> str:
    """A text of one line as it stands in a file; `plain_text` reads it back."""
    return re.sub(r"([\\\]])", r"\\\1", re.sub(r"\s", " ", text))
