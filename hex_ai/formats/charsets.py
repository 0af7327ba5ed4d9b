"""Which characters the bytes of a game may stand for.

A file names its character set in `CA`, or does not, or names a wrong one. In some sets the second
byte of a character may be that of `\\` or `]`, so that names and comments decide where moves begin.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

# ASCII, and what sets that give some of it another meaning take for signs of theirs.
_ASCII = bytes(range(32, 127)).replace(b"\\", b"") + b"+AGE- ~{ \\u0041 \\"

# Sets that programs name, and the larger ones that hold what they really write.
_LARGER = {
    "shift_jis": "cp932",
    "shift_jis_2004": "cp932",
    "shift_jisx0213": "cp932",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
}

# What programs call sets that Python knows by other names.
_ALIASES = {"windows-31j": "cp932", "windows-932": "cp932", "euc-cn": "gb2312"}

# Characters that may hold the byte of a bracket or a backslash: a class of first bytes, and a
# pattern for the rest.
_TWO_BYTES = r"[0-9@-~\x80-\xfe]"
_UNITS = {
    "cp932": (r"\x81-\x9f\xe0-\xfc", _TWO_BYTES),
    **dict.fromkeys(("gb18030", "big5", "big5hkscs", "cp950", "johab"), (r"\x81-\xfe", _TWO_BYTES)),
    **dict.fromkeys(
        ("iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3"),
        (r"\x1b", r"\$.*?\x1b\([BJ]"),
    ),
}

# What is tried, in this order, where the set named is none or does not fit.
USUAL = ("utf-8", "iso8859-1")
FALLBACKS = (*USUAL, "cp932", "gb18030", "big5", "cp949", "johab")

_NAMED = re.compile(r"CA\s*\[\s*([\w.:+-]{1,40})\s*\]", re.ASCII)

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Charset:
    """A character set, by the name of Python's codec."""

    codec: str

    @property
    def units(self) -> tuple[str, str]:
        """For a regular expression on bytes as characters, what may hold the byte of a bracket.

        A class of first bytes and a pattern for the rest; both empty where nothing may.
        """
        return _UNITS.get(self.codec, ("", ""))

    def decode(self, text: str) -> str | None:
        """The text of bytes given as characters; None if they are none in this set."""
        try:
            return text.encode("latin-1").decode(self.codec)
        except UnicodeError:
            return None


def find_charset(name: str) -> Charset | None:
    """The set of this name, in whatever spelling; None if unknown, or not the larger of ASCII."""
    try:
        name = name.strip().lower().removeprefix("x-")
        codec = codecs.lookup(_ALIASES.get(name, name)).name
        codec = _LARGER.get(codec, codec)
        keeps_ascii = _ASCII.decode(codec) == _ASCII.decode("ascii")
    except (LookupError, UnicodeError):
        return None
    return Charset(codec) if keeps_ascii else None


def is_plain(text: str) -> bool:
    """Whether bytes given as characters are ASCII in whatever character set."""
    return text.isascii() and "\x1b" not in text


def charsets_named(start: str) -> Iterator[Charset]:
    """Those that the beginning of a game seems to name, in their order."""
    for name in dict.fromkeys(_NAMED.findall(start)):
        found = find_charset(name)
        if found is not None:
            yield found


def wide_text(data: bytes) -> str | None:
    """The text of a file of 16 or 32 bits a character, told by its first bytes; else None."""
    codec = next((codec for mark, codec in _MARKS.items() if data.startswith(mark)), None)
    if codec is None:
        start = data.find(b"(\0;\0")
        codec = None if start < 0 else "utf-16-be" if start % 2 else "utf-16-le"
    return None if codec is None else data.decode(codec, errors="replace")
