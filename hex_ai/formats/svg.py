"""A board as an SVG picture, for documents and web pages."""

import math

from hex_ai.game.notation import column_name
from hex_ai.game.positions import Positions

# Half the height of a cell, in pixels.
RADIUS = 20.0
_WIDTH = math.sqrt(3) * RADIUS
_RED, _BLUE, _LINE, _CELL = "#d33", "#27c", "#888", "#f4f1e8"

# Corners of a cell, clockwise from the top, and the corner sequences that lie on each edge.
_CORNERS = [
    (RADIUS * math.sin(k * math.pi / 3), -RADIUS * math.cos(k * math.pi / 3)) for k in range(6)
]
_TOP, _RIGHT, _BOTTOM, _LEFT = (5, 0, 1), (0, 1, 2), (2, 3, 4), (3, 4, 5)

Point = tuple[float, float]


def board_svg(position: Positions, last: int | None = None) -> str:
    """One position (B = 1) as it lies on the board; `last` is a cell to mark."""
    size = position.size
    stones = position.board()[0].tolist()
    parts = []
    for row in range(size):
        for column in range(size):
            centre = _centre(row, column)
            parts.append(_polygon(centre))
            if stones[row][column]:
                colour = _RED if stones[row][column] > 0 else _BLUE
                parts.append(_circle(centre, RADIUS * 0.66, colour))
            if last == row * size + column:
                parts.append(_circle(centre, RADIUS * 0.2, "white"))
    for k in range(size):
        end = size - 1
        parts += [_edge(_centre(0, k), _TOP, _RED), _edge(_centre(end, k), _BOTTOM, _RED)]
        parts += [_edge(_centre(k, 0), _LEFT, _BLUE), _edge(_centre(k, end), _RIGHT, _BLUE)]
        parts.append(_label(_centre(-1, k + 0.35), column_name(k)))
        parts.append(_label(_centre(k, -0.95), str(k + 1)))
    width = _centre(size, size)[0] + _WIDTH / 2
    height = _centre(size, 0)[1]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="sans-serif" font-size="{RADIUS * 0.75:.0f}">'
    )
    return "\n".join((head, *parts, "</svg>\n"))


def _centre(row: float, column: float) -> Point:
    return (column + row / 2 + 1.7) * _WIDTH, (row * 1.5 + 2.4) * RADIUS


def _points(centre: Point, corners: tuple[int, ...]) -> str:
    return " ".join(
        f"{centre[0] + _CORNERS[k][0]:.1f},{centre[1] + _CORNERS[k][1]:.1f}" for k in corners
    )


def _polygon(centre: Point) -> str:
    return f'<polygon points="{_points(centre, tuple(range(6)))}" fill="{_CELL}" stroke="{_LINE}"/>'


def _edge(centre: Point, corners: tuple[int, ...], colour: str) -> str:
    points = _points(centre, corners)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="4"/>'


def _circle(centre: Point, radius: float, colour: str) -> str:
    return f'<circle cx="{centre[0]:.1f}" cy="{centre[1]:.1f}" r="{radius:.1f}" fill="{colour}"/>'


def _label(centre: Point, text: str) -> str:
    return (
        f'<text x="{centre[0]:.1f}" y="{centre[1]:.1f}" text-anchor="middle" '
        f'dominant-baseline="central" fill="{_LINE}">{text}</text>'
    )
