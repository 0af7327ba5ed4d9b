"""Players: whoever chooses moves in a match. They are asked about many games at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from hex_ai.game.positions import Positions
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.keyed_random import gumbel_noise, uniform_noise
from hex_ai.puct.levels import PlayLevel, policy_moves, searched_moves
from hex_ai.puct.search import PuctSearch

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


@dataclass(frozen=True)
class Strategy:
    """How a network chooses its moves: by one of these.

    Attributes:
      widths: of the fixed-width search.
      evaluations: of the search for play, a move.
      seconds: of the search for play, a move; games take turns.
      temperature: alone: moves are drawn from the policy, at 0 the likeliest; with widths, of the
        noise on the candidates.
      level: of play.
    """

    widths: tuple[int, ...] = ()
    evaluations: int = 0
    seconds: float = 0.0
    temperature: float = 0.0
    level: PlayLevel | None = None

    def on(self, size: int) -> "Strategy":
        """The same for boards of one size, without a level."""
        if self.level is None:
            return self
        temperature = self.level.temperature(size)
        return Strategy(evaluations=self.level.evaluations, temperature=temperature)


class NetworkPlayer:
    """A network, with a search or with nothing but its policy.

    Args:
      name: as users wrote it.
      network: taken over for inference.
      strategy: how it chooses.
      seed: of the draws, which are keyed by (seed, game, ply).
      device: where it runs.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        strategy: Strategy,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.name, self._strategy, self._seed = name, strategy, seed
        self.model = ModelInference(network, default_plan(torch.device(device), runtime="eager"))

    def choose(self, turn: Turn) -> Tensor:
        """See `Player`."""
        positions = turn.positions.to(self.model.device)
        strategy = self._strategy.on(positions.size)
        collector = PositionCollector(self.model)
        if strategy.widths:
            noise = gumbel_noise(self._seed, turn.ids, turn.plies, positions.moves)
            moves = build_search_tree_with_collection(
                positions,
                strategy.widths,
                strategy.temperature,
                collector,
                noise=noise.to(positions.device),
            ).chosen
        elif strategy.evaluations:
            moves = searched_moves(positions, collector, strategy.evaluations)
        elif strategy.seconds:
            searches = (PuctSearch(positions[k : k + 1], collector) for k in range(len(positions)))
            moves = torch.cat([one.search(seconds=strategy.seconds).moves for one in searches])
        else:
            moves = policy_moves(
                positions, collector, strategy.temperature, self._seed, turn.ids, turn.plies
            )
        self.model.check()
        return moves.cpu()

    def close(self) -> None:
        """Nothing to end."""
