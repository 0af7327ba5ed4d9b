"""Learning: samples are what the slow reference sees in the records, and fitting reduces the loss.

Everything is seeded, so no test can fail by chance.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from evaluators import Hashed
from reference import RED, SlowBoard, canonical

from hex_ai.game.records import NO_CELL, SWAP, GameRecord
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.training.calibration import LEAST_FACTOR, MOST_FACTOR, best_factor, calibrate
from hex_ai.training.samples import TRACE_DECAY, Samples, samples_from_games, value_targets
from hex_ai.training.trainer import Trainer
from hex_ai.value_utils import to_win_logit

pytestmark = pytest.mark.usefixtures("one_thread")


def toy_games(size: int, **settings: Any) -> list[GameRecord]:
    lanes = Runner(Hashed(4), SelfPlaySettings(size, (3, 2), **settings), games_in_flight=9)
    return [game for some in lanes.play(range(9)) for game in some]


def slow_planes(board: SlowBoard) -> list[list[list[int]]]:
    """The two planes with their rims, one cell at a time."""
    size, view = board.size, canonical(board)
    planes = [[[0] * (size + 2) for _ in range(size + 2)] for _ in range(2)]
    for k in range(size):
        planes[0][0][k + 1] = planes[0][size + 1][k + 1] = 1
        planes[1][k + 1][0] = planes[1][k + 1][size + 1] = 1
    for row in range(size):
        for column in range(size):
            if view[row][column]:
                planes[view[row][column] < 0][row + 1][column + 1] = 1
    return planes


def seen(cell: int, board: SlowBoard) -> int:
    """The cell as the mover sees it."""
    row, column = divmod(cell, board.size)
    return cell if board.mover == RED else column * board.size + row


def slow_samples(game: GameRecord) -> list[tuple[int, Any, list[float], float, int]]:
    """(ply, planes, policy, value, outcome) of each sample of one game."""
    board, found = SlowBoard.empty(game.board_size), []
    for ply, move in enumerate(game.moves.tolist()):
        if game.search[ply] and move != SWAP:
            policy = dict.fromkeys(board.legal(), 0.0)
            entries = zip(game.policy_cells[ply], game.policy_probabilities[ply], strict=True)
            named = {seen(int(c), board): float(p) for c, p in entries if c != NO_CELL}
            unnamed = [cell for cell in policy if cell not in named]
            for cell in policy:
                policy[cell] = named.get(cell, float(game.policy_rest[ply]) / max(len(unnamed), 1))
            total = math.fsum(policy.values())
            dense = [policy.get(cell, 0.0) / total for cell in range(game.board_size**2)]
            value, outcome = board.mover * slow_target(game, ply), board.mover * game.winner
            found.append((ply, slow_planes(board), dense, value, outcome))
        board = board.swap() if move == SWAP else board.play(seen(move, board))
    return found


def slow_target(game: GameRecord, start: int) -> float:
    """Red's view: the outcome and the search values from here on, the nearest weighing most."""
    later = [
        (1 if ply % 2 == 0 else -1) * float(game.values[ply])
        for ply in range(start, len(game.moves))
        if game.search[ply] and game.moves[ply] != SWAP
    ]
    weights = [(1 - TRACE_DECAY) * TRACE_DECAY**k for k in range(len(later))]
    searched = sum(weight * value for weight, value in zip(weights, later, strict=True))
    return searched + TRACE_DECAY ** len(later) * game.winner


@pytest.mark.parametrize("size", [3, 4, 5])
@pytest.mark.parametrize("opening", ["uniform", "empty"])
def test_samples_are_those_of_the_slow_reference(size: int, opening: str) -> None:
    """Also those of records that keep only two cells of the policy."""
    games = toy_games(size, opening=opening)
    for kept in (16, 2):
        games = [narrowed(game, kept) for game in games]
        samples = samples_from_games(games)
        # Ply by ply; within a ply, in the order of the games.
        want = [sample for game in games for sample in slow_samples(game)]
        want.sort(key=lambda sample: sample[0])
        assert len(samples) == len(want)
        assert samples.planes.dtype == torch.uint8
        _, planes, policies, values, outcomes = map(list, zip(*want, strict=True))
        assert samples.planes.tolist() == planes
        assert samples.values.tolist() == pytest.approx(values, abs=1e-6)
        assert samples.outcomes.tolist() == outcomes
        policy = torch.tensor(policies)
        assert torch.allclose(samples.policy, policy, atol=1e-6)
        assert torch.equal(samples.policy > 0, policy > 0)
    if opening == "uniform" and size > 3:
        assert any(game.swapped for game in games)


def test_records_of_unlike_width_are_learnt_from_together() -> None:
    """A shard pads its lists to the longest of its own: the first and the last of a run differ."""
    games = toy_games(4)
    mixed = [narrowed(game, 16 if game.game_id % 2 else 2) for game in games]
    samples, apart = samples_from_games(mixed), [samples_from_games([game]) for game in mixed]
    assert len(samples) == sum(map(len, apart))
    rows = {(tuple(p.flatten().tolist()), tuple(q.tolist())) for p, q in pairs_of(samples)}
    assert rows == {
        (tuple(p.flatten().tolist()), tuple(q.tolist())) for one in apart for p, q in pairs_of(one)
    }


def pairs_of(samples: Samples) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return zip(samples.planes, samples.policy, strict=True)


def narrowed(game: GameRecord, kept: int) -> GameRecord:
    """The record with only the largest entries of the policy, the others in the rest."""
    fields = dict(vars(game))
    shares = game.policy_probabilities
    fields["policy_cells"] = game.policy_cells[:, :kept]
    fields["policy_probabilities"] = shares[:, :kept]
    fields["policy_rest"] = game.policy_rest + shares[:, kept:].sum(1, dtype=np.float32)
    return GameRecord(**fields)


def test_values_are_the_movers_whoever_won() -> None:
    (game,) = toy_games(4, swap=False, opening="empty", temperature=0.0)[:1]
    fields = vars(game) | {"values": np.zeros_like(game.values)}
    red, blue = (GameRecord(**fields | {"winner": winner}) for winner in (1, -1))
    plies = len(game.moves)
    alternating = [TRACE_DECAY ** (plies - ply) * (-1) ** ply for ply in range(plies)]
    assert samples_from_games([red]).values.tolist() == pytest.approx(alternating)
    assert samples_from_games([blue]).values.tolist() == pytest.approx([-v for v in alternating])


def test_maximisation_bias_of_the_search_hardly_moves_the_values() -> None:
    """A bias of 1 leaves (1 - λ) / (1 + λ), far from the end of a game."""
    values, searched = torch.ones(1, 101), torch.ones(1, 101, dtype=torch.bool)
    targets = value_targets(values, searched, torch.tensor([1]))
    assert targets[0, 0].item() == pytest.approx((1 - TRACE_DECAY) / (1 + TRACE_DECAY))


def test_swaps_and_unsearched_plies_give_no_sample() -> None:
    games = toy_games(4)
    swapped = [game for game in games if game.swapped]
    assert swapped
    for game in games:
        samples = samples_from_games([game])
        assert len(samples) == len(game.moves) - 1 - game.swapped


def test_games_without_a_searched_ply_give_nothing() -> None:
    game = toy_games(4)[0]
    blind = GameRecord(**vars(game) | {"search": np.zeros_like(game.search)})
    samples = samples_from_games([blind, blind])
    assert len(samples) == 0
    assert samples.planes.shape == (0, 2, 6, 6)
    both, alone = samples_from_games([blind, game]), samples_from_games([game])
    assert torch.equal(both.planes, alone.planes)
    assert torch.equal(both.policy, alone.policy)


def test_rotated_samples_are_the_samples_of_the_rotated_board() -> None:
    samples = samples_from_games(toy_games(4))
    rows = torch.arange(len(samples)) % 3 == 0
    rotated = samples.rotated(rows)
    for k, rotates in enumerate(rows.tolist()):
        planes, policy = samples.planes[k].tolist(), samples.policy[k].tolist()
        if rotates:
            planes = [[row[::-1] for row in plane[::-1]] for plane in planes]
            policy = policy[::-1]
        assert rotated.planes[k].tolist() == planes
        assert rotated.policy[k].tolist() == policy
    assert torch.equal(rotated.values, samples.values)
    assert torch.equal(rotated.outcomes, samples.outcomes)
    again = rotated.rotated(rows)
    assert torch.equal(again.planes, samples.planes)
    joined = Samples.cat([samples, rotated])
    assert len(joined) == 2 * len(samples)
    assert torch.equal(joined.rows(slice(-1, None)).policy, rotated.policy[-1:])


def tiny() -> HexNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return HexNetwork(NetworkConfig(8, 1))


@pytest.mark.parametrize("mixed", [False, True])
def test_a_few_steps_reduce_the_loss_and_the_average_follows(mixed: bool) -> None:
    """Also in bfloat16, which is emulated where the processor lacks it."""
    samples = samples_from_games(toy_games(4))
    trainer = Trainer(tiny(), 1e-2, mixed=mixed)
    before = copy.deepcopy(trainer.average_network.state_dict())
    generator = torch.Generator().manual_seed(0)
    losses = [trainer.fit([(1.0, samples)], 10, 32, generator) for _ in range(12)]
    assert losses[-1].policy < 0.85 * losses[0].policy
    assert losses[-1].value < 0.8 * losses[0].value
    assert losses[-1].policy > 0  # above the target's own entropy, so never below 0
    after = trainer.average_network.state_dict()
    weight = "stem.conv.weight"
    assert not torch.equal(before[weight], after[weight])
    assert not torch.equal(trainer.network.state_dict()[weight], after[weight])
    assert after[weight].dtype == torch.float32


def test_mixed_precision_is_another_precision_of_the_same_thing() -> None:
    samples = samples_from_games(toy_games(4))
    found = []
    for mixed in (False, True):
        trainer = Trainer(tiny(), 1e-2, mixed=mixed)
        found.append(trainer.fit([(1.0, samples)], 3, 32, torch.Generator().manual_seed(0)))
    assert found[0] != found[1]
    assert found[0].policy == pytest.approx(found[1].policy, rel=0.05)
    assert found[0].value == pytest.approx(found[1].value, rel=0.05)


def test_board_sizes_take_turns_by_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = samples_from_games(toy_games(3)), samples_from_games(toy_games(4))
    trainer, seen = Trainer(tiny(), 1e-3), list[int]()

    def network(planes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(planes.shape[-1] - 2)
        return forward(planes)

    forward = trainer.network.forward
    monkeypatch.setattr(trainer.network, "forward", network)
    generator = torch.Generator().manual_seed(0)
    trainer.fit([(1.0, small), (3.0, large)], 200, 4, generator)
    assert 30 < seen.count(3) < 70
    assert len(seen) == 200
    changes = sum(one != other for one, other in pairwise(seen))
    assert changes > 50  # in turns, not one after the other
    seen.clear()
    trainer.fit([(0.0, small), (1.0, large)], 20, 4, generator)
    assert set(seen) == {4}


def test_frozen_norms_keep_the_statistics_of_all_sizes() -> None:
    small, large = samples_from_games(toy_games(3)), samples_from_games(toy_games(4))
    trainer, generator = Trainer(tiny(), 1e-3), torch.Generator().manual_seed(0)
    trainer.fit([(1.0, small)], 100, 32, generator)
    trainer.set_learning_rate(0.0)
    both = [(1.0, small), (1.0, large)]
    trainer.fit(both, 1, 32, generator, frozen_norms=True)
    network, average = trainer.network, trainer.average_network
    assert isinstance(network, HexNetwork)
    assert isinstance(average, HexNetwork)
    means = []
    for samples in (small, large):
        planes = torch.cat((samples.planes, samples.planes.flip(2, 3))).float()
        means.append(network.stem.conv(planes).mean((0, 2, 3)).detach())
    norm, averaged = network.stem.norm, average.stem.norm
    assert isinstance(norm, torch.nn.BatchNorm2d)
    assert isinstance(averaged, torch.nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert averaged.running_mean is not None
    apart = means[1] - means[0]
    share = (norm.running_mean - means[0]) @ apart / (apart @ apart)
    assert share.item() == pytest.approx(0.5, abs=0.15)
    assert torch.equal(norm.running_mean, averaged.running_mean)
    kept = norm.running_mean.clone()

    trainer.fit([(1.0, small)], 3, 32, generator, frozen_norms=True)
    assert torch.equal(norm.running_mean, kept)
    logits, values = network(large.planes.float())
    as_played = network.eval()(large.planes.float())
    assert torch.equal(logits, as_played[0])
    assert torch.equal(values, as_played[1])

    trainer.fit([(1.0, small)], 3, 32, generator)
    assert not torch.equal(norm.running_mean, kept)


def test_outcomes_at_known_odds_give_the_factor_between() -> None:
    """Log odds are said half as large, or three times as large, as they are."""
    draw = torch.Generator().manual_seed(0)
    odds = torch.randn(200_000, generator=draw)
    won = torch.rand(200_000, generator=draw) < torch.sigmoid(odds)
    outcomes = torch.where(won, 1.0, -1.0)
    for said, factor in ((0.5, 2.0), (3.0, 1 / 3)):
        assert best_factor(said * odds, outcomes) == pytest.approx(factor, rel=0.02)


def test_one_game_says_little_about_the_factor() -> None:
    sure = torch.full((30,), 2.0)
    for outcome in (1.0, -1.0):
        alone = best_factor(sure, torch.full((30,), outcome))
        assert 0.4 < alone < 2.0
    draw = torch.Generator().manual_seed(0)
    odds = torch.randn(2000, generator=draw)
    won = torch.rand(2000, generator=draw) < torch.sigmoid(odds)
    outcomes = torch.where(won, 1.0, -1.0)
    many = best_factor(odds, outcomes)
    more = best_factor(torch.cat((odds, sure)), torch.cat((outcomes, -torch.ones(30))))
    assert abs(more - many) < 0.25


def test_calibration_scales_the_log_odds_of_all_sizes_alike() -> None:
    network = tiny().eval()
    network.scale_win_logits(10.0)
    sizes = []
    for samples in (samples_from_games(toy_games(3)), samples_from_games(toy_games(4))):
        likely = network(samples.planes.float())[1].detach().sign()
        one_in_four = torch.arange(len(samples)) % 4 == 0
        sizes.append(replace(samples, outcomes=torch.where(one_in_four, -likely, likely)))
    planes = sizes[1].planes.float()
    before = network(planes)
    factor = calibrate(network, sizes)
    after = network(planes)
    assert factor is not None
    assert LEAST_FACTOR < factor < 0.9 or 1.1 < factor < MOST_FACTOR
    assert torch.equal(after[0], before[0])
    assert torch.allclose(to_win_logit(after[1]), factor * to_win_logit(before[1]), rtol=1e-3)
    assert calibrate(network, sizes) == pytest.approx(1, rel=0.1)
    assert calibrate(network, []) is None
    assert calibrate(torch.nn.Identity(), sizes) is None


def test_a_learning_rate_of_nothing_learns_nothing() -> None:
    trainer = Trainer(tiny(), 3e-3)
    trainer.set_learning_rate(0.0)
    trainer.fit([(1.0, samples_from_games(toy_games(3)))], 3, 8, torch.Generator().manual_seed(0))
    weights = zip(trainer.network.parameters(), tiny().parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)
