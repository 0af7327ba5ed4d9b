"""Players: whoever chooses moves in a match.

A player is asked about many games at once, all of them its turn, and answers in the same order.
Those of this file are batched and choose by the position alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from hex_ai.game.positions import Positions
from hex_ai.inference.fixed_tree_search import (
    PositionCollector,
    build_search_tree_with_collection,
    check_widths,
)
from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.move_choice import gumbel_noise, log_priors, uniform_noise

# Says that a player gives the game up.
NO_MOVE = -1


@dataclass(frozen=True)
class Turn:
    """Games in which one player is to move.

    Attributes:
      positions: `G` positions, none finished.
      ids: int64 `[G]`, the games' numbers in the match.
      moves: what was played in each game so far, board cells.
    """

    positions: Positions
    ids: Tensor
    moves: Sequence[Sequence[int]]

    @property
    def plies(self) -> Tensor:
        """int64 `[G]`: plies played so far."""
        return torch.tensor([len(moves) for moves in self.moves])


class Player(Protocol):
    """Whoever chooses moves.

    Attributes:
      name: as users wrote it.
    """

    name: str

    def choose(self, turn: Turn) -> Tensor:
        """int64 `[G]`: a legal move in each game, as its mover sees it, or `NO_MOVE`."""

    def close(self) -> None:
        """Ends what it has started, such as processes."""


class RandomPlayer:
    """Any legal move with equal chance, keyed by (seed, game, ply)."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self._seed = name, seed

    def choose(self, turn: Turn) -> Tensor:
        """See `Player`."""
        cells = torch.arange(turn.positions.moves)
        noise = uniform_noise(self._seed, turn.ids[:, None], turn.plies[:, None], cells)
        return noise.masked_fill(~turn.positions.legal_moves(), -1.0).argmax(1)

    def close(self) -> None:
        """Nothing to end."""


class SearchPlayer:
    """A network with the fixed-width search, or with nothing but its policy.

    Args:
      name: as users wrote it.
      network: taken over for inference.
      widths: of the search; none: the policy alone decides.
      temperature: of the Gumbel noise on the log priors; at 0 the best move is played.
      seed: of the noise, which is keyed by (seed, game, ply).
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        widths: tuple[int, ...],
        temperature: float = 0.0,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.name, self._temperature, self._seed = name, temperature, seed
        self._widths = check_widths(widths) if widths else ()
        plan = default_plan(torch.device(device), runtime="eager")
        self.model = ModelInference(network, plan)

    def choose(self, turn: Turn) -> Tensor:
        """See `Player`."""
        positions = turn.positions.to(self.model.device)
        noise = gumbel_noise(self._seed, turn.ids, turn.plies, positions.moves).to(positions.device)
        if self._widths:
            tree = build_search_tree_with_collection(
                positions,
                self._widths,
                self._temperature,
                PositionCollector(self.model),
                noise=noise,
            )
            moves = tree.chosen
        else:
            logits, _ = self.model.batch_infer(positions)
            scores = log_priors(logits, positions.legal_moves()) + self._temperature * noise
            moves = scores.argmax(1)
        self.model.check()
        return moves.cpu()

    def close(self) -> None:
        """Nothing to end."""
