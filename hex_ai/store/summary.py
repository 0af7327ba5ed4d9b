"""What a run's games look like as a whole: the figures by which one sees that they are sound."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hex_ai.game.records import RED, RESIGN, GameRecord


@dataclass
class RunSummary:
    """Sums over games, taken in one at a time; `to_json` gives the shares and means.

    Attributes:
      lengths: number of games of each length in plies.
      red_wins, swaps: games that Red won; games with a swap.
      agreed, searched: moves that were the policy's favourite; moves chosen by search.
      ends: number of games by how they ended.
      resign_threshold: where nobody resigned although the rule of this threshold says so, the game
        was played on; None where nobody may resign.
      played_on, misjudged: such games, and those of them that the other side won.
    """

    lengths: Counter[int] = field(default_factory=Counter)
    red_wins: int = 0
    swaps: int = 0
    agreed: int = 0
    searched: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    resign_threshold: float | None = None
    played_on: int = 0
    misjudged: int = 0
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
        self._judge(game)
        self._kinds.add(hashlib.blake2b(game.moves.tobytes(), digest_size=12).digest())

    def _judge(self, game: GameRecord) -> None:
        if self.resign_threshold is None or game.end == RESIGN:
            return
        found = game.first_resignation(self.resign_threshold)
        # A move that ends the game leaves nobody time to resign.
        if found is not None and found[0] < len(game.moves) - 1:
            self.played_on += 1
            self.misjudged += found[1] != game.winner

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
            "played_on": self.played_on,
            "misjudged": self.misjudged,
        }
