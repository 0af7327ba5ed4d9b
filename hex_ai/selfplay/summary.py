"""What a run's games look like as a whole: the figures by which one sees that they are sound."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hex_ai.selfplay.records import RED, GameRecord


@dataclass
class RunSummary:
    """Sums over games, taken in one at a time; `to_json` gives the shares and means.

    Attributes:
      lengths: number of games of each length in plies.
      red_wins, swaps: games that Red won; games with a swap.
      agreed, searched: moves that were the policy's favourite; moves chosen by search.
      ends: number of games by how they ended.
    """

    lengths: Counter[int] = field(default_factory=Counter)
    red_wins: int = 0
    swaps: int = 0
    agreed: int = 0
    searched: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    _kinds: set[bytes] = field(default_factory=set)

    @property
    def games(self) -> int:
        """Games taken in."""
        return self.lengths.total()

    def add(self, game: GameRecord) -> None:
        """Takes one game in."""
        self.lengths[len(game.moves)] += 1
        self.red_wins += game.winner == RED
        self.swaps += game.swapped
        agreed, searched = game.agreement
        self.agreed += agreed
        self.searched += searched
        self.ends[game.end] += 1
        self._kinds.add(hashlib.blake2b(game.moves.tobytes(), digest_size=12).digest())

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; shares are in 0 to 1, lengths in plies, null where there is no game."""
        games = self.games
        ordered = sorted(self.lengths.elements())
        plies = sum(ordered)
        return {
            "games": games,
            "distinct_games": len(self._kinds),
            "red_share": self.red_wins / games if games else None,
            "swap_share": self.swaps / games if games else None,
            "agreement": self.agreed / self.searched if self.searched else None,
            "mean_length": plies / games if games else None,
            "length_percentiles": {
                str(percent): ordered[min(games - 1, games * percent // 100)]
                for percent in (0, 5, 25, 50, 75, 95, 100)
                if games
            },
            "ends": dict(self.ends),
        }
