"""OpenSpiel's MCTS in Python, with our network as its evaluator, one game at a time."""

import time
from functools import lru_cache
from typing import Any

import numpy as np
import pyspiel
import torch
from common import (
    PeerError,
    Setup,
    Variant,
    eager_network,
    positions_after,
    real_boards,
    require_equal,
    sample_games,
    staggered_openings,
)
from open_spiel.python.algorithms import mcts
from torch import Tensor, nn

# What OpenSpiel's own AlphaZero plays with.
EXPLORATION, NOISE = 2.0, (0.25, 1.0)


class NetworkEvaluator(mcts.Evaluator):
    """Asks the network once about a state, whose prior and value the search wants apart."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._known: dict[tuple[int, ...], tuple[Tensor, float]] = {}
        self.evaluations = 0

    def forget(self) -> None:
        """Makes the next search pay for its positions again, as ours does without a cache."""
        self._known.clear()

    def evaluate(self, state: pyspiel.State) -> np.ndarray:
        """The values of both players."""
        _, value = self.answer(state)
        return np.array((value, -value) if state.current_player() == 0 else (-value, value))

    def prior(self, state: pyspiel.State) -> list[tuple[int, float]]:
        """Legal moves and their probabilities."""
        logits, _ = self.answer(state)
        legal = state.legal_actions()
        return list(zip(legal, logits[legal].softmax(0).tolist(), strict=True))

    def answer(self, state: pyspiel.State) -> tuple[Tensor, float]:
        """Logits `[A]` of the board as it lies, and the mover's value."""
        key = tuple(state.history())
        if key not in self._known:
            self._known[key] = self._ask(state)
            self.evaluations += 1
        return self._known[key]

    @torch.inference_mode()
    def _ask(self, state: pyspiel.State) -> tuple[Tensor, float]:
        planes = planes_of(state)
        logits, values = self._network(planes)
        size = planes.shape[-1] - 2
        board = logits.view(size, size)
        return (board if state.current_player() == 0 else board.mT).flatten(), float(values)


class Player:
    """One endless row of games, which goes on from one measurement to the next."""

    def __init__(self, setup: Setup) -> None:
        network = eager_network(setup)
        self.game = load_game(setup.board_size)
        self.evaluator = NetworkEvaluator(network)
        self.bot = make_bot(self.game, self.evaluator, setup)
        # Long measurements see many games; a short one should not see the first moves only.
        middle = staggered_openings(sample_games(network, setup), 1)[0]
        self.state = state_after(self.game, middle)

    def rates(self, seconds: float) -> tuple[float, float]:
        """Moves and evaluations a second. Two moves come before the clock starts."""
        moves, evaluations, started = -2, 0, 0.0
        while moves < 1 or time.perf_counter() - started < seconds:
            if moves == 0:
                evaluations, started = self.evaluator.evaluations, time.perf_counter()
            self.play()
            moves += 1
        passed = time.perf_counter() - started
        return moves / passed, (self.evaluator.evaluations - evaluations) / passed

    def play(self) -> None:
        """Searches and plays one move."""
        self.evaluator.forget()
        self.state.apply_action(self.bot.step(self.state))
        if self.state.is_terminal():
            self.state = self.game.new_initial_state()


def prepare(setup: Setup) -> dict[str, Any]:
    """Checks that games and network outputs are the same as ours."""
    return {
        "simulations": setup.evaluations,
        "largest_difference": largest_difference(setup),
        "threads": torch.get_num_threads(),
    }


def variants(setup: Setup) -> list[Variant]:
    """There is one."""
    del setup
    return [("OpenSpiel MCTS", "1 game, eager float32")]


def rates(setup: Setup, variant: Variant) -> tuple[float, float]:
    """Moves and evaluations a second of one run."""
    del variant
    return player(setup).rates(setup.seconds)


@lru_cache
def player(setup: Setup) -> Player:
    """The one player of this process."""
    return Player(setup)


def load_game(size: int) -> pyspiel.Game:
    """Hex of this size, its observations two planes of stones as the board lies, and the rest."""
    return pyspiel.load_game(f"hex(board_size={size},plain_obs_tensor=true)")


def make_bot(game: pyspiel.Game, evaluator: NetworkEvaluator, setup: Setup) -> mcts.MCTSBot:
    """The search of OpenSpiel's own AlphaZero, which does not stop at solved positions."""
    return mcts.MCTSBot(
        game,
        EXPLORATION,
        setup.evaluations,
        evaluator,
        solve=False,
        random_state=np.random.RandomState(setup.seed),
        child_selection_fn=mcts.SearchNode.puct_value,
        dirichlet_noise=NOISE,
    )


def state_after(game: pyspiel.Game, moves: list[int]) -> pyspiel.State:
    """The state after these moves."""
    state = game.new_initial_state()
    for move in moves:
        state.apply_action(move)
    return state


def planes_of(state: pyspiel.State) -> Tensor:
    """Our planes, `[1, 2, N + 2, N + 2]`, of an unfinished state."""
    size = state.get_game().get_parameters()["board_size"]
    seen = np.array(state.observation_tensor(0), np.float32).reshape(-1, size, size)
    stones = seen[:2] if state.current_player() == 0 else seen[1::-1].transpose(0, 2, 1)
    planes = np.zeros((1, 2, size + 2, size + 2), np.float32)
    planes[0, :, 1:-1, 1:-1] = stones
    planes[0, 0, (0, -1), 1:-1] = 1
    planes[0, 1, 1:-1, (0, -1)] = 1
    return torch.from_numpy(planes)


@torch.no_grad()
def largest_difference(setup: Setup) -> float:
    """How far the evaluator's answers lie from hex_ai's, on positions of all plies.

    Raises:
      PeerError: too far, or games do not end where ours do.
    """
    network, game = eager_network(setup), load_game(setup.board_size)
    games = sample_games(network, setup)
    for moves in games:
        # A move after the end is refused by OpenSpiel itself.
        if not state_after(game, moves).is_terminal():
            raise PeerError("OpenSpiel does not end games where hex_ai does")
    openings = staggered_openings(games, len(games))
    positions = positions_after(openings, setup.board_size)
    logits, values = network(positions.planes())
    evaluator = NetworkEvaluator(network)
    found = [evaluator.answer(state_after(game, moves)) for moves in openings]
    return require_equal(
        [
            real_boards(logits, positions) - torch.stack([answer[0] for answer in found]),
            values - torch.tensor([answer[1] for answer in found]),
        ],
        "OpenSpiel's evaluator",
    )
