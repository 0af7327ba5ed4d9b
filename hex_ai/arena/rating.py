"""What scores say about strength: intervals, Elo, and when enough has been played."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hex_ai.errors import SettingError

# Of the standard normal distribution: 95 % of it lies within this many deviations.
Z = 1.959964

# Odds of a false answer that `Sprt` allows for, either way.
FALSE_ANSWERS = 0.05

# Elo of one natural unit of log odds.
ELO = 400 / math.log(10)

NEWTON_STEPS = 100

# What stands for infinitely many Elo in a table.
MOST_ELO = 10_000.0

# Leads that may be tested for.
MOST_LEAD = 1000.0


def interval(wins: float, games: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of wins; (0, 1) where nothing was played."""
    if not games:
        return 0.0, 1.0
    share = wins / games
    middle = share + Z * Z / (2 * games)
    spread = Z * math.sqrt(share * (1 - share) / games + (Z / (2 * games)) ** 2)
    whole = 1 + Z * Z / games
    return (middle - spread) / whole, (middle + spread) / whole


def elo(share: float) -> float:
    """Elo difference at which the first side is expected to win this share, within ±10,000."""
    if not 0 < share < 1:
        return math.copysign(MOST_ELO, share - 0.5)
    return -400 * math.log10(1 / share - 1)


def expected_share(difference: float) -> float:
    """Share of wins expected of a side that is so many Elo ahead; the inverse of `elo`."""
    return 1 / (1 + 10 ** (-difference / 400))


@dataclass(frozen=True)
class Sprt:
    """Wald's sequential probability ratio test between two Elo differences.

    Attributes:
      low, high: the hypotheses, `low` < `high`, about the first side's lead.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -MOST_LEAD <= self.low < self.high <= MOST_LEAD:
            raise SettingError(
                f"Elo leads {self.low:g},{self.high:g} are not ascending within ±{MOST_LEAD:g}"
            )

    def ratio(self, wins: int, games: int) -> float:
        """Log of how much likelier the score is at `high` than at `low`."""
        low, high = expected_share(self.low), expected_share(self.high)
        lost = games - wins
        return wins * math.log(high / low) + lost * math.log((1 - high) / (1 - low))

    def verdict(self, wins: int, games: int) -> int:
        """+1: `high` is accepted; -1: `low` is; 0: neither yet. Wrong in 5 % of cases at most."""
        bound = math.log((1 - FALSE_ANSWERS) / FALSE_ANSWERS)
        ratio = self.ratio(wins, games)
        return (ratio >= bound) - (ratio <= -bound)


def fit_ratings(
    scores: Mapping[tuple[int, int], tuple[float, float]], players: int
) -> Sequence[tuple[float, float]]:
    """Elo ratings that explain all scores best, after Bradley and Terry, and their 95 % spread.

    Args:
      scores: for a pair of players, wins of the first, wins of the second.
      players: how many there are; the first of them has rating 0, the others must be linked to it
        by matches.

    Returns:
      (rating, half the width of the interval of its difference to the first) of each player. Half a
      win and half a loss are added to every pair, so that a clean sweep has a finite rating.
    """
    ratings = np.zeros(players)
    for _ in range(NEWTON_STEPS):
        slope, bend = _slope_and_bend(scores, ratings)
        step = np.linalg.solve(bend[1:, 1:], slope[1:])
        # Far from the solution a whole step may overshoot.
        ratings[1:] += step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-9))
        if np.abs(step).max() < 1e-9:
            break
    _, bend = _slope_and_bend(scores, ratings)
    variance = np.diag(np.linalg.inv(bend[1:, 1:]))
    spread = [0.0, *(Z * np.sqrt(variance) * ELO).tolist()]
    return list(zip((ratings * ELO).tolist(), spread, strict=True))


def _slope_and_bend(
    scores: Mapping[tuple[int, int], tuple[float, float]], ratings: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and negative second derivatives of the log likelihood, `[P]` and `[P, P]`."""
    slope, bend = np.zeros(len(ratings)), np.zeros((len(ratings), len(ratings)))
    for (one, other), (won, lost) in scores.items():
        share = 1 / (1 + math.exp(ratings[other] - ratings[one]))
        total = won + lost + 1
        pull, stiffness = won + 0.5 - share * total, share * (1 - share) * total
        slope[[one, other]] += pull, -pull
        bend[[one, other], [one, other]] += stiffness
        bend[[one, other], [other, one]] -= stiffness
    return slope, bend
