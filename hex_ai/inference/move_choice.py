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
HOTTEST = 1e6

# How strongly search values move the improved policy (c').
POLICY_VALUE_WEIGHT = 16.0

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


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


def random_bits(seed: int, *counters: Tensor) -> Tensor:
    """int64 of 64 random bits, a pure function of the seed and of each counter.

    The counters are int64 and broadcast against each other. Each is absorbed by the finalizer of
    SplitMix64 (Steele, Lea and Flood 2014).
    """
    first, *others = counters
    state = _mix((first + 1) * _GOLDEN + _signed(seed))
    for counter in others:
        state = _mix(state + (counter + 1) * _GOLDEN)
    return state


def uniform_noise(seed: int, *counters: Tensor) -> Tensor:
    """float64 strictly between 0 and 1, keyed like `random_bits`."""
    # 52 bits and a half are exact in float64; 53 would round to 1 at the end.
    return (_shift_right(random_bits(seed, *counters), 12).double() + 0.5) * 2.0**-52


def gumbel_noise(seed: int, game_ids: Tensor, plies: Tensor, moves: int) -> Tensor:
    """float64 `[G, A]` Gumbel draws, keyed by (seed, game id, ply, cell); ids and plies `[G]`."""
    cells = torch.arange(moves, device=game_ids.device)
    uniform = uniform_noise(seed, game_ids[:, None], plies[:, None], cells)
    return -(-uniform.log()).log()


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
    """int64 `[G]`: the place in the row of the candidate with the largest s + c * q.

    Args:
      candidates: see `Candidates`; every row has at least one legal move.
      q: float `[G, W]`, search value of each candidate, the mover's view.
      value_weight: float64 `[G]`, c; infinity means that q alone decides.
    """
    pure = torch.isinf(value_weight)[:, None]
    weighted = candidates.scores + value_weight[:, None].masked_fill(pure, 0.0) * q
    total = torch.where(pure, q.double(), weighted).masked_fill(~candidates.legal, -math.inf)
    best = total == total.amax(1, keepdim=True)
    return candidates.ranks.masked_fill(~best, torch.iinfo(torch.int64).max).argmin(1)


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


def _signed(number: int) -> int:
    """The int64 with the same 64 bits."""
    return (number + 2**63) % 2**64 - 2**63


def _shift_right(bits: Tensor, by: int) -> Tensor:
    """Logical shift: torch's own drags the sign along."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift_right(bits, 30)) * _MIX_1
    bits = (bits ^ _shift_right(bits, 27)) * _MIX_2
    return bits ^ _shift_right(bits, 31)
