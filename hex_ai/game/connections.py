"""Wins that need not be played out: chains of virtual connections from edge to edge.

Axes: `B` positions of size `N`; `F = (N + 2)²` cells of a board with its rim, kept flat. Unlike in
`positions`, the board is seen by the player who has just moved: the labels of that player's groups
are positive, and top is to be joined to bottom.

Two groups are *virtually connected* if they can be joined although the other side moves first. The
empty cells that this takes are the connection's *carrier*. Two kinds are looked for: two empty
cells that touch both groups (a bridge is the commonest case), of which one answers a move on the
other; and edge templates, cells within which a stone reaches the edge. A chain grows from the top
edge, one connection at a time. As no two of its connections share a cell, a move of the other side
intrudes on one at most and is answered there. So the whole chain holds, and if it reaches the
bottom edge, the win is proven. The search is greedy and takes nothing back: that a chain does not
reach the bottom proves nothing.
"""

from dataclasses import dataclass
from functools import lru_cache, reduce

import torch
from torch import Tensor

from hex_ai.game import compiled
from hex_ai.game.positions import NEIGHBOURS, Positions

Steps = tuple[tuple[int, int], ...]


def _mirrored(steps: Steps) -> Steps:
    """The mirror image of steps (row, column) that keeps every cell in its row."""
    return tuple((row, -column - row) for row, column in steps)


# Edge templates: steps from a stone to the cells that must be empty, or the player's own, for it to
# reach the edge two or three rows below it, although the other side begins. All cells are needed.
ZIGGURAT: Steps = ((0, 1), (1, -1), (1, 0), (1, 1), (2, -2), (2, -1), (2, 0), (2, 1))
FOURTH_ROW: Steps = (
    *((0, 1), (1, -2), (1, -1), (1, 0), (1, 1), (1, 2)),
    *((2, -3), (2, -2), (2, -1), (2, 0), (2, 1), (2, 2)),
    *((3, -4), (3, -3), (3, -2), (3, -1), (3, 0), (3, 1), (3, 2)),
)
TEMPLATES = (ZIGGURAT, _mirrored(ZIGGURAT), FOURTH_ROW, _mirrored(FOURTH_ROW))

# A corner of the rim, which is neither empty nor anybody's: a template that needs it never holds.
NOWHERE = 0


@dataclass(frozen=True, slots=True)
class Chain:
    """What is virtually connected to the top edge so far.

    Attributes:
      connected: bool `[B, F]`; the top rim and all stones connected to it.
      others: int64 `[B, F]`; labels, from 1 to F + 1, of the player's other groups; elsewhere 0.
      free: bool `[B, F]`; empty cells of the board in no carrier.
    """

    connected: Tensor
    others: Tensor
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
    if compiled.usable(positions.device):
        return compiled.lost_positions(positions, templates(positions.size, positions.device))
    return _opponent_has_won(positions)


def _opponent_has_won(positions: Positions) -> Tensor:
    labels = -positions.labels.mT.long().flatten(1)
    # The greedy search may fail from one edge and succeed from the other.
    chain = chain_from_top(torch.cat((labels, rotated(labels))), positions.size)
    proven = reaches_bottom(chain, ending_templates(chain, positions.size))
    return proven.view(2, -1).any(0) | positions.finished


def rotated(labels: Tensor) -> Tensor:
    """The board rotated by 180 degrees: each edge takes the label of the one opposite.

    Stones take new labels too, so that a large one still stands for a low row.
    """
    cells, flipped = labels.shape[1], labels.flip(1)
    total = torch.where(flipped.abs() < cells, cells, 2 * cells + 1)
    return flipped.sign() * total - flipped


def chain_from_top(labels: Tensor, size: int) -> Chain:
    """The chain found from the top edge, for labels int64 `[B, F]` of the player who joins it."""
    connected = labels == labels.shape[1]
    others = labels.clamp(min=0).masked_fill(connected, 0)
    chain = Chain(connected, others, free_cells(labels, size))
    chain = _connect_by_template(chain, size)
    # More rounds than this were not seen to prove anything more.
    for _ in range(2 * size // 3 + 1):
        before, chain = chain, _connect_by_two_cells(chain, size)
        if _can_read(labels.device) and torch.equal(chain.connected, before.connected):
            break
    return chain


def _can_read(device: torch.device) -> bool:
    """Whether a tensor can be read without waiting, which would cost more than it saves."""
    return device.type == "cpu"


def free_cells(labels: Tensor, size: int) -> Tensor:
    """bool `[B, F]`: the empty cells of the board."""
    return (labels == 0) & _on_board(size, labels.device)


def ending_templates(chain: Chain, size: int) -> Tensor:
    """bool `[B, T]`: which templates connect the chain to the bottom edge."""
    stones, carriers = templates(size, chain.free.device)
    return chain.connected.index_select(1, stones) & _all_open(chain, carriers)


def reaches_bottom(chain: Chain, by_template: Tensor) -> Tensor:
    """bool `[B]`: whether the chain is connected to the bottom edge; see `ending_templates`."""
    return chain.connected[:, -2] | by_template.any(1)


def _connect_by_template(chain: Chain, size: int) -> Chain:
    """Connects one group that has a template of the top edge, if any does.

    Of several groups, it is the one with the largest label, which stands for a low row.
    """
    stones, carriers = templates(size, chain.free.device)
    last = chain.free.shape[1] - 1
    # Rotating the board sends cell k to F - 1 - k.
    stones, carriers = last - stones, (last - carriers).masked_fill(carriers == NOWHERE, NOWHERE)
    labels = chain.others.index_select(1, stones) * _all_open(chain, carriers)
    label, chosen = labels.max(1, keepdim=True)
    used = carriers.index_select(0, chosen[:, 0]).masked_fill(label == 0, NOWHERE)
    joined = (chain.others == label) & (label > 0)
    return _extended(chain, joined, chain.free.scatter(1, used, False))


def _extended(chain: Chain, joined: Tensor, free: Tensor) -> Chain:
    """The chain with the stones of `joined`, bool `[B, F]`, and these cells left free."""
    return Chain(chain.connected | joined, chain.others.masked_fill(joined, 0), free)


def _all_open(chain: Chain, carriers: Tensor) -> Tensor:
    """bool `[B, T]`: where all cells of carriers int64 `[T, K]` are free or the player's own."""
    is_open = chain.free | chain.connected | (chain.others > 0)
    return is_open.index_select(1, carriers.flatten()).view(-1, *carriers.shape).all(2)


def _connect_by_two_cells(chain: Chain, size: int) -> Chain:
    """Connects groups that share two free cells with connected ones.

    A free cell that touches two other groups serves the one with the larger label: the lower one.
    """
    target = _touched_by_both(chain, size)
    cells = _cells(size, target.device) * (target > 0)
    labels = chain.free.shape[1] + 2
    none = target.new_zeros(len(target), labels)
    last = none.scatter_reduce(1, target, cells, "amax")
    first = (none + labels).scatter_reduce(1, target, cells, "amin")
    linked = last > first
    is_end = (cells == last.gather(1, target)) | (cells == first.gather(1, target))
    used = is_end & linked.gather(1, target)
    return _extended(chain, linked.gather(1, chain.others), chain.free & ~used)


def _touched_by_both(chain: Chain, size: int) -> Tensor:
    """int64 `[B, F]`: at free cells that touch the chain, the largest other label touched; or 0."""
    width = size + 2
    # The rim's own neighbours would be off the board: only the rows between are looked at.
    start, stop = width + 1, width * width - width - 1
    steps = [row * width + column for row, column in NEIGHBOURS]
    near = reduce(torch.logical_or, (chain.connected[:, start + k : stop + k] for k in steps))
    label = reduce(torch.maximum, (chain.others[:, start + k : stop + k] for k in steps))
    middle = label * (near & chain.free[:, start:stop])
    return torch.nn.functional.pad(middle, (start, start))


@lru_cache
def _on_board(size: int, device: torch.device) -> Tensor:
    """bool `[F]`: true on the board, false on the rim."""
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
