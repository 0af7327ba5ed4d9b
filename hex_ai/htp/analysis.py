"""What the engine thinks of a position, as the replies that HexGui draws.

`pspairs` are cells with a short text each, painted on the board; `var` is a line of moves; `string`
is shown as it is. Chances of winning are the mover's, from 0 to 1.
"""

from collections.abc import Mapping

import torch

from hex_ai.game.notation import column_name
from hex_ai.htp.board import COLOUR_NAMES, Board
from hex_ai.htp.chooser import Choice
from hex_ai.value_utils import to_win_probability

# Type, label and command, one a line. HexGui puts the colour to move in the place of %m.
ANALYZE_COMMANDS = """\
pspairs/Policy of the network/hexai-policy %m
pspairs/Win probability of each move (network)/hexai-values %m
pspairs/Win probability of each move (search)/hexai-search_values %m
var/Principal variation/hexai-variation %m
string/Win probability/hexai-win_probability %m
string/Final score/final_score
param/Search/param_search
param/Game/param_game"""


def policy_pairs(board: Board, policy: Mapping[int, float]) -> str:
    """Moves with their probabilities, the likeliest first; those that round to 0 are left out."""
    return _pairs(board, {cell: p for cell, p in policy.items() if p >= 0.005})


def value_pairs(board: Board, choice: Choice) -> str:
    """Moves with the mover's chance of winning by each, the best first."""
    chances = {cell: _chance(value) for cell, value in choice.values.items()}
    return _pairs(board, dict(sorted(chances.items(), key=lambda pair: -pair[1])))


def variation_text(board: Board, choice: Choice) -> str:
    """The moves of the principal variation, from the colour to move on."""
    return " ".join(map(board.name_of, choice.variation))


def chance_text(board: Board, choice: Choice) -> str:
    """The mover's chance of winning in words."""
    return f"{_chance(choice.value):.3f} for {COLOUR_NAMES[board.mover]}"


def board_lines(board: Board) -> str:
    """The board in plain characters: B for a black stone, W for a white one."""
    size, state = board.size, f"{COLOUR_NAMES[board.winner or board.mover]}"
    letters = " ".join(map(column_name, range(size)))
    lines = [f"{size}x{size}, {state} {'has won' if board.winner else 'to move'}", f"   {letters}"]
    for row in range(size):
        drawn = " ".join(".BW"[stone] for stone in board.stones[row * size : (row + 1) * size])
        lines.append(f"{' ' * row}{row + 1:2d} {drawn} {row + 1}")
    return "\n".join([*lines, f"{' ' * size}   {letters}"])


def _chance(value: float) -> float:
    return float(to_win_probability(torch.tensor(value)))


def _pairs(board: Board, numbers: Mapping[int, float]) -> str:
    return " ".join(f"{board.name_of(cell)} {number:.2f}" for cell, number in numbers.items())
