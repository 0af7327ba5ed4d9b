"""The fixed-width policy/value tree search, for any number of games at once.

At widths (w1, …, wd) the w1 best-scored moves of the root are expanded, then the w2 best replies to
each by policy, and so on; the network's values of the leaves are backed up by negamax. All games of
a call share their batches, one a level: evaluate, pick, expand; at the end, back up.

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
from hex_ai.numbers import wholes

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


# Of the nodes of one level: the moves that lead there, which of them are real, and which finished.
Edges = tuple[Tensor, Tensor, Tensor]


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
    widths = wholes("search widths", widths)
    if not 1 <= len(widths) <= MAX_DEPTH:
        raise SettingError(f"search widths {widths} have {len(widths)} levels, want 1 to 6")
    if any(width < 1 for width in widths):
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
    """Searches from `G` ≥ 1 unfinished positions at once, one batch a level.

    Args:
      widths: children kept per node at each level; a width beyond A counts as A.
      temperature: of the candidates' Gumbel noise, a number or `[G]`; 0 means none.
      collector: evaluates the nodes.
      noise: float64 `[G, A]` Gumbel draws; needed where the temperature is not 0.
      value_weight: c of score + c * q, a number or `[G]`; infinity is pure minimax.

    Raises:
      SettingError, ShapeError: invalid arguments; tensors on a GPU are not read, so not checked.
    """
    widths = [min(width, positions.moves) for width in check_widths(widths)]
    temperature, value_weight = (_per_game(x, positions) for x in (temperature, value_weight))
    _require_searchable(positions, noise, temperature, value_weight)
    logits, network_values = collector.evaluate(positions)
    log_prior = log_priors(logits, positions.legal_moves())
    candidates = choose_candidates(log_prior, noise, temperature, widths[0])
    nodes, cells, real = positions, candidates.cells, candidates.legal
    edges: list[Edges] = []
    for width in (*widths[1:], 0):
        nodes = expand(nodes, cells, real)
        edges.append((cells, real, nodes.finished))
        logits, values = collector.evaluate(nodes)
        if width:
            legal = nodes.legal_moves()
            cells = top_moves(logits, legal, width)
            real = legal.gather(1, cells)
    levels = _levels(edges, values, len(positions))
    q = -levels[0].values
    return SearchTree(
        positions=positions,
        candidates=candidates,
        q=q,
        levels=levels,
        values=back_up(levels[0].values, candidates.legal, positions.finished[:, None])[:, 0],
        network_values=network_values,
        preferred=log_prior.argmax(1),
        chosen=choose_among(candidates, q, value_weight),
        improved_policy=improved_policy(log_prior, candidates, q, network_values),
    )


def expand(positions: Positions, cells: Tensor, legal: Tensor) -> Positions:
    """The children of `R` nodes: a batch of `R * w`, child k % w of node k // w.

    Args:
      positions: `R` nodes.
      cells: int64 `[R, w]`, a move for each child.
      legal: bool `[R, w]`; children by moves that are not legal come out finished, so they are not
        evaluated.
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


def _levels(edges: Sequence[Edges], leaves: Tensor, games: int) -> tuple[TreeLevel, ...]:
    """The levels with their values backed up, the candidates' own nodes first."""
    levels: list[TreeLevel] = []
    values = leaves.view(games, -1)
    for cells, real, finished in reversed(edges):
        finished = finished.view(games, -1)
        if levels:
            values = back_up(values, levels[0].real, finished)
        values = values.masked_fill(finished, -1.0)
        levels.insert(0, TreeLevel(cells.view(games, -1), real.view(games, -1), finished, values))
    return tuple(levels)


def _require_searchable(
    positions: Positions, noise: Tensor | None, temperature: Tensor, value_weight: Tensor
) -> None:
    if _seen_any(~(temperature >= 0)) or (noise is None and _seen_any(temperature != 0)):
        raise SettingError("temperature must be 0, or above 0 with noise given")
    if not len(positions) or _seen_any(positions.finished):
        raise ShapeError("a search starts from one or more positions that are not finished")
    if _seen_any(~(value_weight >= 0)):
        raise SettingError("the value's weight must be 0 or more")


def _seen_any(condition: Tensor) -> bool:
    """Whether any is true, as far as the host sees it without waiting for a device."""
    return condition.device.type == "cpu" and bool(condition.numpy().any())


def _per_game(setting: float | Tensor, positions: Positions) -> Tensor:
    """A setting given once or per game, as float64 `[G]` on the positions' device."""
    shape, place = (len(positions),), positions.device
    if isinstance(setting, Tensor):
        return setting.to(place, torch.float64).expand(shape)
    return torch.full(shape, setting, dtype=torch.float64, device=place)
