"""pgx plays the rules, mctx searches: whole plies of a batch of games in one compiled function."""

import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import numpy as np
import pgx
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
from jax import Array
from jax_network import Weights, copied_weights
from pgx.experimental import auto_reset
from pgx.hex import Hex
from pgx_games import environment, evaluate, legal_moves, play_openings

# One ply of every game: weights, states and a key to states and the positions evaluated.
Ply = Callable[[Weights, pgx.State, Array], tuple[pgx.State, Array]]


class Table:
    """Games of one batch size and precision, which go on from one measurement to the next."""

    def __init__(self, setup: Setup, precision: str, openings: list[list[int]]) -> None:
        self.weights = copied_weights(setup, precision)
        self.key = jax.random.key(setup.seed)
        env = environment(setup.board_size)
        self.states = play_openings(env, openings)
        step = jax.jit(partial(play_ply, env, setup.evaluations - 1))
        with jax.default_matmul_precision("float32" if precision == "float32" else "default"):
            self.ply: Ply = step.lower(self.weights, self.states, self.key).compile()

    def rates(self, seconds: float) -> tuple[float, float]:
        """Moves and evaluations a second. Two plies come before the clock starts."""
        plies, evaluations, started = -2, 0, 0.0
        while plies < 1 or time.perf_counter() - started < seconds:
            if plies == 0:
                evaluations, started = 0, time.perf_counter()
            self.key, key = jax.random.split(self.key)
            self.states, asked = self.ply(self.weights, self.states, key)
            evaluations += int(asked)
            plies += 1
        passed = time.perf_counter() - started
        return plies * len(self.states.terminated) / passed, evaluations / passed


def prepare(setup: Setup) -> dict[str, Any]:
    """Checks that games and networks are the same as ours."""
    jax.config.update("jax_platforms", "cpu" if setup.device == "cpu" else "cuda,cpu")
    # Else a GPU multiplies float32 as TF32, which ours does not; bfloat16 is as ever.
    jax.config.update("jax_default_matmul_precision", "float32")
    return {
        "simulations": setup.evaluations - 1,
        "largest_difference": largest_difference(setup),
    }


def variants(setup: Setup) -> list[Variant]:
    """Every batch size in float32, and in bfloat16 where ours computes in that."""
    precisions = ["float32"] + ["bfloat16"] * (setup.plan.precision == "bfloat16")
    return [
        (f"pgx + mctx {precision}", f"{size} games, XLA {precision}")
        for precision in precisions
        for size in setup.batch_sizes
    ]


def rates(setup: Setup, variant: Variant) -> tuple[float, float]:
    """Moves and evaluations a second of one run. The first of a variant compiles before."""
    games, _, precision = variant[1].partition(" games, XLA ")
    return table(setup, int(games), precision).rates(setup.seconds)


@lru_cache
def table(setup: Setup, size: int, precision: str) -> Table:
    """The one table of this kind in this process."""
    return Table(setup, precision, staggered_openings(games_of(setup), size))


@lru_cache
def games_of(setup: Setup) -> list[list[int]]:
    """Games by the bare policy, to start in."""
    return sample_games(eager_network(setup), setup)


def play_ply(
    env: Hex, simulations: int, weights: Weights, states: pgx.State, key: Array
) -> tuple[pgx.State, Array]:
    """Searches and plays one move in every game; where a game ends, the next one begins."""
    keys = jax.random.split(key, 1 + len(states.terminated))
    logits, values = evaluate(weights, states)
    found = mctx.gumbel_muzero_policy(
        params=weights,
        rng_key=keys[0],
        root=mctx.RootFnOutput(prior_logits=logits, value=values, embedding=states),
        recurrent_fn=partial(expand, env),
        num_simulations=simulations,
        invalid_actions=~legal_moves(states),
    )
    asked = (~found.search_tree.embeddings.terminated).sum()
    states = jax.vmap(auto_reset(env.step, env.init))(states, found.action, keys[1:])
    # The wrapper leaves the mark of the old game on the new one, which would end its first search.
    return states.replace(terminated=jnp.zeros_like(states.terminated)), asked


def expand(
    env: Hex, weights: Weights, key: Array, actions: Array, states: pgx.State
) -> tuple[mctx.RecurrentFnOutput, pgx.State]:
    """The rules as mctx wants them: rewards and values of two players who take turns."""
    del key
    movers = states.current_player
    states = jax.vmap(env.step)(states, actions)
    logits, values = evaluate(weights, states)
    output = mctx.RecurrentFnOutput(
        reward=states.rewards[jnp.arange(len(movers)), movers],
        discount=jnp.where(states.terminated, 0.0, -1.0),
        prior_logits=logits,
        value=jnp.where(states.terminated, 0.0, values),
    )
    return output, states


@torch.no_grad()
def largest_difference(setup: Setup) -> float:
    """How far pgx with JAX lies from hex_ai with torch, on positions of all plies.

    Raises:
      PeerError: too far, or games do not end where ours do.
    """
    network, env = eager_network(setup), environment(setup.board_size)
    games = games_of(setup)
    before_the_end = play_openings(env, [game[:-1] for game in games]).terminated.any()
    if bool(before_the_end) or not bool(play_openings(env, games).terminated.all()):
        raise PeerError("pgx does not end games where hex_ai does")
    openings = staggered_openings(games, len(games))
    states = play_openings(env, openings)
    positions = positions_after(openings, setup.board_size)
    logits, values = network(positions.planes())
    found_logits, found_values = jax.jit(evaluate)(copied_weights(setup, "float32"), states)
    legal = torch.from_numpy(np.array(legal_moves(states)[:, :-1]))
    logits = real_boards(logits, positions) - torch.from_numpy(np.array(found_logits[:, :-1]))
    return require_equal(
        [logits[legal], values - torch.from_numpy(np.array(found_values))], "the JAX network"
    )
