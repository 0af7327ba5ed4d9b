"""How a move is chosen: keyed noise, candidates, choice and improved policy, as pure functions.

Axes: `G` games, `A = N * N` moves, `W` candidates. Cells are indices as the mover sees them. Scores
are float64, so that moves whose float32 logits differ never tie by rounding.

Ties are broken everywhere in the same way: higher prior first, then lower cell index.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# The highest temperature that moves are drawn at; far above it noise would drown the rules.
MAX_TEMPERATURE = 1e6

# How strongly search values move the improved policy (c').
POLICY_VALUE_WEIGHT = 16.0


@dataclass(frozen=True)
class Candidates:
    """The moves the search looks at, best score first.

    Attributes:
      cells: int64 `[G, W]`.
      legal: bool `[G, W]`; false pads games with fewer legal moves than `W`.
      log_priors: float64 `[G, W]`, log of the policy over the legal moves.
      scores: float64 `[G, W]`, s: log prior + temperature * Gumbel noise.
      ranks: int64 `[G, W]`, place of each among all moves by prior, then by index; 0 is first.
    """

    cells: Tensor
    legal: Tensor
    log_priors: Tensor
    scores: Tensor
    ranks: Tensor


def log_priors(logits: Tensor, legal: Tensor) -> Tensor:
    """float64 `[G, A]` log of the policy over legal moves (bool `[G, A]`), -inf elsewhere."""
    return logits.double().masked_fill(~legal, -math.inf).log_softmax(1)


def choose_candidates(
    log_prior: Tensor, noise: Tensor | None, temperature: Tensor, width: int
) -> Candidates:
    """The `width` moves with the largest s = log prior + temperature * noise.

    Args:
      log_prior: float64 `[G, A]`, -inf where illegal.
      noise: float64 `[G, A]` Gumbel draws, or None for none.
      temperature: float64 `[G]`, at least 0.
      width: at most A.
    """
    scores = log_prior if noise is None else log_prior + temperature[:, None] * noise
    by_prior = log_prior.argsort(dim=1, descending=True, stable=True)
    by_score = scores.gather(1, by_prior).argsort(dim=1, descending=True, stable=True)
    ranks = by_score[:, :width]
    cells = by_prior.gather(1, ranks)
    priors = log_prior.gather(1, cells)
    return Candidates(cells, priors > -math.inf, priors, scores.gather(1, cells), ranks)


def top_moves(logits: Tensor, legal: Tensor, width: int) -> Tensor:
    """int64 `[R, width]`: the legal moves of largest logit, largest first, ties to the lower cell.

    Where fewer are legal, illegal cells fill up the row. Takes float32 `[R, A]` and bool `[R, A]`.
    """
    # One integer holds the logit's order and, below it, the cell: top k of it cannot tie.
    bits = (logits.masked_fill(~legal, -math.inf) + 0.0).view(torch.int32)
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    cells = torch.arange(logits.shape[1], device=logits.device)
    return ((order.long() << 9) | (511 - cells)).topk(width, dim=1).indices


def choose_among(candidates: Candidates, q: Tensor, value_weight: Tensor) -> Tensor:
    """int64 `[G]`: the candidate with the largest s + c * q.

    Args:
      candidates: see `Candidates`; every row has at least one legal move.
      q: float `[G, W]`, search value of each candidate, the mover's view.
      value_weight: float64 `[G]`, c; infinity means that q alone decides.
    """
    pure = torch.isinf(value_weight)[:, None]
    weighted = candidates.scores + value_weight[:, None].masked_fill(pure, 0.0) * q
    total = torch.where(pure, q.double(), weighted).masked_fill(~candidates.legal, -math.inf)
    return _best_ranked(candidates, total == total.amax(1, keepdim=True))


def fairest_move(candidates: Candidates, q: Tensor) -> Tensor:
    """int64 `[G]`: the candidate whose value (`q` float `[G, W]`) is nearest 0."""
    distance = q.abs().masked_fill(~candidates.legal, math.inf)
    return _best_ranked(candidates, distance == distance.amin(1, keepdim=True))


def _best_ranked(candidates: Candidates, equal: Tensor) -> Tensor:
    """int64 `[G]`: of the candidates that are equally good, bool `[G, W]`, the one of best rank."""
    place = candidates.ranks.masked_fill(~equal, torch.iinfo(torch.int64).max).argmin(1)
    return candidates.cells.gather(1, place[:, None])[:, 0]


def improved_policy(
    log_prior: Tensor, candidates: Candidates, q: Tensor, network_value: Tensor
) -> Tensor:
    """float32 `[G, A]`: softmax over the legal moves of log prior + c' * completed q.

    The completed q of a move that was not searched is the mean of the network's value of the root
    and the prior-weighted mean of the candidates' q, after Danihelka et al., "Policy improvement by
    planning with Gumbel" (2022).

    Args:
      log_prior: float64 `[G, A]`, -inf where illegal.
      candidates: the moves searched.
      q: float `[G, W]`, their search values, the mover's view.
      network_value: float `[G]`, the network's value of the root, the mover's view.
    """
    q = q.double().masked_fill(~candidates.legal, 0.0)
    priors = (candidates.log_priors - candidates.log_priors.amax(1, keepdim=True)).exp()
    searched = exact_sum(priors * q) / exact_sum(priors)
    other = (network_value.double() + searched) / 2
    completed = other[:, None].expand_as(log_prior).clone()
    completed.scatter_(1, candidates.cells, torch.where(candidates.legal, q, other[:, None]))
    return (log_prior + POLICY_VALUE_WEIGHT * completed).softmax(1).float()


def exact_sum(terms: Tensor) -> Tensor:
    """float64 `[G]`: the sums of float `[G, K]`, terms in [-1, 1] and K at most 512.

    A device adds floats in an order that may depend on how many rows there are; these sums do not.
    In steps of 2^-53 the terms are whole numbers, and an int64 holds any sum of them.
    """
    return (terms.double() * 2.0**53).long().sum(1).double() * 2.0**-53
