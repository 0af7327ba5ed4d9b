"""What games in flight take of memory, estimated before they are begun: low, as measured on a CPU.

Axes: `P` plies at most, `A` moves, `W` candidates, `L` leaves of one search.
"""

from math import prod

from hex_ai.game.records import POLICY_ENTRIES
from hex_ai.selfplay.settings import SelfPlaySettings

# Bytes that `GameLog` has: a ply, a candidate of a ply, an entry of its improved policy.
_PLY_BYTES, _CANDIDATE_BYTES, _ENTRY_BYTES = 13, 10, 6

# Of the log, what games fill at least: many end when half of the board is full.
_FILLED = 0.5

# Bytes for each cell of a game under way, and for each cell of each leaf while it is searched;
# 100 games in flight of most widths and sizes were measured to take more.
_GAME_CELL_BYTES, _LEAF_CELL_BYTES = 100, 16


def bytes_of_games(settings: SelfPlaySettings, games: int, workers: int = 1) -> int:
    """Bytes that so many games in flight want at least, the network and its cache left out.

    Args:
      settings: of the games.
      games: in flight, of all workers together.
      workers: that step their games at different times.
    """
    moves = settings.board_size**2
    candidates = min(settings.search_widths[0], moves)
    ply = _PLY_BYTES + _CANDIDATE_BYTES * candidates + _ENTRY_BYTES * min(POLICY_ENTRIES, moves)
    leaves = prod(min(width, moves) for width in settings.search_widths) * settings.searched
    stepping = moves * (_GAME_CELL_BYTES + _LEAF_CELL_BYTES * leaves) / workers
    return int(games * (_FILLED * ply * (moves + 1) + stepping))


def most_requests(settings: SelfPlaySettings) -> int:
    """Requests of one game, at most: for the root and each node of the trees, ply by ply."""
    moves, nodes = settings.board_size**2, 1
    for depth in range(len(settings.search_widths)):
        nodes += prod(min(width, moves) for width in settings.search_widths[: depth + 1])
    return nodes * (moves + 2)
