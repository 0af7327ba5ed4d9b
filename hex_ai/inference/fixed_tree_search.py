"""The fixed-width policy/value tree search, for any number of games at once.

At widths (w1, …, wd) the w1 best-scored moves of the root are looked at, for each of them the w2
best replies by policy, and so on; the network's values of the leaves are backed up by negamax. All
games of a call share their request batches, one a level.

The pure steps are `expand` and `back_up`. `build_search_tree_with_collection` is the adapter around
them that asks a collector; each level is requested in the callback of the level above.

Axes: `G` games, `A = N * N` moves, `K` nodes of a level (the product of its widths), `W` = w1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hex_ai.errors import SettingError, ShapeError
from hex_ai.game.positions import Positions
from hex_ai.inference.global_collector import GlobalPositionCollector
from hex_ai.inference.move_choice import (
    Candidates,
    choose_among,
    choose_candidates,
    improved_policy,
    log_priors,
    top_moves,
)
from hex_ai.inference.position_collector import Collector, PositionCollector

__all__ = [
    "GlobalPositionCollector",
    "PositionCollector",
    "SearchTree",
    "TreeLevel",
    "back_up",
    "build_search_tree_with_collection",
    "check_widths",
    "expand",
    "parse_widths",
]

MAX_DEPTH = 6
MAX_LEAVES = 100_000


@dataclass(frozen=True)
class TreeLevel:
    """All nodes at one depth. Node k of a game is child k % w of node k // w one level up.

    Attributes:
      cells: int64 `[G, K]`, the move that leads here, as the parent's mover sees it.
      real: bool `[G, K]`; false for masked children, of which only the place is there.
      finished: bool `[G, K]`, masked children included.
      values: float32 `[G, K]`, backed up, the view of the node's own mover; meaningless if masked.
    """

    cells: Tensor
    real: Tensor
    finished: Tensor
    values: Tensor


@dataclass(frozen=True)
class SearchTree:
    """The result of a search from `G` roots that are not finished.

    Attributes:
      positions: the roots.
      candidates: the moves searched, with prior and score.
      q: float32 `[G, W]`, their search values, the mover's view; meaningless where masked.
      levels: one per width, the candidates' own nodes first.
      values: float32 `[G]`, the search value, max q, the mover's view.
      network_values: float32 `[G]`, the network's own values of the roots.
      preferred: int64 `[G]`, the policy's favourite move.
      chosen: int64 `[G]`, the move chosen.
      improved_policy: float32 `[G, A]`, sums to 1 over the legal moves.
    """

    positions: Positions
    candidates: Candidates
    q: Tensor
    levels: tuple[TreeLevel, ...]
    values: Tensor
    network_values: Tensor
    preferred: Tensor
    chosen: Tensor
    improved_policy: Tensor


def check_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """The widths as a tuple of 1 to 6 positive numbers.

    Raises:
      SettingError: otherwise, or if one game would have more than 100,000 leaves.
    """
    widths = tuple(widths)
    if not 1 <= len(widths) <= MAX_DEPTH:
        raise SettingError(f"search widths {widths} have {len(widths)} levels, want 1 to 6")
    if any(not isinstance(width, int) or width < 1 for width in widths):
        raise SettingError(f"search widths {widths} are not all whole numbers from 1 on")
    if math.prod(widths) > MAX_LEAVES:
        raise SettingError(f"search widths {widths} make more than {MAX_LEAVES} leaves a move")
    return widths


def parse_widths(text: str) -> tuple[int, ...]:
    """Search widths from `3,2`. Raises `SettingError` for anything but numbers and commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingError(f"search widths {text!r} are not numbers such as '3,2'") from error


def build_search_tree_with_collection(
    positions: Positions,
    widths: Sequence[int],
    temperature: float | Tensor,
    collector: Collector,
    *,
    noise: Tensor | None = None,
    value_weight: float | Tensor = math.inf,
) -> SearchTree:
    """Searches `G` unfinished positions at once, one batch of requests a level.

    Args:
      positions: the roots, `G` ≥ 1.
      widths: children kept per node at each level; a width beyond A counts as A.
      temperature: of the candidates' Gumbel noise; a number or `[G]`. 0 means none.
      collector: answers the requests; all its waiting requests are processed.
      noise: float64 `[G, A]` Gumbel draws; needed where the temperature is not 0.
      value_weight: c of score + c * q; a number or `[G]`. Infinity is pure minimax.

    Nothing is read from a device: tensors there are not checked.

    Raises:
      SettingError: unusable widths, a negative temperature or weight, a temperature without noise.
      ShapeError: no position, or a finished root.
    """
    search = _Search(positions, check_widths(widths), collector)
    heat = _per_game(temperature, positions)
    if _seen_any(~(heat >= 0)) or (noise is None and _seen_any(heat != 0)):
        raise SettingError("temperature must be 0, or above 0 with noise given")
    if not len(positions) or _seen_any(positions.finished):
        raise ShapeError("a search starts from one or more positions that are not finished")
    weight = _per_game(value_weight, positions)
    if _seen_any(~(weight >= 0)):
        raise SettingError("the value's weight must be 0 or more")
    return search.run(noise, heat, weight)


def expand(positions: Positions, cells: Tensor, legal: Tensor) -> Positions:
    """The children of `R` nodes: a batch of `R * w`, child k % w of node k // w.

    Args:
      positions: `R` nodes.
      cells: int64 `[R, w]`, a move for each child.
      legal: bool `[R, w]`; children by moves that are not legal come out finished, so that nobody
        asks about them.
    """
    parents = torch.arange(len(positions), device=cells.device).repeat_interleave(cells.shape[1])
    return positions[parents].play(cells.flatten()).retire(~legal.flatten())


def back_up(children: Tensor, real: Tensor, finished: Tensor) -> Tensor:
    """Negamax of one level: values float32 `[G, K]` of nodes, each its own mover's view.

    Args:
      children: float32 `[G, K * w]`, values of the children, each its own mover's view.
      real: bool `[G, K * w]`, false for masked children.
      finished: bool `[G, K]`; a finished node's mover has lost, whatever its children.
    """
    q = (-children).masked_fill(~real, -math.inf).view(*finished.shape, -1)
    return q.amax(2).masked_fill(finished, -1.0)


class _Search:
    """One search under way: what the callbacks have brought so far."""

    def __init__(self, positions: Positions, widths: tuple[int, ...], collector: Collector) -> None:
        self.widths = tuple(min(width, positions.moves) for width in widths)
        self.positions, self.collector = positions, collector
        self.moves: list[tuple[Tensor, Tensor, Tensor]] = []

    def run(self, noise: Tensor | None, temperature: Tensor, value_weight: Tensor) -> SearchTree:
        """Asks about the root, processes until the leaves are known, and backs up."""

        def root_policy(logits: Tensor) -> None:
            self.log_prior = log_priors(logits, self.positions.legal_moves())
            self.candidates = choose_candidates(self.log_prior, noise, temperature, self.widths[0])
            self.grow(self.positions, self.candidates.cells, self.candidates.legal)

        self.collector.request_policy(self.positions, root_policy)
        self.collector.request_value(self.positions, self.keep_root_values)
        self.collector.process_batches()
        return self.result(value_weight)

    def keep_root_values(self, values: Tensor) -> None:
        self.network_values = values

    def keep_leaf_values(self, values: Tensor) -> None:
        self.leaf_values = values

    def grow(self, parents: Positions, cells: Tensor, legal: Tensor) -> None:
        """Adds the level below `parents`, and asks what the next one needs."""
        children = expand(parents, cells, legal)
        games = len(self.positions)
        self.moves.append(
            (cells.view(games, -1), legal.view(games, -1), children.finished.view(games, -1))
        )
        if len(self.moves) == len(self.widths):
            self.collector.request_value(children, self.keep_leaf_values)
            return

        def policy(logits: Tensor) -> None:
            allowed = children.legal_moves()
            best = top_moves(logits, allowed, self.widths[len(self.moves)])
            self.grow(children, best, allowed.gather(1, best))

        self.collector.request_policy(children, policy)

    def result(self, value_weight: Tensor) -> SearchTree:
        values = self.leaf_values.view_as(self.moves[-1][0])
        values = values.masked_fill(self.moves[-1][2], -1.0)
        levels = [TreeLevel(*self.moves[-1], values)]
        for upper in reversed(self.moves[:-1]):
            values = back_up(values, levels[0].real, upper[2])
            levels.insert(0, TreeLevel(*upper, values))
        q = -values
        unfinished = self.positions.finished[:, None]
        place = choose_among(self.candidates, q, value_weight)[:, None]
        return SearchTree(
            positions=self.positions,
            candidates=self.candidates,
            q=q,
            levels=tuple(levels),
            values=back_up(values, self.candidates.legal, unfinished)[:, 0],
            network_values=self.network_values,
            preferred=self.log_prior.argmax(1),
            chosen=self.candidates.cells.gather(1, place)[:, 0],
            improved_policy=improved_policy(
                self.log_prior, self.candidates, q, self.network_values
            ),
        )


def _seen_any(condition: Tensor) -> bool:
    """Whether any is true, as far as the host sees it without waiting for a device."""
    return condition.device.type == "cpu" and bool(condition.numpy().any())


def _per_game(setting: float | Tensor, positions: Positions) -> Tensor:
    """A setting given once or per game, as float64 `[G]` on the positions' device."""
    shape, place = (len(positions),), positions.device
    if isinstance(setting, Tensor):
        return setting.to(place, torch.float64).expand(shape)
    return torch.full(shape, setting, dtype=torch.float64, device=place)
