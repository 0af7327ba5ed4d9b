"""Noise, candidates, choice, improved policy and openings, against naive Python and against chance.

Comparisons are exact or to rounding, and seeded. The tests of distributions are seeded too; had
their seeds been drawn anew, each comparison would fail by chance once in 10^9 times.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.inference.move_choice import (
    Candidates,
    choose_among,
    choose_candidates,
    gumbel_noise,
    improved_policy,
    log_priors,
    random_bits,
    top_moves,
    uniform_noise,
)
from hex_ai.selfplay.openings import (
    OPENINGS,
    check_opening,
    fairest_move,
    scheduled_temperature,
    uniform_cells,
)

FALSE_ALARM = 1e-9

Rows = list[list[float]]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_distributed(draws: Tensor, chances: Tensor) -> None:
    """Chi-square test that draws (integers from 0 on) have these chances."""
    counts = torch.bincount(draws.flatten().cpu(), minlength=len(chances)).double()
    assert len(counts) == len(chances)
    expected = chances.double() * counts.sum()
    assert expected.min() > 20  # where chi-square is a fair approximation
    statistic = ((counts - expected) ** 2 / expected).sum()
    freedom = torch.tensor((len(chances) - 1) / 2, dtype=torch.float64)
    assert torch.special.gammaincc(freedom, statistic / 2) > FALSE_ALARM


def assert_uniform(draws: Tensor, bins: int) -> None:
    assert_distributed(draws, torch.full((bins,), 1 / bins))


def unmix(bits: int) -> int:
    """Undoes the finalizer of SplitMix64."""

    def unshift(number: int, by: int) -> int:
        found = number
        for _ in range(64 // by + 1):
            found = number ^ (found >> by)
        return found

    bits = unshift(bits, 31) * pow(0x94D049BB133111EB, -1, 2**64) % 2**64
    bits = unshift(bits, 27) * pow(0xBF58476D1CE4E5B9, -1, 2**64) % 2**64
    return unshift(bits, 30)


def splitmix(state: int) -> int:
    """The n-th output of SplitMix64 (Steele, Lea and Flood 2014) is this of seed + n * golden."""
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    return state ^ (state >> 31)


GOLDEN = 0x9E3779B97F4A7C15


def test_random_bits_are_those_of_splitmix(device: torch.device) -> None:
    counters = torch.arange(-3, 100, device=device)
    for seed in (0, 1, 12345, 2**63 - 1, 2**64 - 1, -1):
        want = [splitmix((seed + (n + 1) * GOLDEN) % 2**64) for n in range(-3, 100)]
        assert [bits % 2**64 for bits in random_bits(seed, counters).tolist()] == want
    # The published first outputs for the seed 1234567.
    first = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [bits % 2**64 for bits in random_bits(1234567, counters[3:6]).tolist()] == first
    chained = random_bits(7, counters[:, None], counters)
    for row, counter in zip(chained.tolist(), counters.tolist(), strict=True):
        seed = splitmix((7 + (counter + 1) * GOLDEN) % 2**64)
        assert row == random_bits(seed, counters).tolist()


@pytest.mark.parametrize("bits", [0, 2**64 - 1, 2**63, 2**11 - 1, 2**63 - 1, 2**64 - 2**11])
def test_uniform_noise_stays_between_0_and_1_at_the_extremes(
    bits: int, device: torch.device
) -> None:
    """Counters chosen such that these bits come out."""
    counter = (unmix(bits) * pow(GOLDEN, -1, 2**64) - 1) % 2**64
    signed = torch.tensor([counter - 2**64 if counter >= 2**63 else counter], device=device)
    assert random_bits(0, signed).item() % 2**64 == bits
    noise = uniform_noise(0, signed)
    assert 0 < noise.item() < 1
    assert noise.log().neg().log().isfinite().all()
    assert noise.item() == pytest.approx(bits / 2**64, abs=2.0**-52)


@pytest.mark.parametrize("moves", [9, 25, 121, 361])
def test_noise_depends_on_its_key_alone(moves: int, device: torch.device) -> None:
    """Whatever batch a game is drawn in, bit for bit; any change of the key changes all of it."""
    ids = torch.randint(0, 2**62, (64,), generator=seeded(moves)).to(device)
    plies = torch.arange(64, device=device) % 13
    noise = gumbel_noise(5, ids, plies, moves)
    assert noise.shape == (64, moves)
    assert noise.dtype == torch.float64
    order = torch.randperm(64, generator=seeded(1)).to(device)
    for rows in (order, order[:1], order[7:10], order[20:61], *order[:, None]):
        assert torch.equal(gumbel_noise(5, ids[rows], plies[rows], moves), noise[rows])
    for other in (
        gumbel_noise(6, ids, plies, moves),
        gumbel_noise(5, ids + 1, plies, moves),
        gumbel_noise(5, ids, plies + 1, moves),
    ):
        assert not (other == noise).any()
    grid = torch.arange(20, device=device)
    draws = [random_bits(seed, grid[:, None, None], grid[:, None], grid) for seed in range(20)]
    assert torch.stack(draws).unique().numel() == 20**4


def test_noise_is_uniform_and_neighbouring_keys_are_independent(device: torch.device) -> None:
    keys = torch.arange(64, device=device)
    draws = torch.stack([uniform_noise(s, keys[:, None, None], keys[:, None], keys) for s in (3, 4)])
    assert draws.min() > 0
    assert draws.max() < 1
    assert_uniform((draws * 1024).long(), 1024)
    bins = (draws * 32).long()
    assert_uniform(bins[0] * 32 + bins[1], 1024)
    for axis in (1, 2, 3):
        first, second = bins.narrow(axis, 0, 63), bins.narrow(axis, 1, 63)
        assert_uniform(first * 32 + second, 1024)
    gumbel = gumbel_noise(3, keys, keys, 4096)
    assert_uniform(((-(-gumbel).exp()).exp() * 1024).long(), 1024)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_candidates_are_drawn_from_the_policy(temperature: float, device: torch.device) -> None:
    """The first two are two draws without replacement from policy^(1/T), illegal moves left out."""
    games = 200_000
    logits = torch.tensor([0.5, -0.5, 1.5, 9.0, 0.0, 0.2, -0.2], device=device)
    legal = torch.tensor([True, True, True, False, True, True, True], device=device)
    prior = log_priors(logits[None], legal[None])
    ids = torch.arange(games, device=device)
    noise = gumbel_noise(11, ids, torch.full_like(ids, 4), 7)
    heat = torch.full((games,), temperature, dtype=torch.float64, device=device)
    pairs = choose_candidates(prior.expand(games, -1), noise, heat, 2).cells
    p = (prior[0] / temperature).softmax(0).cpu()
    chances = p[:, None] * p / (1 - p[:, None])
    rows, columns = (
        (legal.cpu()[:, None] & legal.cpu() & ~torch.eye(7, dtype=torch.bool))
        .nonzero()
        .unbind(1)
    )
    place = torch.full((7, 7), len(rows))  # an outcome that has no chance
    place[rows, columns] = torch.arange(len(rows))
    drawn = place[pairs[:, 0].cpu(), pairs[:, 1].cpu()]
    assert_distributed(drawn, chances[rows, columns])


def random_case(games: int, moves: int, seed: int) -> tuple[Tensor, Tensor]:
    """Logits full of ties, -0 included, and legal moves: at least one, in some rows only one."""
    generator = seeded(seed)
    levels = torch.tensor([-1.5, -0.0, 0.0, 0.25, 2.0])
    logits = levels[torch.randint(0, 5, (games, moves), generator=generator)]
    legal = torch.rand(games, moves, generator=generator) < torch.rand(
        games, 1, generator=generator
    )
    legal[torch.arange(games), torch.randint(0, moves, (games,), generator=generator)] = True
    return logits, legal


def naive_log_priors(logits: list[float], legal: list[bool]) -> dict[int, float]:
    allowed = {cell: logit for cell, logit in enumerate(logits) if legal[cell]}
    total = math.fsum(math.exp(logit) for logit in allowed.values())
    return {cell: logit - math.log(total) for cell, logit in allowed.items()}


def case_of(games: int, moves: int, seed: int, device: torch.device) -> tuple[Tensor, list[dict[int, float]]]:
    """Log priors, and the same by naive Python."""
    logits, legal = random_case(games, moves, seed)
    prior = log_priors(logits.to(device), legal.to(device))
    return prior, [naive_log_priors(*row) for row in zip(logits.tolist(), legal.tolist(), strict=True)]
