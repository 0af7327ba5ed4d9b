"""Wins that nobody has to play out: chains with gaps that the mover cannot cut.

Axes: `B` positions of size `N`; `F = (N + 2)²` cells of a board with its rim, kept flat. Unlike in
`positions`, the board is seen by the player who has just moved: the labels of that player's groups
are positive, and top is to be joined to bottom.

The *tied* groups are those that the top edge is bound to join. A group is tied on by two empty
cells that both touch it and a tied group: when the mover takes one, the answer on the other joins
them. A bridge is the commonest case. At the edges a stone may rest on a template instead: cells
within which it reaches the edge though the mover begins. Every link uses up its empty cells. As no
cell serves two links, a move of the mover threatens one link at most and is answered within it, so
the whole chain holds, and if it ends at the bottom edge the win is proven. That it does not end
there says nothing, for the search is greedy and never takes a link back.
"""

from dataclasses import dataclass
from functools import lru_cache, reduce

import torch
from torch import Tensor

from hex_ai.game.positions import NEIGHBOURS, Positions

Steps = tuple[tuple[int, int], ...]


def mirrored(steps: Steps) -> Steps:
    """The mirror image of steps (row, column) that keeps every cell in its row."""
    return tuple((row, -column - row) for row, column in steps)


# Steps from a stone to the cells that must be empty, or the player's own, for it to reach the edge
# two or three rows below it, although the other side begins. No cell can be spared.
ZIGGURAT: Steps = ((0, 1), (1, -1), (1, 0), (1, 1), (2, -2), (2, -1), (2, 0), (2, 1))
FOURTH_ROW: Steps = (
    *((0, 1), (1, -2), (1, -1), (1, 0), (1, 1), (1, 2)),
    *((2, -3), (2, -2), (2, -1), (2, 0), (2, 1), (2, 2)),
    *((3, -4), (3, -3), (3, -2), (3, -1), (3, 0), (3, 1), (3, 2)),
)
TEMPLATES = (ZIGGURAT, mirrored(ZIGGURAT), FOURTH_ROW, mirrored(FOURTH_ROW))

# A corner of the rim, which is neither empty nor anybody's: what needs it never holds.
NOWHERE = 0


@dataclass(frozen=True, slots=True)
class Chain:
    """What is tied to the top edge so far.

    Attributes:
      tied: bool `[B, F]`; the top rim and all stones that it is bound to join.
      loose: int64 `[B, F]`; names, from 1 to F + 1, of the player's other groups; elsewhere 0.
      free: bool `[B, F]`; empty cells of the board that no link uses.
    """

    tied: Tensor
    loose: Tensor
    free: Tensor


def opponent_has_won(positions: Positions) -> Tensor:
    """Says where the player who is not to move wins, whatever the mover does.

    Args:
      positions: the batch, on any device.

    Returns:
      bool `[B]`, also true where the game is finished. Never true where the mover can still win;
      false where no proof was found. Each answer depends on its own row alone. On a GPU nothing is
      read from the device, and the number of tensor operations depends on N alone.
    """
    labels = -positions.labels.mT.long().flatten(1)
    # A greedy chain from one edge may use up what one from the other edge does not.
    both_ways = torch.cat((labels, upside_down(labels)))
    proven = _top_joins_bottom(both_ways, positions.size)
    return proven.view(2, -1).any(0) | positions.finished


def upside_down(labels: Tensor) -> Tensor:
    """The board turned by 180 degrees: each edge takes the label of the one opposite.

    Stones take new labels too, so that a large one still stands for a low row.
    """
    cells, turned = labels.shape[1], labels.flip(1)
    total = torch.where(turned.abs() < cells, cells, 2 * cells + 1)
    return turned.sign() * total - turned


def _top_joins_bottom(labels: Tensor, size: int) -> Tensor:
    """bool `[B]`: whether a chain from the top is found to end at the bottom.

    Args:
      labels: int64 `[B, F]`, positive for the player who joins top to bottom.
      size: N.
    """
    chain = chain_from_top(labels, size)
    return chain.tied[:, -2] | ending_templates(chain, size).any(1)


def chain_from_top(labels: Tensor, size: int) -> Chain:
    """What is tied to the top edge, for labels int64 `[B, F]` of the player who joins it."""
    tied = labels == labels.shape[1]
    loose = labels.clamp(min=0).masked_fill(tied, 0)
    chain = Chain(tied, loose, free_cells(labels, size))
    chain = _tie_by_template(chain, size)
    # More rounds than this were not seen to prove anything more.
    for _ in range(2 * size // 3 + 1):
        before, chain = chain, _tie_by_two_cells(chain, size)
        if _tells_at_once(labels.device) and torch.equal(chain.tied, before.tied):
            break
    return chain


def _tells_at_once(device: torch.device) -> bool:
    """Whether a tensor can be read without a wait. To wait costs more than the rounds it saves."""
    return device.type == "cpu"


def free_cells(labels: Tensor, size: int) -> Tensor:
    """bool `[B, F]`: the empty cells of the board."""
    return (labels == 0) & _on_board(size, labels.device)


def ending_templates(chain: Chain, size: int) -> Tensor:
    """bool `[B, T]`: which templates of the bottom edge end the chain there."""
    stones, carriers = templates(size, chain.free.device)
    return chain.tied.index_select(1, stones) & _all_open(chain, carriers)


def _tie_by_template(chain: Chain, size: int) -> Chain:
    """Ties on one group that rests on a template of the top edge, if any does.

    Of several groups, it is the one with the largest name, whose name stands for a low row.
    """
    stones, carriers = templates(size, chain.free.device)
    last = chain.free.shape[1] - 1
    # Half a turn of the board sends cell k to F - 1 - k.
    stones, carriers = last - stones, (last - carriers).masked_fill(carriers == NOWHERE, NOWHERE)
    names = chain.loose.index_select(1, stones) * _all_open(chain, carriers)
    name, chosen = names.max(1, keepdim=True)
    used = carriers.index_select(0, chosen[:, 0]).masked_fill(name == 0, NOWHERE)
    won = (chain.loose == name) & (name > 0)
    return Chain(
        chain.tied | won, chain.loose.masked_fill(won, 0), chain.free.scatter(1, used, False)
    )


def _all_open(chain: Chain, carriers: Tensor) -> Tensor:
    """bool `[B, T]`: where all cells of carriers int64 `[T, K]` are free or the player's own."""
    is_open = chain.free | chain.tied | (chain.loose > 0)
    return is_open.index_select(1, carriers.flatten()).view(-1, *carriers.shape).all(2)


def _tie_by_two_cells(chain: Chain, size: int) -> Chain:
    """Ties on groups that share two free cells with tied ones.

    A free cell that touches two loose groups serves the one with the larger name: the lower one.
    """
    target = _touched_by_both(chain, size)
    cells = _cells(size, target.device) * (target > 0)
    names = chain.free.shape[1] + 2
    none = target.new_zeros(len(target), names)
    last = none.scatter_reduce(1, target, cells, "amax")
    first = (none + names).scatter_reduce(1, target, cells, "amin")
    linked = last > first
    is_end = (cells == last.gather(1, target)) | (cells == first.gather(1, target))
    won = linked.gather(1, chain.loose)
    used = is_end & linked.gather(1, target)
    return Chain(chain.tied | won, chain.loose.masked_fill(won, 0), chain.free & ~used)


def _touched_by_both(chain: Chain, size: int) -> Tensor:
    """int64 `[B, F]`: the largest name touched by a free cell that touches a tied group; or 0."""
    width = size + 2
    # The rim's own neighbours would be off the board: only the rows between are looked at.
    start, stop = width + 1, width * width - width - 1
    steps = [row * width + column for row, column in NEIGHBOURS]
    tied = reduce(torch.logical_or, (chain.tied[:, start + k : stop + k] for k in steps))
    name = reduce(torch.maximum, (chain.loose[:, start + k : stop + k] for k in steps))
    middle = name * (tied & chain.free[:, start:stop])
    return torch.nn.functional.pad(middle, (start, start))


@lru_cache
def _on_board(size: int, device: torch.device) -> Tensor:
    """bool `[F]`: true on the bare board, false on the rim."""
    bare = torch.ones(size, size, dtype=torch.bool, device=device)
    return torch.nn.functional.pad(bare, (1, 1, 1, 1)).flatten()


@lru_cache
def _cells(size: int, device: torch.device) -> Tensor:
    """int64 `[F]`: the index of every cell."""
    return torch.arange((size + 2) ** 2, device=device)


@lru_cache
def templates(size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Every template at every column of the bottom edge.

    Returns:
      int64 `[T]`, the flat index of the stone, and `[T, K]`, of the cells that it needs: as many
      for all, by naming one of them again, and `NOWHERE` for those off the board.
    """
    longest = max(len(steps) for steps in TEMPLATES)
    stones, carriers = [], []
    for steps in TEMPLATES:
        row = size - max(down for down, _ in steps)
        for column in range(1, size + 1):
            cells = [_flat_cell(row + down, column + right, size) for down, right in steps]
            stones.append(_flat_cell(row, column, size))
            carriers.append(cells + cells[:1] * (longest - len(cells)))
    return torch.tensor(stones, device=device), torch.tensor(carriers, device=device)


def _flat_cell(row: int, column: int, size: int) -> int:
    """Index on the flat board of a cell that is counted from 1, or `NOWHERE` off the board."""
    on_board = 1 <= row <= size and 1 <= column <= size
    return row * (size + 2) + column if on_board else NOWHERE
