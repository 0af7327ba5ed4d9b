"""What decides the games of a self-play run."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from hex_ai.errors import SettingError
from hex_ai.game.records import MAX_SIZE, MIN_SIZE, RESIGN
from hex_ai.inference.fixed_tree_search import check_widths
from hex_ai.inference.move_choice import MAX_TEMPERATURE
from hex_ai.numbers import flag, settle
from hex_ai.selfplay.openings import check_opening
from hex_ai.selfplay.stopping import check_stop

_REAL = ("searched", "temperature", "value_weight", "resign_threshold", "resign_played_on")


@dataclass(frozen=True)
class SelfPlaySettings:
    """What decides the games of a run, besides the network and the inference plan.

    Attributes:
      board_size: N, 3 to 19.
      search_widths: children kept per node at each level.
      seed: of every draw; any int64 from 0 on.
      searched: share of plies that are searched, in (0, 1], drawn ply by ply; others are moves of
        the policy, which take one evaluation. Whether to swap is always searched.
      temperature: of the candidates' noise at every ply; None: 1.0 falling to 0.1 over N plies.
      value_weight: c in score + c * q; infinity is pure minimax.
      opening: see `check_opening`.
      swap: whether Blue may swap at the second ply.
      stop: rules by which decided games end early, see `hex_ai.selfplay.stopping`; by default every
        game is played until a chain joins two edges.
      resign_threshold: value at which both sides must see the game as decided, in (0, 1].
      resign_played_on: share of games in which nobody resigns, to see how often that is wrong.
    """

    board_size: int = 11
    search_widths: tuple[int, ...] = (3, 2)
    seed: int = 0
    searched: float = 1.0
    temperature: float | None = None
    value_weight: float = math.inf
    opening: str = "uniform"
    swap: bool = True
    stop: tuple[str, ...] = ()
    resign_threshold: float = 0.95
    resign_played_on: float = 0.1

    def __post_init__(self) -> None:
        settle(self, ("board_size", "seed"), _REAL)
        object.__setattr__(self, "swap", flag("swap", self.swap))
        if not isinstance(self.stop, Iterable):
            raise SettingError(f"stop {self.stop!r} is not a list of rules")
        object.__setattr__(self, "stop", tuple(map(str, self.stop)))
        object.__setattr__(self, "search_widths", check_widths(self.search_widths))
        if not MIN_SIZE <= self.board_size <= MAX_SIZE:
            raise SettingError(f"board size {self.board_size} is outside {MIN_SIZE} to {MAX_SIZE}")
        if not 0 <= self.seed < 2**63:
            raise SettingError(f"seed {self.seed} is outside 0 to 2^63 - 1")
        if not 0 < self.searched <= 1:
            raise SettingError(f"share of searched plies {self.searched} is not above 0, at most 1")
        if self.temperature is not None and not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise SettingError(
                f"temperature {self.temperature} is not between 0 and {MAX_TEMPERATURE:g}"
            )
        if not self.value_weight >= 0:
            raise SettingError(f"value weight {self.value_weight} is not a number from 0 on")
        check_opening(self.opening)
        check_stop(self.stop, self.resign_threshold, self.resign_played_on)
        if RESIGN in self.stop and self.searched < 1:
            raise SettingError("resignation looks at every ply's search, so all must be searched")

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists, as `run.json` has them."""
        lists = {"search_widths": list(self.search_widths), "stop": list(self.stop)}
        return asdict(self) | lists | {"value_weight": str(self.value_weight)}
