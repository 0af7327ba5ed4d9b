"""How a game starts, how hot each ply is, and how the pie rule is used.

All draws are keyed by (seed, game id), so a game does not depend on those played beside it.
"""

import torch
from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.inference.move_choice import Candidates, random_bits

OPENINGS = ("uniform", "policy", "empty")

HOTTEST, COOLEST = 1.0, 0.1

_OPENING_KEY = -1


def check_opening(name: str) -> str:
    """The name, if it is one of `OPENINGS`.

    `uniform`: ply 0 is any cell with equal chance, not searched. `policy`: ply 0 is sampled from
    the policy. `empty`: ply 0 is searched; under the pie rule the move whose value is nearest 0.

    Raises:
      SettingError: it is not.
    """
    if name not in OPENINGS:
        raise SettingError(f"opening {name!r} is not one of {', '.join(OPENINGS)}")
    return name


def uniform_cells(seed: int, game_ids: Tensor, moves: int) -> Tensor:
    """int64 `[K]`: the first cell of each game, any of `moves`; ids are int64 `[K]`."""
    return random_bits(seed, game_ids, torch.full_like(game_ids, _OPENING_KEY)).remainder(moves)


def scheduled_temperature(plies: Tensor, size: int) -> Tensor:
    """float64 `[G]`: 1.0 at ply 0, falling evenly to 0.1 at ply `size` and after."""
    return HOTTEST - (HOTTEST - COOLEST) * (plies.double() / size).clamp(max=1.0)


def fairest_move(candidates: Candidates, q: Tensor) -> Tensor:
    """int64 `[G]`: the candidate whose value (`q` float `[G, W]`) is nearest 0.

    Ties go to the higher prior, then to the lower cell.
    """
    distance = q.abs().masked_fill(~candidates.legal, torch.inf)
    nearest = distance == distance.amin(1, keepdim=True)
    place = candidates.ranks.masked_fill(~nearest, torch.iinfo(torch.int64).max).argmin(1)
    return candidates.cells.gather(1, place[:, None])[:, 0]
