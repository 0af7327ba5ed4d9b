"""Shortest paths between the edges, over cells whose prices a network learns.

A convolution sees its surroundings: whether a chain reaches an edge ten cells away takes ten of
them. Here one layer carries that over the whole board. Each empty cell has a price for either
player; its distance from an edge is the least sum of prices on a path of neighbours from there; and
what is close to both edges of a player lies on that player's best way across.
"""

import numpy as np
import torch
from torch import Tensor, nn

from hex_ai.compilation import Array, has_numba

# Of cells that the other player holds, and the largest distance told.
OUT_OF_REACH = 16.0

# Distances come out between 0 and 4.
SCALE = 0.25

# As the compiled loops want them.
_REACH, _SCALE = np.float32(OUT_OF_REACH), np.float32(SCALE)

# Relaxations that the gradient goes back through. A path is made of prices near its end then; as
# every cell has a path of its own, all prices learn.
LEARNING_RELAXATIONS = 4


class ShortestPaths(nn.Module):
    """Adds to features what the shortest paths say; nothing before training.

    Args:
      channels: of the features.
      maps: K, prices of a cell for each player.
      distances: from `6 * K` planes of distances to features, `channels` of them.
    """

    def __init__(self, channels: int, maps: int, distances: nn.Module) -> None:
        super().__init__()
        self.price = nn.Conv2d(channels, 2 * maps, 3, padding=1)
        self.distance_planes = DistancePlanes()
        self.distances = distances

    def forward(self, features: Tensor, planes: Tensor) -> Tensor:
        """Features `[B, channels, N, N]` and planes to what is to be added to the features."""
        seen = self.distance_planes(positive(self.price(features).float()), planes)
        seen = seen.to(features.dtype, memory_format=torch.channels_last)
        added: Tensor = self.distances(seen)
        return added


class DistancePlanes(nn.Module):
    """`distance_planes` as a part of a network, for runtimes that put an operation of theirs there.

    On a processor `fill_distance_planes` computes it, where nothing is learnt.
    """

    def forward(self, prices: Tensor, planes: Tensor) -> Tensor:
        """float32 `[B, 2 * K, N, N]` and planes to float32 `[B, 6 * K, N, N]`."""
        if torch.is_grad_enabled():
            return distance_planes(prices, planes)
        # Called as an operation it would first load torch's compiler, for some two seconds.
        tell = _told if torch.compiler.is_compiling() else _tell
        found: Tensor = tell(prices, planes)
        return found


def _tell(prices: Tensor, planes: Tensor) -> Tensor:
    if prices.device.type != "cpu":
        return distance_planes(prices, planes)
    count, priced, *size = prices.shape
    found = torch.empty(count, 3 * priced, *size)
    places = prices.contiguous(), planes.float().contiguous(), found
    fill_distance_planes(*(place.numpy() for place in places))
    return found


def fill_distance_planes(prices: Array, planes: Array, found: Array) -> None:
    """Writes what `distance_planes` gives, without a gradient, into `found`; all are float32.

    Where numba is installed its loops compute it: the same bits in less time.
    """
    if has_numba():
        from hex_ai.network import path_kernel

        times = relaxations(prices.shape[2])
        path_kernel.distance_planes(prices, planes, times, _REACH, _SCALE, found)
    else:
        with torch.no_grad():  # every thread has a switch of its own
            found[:] = distance_planes(*map(torch.from_numpy, (prices, planes))).numpy()


@torch.library.custom_op("hex_ai::distance_planes", mutates_args=())
def _told(prices: Tensor, planes: Tensor) -> Tensor:
    """The same as one operation: so many loops would take longer to compile than that saves."""
    return _tell(prices, planes).contiguous()


@_told.register_fake
def _(prices: Tensor, planes: Tensor) -> Tensor:
    count, priced, *size = prices.shape
    return prices.new_empty((count, 3 * priced, *size))


def cells_first(planes: Tensor) -> Tensor:
    """`[B, C, N, N]` to `[N, N, B, C]`, in which one operation handles a cell of all rows."""
    return planes.permute(2, 3, 0, 1).contiguous()


def positive(x: Tensor) -> Tensor:
    """Squareplus (Barron 2021): sums and roots, which round alike in every row of a batch."""
    return (x + (x * x + 1).sqrt()) / 2


def distance_planes(prices: Tensor, planes: Tensor) -> Tensor:
    """Distances of each cell, its own price included, as planes, times `SCALE`.

    Args:
      prices: float32 `[B, 2 * K, N, N]`, not negative: K for the mover, then for the opponent.
      planes: `[B, 2, N + 2, N + 2]` or more, stones of the mover and of the opponent.

    Returns:
      float32 `[B, 6 * K, N, N]`: K planes each of the mover's distances from top and bottom, the
      opponent's from left and right, and of the length of the best way through the cell, the
      mover's and the opponent's.
    """
    by_cell = cells_first(prices)
    stones = cells_first(planes[:, :2, 1:-1, 1:-1] > 0)
    own, other = stones[..., None], stones.flip(3)[..., None]
    by_player = by_cell.view(*by_cell.shape[:3], 2, -1)
    by_player = by_player.masked_fill(own, 0.0).masked_fill(other, OUT_OF_REACH)
    distances = edge_distances(by_player)
    ways = (distances[..., 0, :] + distances[..., 1, :] - by_player).clamp(max=OUT_OF_REACH)
    found = torch.cat((distances.flatten(3), ways.flatten(3)), 3) * SCALE
    return found.permute(2, 3, 0, 1)


def edge_distances(prices: Tensor) -> Tensor:
    """Distances over the cells of a hexagonal board from the edges, at most `OUT_OF_REACH`.

    Args:
      prices: float32 `[N, N, B, 2, K]`.

    Returns:
      float32 `[N, N, B, 2, 2, K]`: for the first player from top and bottom, for the second from
      left and right. Exact for paths of up to 3 N / 2 + 4 cells; longer ones are too long by some.
    """
    each = prices[:, :, :, :, None].expand(-1, -1, -1, -1, 2, -1).contiguous()
    learning = LEARNING_RELAXATIONS if torch.is_grad_enabled() else 0
    others = relaxations(len(prices)) - learning
    # Called as an operation it would first load torch's compiler, for some two seconds.
    settle = _settled if torch.compiler.is_compiling() else _settle
    board: Tensor = settle(each.detach(), others)
    for _ in range(learning):
        board = _framed(board, _nearest(board) + each)
    return board[1:-1, 1:-1].clamp(max=OUT_OF_REACH)


def relaxations(size: int) -> int:
    """How often every cell is relaxed on a board of `size`."""
    return 3 * size // 2 + LEARNING_RELAXATIONS


def _settle(prices: Tensor, times: int) -> Tensor:
    """The board after so many relaxations, which no gradient goes through."""
    board = _unreached(prices)
    memory = [torch.empty_like(board[:, 1:]), torch.empty_like(prices), torch.empty_like(prices)]
    for _ in range(times):
        _relax_in_place(board, prices, *memory)
    return board


@torch.library.custom_op("hex_ai::settled_distances", mutates_args=())
def _settled(prices: Tensor, times: int) -> Tensor:
    """The same as one operation: so many loops would take longer to compile than that saves."""
    return _settle(prices, times)


@_settled.register_fake
def _(prices: Tensor, times: int) -> Tensor:
    size, _, *others = prices.shape
    return prices.new_empty((size + 2, size + 2, *others))


def _unreached(prices: Tensor) -> Tensor:
    """The board with a rim: the edge that a distance is taken from is 0, all else out of reach."""
    size, _, *others = prices.shape
    board = prices.new_full((size + 2, size + 2, *others), OUT_OF_REACH)
    board[0, 1:-1, :, 0, 0] = board[-1, 1:-1, :, 0, 1] = 0
    board[1:-1, 0, :, 1, 0] = board[1:-1, -1, :, 1, 1] = 0
    return board


def _relax_in_place(
    board: Tensor, prices: Tensor, pairs: Tensor, near: Tensor, same: Tensor
) -> None:
    """One relaxation of every cell, in memory that is there: allocating it would take longer."""
    torch.minimum(board[:, :-1], board[:, 1:], out=pairs)
    torch.minimum(pairs[:-2, 1:], pairs[2:, :-1], out=near)
    torch.minimum(pairs[1:-1, :-1], pairs[1:-1, 1:], out=same)
    torch.minimum(near, same, out=near)
    torch.add(near, prices, out=board[1:-1, 1:-1])


def _nearest(board: Tensor) -> Tensor:
    """The least of each cell and its six neighbours, on the board without the rim."""
    # Pairs of cells in a row. Two of them are the neighbours above, two those below.
    pairs = torch.minimum(board[:, :-1], board[:, 1:])
    near = torch.minimum(pairs[:-2, 1:], pairs[2:, :-1])
    return torch.minimum(near, torch.minimum(pairs[1:-1, :-1], pairs[1:-1, 1:]))


def _framed(board: Tensor, inner: Tensor) -> Tensor:
    """`inner` with the rim of `board`."""
    framed = board.clone()
    framed[1:-1, 1:-1] = inner
    return framed
