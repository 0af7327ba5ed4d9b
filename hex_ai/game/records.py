"""The record of one self-play game, version 1, and of a folder of them.

Cells are indices on the real board (row * size + column) for both players. Values are the
mover's at that ply, in [-1, 1].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hex_ai.game.notation import mirror
from hex_ai.game.svg import board_svg

SCHEMA_VERSION = 1

# Sizes of boards in self-play, learning and matches; positions go from size 1.
MIN_SIZE, MAX_SIZE = 3, 19

RED, BLUE = 1, -1

# Stands for swap-pieces among the moves of a game.
SWAP = -1

# Pads rows of cells where there are fewer than the row is wide.
NO_CELL = -1

# How a game can end, and those ends that come before the last stone.
ENDS = ("join", "proven", "resign")
STOPS = PROVEN, RESIGN = ENDS[1:]

# The first ply after which a player may resign: values before it may be of an opening or a swap.
FIRST_RESIGNATION = 3

# Entries of the improved policy that a record keeps; the rest is kept as one number.
POLICY_ENTRIES = 16

Cells = NDArray[np.int16]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GameRecord:
    """One finished game of `P` plies, with what the search saw at each.

    Attributes:
      game_id: its number within the run.
      board_size: N.
      moves: int16 `[P]`, cells, or `SWAP`.
      winner: `RED` or `BLUE`.
      end: how it ended: `join`, a chain of stones from edge to edge; `proven`, a chain of virtual
        connections; or `resign`.
      network: SHA-256 of the network that played it.
      search: uint8 `[P]`; 0: the ply was not searched and all below is empty or 0; 1: it was
        searched with the run's widths.
      values: float32 `[P]`, search value of the position. At a swap: the value of not swapping.
      preferred: int16 `[P]`, the policy's favourite cell, `NO_CELL` if not searched.
      candidate_cells: int16 `[P, W]`, best score first, padded with `NO_CELL`.
      candidate_priors: float32 `[P, W]`, their probability by the policy.
      candidate_values: float32 `[P, W]`, their search value.
      policy_cells: int16 `[P, K]`, the improved policy's largest entries, largest first, padded
        with `NO_CELL`. Empty at a swap, which has no policy target.
      policy_probabilities: float32 `[P, K]`.
      policy_rest: float32 `[P]`, the probability of all other cells together.
      plan: where a run mixes hardware, the inference plan that the game was played under, as JSON,
        see docs/records.md; elsewhere empty.
    """

    game_id: int
    board_size: int
    moves: Cells
    winner: int
    end: str
    network: str
    search: NDArray[np.uint8]
    values: Floats
    preferred: Cells
    candidate_cells: Cells
    candidate_priors: Floats
    candidate_values: Floats
    policy_cells: Cells
    policy_probabilities: Floats
    policy_rest: Floats
    plan: str = ""

    @property
    def swapped(self) -> bool:
        """Whether the second ply was a swap."""
        return SWAP in self.moves[1:2]

    @property
    def agreement(self) -> tuple[int, int]:
        """How many searched moves were the policy's favourite, of how many; swaps do not count."""
        chosen = (self.search > 0) & (self.moves != SWAP)
        agreed = chosen & (self.moves == self.preferred)
        return int(np.count_nonzero(agreed)), int(np.count_nonzero(chosen))

    def stones(self) -> NDArray[np.int8]:
        """The last board int8 `[N, N]` as it lies: +1 Red, -1 Blue, 0 empty."""
        board = np.zeros(self.board_size**2, np.int8)
        for ply, move in enumerate(self.moves.tolist()):
            if move == SWAP:
                board = -board.reshape(self.board_size, -1).T.flatten()
            else:
                board[move] = BLUE if ply % 2 else RED
        return board.reshape(self.board_size, self.board_size)

    def _repr_svg_(self) -> str:
        """The last board, for notebooks."""
        cells = self.moves[-1:].tolist()
        if cells == [SWAP]:
            cells = [mirror(int(self.moves[0]), self.board_size)]
        return board_svg(self.stones().tolist(), cells[0] if cells else None)

    def first_resignation(self, threshold: float) -> tuple[int, int] | None:
        """The first ply after whose move the opponent would have resigned, and the winner then."""
        plies, before = np.arange(len(self.values)), np.roll(self.values, 1)
        agreed = (self.values >= threshold) & (before <= -threshold) & (plies >= FIRST_RESIGNATION)
        if not agreed.any():
            return None
        ply = int(agreed.argmax())
        return ply, RED if ply % 2 == 0 else BLUE


@dataclass(frozen=True)
class Games:
    """`G` games with `T` plies in all, as tensors; the plies of a game lie side by side.

    Attributes:
      game_ids: int64 `[G]`.
      board_size: N, the same for all.
      winners: int8 `[G]`, +1 Red, -1 Blue.
      ends: how each game ended.
      first_ply: int64 `[G + 1]`; game g has the plies first_ply[g] up to first_ply[g + 1].
      moves, search, values, preferred, policy_rest: `[T]`, as in `GameRecord`.
      candidate_cells, candidate_priors, candidate_values: `[T, W]`, as there.
      policy_cells, policy_probabilities: `[T, K]`, as there.
    """

    game_ids: Tensor
    board_size: int
    winners: Tensor
    ends: tuple[str, ...]
    first_ply: Tensor
    moves: Tensor
    search: Tensor
    values: Tensor
    preferred: Tensor
    candidate_cells: Tensor
    candidate_priors: Tensor
    candidate_values: Tensor
    policy_cells: Tensor
    policy_probabilities: Tensor
    policy_rest: Tensor

    def __len__(self) -> int:
        return len(self.game_ids)
