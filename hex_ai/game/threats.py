"""Who wins as things stand, and within which cells: what proofs of a deeper search start from.

Axes: `B` positions of size `N`, `A = N * N` cells, `F = (N + 2)²` cells of a board with its rim.

The *carrier* of a win is the set of empty cells that it depends on: it holds whatever the other
side has elsewhere. Chains are those of `connections`. A *threat* is a move that would complete one:
a cell between what is connected to the top edge and what is connected to the bottom edge, touching
each or being two free cells away from it. The mover who has a threat wins at once. A threat of the
opponent wins against every move outside its carrier.
"""

from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from hex_ai.game import compiled
from hex_ai.game.connections import (
    NOWHERE,
    chain_from_top,
    ending_templates,
    free_cells,
    reaches_bottom,
    rotated,
    templates,
)
from hex_ai.game.positions import NEIGHBOURS, Positions


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What is known of `B` positions without a search; cells are as the mover sees them.

    Attributes:
      proven: int8 `[B]`: +1 the mover wins, -1 the mover loses, 0 not known.
      carriers: bool `[B, A]`, the carrier of the winner's win; nothing where it is not known.
      must: bool `[B, A]`: the must-play region, which is the legal moves that no threat refutes.
      threats: bool `[B, A]`: the cells of all the opponent's threats, on which `must` rests.
      moves: int64 `[B]`, a winning move where the mover wins, else 0.
    """

    proven: Tensor
    carriers: Tensor
    must: Tensor
    threats: Tensor
    moves: Tensor


class _Wins(NamedTuple):
    """Chains and threats of one player, seen so that this player joins top to bottom.

    Attributes:
      chained: bool `[B]`, a chain goes from edge to edge.
      chain: bool `[B, F]`, its carrier.
      threatening: bool `[B, 3]`, whether each of three searches found a threat.
      threats: bool `[B, 3, F]`, their carriers with the move.
      moves: int64 `[B, 3]`, the moves, flat with the rim.
    """

    chained: Tensor
    chain: Tensor
    threatening: Tensor
    threats: Tensor
    moves: Tensor


def resolve(positions: Positions) -> Verdicts:
    """Looks for chains and threats of both sides. Each answer depends on its own row alone.

    Where it says who wins, or that a move loses, that is proven; a win may be missed. On a GPU
    nothing is read from the device.
    """
    if compiled.usable(positions.device):
        found = compiled.verdicts(positions, templates(positions.size, positions.device))
        return Verdicts(*found)
    return _resolve(positions)


def _resolve(positions: Positions) -> Verdicts:
    size = positions.size
    mine, theirs = _both_players(positions)
    lost = theirs.chained | positions.finished
    won = (mine.chained | mine.threatening.any(1)) & ~lost
    move, carriers = _best_win(mine)
    missed = (theirs.threatening[:, :, None] & ~theirs.threats).any(1)
    # A finished game needs no cells any more.
    chain = theirs.chain & (lost & ~positions.finished)[:, None]
    return Verdicts(
        won.to(torch.int8) - lost.to(torch.int8),
        torch.where(won[:, None], _bare(carriers, size), _bare_transposed(chain, size)),
        positions.legal_moves() & ~_bare_transposed(missed, size),
        _bare_transposed(theirs.threats.any(1), size),
        _bare_index(move, size).masked_fill(~won, 0),
    )


def _both_players(positions: Positions) -> tuple[_Wins, _Wins]:
    """The wins of the mover and of the opponent, each as that player sees the board."""
    labels, count = positions.labels.long(), len(positions)
    wins = _wins(torch.cat((labels.flatten(1), -labels.mT.flatten(1))), positions.size)
    return _Wins(*(field[:count] for field in wins)), _Wins(*(field[count:] for field in wins))


def _best_win(wins: _Wins) -> tuple[Tensor, Tensor]:
    """A winning move, flat `[B]`, and its carrier `[B, F]`: of the chain or the smallest threat."""
    count = wins.threats.sum(2).masked_fill(~wins.threatening, wins.threats.shape[2] + 1)
    least = count.argmin(1, keepdim=True)
    threat = wins.threats.gather(1, least[:, :, None].expand(-1, -1, wins.threats.shape[2]))[:, 0]
    # A chain needs no move; one in its carrier brings the game closer to its end.
    move = torch.where(
        wins.chained, wins.chain.to(torch.int8).argmax(1), wins.moves.gather(1, least)[:, 0]
    )
    return move, torch.where(wins.chained[:, None], wins.chain, threat)


def _bare_transposed(cells: Tensor, size: int) -> Tensor:
    """Without the rim and as the other side sees it: `[B, F]` to `[B, A]`."""
    return _bare(cells, size).view(-1, size, size).mT.flatten(1)


def _bare(cells: Tensor, size: int) -> Tensor:
    """Without the rim: `[B, F]` to `[B, A]`."""
    return cells.view(-1, size + 2, size + 2)[:, 1:-1, 1:-1].flatten(1)


def _bare_index(flat: Tensor, size: int) -> Tensor:
    """Cells with the rim to cells of the bare board."""
    return (flat // (size + 2) - 1) * size + flat % (size + 2) - 1


def _wins(labels: Tensor, size: int) -> _Wins:
    """Chains and threats on boards int64 `[B, F]` of the player who joins top to bottom."""
    count = len(labels)
    both_ends = torch.cat((labels, rotated(labels)))
    chain = chain_from_top(both_ends, size)
    free = free_cells(both_ends, size)
    used = free & ~chain.free
    by_template = ending_templates(chain, size)
    top, bottom = reaches_bottom(chain, by_template).view(2, count)
    carriers = used | (_cells_of_template(by_template, size) & free)
    carrier = torch.where(top[:, None], carriers[:count], carriers[count:].flip(1))
    chained = top | bottom
    edges = both_ends == both_ends.shape[1]
    threats = _threats(chain.connected, edges, used, free[:count])
    return _Wins(chained, carrier & chained[:, None], *threats)


def _cells_of_template(found: Tensor, size: int) -> Tensor:
    """bool `[B, F]`: the cells of the first template found, `[B, T]`; none where none is."""
    _, carriers = templates(size, found.device)
    cells = carriers.index_select(0, found.to(torch.int8).argmax(1))
    cells = cells.masked_fill(~found.any(1, keepdim=True), NOWHERE)
    marked = torch.zeros(len(found), (size + 2) ** 2, dtype=torch.bool, device=found.device)
    marked = marked.scatter(1, cells, True)
    marked[:, NOWHERE] = False
    return marked


def _threats(
    connected: Tensor, edges: Tensor, used: Tensor, free: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Looks for cells that join both ends: chain to chain, chain to edge, and edge to chain.

    Args:
      connected: bool `[2 * B, F]`, chains from the top, then, on boards rotated by 180 degrees,
        from the bottom.
      edges: bool `[2 * B, F]`, the groups of those edges themselves.
      used: bool `[2 * B, F]`, the carriers of the chains.
      free: bool `[B, F]`, the empty cells.

    Returns:
      The last three fields of `_Wins`.
    """
    count = len(free)
    near = _near_any(torch.cat((connected, edges)))
    top, bottom = near[:count], near[count : 2 * count].flip(1)
    top_edge, bottom_edge = near[2 * count : 3 * count], near[3 * count :].flip(1)
    above, below = used[:count], used[count:].flip(1)
    none = torch.zeros_like(above)
    ends = torch.stack((top, top, top_edge), 1), torch.stack((bottom, bottom_edge, bottom), 1)
    taken = torch.stack((above | below, above, below), 1)
    clash = torch.stack((above & below, none, none), 1).any(2)
    moves, found, carriers = _joining_cells(*ends, free[:, None] & ~taken)
    threatening = found & ~clash
    return threatening, (carriers | taken) & threatening[:, :, None], moves


def _joining_cells(top: Tensor, bottom: Tensor, free: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The cell that joins two ends with the fewest others.

    Args:
      top, bottom: bool `[B, 3, F]`, cells that touch the one end or the other.
      free: bool `[B, 3, F]`, cells that may be used.

    Returns:
      int64 `[B, 3]` the cell; bool `[B, 3]`, whether there is one; bool `[B, 3, F]`, its carrier.
    """
    top, bottom = top & free, bottom & free
    to_top, to_bottom, to_any = _count_near(torch.stack((top, bottom, top | bottom)))
    up, down = top | (to_top >= 2), bottom | (to_bottom >= 2)
    # Two connections of two cells each must not share any.
    apart = top | bottom | (to_any >= 4)
    score = (free & up & down & apart).to(torch.int8) * (1 + top.to(torch.int8) + bottom)
    best, cell = score.max(2)
    here = torch.zeros_like(free).scatter(2, cell[:, :, None], True)
    around = _near_any(here)
    links = torch.zeros_like(free)
    for ends in (top, bottom):
        touched = (ends & here).any(2, keepdim=True)
        links |= around & ends & ~touched
    return cell, best > 0, here | links


def _near_any(cells: Tensor) -> Tensor:
    """bool `[..., F]`: the cells that touch one of these; what lies on the rim means nothing."""
    return reduce(torch.logical_or, _shifted(cells))


def _count_near(cells: Tensor) -> Tensor:
    """int8 `[..., F]`: how many of these each cell touches; what lies on the rim means nothing."""
    return reduce(torch.add, _shifted(cells.to(torch.int8)))


def _shifted(cells: Tensor) -> list[Tensor]:
    """The board moved by each step to a neighbour; the rim keeps rows of the board apart."""
    width = round(cells.shape[-1] ** 0.5)
    return [cells.roll(row * width + column, -1) for row, column in NEIGHBOURS]
