"""A board as text for the terminal: rhombic, with coloured stones."""

from rich.text import Text

from hex_ai.game.notation import column_name
from hex_ai.game.positions import Positions

_RED, _BLUE = "bold red", "bold blue"
_STONES = {0: ("·", "dim"), 1: ("●", _RED), -1: ("○", _BLUE)}


def board_text(position: Positions, last: int | None = None) -> Text:
    """One position (B = 1) as it lies on the board; `last` is a cell to underline.

    Red's stones are filled and Blue's are hollow, so that a board reads without colours too. The
    letters above and below stand at Red's edges, the numbers at Blue's.
    """
    size = position.size
    cells = position.board()[0].tolist()
    letters = " ".join(column_name(column) for column in range(size))
    text = Text("  ").append(letters, _RED).append("\n")
    for row in range(size):
        text.append(" " * row).append(f"{row + 1:2d} ", _BLUE)
        for column in range(size):
            sign, style = _STONES[cells[row][column]]
            here = last == row * size + column
            text.append(sign, f"{style} underline" if here else style)
            text.append(" ")
        text.append(f"{row + 1}", _BLUE).append("\n")
    return text.append(" " * (size + 3)).append(letters, _RED)
