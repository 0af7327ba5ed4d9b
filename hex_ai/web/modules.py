"""ES modules joined to one, for a page that stands in a file by itself.

Not a bundler: it knows the few forms that the modules of this package are written in, and refuses
every other. A module becomes a function that is called at once and gives what it exports.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_COMMENT = re.compile(r"/\*\*.*?\*/ ?|^ *//[^\n]*$", re.DOTALL | re.MULTILINE)
_IMPORT = re.compile(r'^import \{\s*([\w,\s]+?),?\s*\} from "(\.{1,2}/[^"]+)";$', re.MULTILINE)
# A `let` is left out: who imports it would not see it change.
_EXPORT = re.compile(r"^export (?=(?:(?:async )?function\*?|class|const) (\w+))", re.MULTILINE)
_UNKNOWN = re.compile(r"^.*(?:\b(?:import|export)\b|/\*|</script|<!--).*$", re.MULTILINE | re.I)
_INDENT = re.compile(r"^\s+", re.MULTILINE)
_LONG_TEXT = re.compile(r"^[^`\n]*`(?:[^`\n]*`[^`\n]*`)*[^`\n]*$", re.MULTILINE)


@dataclass(frozen=True)
class _Module:
    """A module: its code without comments, what it imports from where, and what it exports."""

    code: str
    imports: tuple[tuple[Path, tuple[str, ...]], ...]
    exports: tuple[str, ...]


def joined_modules(entry: Path) -> str:
    """The code of a module and of all that it imports, each after those that it needs.

    Raises:
      ValueError: a form that is not known, a name that is imported and not exported, or modules
        that import one another in a circle.
    """
    modules: dict[Path, _Module] = {}
    _collect(entry.resolve(), modules, ())
    places = {path: place for place, path in enumerate(modules)}
    return "".join(_wrapped(module, path, places) for path, module in modules.items())


def _collect(path: Path, modules: dict[Path, _Module], above: tuple[Path, ...]) -> None:
    """Reads a module after those that it imports; `above` are those that led to it."""
    if path in above:
        raise ValueError(f"{path.name}: imports itself, by way of {above[-1].name}")
    if path in modules:
        return
    module = _read(path)
    for imported, names in module.imports:
        _collect(imported, modules, (*above, path))
        for name in names:
            if name not in modules[imported].exports:
                raise ValueError(f"{path.name}: {imported.name} exports no {name!r}")
    modules[path] = module


def _read(path: Path) -> _Module:
    text = _COMMENT.sub("", path.read_text(encoding="utf-8"))
    imports = tuple(
        ((path.parent / source).resolve(), tuple(name.strip() for name in names.split(",")))
        for names, source in _IMPORT.findall(text)
    )
    code = _IMPORT.sub("", text)
    exports = tuple(_EXPORT.findall(code))
    code = _EXPORT.sub("", code)
    unknown = _UNKNOWN.search(code) or _LONG_TEXT.search(code)
    if unknown:
        raise ValueError(f"{path.name}: cannot be joined: {unknown[0].strip()}")
    return _Module(_INDENT.sub("", code).strip(), imports, exports)


def _wrapped(module: _Module, path: Path, places: dict[Path, int]) -> str:
    """A module as a function, so that no name of it meets one of another module."""
    known = "".join(
        f"const {{ {', '.join(names)} }} = ${places[imported]};\n"
        for imported, names in module.imports
    )
    given = f"return {{ {', '.join(module.exports)} }};\n"
    return f"const ${places[path]} = (() => {{\n{known}{module.code}\n{given}}})();\n"
