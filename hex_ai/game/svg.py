"""Boards as SVG pictures, for documents, web pages and notebooks."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

from hex_ai.game.notation import column_name

# Half the height of a cell, in pixels.
RADIUS = 20.0

_WIDTH = math.sqrt(3) * RADIUS
_FONT_SIZE = RADIUS * 0.75

# A wider picture is shown smaller: a notebook has no more room.
_WIDEST = 900

_RED, _BLUE, _LINE, _CELL, _MARK = "#d33", "#27c", "#888", "#f4f1e8", "#222"

# Corners of a cell, clockwise from the top, and the corner sequences that lie on each edge.
_CORNERS = [
    (RADIUS * math.sin(k * math.pi / 3), -RADIUS * math.cos(k * math.pi / 3)) for k in range(6)
]
_TOP, _RIGHT, _BOTTOM, _LEFT = (5, 0, 1), (0, 1, 2), (2, 3, 4), (3, 4, 5)

Point = tuple[float, float]

# One board as it lies, row then column: above 0 Red, below 0 Blue, 0 empty.
Stones = Sequence[Sequence[int]]


def board_svg(stones: Stones, last: int | None = None) -> str:
    """One board; `last` is a cell to mark.

    The bar on a stone points to where its colour wants to go, so that a board reads without
    colours too.
    """
    return _picture(_size(len(stones)), _board(stones, last))


def boards_svg(boards: Sequence[Stones], more: int = 0) -> str:
    """Boards of one size side by side, and below them that there are `more`."""
    if not boards:
        return _picture((10 * RADIUS, 2 * RADIUS), [_line_of_text("no positions", RADIUS)])
    width, height = _size(len(boards[0]))
    parts = []
    for place, stones in enumerate(boards):
        parts += [f'<g transform="translate({place * width:.1f})">', *_board(stones), "</g>"]
    size = width * len(boards), height
    if more:
        parts.append(_line_of_text(f"and {more} more", height + RADIUS / 2))
        size = size[0], height + 2 * RADIUS
    return _picture(size, parts)


def _picture(size: Point, parts: Iterable[str]) -> str:
    shown = min(size[0], _WIDEST)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{shown:.0f}" '
        f'viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" '
        f'font-family="sans-serif" font-size="{_FONT_SIZE:.0f}">'
    )
    return "\n".join((head, *parts, "</svg>\n"))


def _size(size: int) -> Point:
    """Width and height of a board with its names."""
    return _centre(size, size)[0] + _WIDTH / 2, _centre(size, 0)[1]


def _board(stones: Stones, last: int | None = None) -> list[str]:
    size = len(stones)
    cells = [(row, column) for row in range(size) for column in range(size)]
    parts = [
        _path(" ".join(_cell(*cell) for cell in cells), f'fill="{_CELL}" stroke="{_LINE}"'),
        *_edges(size),
        *_names(size),
    ]
    for sign, colour, bar in ((1, _RED, "v"), (-1, _BLUE, "h")):
        centres = [_centre(*cell) for cell in cells if stones[cell[0]][cell[1]] * sign > 0]
        parts += _stones(centres, colour, bar)
    if last is not None:
        ring = f' fill="none" stroke="{_MARK}" stroke-width="2.5"'
        parts.append(_circle(_centre(*divmod(last, size)), RADIUS * 0.84, ring))
    return parts


def _centre(row: float, column: float) -> Point:
    return (column + row / 2 + 1.7) * _WIDTH, (row * 1.5 + 2.4) * RADIUS


def _points(row: int, column: int, corners: Iterable[int]) -> str:
    x, y = _centre(row, column)
    return " ".join(_point((x + _CORNERS[k][0], y + _CORNERS[k][1])) for k in corners)


def _point(point: Point) -> str:
    return ",".join(map(_number, point))


def _number(number: float) -> str:
    """To a tenth of a pixel."""
    return f"{round(number, 1) + 0.0:g}"


def _cell(row: int, column: int) -> str:
    x, y = _centre(row, column)
    steps = " ".join(_point((b[0] - a[0], b[1] - a[1])) for a, b in pairwise(_CORNERS))
    return f"M{_point((x, y - RADIUS))}l{steps}z"


def _path(line: str, attributes: str) -> str:
    return f'<path d="{line}" {attributes}/>'


def _edges(size: int) -> list[str]:
    """The four edges, each a line along the outer corners of its cells."""
    end, along = size - 1, range(size)
    red = [[(0, k, _TOP) for k in along], [(end, k, _BOTTOM) for k in reversed(along)]]
    blue = [[(k, 0, _LEFT) for k in reversed(along)], [(k, end, _RIGHT) for k in along]]
    return [
        _path(
            " ".join("M" + " ".join(_points(*cell) for cell in edge) for edge in edges),
            f'fill="none" stroke="{colour}" stroke-width="4"',
        )
        for edges, colour in ((red, _RED), (blue, _BLUE))
    ]


def _names(size: int) -> list[str]:
    columns = [_label(_centre(-1, k + 0.35), column_name(k)) for k in range(size)]
    rows = [_label(_centre(k, -0.95), str(k + 1)) for k in range(size)]
    head = f'<g text-anchor="middle" dominant-baseline="central" fill="{_LINE}">'
    return [head, *columns, *rows, "</g>"]


def _stones(centres: Sequence[Point], colour: str, bar: str) -> list[str]:
    """Stones of a colour; `bar` is `v` or `h`, as a path has it."""
    if not centres:
        return []
    half = RADIUS * 0.3
    starts = [(x, y - half) if bar == "v" else (x - half, y) for x, y in centres]
    bars = "".join(f"M{_point(start)}{bar}{_number(2 * half)}" for start in starts)
    circles = (_circle(centre, RADIUS * 0.66) for centre in centres)
    look = 'stroke="white" stroke-opacity="0.85" stroke-width="3" stroke-linecap="round"'
    return [f'<g fill="{colour}">', *circles, "</g>", _path(bars, look)]


def _circle(centre: Point, radius: float, attributes: str = "") -> str:
    x, y = map(_number, centre)
    return f'<circle cx="{x}" cy="{y}" r="{_number(radius)}"{attributes}/>'


def _label(centre: Point, text: str) -> str:
    x, y = map(_number, centre)
    return f'<text x="{x}" y="{y}">{escape(text)}</text>'


def _line_of_text(text: str, height: float) -> str:
    return f'<g fill="{_LINE}">{_label((RADIUS, height), text)}</g>'
