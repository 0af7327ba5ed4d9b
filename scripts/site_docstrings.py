"""Extension of griffe, which reads docstrings for the site: one entry may describe several names.

    first, second: players, or what names them.

becomes an entry for each, of which the later ones refer to the first.
"""

import re

import griffe

ENTRY = re.compile(
    r"^(?P<indent> +)(?P<names>\w+(?:,\s+\w+)+): (?P<rest>.*(?:\n(?P=indent) +.*)*)", re.MULTILINE
)


def split(match: re.Match[str]) -> str:
    first, *others = re.split(r",\s+", match["names"])
    indent = match["indent"]
    lines = [f"{indent}{first}: {match['rest']}"]
    return "\n".join(lines + [f"{indent}{name}: see `{first}`." for name in others])


class SharedEntries(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring:
            obj.docstring.value = ENTRY.sub(split, obj.docstring.value)
