"""Random numbers that are pure functions of a seed and counters, never of a global stream.

The package draws all of its random numbers here. A draw made while a game is played has the
counters (game id, ply, cell), so a game depends neither on the games beside it nor on their order.
Other draws put a negative number of `Stream` where the ply or the game id would stand, so that no
two purposes share a draw.
"""

import operator
from enum import IntEnum, unique

import torch
from torch import Tensor


@unique
class Stream(IntEnum):
    """The counters that keep draws for unlike purposes apart. A changed value changes all games."""

    # In the place of the ply, after the game id:
    FIRST_CELL = -1  # the cell of ply 0, where it is random
    PLAYED_ON = -2  # whether resignation is off in this game
    SCATTERED_PLIES = -3  # how many plies of a scattered game are random
    SCATTERED = -4  # whether the game is scattered
    RANDOM_CELL = -5  # the random cell of ply 1; ply k draws it from RANDOM_CELL - (k - 1)
    SEARCHED = -1_000_000  # whether ply 0 is searched; ply k draws it from SEARCHED - k
    # In the place of the game id:
    MATCH_OPENING = -6  # the openings of a match, by their number
    SHARD_ORDER = -7  # the order in which a dataset reads its shards, by epoch
    SAMPLE_ORDER = -8  # the order of the samples of a shard, by epoch and shard


# Seeds of the two hashes of a position in the evaluation cache.
CACHE_KEY_SEED, CACHE_CHECK_SEED = 0x4B6579, 0x436865636B

# Constants of SplitMix64, as int64.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def random_bits(seed: int, *counters: Tensor) -> Tensor:
    """int64 of 64 random bits, a pure function of the seed and of each counter.

    The counters are int64 and broadcast against each other. Each is absorbed by the finalizer of
    SplitMix64 (Steele, Lea and Flood 2014).
    """
    first, *others = counters
    state = _mix((first + 1) * _GOLDEN + _signed(seed))
    for counter in others:
        state = _mix(state + (counter + 1) * _GOLDEN)
    return state


def uniform_noise(seed: int, *counters: Tensor) -> Tensor:
    """float64 strictly between 0 and 1, keyed like `random_bits`."""
    # 52 bits and a half are exact in float64; 53 would round to 1 at the end.
    return (_shift_right(random_bits(seed, *counters), 12).double() + 0.5) * 2.0**-52


def gumbel_noise(seed: int, game_ids: Tensor, plies: Tensor, moves: int) -> Tensor:
    """float64 `[G, A]` Gumbel draws, keyed by (seed, game id, ply, cell); ids and plies `[G]`."""
    cells = torch.arange(moves, device=game_ids.device)
    uniform = uniform_noise(seed, game_ids[:, None], plies[:, None], cells)
    return -(-uniform.log()).log()


def _signed(number: int) -> int:
    """The int64 with the same 64 bits."""
    return (operator.index(number) + 2**63) % 2**64 - 2**63


def _shift_right(bits: Tensor, by: int) -> Tensor:
    """Logical shift: torch's own drags the sign along."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift_right(bits, 30)) * _MIX_1
    bits = (bits ^ _shift_right(bits, 27)) * _MIX_2
    return bits ^ _shift_right(bits, 31)
