"""pgx's Hex beside ours: the same boards, planes and moves."""

from collections.abc import Callable
from functools import lru_cache, partial
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
import pgx
from common import PeerAbsentError
from jax import Array
from jax_network import Weights, forward
from pgx.hex import Hex


@lru_cache
def environment(size: int) -> Hex:
    """Hex of this size.

    Raises:
      PeerAbsentError: pgx cannot; its states are made for one size whatever its environment is
        told.
    """
    env = Hex(size=size)
    try:
        shape = jax.eval_shape(env.init, jax.random.key(0)).observation.shape
    except (TypeError, ValueError):
        shape = ()
    if shape != (size, size, 4):
        only = pgx.make("hex").size
        raise PeerAbsentError(
            f"pgx {version('pgx')} plays Hex on {only} × {only} only, not on {size} × {size}"
        )
    return env


def evaluate(weights: Weights, states: pgx.State) -> tuple[Array, Array]:
    """Logits `[B, A + 1]` of the board as it lies, masked, and the mover's values `[B]`."""
    planes = planes_of(states.observation).astype(weights["stem"]["kernel"].dtype)
    logits, values = forward(weights, planes)
    boards = logits.reshape(-1, *states.observation.shape[1:3])
    white = states.observation[:, 0, 0, 2]
    logits = transposed_for(boards, white).reshape(len(logits), -1)
    logits = jnp.pad(logits, ((0, 0), (0, 1)))
    return jnp.where(legal_moves(states), logits, jnp.finfo(logits.dtype).min), values


def legal_moves(states: pgx.State) -> Array:
    """bool `[B, A + 1]`. Our network has no answer for the swap, pgx's last move: never played."""
    return states.legal_action_mask.at[:, -1].set(False)


def planes_of(observation: Array) -> Array:
    """Our planes, bool `[B, N + 2, N + 2, 2]`, of pgx's observation `[B, N, N, 4]`."""
    rim = ((0, 0), (1, 1), (1, 1))
    sides = jnp.array(((True, False), (False, True)))  # whose stones the top and left edges are
    planes = []
    for side in (0, 1):
        stones = jnp.pad(transposed_for(observation[..., side], observation[:, 0, 0, 2]), rim)
        stones = stones.at[:, jnp.array((0, -1)), 1:-1].set(sides[side, 0])
        planes.append(stones.at[:, 1:-1, jnp.array((0, -1))].set(sides[side, 1]))
    return jnp.stack(planes, -1)


def transposed_for(boards: Array, white: Array) -> Array:
    """Boards `[B, N, N]`, transposed where White, who joins left to right, is the mover."""
    return jnp.where(white[:, None, None], boards.mT, boards)


def play_openings(env: Hex, openings: list[list[int]]) -> pgx.State:
    """States after these moves, one game a row."""
    states = jax.vmap(env.init)(jax.random.split(jax.random.key(0), len(openings)))
    step = _stepper(env)
    for ply in range(max(map(len, openings))):
        goes_on = np.array([ply < len(moves) for moves in openings])
        moves = np.array([moves[ply] if ply < len(moves) else 0 for moves in openings])
        stepped = step(states, jnp.asarray(moves, jnp.int32))
        states = jax.tree.map(partial(_chosen, goes_on), stepped, states)
    return states


@lru_cache
def _stepper(env: Hex) -> Callable[[pgx.State, Array], pgx.State]:
    return jax.jit(jax.vmap(env.step))


def _chosen(rows: np.ndarray, one: Array, other: Array) -> Array:
    return jnp.where(rows.reshape(-1, *(1,) * (one.ndim - 1)), one, other)
