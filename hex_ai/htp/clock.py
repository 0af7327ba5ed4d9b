"""How long a move may take when the game has a clock."""

import math
from dataclasses import dataclass

# A game on a board with few empty cells may still take a few moves of either side.
FEWEST_MOVES = 4

# Of the empty cells, about half are filled when a game ends, and half of those by the opponent.
CELLS_A_MOVE = 4

# What is not thought away: the way to the referee and back takes time too.
USED_SHARE = 0.8


@dataclass(frozen=True)
class Clock:
    """Time left to one colour.

    Attributes:
      seconds: until the period ends.
      stones: moves to be made until then; 0 means all that the game still takes.
    """

    seconds: float
    stones: int = 0

    def share(self, empty: int) -> float:
        """Seconds for the next move, on a board with so many empty cells."""
        moves = self.stones or max(FEWEST_MOVES, math.ceil(empty / CELLS_A_MOVE))
        return USED_SHARE * self.seconds / moves

    def after(self, seconds: float) -> "Clock":
        """What is left after a move that took so long."""
        return Clock(max(0.0, self.seconds - seconds), self.stones and max(1, self.stones - 1))
