"""The floors of the house: a folder imports only from lines above its own."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "hex_ai"

FLOORS = """
errors atomic_files compilation interrupts keyed_random value_utils
numbers
game
network
inference
store puct
formats
selfplay
arena htp bench
training
scale web
cli
"""

FLOOR_OF = {
    name: number for number, line in enumerate(FLOORS.strip().splitlines()) for name in line.split()
}


def rooms() -> dict[str, list[Path]]:
    """Each folder, and each module beside them, with its files."""
    found: dict[str, list[Path]] = {}
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found.setdefault(name, []).append(path)
    del found["__init__"]
    return found


def imported_rooms(path: Path) -> set[str]:
    """What a file imports of the package, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in found if name.startswith("hex_ai.")}


def test_every_folder_has_a_floor() -> None:
    assert rooms().keys() == FLOOR_OF.keys()


def test_folders_import_only_from_floors_above() -> None:
    wrong = [
        f"{path} imports {imported}"
        for room, paths in rooms().items()
        for path in paths
        for imported in imported_rooms(path) - {room}
        if FLOOR_OF[imported] >= FLOOR_OF[room]
    ]
    assert not wrong


def test_packages_import_nothing() -> None:
    """An `__init__.py` that imports would let a module reach any floor through it."""
    for path in PACKAGE.glob("*/**/__init__.py"):
        assert not imported_rooms(path), path
