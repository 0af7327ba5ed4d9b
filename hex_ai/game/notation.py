"""Cell names: `a1` is the top left cell, the letter is the column and the number the row.

Columns past `z` go on with `aa`, `ab`, … A cell's index is row * size + column, counted from 0.
"""

import re

from hex_ai.errors import NotationError

CELL = re.compile(r"([a-z]+)([1-9][0-9]*)")


def column_name(column: int) -> str:
    """Letters of a column counted from 0: `a`, …, `z`, `aa`, …"""
    name = ""
    column += 1
    while column:
        column, letter = divmod(column - 1, 26)
        name = chr(ord("a") + letter) + name
    return name


def column_index(letters: str) -> int:
    """Column counted from 0 for lower-case letters: the inverse of `column_name`."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("a") + 1
    return index - 1


def cell_name(cell: int, size: int) -> str:
    """Name of the cell with this index on a board of `size` × `size`."""
    row, column = divmod(cell, size)
    return f"{column_name(column)}{row + 1}"


def mirror(cell: int, size: int) -> int:
    """The cell with row and column exchanged."""
    return cell % size * size + cell // size


def cell_index(name: str, size: int) -> int:
    """Index of a named cell on a board of `size` × `size`.

    Raises:
      NotationError: not a cell name, or not on the board.
    """
    match = CELL.fullmatch(name.lower()) if name.isascii() else None
    if match is None:
        raise NotationError(
            f"{name[:20]!r} is not a cell: want letters, then a number, such as 'a1'"
        )
    letters, digits = match.groups()
    # Bounded lengths keep absurd names from building huge integers.
    if len(letters) > 2 or len(digits) > 3:
        raise NotationError(f"{name[:20]!r} is not on a board of {size}x{size}")
    row, column = int(digits) - 1, column_index(letters)
    if row >= size or column >= size:
        raise NotationError(f"{name!r} is not on a board of {size}x{size}")
    return row * size + column
