"""How a game starts, the temperature of each ply, and random cells.

All draws are keyed by (seed, game id), so a game does not depend on those played beside it.
"""

import torch
from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.keyed_random import Stream, random_bits, uniform_noise

OPENINGS = ("uniform", "scattered", "policy", "empty")

# Share of `scattered` games that begin with more than one random stone.
SCATTERED_SHARE = 0.25

FIRST_TEMPERATURE, LAST_TEMPERATURE = 1.0, 0.1


def check_opening(name: str) -> str:
    """The name, if it is one of `OPENINGS`.

    `uniform`: ply 0 is any cell with equal chance, not searched. `scattered`: so it is, but in a
    quarter of the games a random number of plies is random. `policy`: ply 0 is sampled from the
    policy. `empty`: ply 0 is searched; under the pie rule the move whose value is nearest 0.

    Raises:
      SettingError: it is not.
    """
    if name not in OPENINGS:
        raise SettingError(f"opening {name!r} is not one of {', '.join(OPENINGS)}")
    return name


def uniform_cells(seed: int, game_ids: Tensor, moves: int) -> Tensor:
    """int64 `[K]`: the first cell of each game, any of `moves`; ids are int64 `[K]`."""
    stream = torch.full_like(game_ids, Stream.FIRST_CELL)
    return random_bits(seed, game_ids, stream).remainder(moves)


def random_plies(opening: str, seed: int, game_ids: Tensor, size: int) -> Tensor:
    """int64 `[K]`: number of random plies at the start of each game; ids are int64 `[K]`.

    At most 2 N - 2: with N - 1 stones nobody joins two edges.
    """
    plies = torch.full_like(game_ids, opening in ("uniform", "scattered"))
    if opening != "scattered":
        return plies
    scattered = torch.full_like(game_ids, Stream.SCATTERED)
    stream = torch.full_like(game_ids, Stream.SCATTERED_PLIES)
    more = 2 + random_bits(seed, game_ids, stream).remainder(2 * size - 3)
    return torch.where(uniform_noise(seed, game_ids, scattered) < SCATTERED_SHARE, more, plies)


def random_cells(seed: int, game_ids: Tensor, ply: int, positions: Positions) -> Tensor:
    """int64 `[K]`: a cell for each game, any legal one with equal chance, as its mover sees it."""
    if ply == 0:
        return uniform_cells(seed, game_ids, positions.moves)
    cells = torch.arange(positions.moves, device=game_ids.device)
    plies = torch.full_like(game_ids, Stream.RANDOM_CELL - (ply - 1))
    noise = uniform_noise(seed, game_ids[:, None], plies[:, None], cells)
    return noise.masked_fill(~positions.legal_moves(), -1.0).argmax(1)


def scheduled_temperature(plies: Tensor, size: int) -> Tensor:
    """float64 `[G]`: 1.0 at ply 0, falling evenly to 0.1 at ply `size` and after."""
    return FIRST_TEMPERATURE - (FIRST_TEMPERATURE - LAST_TEMPERATURE) * (
        plies.double() / size
    ).clamp(max=1.0)
