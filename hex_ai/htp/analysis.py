"""What the engine thinks of a position, as the replies that HexGui draws.

`pspairs` are cells with a short text each, painted on the board; `var` is a line of moves; `string`
is shown as it is; `gfx` are lines of GoGui's graphics. Chances of winning are the mover's, 0 to 1.
"""

from collections.abc import Mapping
from itertools import islice

import torch

from hex_ai.game.notation import column_name
from hex_ai.htp.board import BLACK, COLOUR_NAMES, Board
from hex_ai.htp.chooser import Choice
from hex_ai.value_utils import to_win_probability

# Type, label and command, one a line. HexGui puts the colour to move in the place of %m.
ANALYZE_COMMANDS = """\
pspairs/Policy of the network/hexai-policy %m
pspairs/Win probability of each move (network)/hexai-values %m
pspairs/Win probability of each move (search)/hexai-search_values %m
var/Principal variation/hexai-variation %m
gfx/Analysis (search)/gogui-gfx-analyze %m
string/Win probability/hexai-win_probability %m
string/Final score/final_score
param/Search/param_search
param/Game/param_game"""


# Moves of the policy that are worth a look: so many at most, and none below this probability.
MOST_MOVES = 12
LEAST_PROBABILITY = 0.01


def policy_pairs(board: Board, policy: Mapping[int, float]) -> str:
    """The moves that are worth a look with their probabilities, the likeliest first."""
    return _pairs(board, _worth_a_look(policy))


def dismissed_pairs(board: Board, policy: Mapping[int, float]) -> str:
    """The other moves, each with an `x`: HexGui greys them, so that those worth a look remain."""
    kept = _worth_a_look(policy)
    return " ".join(f"{board.name_of(cell)} x" for cell in policy if cell not in kept)


def value_pairs(board: Board, choice: Choice) -> str:
    """Moves with the mover's chance of winning by each, the best first."""
    chances = {cell: _chance(value) for cell, value in choice.values.items()}
    return _pairs(board, dict(sorted(chances.items(), key=lambda pair: -pair[1])))


def variation_text(board: Board, choice: Choice) -> str:
    """The moves of the principal variation, from the colour to move on."""
    return " ".join(map(board.name_of, choice.variation))


def graphics(board: Board, choice: Choice) -> str:
    """The line expected, the mover's chance of winning by each move, and the chance in words."""
    colours, names = "BW" if board.mover == BLACK else "WB", variation_text(board, choice).split()
    line = " ".join(f"{colours[ply % 2]} {name}" for ply, name in enumerate(names))
    return "\n".join(
        (
            f"VAR {line}",
            f"INFLUENCE {value_pairs(board, choice)}",
            f"TEXT {chance_text(board, choice)}",
        )
    )


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


def _worth_a_look(policy: Mapping[int, float]) -> dict[int, float]:
    """Of a policy in falling order."""
    likely = islice(policy.items(), MOST_MOVES)
    return {cell: chance for cell, chance in likely if chance >= LEAST_PROBABILITY}


def _chance(value: float) -> float:
    return float(to_win_probability(torch.tensor(value)))


def _pairs(board: Board, numbers: Mapping[int, float]) -> str:
    return " ".join(f"{board.name_of(cell)} {number:.2f}" for cell, number in numbers.items())
