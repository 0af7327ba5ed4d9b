"""A hash table of evaluations: fixed memory, tensors on the device, no Python object per entry.

A position is known by two 64-bit hashes: the *key*, whose value also picks the slot, and the
*check*. Each slot holds one evaluation; a newer one takes the place of an older one.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.keyed_random import CACHE_CHECK_SEED, CACHE_KEY_SEED, random_bits
from hex_ai.network.architecture import with_colours

# What a hash is changed by where Blue is to move, for networks that see colours.
_BLUE_TO_MOVE = 0x426C7565

# The hash of an empty board. Not 0, which is what an empty slot of the table holds.
_EMPTY_BOARD = 0x486578


@dataclass(frozen=True)
class Oriented:
    """Positions rotated by 180°, where that gives the smaller key.

    A position rotated by 180° is the same position: both players still join the same edges.

    Attributes:
      planes: uint8 `[B, 2, N + 2, N + 2]`, the input of a network; 3 planes if it sees colours.
      rotated: bool `[B]`.
      keys: int64 `[B]`, additive hash.
      checks: int64 `[B]`, a second one.
    """

    planes: Tensor
    rotated: Tensor
    keys: Tensor
    checks: Tensor


def orient(positions: Positions, colours: bool = False) -> Oriented:
    """Chooses the orientation of each position by its key.

    With `colours`, positions that differ in the mover's colour alone are not the same.
    """
    straight, flipped, check, flipped_check = _hashes(positions.stones()).unbind(1)
    rotated = flipped < straight
    planes = positions.planes(torch.uint8)
    planes = torch.where(rotated[:, None, None, None], planes.flip(2, 3), planes)
    keys = torch.minimum(straight, flipped)
    checks = torch.where(rotated, flipped_check, check)
    if colours:
        blue = positions.blue_to_move
        planes = with_colours(planes, blue)
        keys, checks = (each ^ (blue * _BLUE_TO_MOVE) for each in (keys, checks))
    return Oriented(planes, rotated, keys, checks)


def first_equals(asked: Oriented, live: Tensor) -> Tensor:
    """int64 `[B]`: for each live row the first row of the same position, itself if it is that.

    Two positions whose keys collide but whose checks differ stay apart.
    """
    # Rows that are not live must not own one that is.
    keys, checks = asked.keys.masked_fill(~live, 0), asked.checks.masked_fill(~live, 0)
    order = keys.argsort(stable=True)
    keys, checks = keys[order], checks[order]
    new = torch.ones_like(live)
    new[1:] = (keys[1:] != keys[:-1]) | (checks[1:] != checks[:-1])
    places = torch.arange(len(live), device=live.device)
    first = places.masked_fill(~new, 0).cummax(0).values
    return torch.empty_like(order).scatter_(0, order, order[first])


def entry_bytes(moves: int) -> int:
    """Bytes that an entry of the cache takes on boards of so many cells."""
    return 4 * moves + 28


class EvaluationCache:
    """`capacity` evaluations of positions with `moves` cells.

    Args:
      capacity: entries, at least 1; each takes `entry_bytes`.
      moves: A, cells of the board.
      device: where the table and every lookup live.

    Raises:
      SettingError: not enough memory.
    """

    def __init__(self, capacity: int, moves: int, device: torch.device) -> None:
        # The last slot takes the writes that lost their slot to another row; it is never read.
        slots = capacity + 1
        self.capacity, self.moves = capacity, moves
        try:
            self._logits = torch.zeros(slots, moves, dtype=torch.float32, device=device)
            self._values = torch.zeros(slots, dtype=torch.float32, device=device)
            self._keys = torch.zeros(slots, dtype=torch.int64, device=device)
            self._checks = torch.zeros_like(self._keys)
            self._owner = torch.zeros_like(self._keys)
        except (RuntimeError, TypeError, OverflowError) as error:
            raise SettingError(f"cache size {capacity} does not fit into memory") from error

    def find(self, keys: Tensor, checks: Tensor) -> tuple[Tensor, Tensor]:
        """Looks up `[B]` positions: bool `[B]`, whether known, and int64 `[B]`, their slots."""
        slots = keys.remainder(self.capacity)
        known = (self._keys[slots] == keys) & (self._checks[slots] == checks)
        return known, slots

    def read(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Logits float32 `[K, A]` and values float32 `[K]` of slots that `find` knows."""
        return self._logits[slots], self._values[slots]

    def write(self, keys: Tensor, checks: Tensor, logits: Tensor, values: Tensor) -> None:
        """Stores `[B]` evaluations. Of rows that want one slot, the last wins as a whole."""
        slots = keys.remainder(self.capacity)
        rows = torch.arange(len(keys), device=keys.device)
        self._owner.scatter_reduce_(0, slots, rows, "amax", include_self=False)
        slots = torch.where(self._owner[slots] == rows, slots, self.capacity)
        self._keys[slots] = keys
        self._checks[slots] = checks
        self._logits[slots] = logits
        self._values[slots] = values


def _hashes(stones: Tensor) -> Tensor:
    """int64 `[B, 4]`: key, key when rotated, check, check when rotated, of stones `[B, N, N]`.

    A hash is the sum, modulo 2^64, of the codes of all stones. It is a matrix product: halves of
    codes have 32 bits, so a float64 holds any sum of them exactly.
    """
    flat = stones.flatten(1)
    seen = torch.cat((flat > 0, flat < 0), 1).double()
    halves = (seen @ _code_halves(stones.shape[1], stones.device)).long()
    return halves[:, :4] + (halves[:, 4:] << 32) + _EMPTY_BOARD


@lru_cache
def _code_halves(size: int, device: torch.device) -> Tensor:
    """float64 `[2 * A, 8]`: lower halves of the codes for the four hashes, then the upper ones."""
    key, check = _codes(CACHE_KEY_SEED, size, device), _codes(CACHE_CHECK_SEED, size, device)
    codes = torch.stack([part.flatten() for part in (key, key.flip(1), check, check.flip(1))], 1)
    return torch.cat((codes & 0xFFFFFFFF, codes >> 32), 1).double()


@lru_cache
def _codes(seed: int, size: int, device: torch.device) -> Tensor:
    """int64 `[2, A]`: what a stone of the mover, and of the opponent, adds to the hash."""
    cells = torch.arange(size * size, device=device)
    sides = torch.arange(2, device=device)[:, None]
    return random_bits(seed, torch.tensor(size, device=device), sides, cells)
