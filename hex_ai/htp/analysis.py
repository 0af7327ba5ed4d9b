"""What the engine thinks of a position, as the replies that HexGui draws.

`pspairs` are cells with a short text each, painted on the board; `var` is a line of moves; `string`
is shown as it is. Chances of winning are the mover's, from 0 to 1.
"""

from collections.abc import Mapping

import torch

from hex_ai.game.notation import cell_name
from hex_ai.htp.chooser import Choice
from hex_ai.htp.game import COLOUR_NAMES, Board
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


def policy_pairs(board: Board, choice: Choice) -> str:
    """Moves with their probabilities, the likeliest first; those that round to 0 are left out."""
    return _pairs(board, {cell: p for cell, p in choice.policy.items() if p >= 0.005})


def value_pairs(board: Board, choice: Choice) -> str:
    """Moves with the mover's chance of winning by each, the best first."""
    chances = to_win_probability(torch.tensor(list(choice.values.values()))).tolist()
    ordered = sorted(zip(choice.values, chances, strict=True), key=lambda pair: -pair[1])
    return _pairs(board, dict(ordered))


def variation_text(board: Board, choice: Choice) -> str:
    """The moves of the principal variation, from the colour to move on."""
    names = []
    for cell in choice.variation:
        names.append(cell_name(board.cell_of(cell), board.size))
        board = board.seen_by(-board.mover)
    return " ".join(names)


def chance_text(board: Board, choice: Choice) -> str:
    """The mover's chance of winning in words."""
    chance = float(to_win_probability(torch.tensor(choice.value)))
    return f"{chance:.3f} for {COLOUR_NAMES[board.mover]}"


def board_lines(board: Board) -> str:
    """The board in plain characters: B for a black stone, W for a white one."""
    signs = {0: ".", 1: "B", -1: "W"}
    letters = " ".join(cell_name(column, board.size)[:-1] for column in range(board.size))
    lines = [f"{board.size}x{board.size}, {state_text(board)}", f"   {letters}"]
    for row in range(board.size):
        cells = board.stones[row * board.size : (row + 1) * board.size]
        drawn = " ".join(signs[cell] for cell in cells)
        lines.append(f"{' ' * row}{row + 1:2d} {drawn} {row + 1}")
    lines.append(f"{' ' * board.size}   {letters}")
    return "\n".join(lines)


def state_text(board: Board) -> str:
    """Who is to move, or who has won."""
    if board.winner:
        return f"{COLOUR_NAMES[board.winner]} has won"
    return f"{COLOUR_NAMES[board.mover]} to move"


def _pairs(board: Board, numbers: Mapping[int, float]) -> str:
    return " ".join(f"{board.name_of(cell)} {number:.2f}" for cell, number in numbers.items())
