"""The games of an SGF file, found one after another without reading what is in them.

A game that is broken must not hide those that follow. So a game ends at the latest where another
begins with what only a root has; and what stands between two games belongs to the first of them.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from hex_ai.errors import NotationError
from hex_ai.formats.charsets import (
    FALLBACKS,
    USUAL,
    Charset,
    charsets_named,
    find_charset,
    is_plain,
    wide_text,
)
from hex_ai.formats.moves import short
from hex_ai.formats.sgf_text import ROOT_START, Node, Source, TextTree, read_tree, value_pattern

_START = re.compile(r"\(\s*+;")
_ROOT = re.compile(rf"{ROOT_START}\[[^\]\\]*+\]")
# White space, marks of byte order, an end-of-file sign, and lines without any sign of SGF.
_SKIPPED = re.compile(r"(?:\n[^\[\]();\n]*+(?=\n)|\s|\ufeff|\xef\xbb\xbf|\x1a)*+")
_SIMPLE = re.compile(
    r"\(\s*+(?:;\s*+(?:[A-Za-z][A-Za-z0-9]*+\s*+(?:\[[^\[\]\\\x1b]*+\]\s*+)++)*+)++\)"
)

# `CA` stands in the root, this many characters from its start or fewer.
_ROOT_LENGTH = 10_000


@dataclass(frozen=True)
class ReadGame:
    """A game as text.

    Attributes:
      source: its text, and its place in the file.
      tree: its nodes.
      escapes: whether a backslash takes its meaning from the next character.
      note: how it was read where the file did not say how; else empty.
    """

    source: Source
    tree: TextTree
    escapes: bool
    note: str


@dataclass(frozen=True)
class FoundGame:
    """One game of a file, not read yet.

    Attributes:
      text: from its first character on to the next game; bytes as characters, if it is `encoded`.
      encoded: whether it is bytes.
      line: where it begins in the file, from 1.
      column: of its first character in that line, from 1.
    """

    text: str
    encoded: bool
    line: int
    column: int

    def read(self) -> ReadGame:
        """The game in the first reading that leaves nothing of it unread.

        Raises:
          NotationError: there is none; what is wrong in the likeliest reading.
        """
        return self.read_with_length()[0]

    def read_with_length(self) -> tuple[ReadGame, int]:
        """The same, and how much of the text is the game's. Raises as `read`."""
        trouble: NotationError | None = None
        for reading in _readings(self.text, self.encoded):
            end, length = _extent(self.text, 0, len(self.text), reading)
            text = reading.decode(self.text[:end])
            if text is None:
                continue
            source = Source(text, self.line, self.column)
            try:
                tree = read_tree(source, escapes=reading.escapes)
            except NotationError as error:
                trouble = trouble or error
                continue
            if not reading.named or reading.charset in _charsets_of(tree.nodes[0]):
                return ReadGame(source, tree, reading.escapes, reading.note), length
        raise trouble or NotationError(f"{short(self.text[:41])} is no text")


@dataclass(frozen=True)
class _Reading:
    """One way to understand a game.

    Attributes:
      charset: None where the game is text already, or ASCII.
      named: the game must name this character set itself.
      escapes: a backslash takes its meaning from the next character.
      note: what to tell about it, if anything.
    """

    charset: Charset | None = None
    named: bool = False
    escapes: bool = True
    note: str = ""

    def decode(self, text: str) -> str | None:
        """The text of bytes given as characters; None if they are none in this reading."""
        return text if self.charset is None else self.charset.decode(text)


_PLAIN = _Reading()


def _readings(text: str, encoded: bool) -> Iterator[_Reading]:
    """Ways to understand a game, the likeliest first."""
    readings = [_PLAIN]
    if encoded and not is_plain(text):
        readings = [
            _Reading(charset, named=True) for charset in charsets_named(text[:_ROOT_LENGTH])
        ]
        note = "the character set is not named, or does not fit; read as "
        for codec in FALLBACKS:
            readings.append(_Reading(Charset(codec), note="" if codec in USUAL else note + codec))
    yield from readings
    if "\\" in text:
        yield from (replace(reading, escapes=False) for reading in readings)


def _charsets_of(root: Node) -> list[Charset | None]:
    return [find_charset(item.values[0]) for item in root if item.name == "CA"]


def find_games(data: str | bytes) -> Iterator[FoundGame]:
    """The games of a file or text in their order; what stands before the first is skipped.

    Each is found only when it is asked for, so the first of many costs no more than one.

    Raises:
      NotationError: there is none.
    """
    wide = data if isinstance(data, str) else wide_text(data)
    encoded = wide is None
    text = str(data, "latin-1") if isinstance(data, bytes) and wide is None else wide or ""
    match = _START.search(text)
    if match is None:
        raise NotationError(f"{short(text[:41])} is not SGF: want '(;' to begin with")
    # Where games begin for certain.
    roots = [root.start() for root in _ROOT.finditer(text)]
    start, counted, line, line_start = match.start(), 0, 1, 0
    while start < len(text):
        line += text.count("\n", counted, start)
        line_start = max(line_start, text.rfind("\n", counted, start) + 1)
        counted = start
        found = bisect_right(roots, start)
        limit = roots[found] if found < len(roots) else len(text)
        length = _length(text, start, limit, encoded)
        yield FoundGame(text[start : start + length], encoded, line, start - line_start + 1)
        start += length


def _length(text: str, start: int, limit: int, encoded: bool) -> int:
    """How far it is to the next game, as cheaply as it can be known for certain."""
    simple = _SIMPLE.match(text, start, limit)
    end = simple.end() if simple else _tree_end(text, start, limit, _between_brackets())
    following = None if end is None else _following(text, end, limit)
    if following is not None:
        if following == limit or is_plain(text[start:following]):
            return following - start
        # Most character sets leave the brackets where they are.
        if _read_length(text[start:following], encoded) == following - start:
            return following - start
    elif len(list(_readings(text[start:limit], encoded))) == 1:
        return limit - start
    return _read_length(text[start:limit], encoded) or limit - start


def _read_length(text: str, encoded: bool) -> int | None:
    """How much of a text is that of its first game; None if that cannot be read."""
    try:
        return FoundGame(text, encoded, 1, 1).read_with_length()[1]
    except NotationError:
        return None


def _extent(text: str, start: int, limit: int, reading: _Reading) -> tuple[int, int]:
    """Where a game ends in a reading, and where what follows it begins.

    A game that does not end, or that something else than a game follows, goes as far as it can.
    """
    units = reading.charset.units if reading.charset else ("", "")
    end = _tree_end(text, start, limit, _between_brackets(reading.escapes, units))
    following = None if end is None else _following(text, end, limit)
    return (limit, limit) if end is None or following is None else (end, following)


def _tree_end(text: str, start: int, limit: int, between: re.Pattern[str]) -> int | None:
    """The place after the bracket that closes the tree; None if none does."""
    depth, place = 0, start
    while place < limit and text[place] in "()":
        depth += 1 if text[place] == "(" else -1
        place += 1
        if not depth:
            return place
        match = between.match(text, place, limit)
        place = match.end() if match else place
    return None


@lru_cache
def _between_brackets(escapes: bool = True, units: tuple[str, str] = ("", "")) -> re.Pattern[str]:
    """What stands between two round brackets of a tree: names, and values with their brackets."""
    return re.compile(rf"(?:[^\[\]()]++|{value_pattern(escapes, units)})*+", re.DOTALL)


def _following(text: str, end: int, limit: int) -> int | None:
    """Where the next game begins after the end of one, or the text ends; None if neither."""
    match = _SKIPPED.match(text, end, limit)
    place = match.end() if match else end
    return place if place == len(text) or _START.match(text, place) else None
