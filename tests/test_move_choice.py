"""Noise, candidates, choice, improved policy and openings, against naive Python and against chance.

Comparisons are exact or to rounding, and seeded. The tests of distributions are seeded too; had
their seeds been drawn anew, each comparison would fail by chance once in 10^9 times.
"""

import math

import pytest
import torch
from reference import IMPROVED_POLICY_WEIGHT
from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.game.positions import Positions
from hex_ai.inference.move_choice import (
    Candidates,
    choose_among,
    choose_candidates,
    fairest_move,
    improved_policy,
    log_priors,
    top_moves,
)
from hex_ai.keyed_random import gumbel_noise, random_bits, uniform_noise
from hex_ai.selfplay.openings import (
    OPENINGS,
    check_opening,
    random_cells,
    random_plies,
    scheduled_temperature,
    uniform_cells,
)

FALSE_ALARM = 1e-9


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
    assert len(set(torch.stack(draws).flatten().tolist())) == 20**4


def test_noise_is_uniform_and_neighbouring_keys_are_independent(device: torch.device) -> None:
    keys = torch.arange(64, device=device)
    draws = torch.stack(
        [uniform_noise(s, keys[:, None, None], keys[:, None], keys) for s in (3, 4)]
    )
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
    temperatures = torch.full((games,), temperature, dtype=torch.float64, device=device)
    pairs = choose_candidates(prior.expand(games, -1), noise, temperatures, 2).cells
    p = (prior[0] / temperature).softmax(0).cpu()
    chances = p[:, None] * p / (1 - p[:, None])
    possible = (legal[:, None] & legal).cpu() & ~torch.eye(7, dtype=torch.bool)
    place = torch.full((7, 7), int(possible.sum()))  # of what cannot be: past the end
    place[possible] = torch.arange(int(possible.sum()))
    first, second = pairs.cpu().unbind(1)
    assert_distributed(place[first, second], chances[possible])


def scores_of_cases(games: int, moves: int, seed: int) -> tuple[Tensor, Tensor]:
    """Log priors (not normed) and noise, float64: quarters, so that sums are exact and often tie.

    Illegal moves have -inf; some rows have a single legal move.
    """
    generator = seeded(seed)
    prior, noise = torch.randint(-4, 5, (2, games, moves), generator=generator) / 4
    shares = torch.rand(games, 1, generator=generator)
    legal = torch.rand(games, moves, generator=generator) < shares
    legal[torch.arange(games), torch.randint(0, moves, (games,), generator=generator)] = True
    prior[::2] *= -1  # makes -0 of 0
    return prior.double().masked_fill(~legal, -math.inf), noise.double()


def by_prior(prior: list[float]) -> list[int]:
    """Legal moves, the likeliest first, ties to the lower cell."""
    legal = [cell for cell, entry in enumerate(prior) if entry > -math.inf]
    return sorted(legal, key=lambda cell: (-prior[cell], cell))


CASES = [(4, 1), (4, 3), (9, 9), (25, 5), (121, 8), (361, 100)]


@pytest.mark.parametrize(("moves", "width"), CASES)
def test_candidates_agree_with_naive_sorting(moves: int, width: int, device: torch.device) -> None:
    """Higher score first, then higher prior, then lower cell; with noise and without."""
    prior, noise = (part.to(device) for part in scores_of_cases(60, moves, moves))
    temperatures = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64, device=device).repeat(20)
    for draws in (noise, None):
        found = choose_candidates(prior, draws, temperatures, width)
        for field in (found.cells, found.legal, found.log_priors, found.scores, found.ranks):
            assert field.shape == (60, width)
        scores = prior if draws is None else prior + temperatures[:, None] * draws
        for row, (logs, total) in enumerate(zip(prior.tolist(), scores.tolist(), strict=True)):
            ranked = by_prior(logs)
            want = sorted(ranked, key=lambda cell: (-total[cell], ranked.index(cell)))[:width]
            legal = found.legal[row].tolist()
            assert legal == [place < len(want) for place in range(width)]
            assert found.cells[row, : len(want)].tolist() == want
            assert len(set(found.cells[row].tolist())) == width
            assert found.log_priors[row, : len(want)].tolist() == [logs[cell] for cell in want]
            assert found.scores[row, : len(want)].tolist() == [total[cell] for cell in want]
            assert found.ranks[row, : len(want)].tolist() == [ranked.index(c) for c in want]
            assert (found.log_priors[row, len(want) :] == -math.inf).all()


@pytest.mark.parametrize(("moves", "width"), CASES)
def test_top_moves_agree_with_naive_sorting(moves: int, width: int, device: torch.device) -> None:
    """Logits of every kind: zeros of both signs, the smallest, the largest, neighbours in bits."""
    generator = seeded(moves)
    one = torch.tensor(1.0)
    kinds = torch.tensor(
        [0.0, -0.0, 1e-45, -1e-45, 1.0, -1.0, 3e38, -3e38, 2.5, float(one.nextafter(2 * one))]
    )
    few = kinds[torch.randint(0, len(kinds), (60, moves), generator=generator)]
    many = torch.randn(60, moves, generator=generator)
    logits = torch.cat([few, many, torch.zeros(10, moves)])
    legal = scores_of_cases(len(logits), moves, moves)[0] > -math.inf
    found = top_moves(logits.to(device), legal.to(device), width).tolist()
    for row, (cells, scores) in enumerate(zip(found, logits.tolist(), strict=True)):
        allowed = legal[row].nonzero()[:, 0].tolist()
        want = sorted(allowed, key=lambda cell: (-scores[cell], cell))[:width]
        assert cells[: len(want)] == want
        assert len(set(cells)) == width
        assert all(0 <= cell < moves for cell in cells)


def candidates_with_values(
    moves: int, width: int, device: torch.device
) -> tuple[Tensor, Candidates, Tensor]:
    """Log priors that sum to 1, candidates with noise, and q in halves; NaN where masked."""
    prior, noise = (part.to(device) for part in scores_of_cases(60, moves, moves + 1))
    prior = prior.log_softmax(1)
    temperatures = torch.full((60,), 0.5, dtype=torch.float64, device=device)
    found = choose_candidates(prior, noise, temperatures, width)
    q = torch.randint(-2, 3, (60, width), generator=seeded(moves)).to(device) / 2
    q[::3] *= -1
    return prior, found, q.masked_fill(~found.legal, math.nan)


@pytest.mark.parametrize(("moves", "width"), CASES)
@pytest.mark.parametrize("unlike", [False, True])
def test_choice_agrees_with_naive_sorting(
    moves: int, width: int, unlike: bool, device: torch.device
) -> None:
    """Largest s + c * q, or q alone; ties to the higher prior, then to the lower cell."""
    prior, candidates, q = candidates_with_values(moves, width, device)
    weights = torch.tensor([math.inf, 0.0, 1.5, 100.0], dtype=torch.float64, device=device)
    weight = weights.repeat(15) if unlike else weights[:1].expand(60)
    chosen = choose_among(candidates, q, weight).tolist()
    for row, cell in enumerate(chosen):
        ranked = by_prior(prior[row].tolist())
        cells, scores, values = (
            part[row].tolist() for part in (candidates.cells, candidates.scores, q)
        )
        c = float(weight[row])

        def total(k: int) -> float:
            return float(values[k] if math.isinf(c) else scores[k] + c * values[k])  # noqa: B023

        legal = [k for k in range(width) if cells[k] in ranked]
        assert cell == cells[min(legal, key=lambda k: (-total(k), ranked.index(cells[k])))]


@pytest.mark.parametrize(("moves", "width"), CASES)
def test_improved_policy_agrees_with_naive_sums(
    moves: int, width: int, device: torch.device
) -> None:
    prior, candidates, q = candidates_with_values(moves, width, device)
    value = torch.rand(60, generator=seeded(1)).to(device) * 2 - 1
    found = improved_policy(prior, candidates, q, value)
    assert found.dtype == torch.float32
    assert found.sum(1).tolist() == pytest.approx([1.0] * 60, rel=1e-6)
    assert not found[prior == -math.inf].any()
    for row, got in enumerate(found.tolist()):
        logs, cells = prior[row].tolist(), candidates.cells[row].tolist()
        values = dict(zip(cells, q[row].tolist(), strict=True))
        searched = {c: v for c, v in values.items() if logs[c] > -math.inf}
        mass = math.fsum(math.exp(logs[cell]) for cell in searched)
        mean = math.fsum(math.exp(logs[cell]) * v for cell, v in searched.items()) / mass
        other = (value[row].item() + mean) / 2
        completed = [searched.get(cell, other) for cell in range(moves)]
        weights = [
            math.exp(log + IMPROVED_POLICY_WEIGHT * worth)
            for log, worth in zip(logs, completed, strict=True)
        ]
        assert got == pytest.approx([w / math.fsum(weights) for w in weights], rel=1e-6, abs=1e-12)


def test_log_priors_are_the_policy_of_legal_moves(device: torch.device) -> None:
    logits = torch.tensor([[1.0, 2.0, 100.0, -3.0], [0.0, 0.0, 0.0, 0.0]], device=device)
    legal = torch.tensor([[True, True, False, True], [False, True, False, False]], device=device)
    found = log_priors(logits, legal)
    assert found.dtype == torch.float64
    weights = [math.exp(1), math.exp(2), 0.0, math.exp(-3)]
    want = [[weight / sum(weights) for weight in weights], [0.0, 1.0, 0.0, 0.0]]
    assert found.exp().tolist() == [pytest.approx(row, rel=1e-12) for row in want]
    # Logits that differ in the last bit of a float32 stay apart.
    near = torch.tensor([[1.0, 1.0 + 2**-23, -8.0]], device=device)
    first, second, _ = log_priors(near, torch.ones_like(near, dtype=torch.bool))[0].tolist()
    assert second > first


@pytest.mark.parametrize("size", [3, 5, 11, 19])
def test_uniform_openings_take_any_cell_and_are_keyed(size: int, device: torch.device) -> None:
    ids = torch.arange(max(20_000, 100 * size**2), device=device)
    cells = uniform_cells(3, ids, size**2)
    assert cells.dtype == torch.int64
    assert_uniform(cells, size**2)
    if size == 3:
        assert_uniform(cells[:-1] * 9 + cells[1:], 81)
    for rows in (ids.flip(0), ids[5:6], ids[100:107]):
        assert torch.equal(uniform_cells(3, rows, size**2), cells[rows])
    same = (uniform_cells(4, ids, size**2) == cells).long()
    assert_distributed(same, torch.tensor([1 - size**-2, size**-2], dtype=torch.float64))


@pytest.mark.parametrize("size", [3, 11, 19])
def test_temperature_falls_evenly_from_1_to_a_tenth(size: int, device: torch.device) -> None:
    plies = torch.arange(size * size + 1, device=device)
    found = scheduled_temperature(plies, size)
    assert found.dtype == torch.float64
    want = [1.0 - 0.9 * min(ply / size, 1.0) for ply in range(size * size + 1)]
    assert found.tolist() == pytest.approx(want, abs=1e-7)


@pytest.mark.parametrize(("moves", "width"), CASES)
def test_the_fairest_move_agrees_with_naive_sorting(
    moves: int, width: int, device: torch.device
) -> None:
    """Nearest 0 from either side; ties to the higher prior, then to the lower cell."""
    prior, candidates, q = candidates_with_values(moves, width, device)
    found = fairest_move(candidates, q).tolist()
    for row, cell in enumerate(found):
        ranked = by_prior(prior[row].tolist())
        cells, values = candidates.cells[row].tolist(), q[row].tolist()
        legal = [k for k in range(width) if cells[k] in ranked]
        best = min(legal, key=lambda k: (abs(values[k]), ranked.index(cells[k])))
        assert cell == cells[best]


def test_openings_are_known_by_name() -> None:
    assert [check_opening(name) for name in OPENINGS] == [
        "uniform",
        "scattered",
        "policy",
        "empty",
    ]
    for name in ("", "Uniform", "random"):
        with pytest.raises(SettingError):
            check_opening(name)


@pytest.mark.parametrize("size", [3, 5, 11])
def test_scattered_openings_are_as_long_as_they_say(size: int) -> None:
    """A quarter is longer than one ply: of 4,000 games 25 ± 3 %, beyond 4 deviations, 1 seed in
    10,000. All lengths come about: a length of 1 in 19 is absent once in 10^22."""
    ids = torch.arange(4000)
    plies = random_plies("scattered", 5, ids, size)
    longer = plies > 1
    assert abs(float(longer.double().mean()) - 0.25) < 0.03
    assert plies.min() == 1
    assert sorted(set(plies[longer].tolist())) == list(range(2, 2 * size - 1))
    assert torch.equal(random_plies("scattered", 5, ids[7:9], size), plies[7:9])
    assert not torch.equal(random_plies("scattered", 6, ids, size), plies)
    assert random_plies("uniform", 5, ids, size).eq(1).all()
    for name in ("policy", "empty"):
        assert random_plies(name, 5, ids, size).eq(0).all()


def test_random_cells_are_legal_and_keyed() -> None:
    ids, positions = torch.arange(300), Positions.empty(300, 4)
    for ply in range(6):
        cells = random_cells(9, ids, ply, positions)
        positions.require_legal(cells)
        assert torch.equal(random_cells(9, ids[5:7], ply, positions[5:7]), cells[5:7])
        assert len(set(cells.tolist())) > 9
        positions = positions.play(cells)
    # With N - 1 stones nobody has joined.
    assert not positions.finished.any()
