"""Levels of play, 1 to 10, from one network.

The lower levels draw moves from the policy, at temperatures that fall from level to level; the
higher ones search, with so many evaluations a move. docs/strength.md tells how far apart they are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.move_choice import log_priors
from hex_ai.inference.position_collector import Collector
from hex_ai.keyed_random import gumbel_noise
from hex_ai.numbers import whole
from hex_ai.puct.search import PuctSearch, PuctSettings

# Nodes that the trees of a group of games may have. Some nodes are proven without an evaluation.
MAX_NODES = 400_000
NODES_PER_EVALUATION = 8


@dataclass(frozen=True)
class PlayLevel:
    """How a level chooses its moves.

    Attributes:
      scaled_temperature: N times the temperature at which moves are drawn from the policy, if it
        does not search: on larger boards there are more moves to go wrong, so each must do so less.
      evaluations: of its search, a move; 0: it does not search.
    """

    scaled_temperature: float
    evaluations: int

    def temperature(self, size: int) -> float:
        """At which moves are drawn on boards of this size."""
        return self.scaled_temperature / size


LEVELS = (
    PlayLevel(8.0, 0),
    PlayLevel(7.2, 0),
    PlayLevel(6.6, 0),
    PlayLevel(6.0, 0),
    PlayLevel(5.2, 0),
    PlayLevel(4.3, 0),
    PlayLevel(0.0, 0),
    PlayLevel(0.0, 8),
    PlayLevel(0.0, 20),
    PlayLevel(0.0, 60),
)


def level(number: int) -> PlayLevel:
    """The level of this number, counted from 1. Raises `SettingError` if there is none."""
    number = whole("level", number)
    if not 1 <= number <= len(LEVELS):
        raise SettingError(f"level {number} is outside 1 to {len(LEVELS)}")
    return LEVELS[number - 1]


def policy_moves(
    positions: Positions,
    collector: Collector,
    temperature: float,
    seed: int,
    ids: Tensor,
    plies: Tensor,
) -> Tensor:
    """int64 `[G]`: a move each, drawn from the policy at this temperature.

    Args:
      positions: `G` positions, none finished.
      collector: answers the requests.
      temperature: 0 takes the likeliest move.
      seed, ids, plies: int64 `[G]`; what the draw is keyed by.
    """
    logits, _ = collector.evaluate(positions)
    noise = gumbel_noise(seed, ids, plies, positions.moves).to(positions.device)
    scores = log_priors(logits, positions.legal_moves()) + temperature * noise
    return scores.argmax(1)


def searched_moves(positions: Positions, collector: Collector, evaluations: int) -> Tensor:
    """int64 `[G]`: the move that a search of so many evaluations chooses in each position.

    Games are searched in groups, so that the trees of one group fit into memory; a game's move does
    not depend on its group.
    """
    nodes = NODES_PER_EVALUATION * evaluations
    group = max(1, MAX_NODES // nodes)
    settings = PuctSettings(max_nodes=group * nodes)
    moves = []
    for start in range(0, len(positions), group):
        search = PuctSearch(positions[start : start + group], collector, settings)
        moves.append(search.search(evaluations=evaluations).moves)
    return torch.cat(moves)
