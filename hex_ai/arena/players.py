"""Players: whoever chooses moves in a match. They are asked about many games at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from hex_ai.game.positions import Positions
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.inference_plan import InferencePlan, default_plan, prompt_runtime
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.keyed_random import gumbel_noise, uniform_noise
from hex_ai.puct.levels import PlayLevel, policy_moves, searched_moves
from hex_ai.puct.search import PuctResult, PuctSearch

# Says that a player gives the game up, or swaps.
NO_MOVE, SWAPS = -1, -2


@dataclass(frozen=True)
class Turn:
    """Games in which one player is to move.

    Attributes:
      positions: `G` positions, none finished.
      ids: int64 `[G]`, the games' numbers in the match.
      moves: what was played in each game so far, board cells, and `SWAP` for a swap of pieces.
      may_swap: bool `[G]`, whether the mover may swap instead; None: nobody may.
    """

    positions: Positions
    ids: Tensor
    moves: Sequence[Sequence[int]]
    may_swap: Tensor | None = None

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
        """int64 `[G]`: a legal move in each game, as its mover sees it, or `NO_MOVE`, or `SWAPS`
        where that is allowed.
        """

    def close(self) -> None:
        """Ends what it has started, such as processes."""


class RandomPlayer:
    """Any legal cell with equal chance, keyed by (seed, game, ply). Never swaps."""

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
      plan: how it runs there; by default by a runtime that starts quickly.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        strategy: Strategy,
        seed: int = 0,
        device: torch.device | str = "cpu",
        plan: InferencePlan | None = None,
    ) -> None:
        self.name, self._strategy, self._seed = name, strategy, seed
        place = torch.device(device)
        self.model = ModelInference(network, plan or default_plan(place, prompt_runtime(place)))

    def choose(self, turn: Turn) -> Tensor:
        """See `Player`. Swaps what its search, at temperature 0, finds worth less than nothing."""
        positions = turn.positions.to(self.model.device)
        strategy = self._strategy.on(positions.size)
        collector = PositionCollector(self.model)
        moves = self._moves(turn, positions, strategy, collector)
        if turn.may_swap is not None and bool(turn.may_swap.any()):
            rows = turn.may_swap.to(positions.device).nonzero()[:, 0]
            values = _values(positions[rows], strategy, collector)
            moves[rows] = torch.where(values < 0, SWAPS, moves[rows])
        self.model.check()
        return moves.cpu()

    def _moves(
        self, turn: Turn, positions: Positions, strategy: Strategy, collector: PositionCollector
    ) -> Tensor:
        if strategy.widths:
            noise = gumbel_noise(self._seed, turn.ids, turn.plies, positions.moves)
            return build_search_tree_with_collection(
                positions,
                strategy.widths,
                strategy.temperature,
                collector,
                noise=noise.to(positions.device),
            ).chosen
        if strategy.evaluations:
            return searched_moves(positions, collector, strategy.evaluations)
        if strategy.seconds:
            found = _searched_in_turn(positions, strategy, collector)
            return torch.cat([result.moves for result in found])
        return policy_moves(
            positions, collector, strategy.temperature, self._seed, turn.ids, turn.plies
        )

    def close(self) -> None:
        """Nothing to end."""


def _values(positions: Positions, strategy: Strategy, collector: PositionCollector) -> Tensor:
    """float32 `[G]`: what a strategy finds positions worth, the mover's view."""
    if strategy.widths:
        tree = build_search_tree_with_collection(positions, strategy.widths, 0.0, collector)
        return tree.values
    if strategy.evaluations or strategy.seconds:
        found = _searched_in_turn(positions, strategy, collector)
        return torch.cat([result.values for result in found])
    return collector.evaluate(positions)[1]


def _searched_in_turn(
    positions: Positions, strategy: Strategy, collector: PositionCollector
) -> list[PuctResult]:
    """What the search for play finds, one position after another."""
    evaluations, seconds = strategy.evaluations or None, strategy.seconds or None
    searches = (PuctSearch(positions[k : k + 1], collector) for k in range(len(positions)))
    return [search.search(evaluations=evaluations, seconds=seconds) for search in searches]
