"""What a run's games look like as a whole: the figures by which one sees that they are sound."""

import hashlib
from collections import Counter
from typing import Any

from hex_ai.game.records import RED, RESIGN, GameRecord


class RunSummary:
    """Sums over games, taken in one at a time; `to_json` gives the shares and means.

    Args:
      resign_threshold: where nobody resigned although the rule of this threshold says so, the game
        was played on; None where nobody may resign.
    """

    def __init__(self, resign_threshold: float | None = None) -> None:
        self._threshold = resign_threshold
        self._lengths, self._ends, self._sums = Counter[int](), Counter[str](), Counter[str]()
        self._kinds: set[bytes] = set()

    @property
    def games(self) -> int:
        """Games taken in."""
        return self._lengths.total()

    def add(self, game: GameRecord) -> None:
        """Takes one game in."""
        agreed, searched = game.agreement
        won_by_red = game.winner == RED
        self._lengths[len(game.moves)] += 1
        self._ends[game.end] += 1
        sums = self._sums
        sums["red"] += won_by_red
        sums["swaps"] += game.swapped
        sums["agreed"] += agreed
        sums["searched"] += searched
        self._kinds.add(hashlib.blake2b(game.moves.tobytes(), digest_size=12).digest())
        if self._threshold is None or game.end == RESIGN:
            return
        found = game.first_resignation(self._threshold)
        # A move that ends the game leaves nobody time to resign.
        if found is not None and found[0] < len(game.moves) - 1:
            self._sums.update(played_on=1, misjudged=found[1] != game.winner)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; shares are in 0 to 1, lengths in plies, null where there is no game."""
        games, sums = self.games, self._sums
        ordered = sorted(self._lengths.elements())
        return {
            "games": games,
            "distinct_games": len(self._kinds),
            "red_share": sums["red"] / games if games else None,
            "swap_share": sums["swaps"] / games if games else None,
            "agreement": sums["agreed"] / sums["searched"] if sums["searched"] else None,
            "mean_length": sum(ordered) / games if games else None,
            "length_percentiles": {
                str(percent): ordered[min(games - 1, games * percent // 100)]
                for percent in (0, 5, 25, 50, 75, 95, 100)
                if games
            },
            "ends": dict(self._ends),
            "played_on": sums["played_on"],
            "misjudged": sums["misjudged"],
        }
