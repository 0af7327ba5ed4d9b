"""How long a move may take when the game has a clock."""

import math
from dataclasses import dataclass, replace

# A game on a board with few empty cells may still take a few moves of either side.
FEWEST_MOVES = 4

# Of the empty cells, about half are filled when a game ends, and half of those by the opponent.
CELLS_A_MOVE = 4

# The rest is left for what else takes time, such as the transfer of the move.
USED_SHARE = 0.8


@dataclass(frozen=True)
class Clock:
    """Time left to one colour: of the main time, or of a period in which some moves must be made.

    Attributes:
      seconds: left of what runs now.
      stones: moves to be made in it; 0: it is main time, for all that the game still takes.
      period, period_stones: seconds of the periods that follow, and moves in each; 0: none follows.
    """

    seconds: float
    stones: int = 0
    period: float = 0.0
    period_stones: int = 0

    def share(self, empty: int) -> float:
        """Seconds for the next move, on a board with so many empty cells."""
        moves = self.stones or max(FEWEST_MOVES, math.ceil(empty / CELLS_A_MOVE))
        # Main time comes on top of what every move will have in the periods.
        later = 0.0 if self.stones else self.period / max(self.period_stones, 1)
        return USED_SHARE * (self.seconds / moves + later)

    def after(self, seconds: float) -> "Clock":
        """What is left after a move that took so long; what main time lacked, a period gave."""
        left, stones = self.seconds - seconds, self.stones
        if not stones and left <= 0 and self.period_stones:
            left, stones = left + self.period, self.period_stones
        if stones == 1 and self.period_stones:
            return replace(self, seconds=self.period, stones=self.period_stones)
        return replace(self, seconds=max(0.0, left), stones=stones and max(1, stones - 1))


def game_clock(main: float, period: float, stones: int) -> Clock | None:
    """The clock at the start of a game, None for no limit: a period for no stones.

    Args:
      main: seconds of the main time.
      period: seconds of each period after it.
      stones: moves to be made in a period.
    """
    if not stones and (period > 0 or main == 0):
        return None
    return Clock(main, 0, period, stones) if main else Clock(period, stones, period, stones)
