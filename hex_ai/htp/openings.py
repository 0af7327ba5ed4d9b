"""What the shipped network found out about first moves in long searches, kept in a file.

`benchmarks/opening_values.py` makes it anew.
"""

import json
from collections.abc import Mapping
from importlib.resources import files

from hex_ai.game.notation import cell_index

# By board size, what each first move is worth to the player after it, by cell of the board.
OpeningValues = Mapping[int, Mapping[int, float]]


def opening_values(digest: str) -> OpeningValues:
    """The values that a network has found, by its digest; none for any but the shipped one."""
    kept = json.loads((files("hex_ai.htp") / "openings.json").read_text(encoding="utf-8"))
    if kept["network"] != digest:
        return {}
    return {int(size): _of_all_cells(int(size), found) for size, found in kept["values"].items()}


def _of_all_cells(size: int, found: Mapping[str, float]) -> dict[int, float]:
    """A rotation by 180° changes nothing."""
    values = {cell_index(name, size): value for name, value in found.items()}
    return values | {size**2 - 1 - cell: value for cell, value in values.items()}
