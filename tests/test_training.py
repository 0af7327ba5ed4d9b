"""Learning: samples are what the slow reference sees in the records, and fitting reduces the loss.

Everything is seeded, so no test can fail by chance.
"""

import copy
import logging
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluators import Hashed
from reference import RED, SlowBoard, canonical

from hex_ai.errors import SettingError
from hex_ai.inference.checkpoint import load_checkpoint
from hex_ai.inference.network import HexNetwork, NetworkConfig
from hex_ai.selfplay.lane import SelfPlaySettings
from hex_ai.selfplay.lanes import Lanes
from hex_ai.selfplay.records import NO_CELL, SWAP, GameRecord
from hex_ai.training import __main__ as command
from hex_ai.training.loop import LoopSettings, Round, train
from hex_ai.training.samples import OUTCOME_SHARE, Samples, samples_from_games
from hex_ai.training.trainer import Trainer


def toy_games(size: int, **settings: Any) -> list[GameRecord]:
    lanes = Lanes(Hashed(4), SelfPlaySettings(size, (3, 2), **settings), games_in_flight=9)
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


def slow_samples(game: GameRecord) -> list[tuple[int, Any, list[float], float]]:
    """(ply, planes, policy, value) of each sample of one game."""
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
            outcome = 1.0 if game.winner == board.mover else -1.0
            value = OUTCOME_SHARE * outcome + (1 - OUTCOME_SHARE) * float(game.values[ply])
            found.append((ply, slow_planes(board), dense, value))
        board = board.swap() if move == SWAP else board.play(seen(move, board))
    return found


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
        assert samples.planes.tolist() == [planes for _, planes, _, _ in want]
        assert samples.values.tolist() == pytest.approx([value for *_, value in want], abs=1e-6)
        policy = torch.tensor([policy for _, _, policy, _ in want])
        assert torch.allclose(samples.policy, policy, atol=1e-6)
        assert torch.equal(samples.policy > 0, policy > 0)
    if opening == "uniform" and size > 3:
        assert any(game.swapped for game in games)


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
    alternating = [OUTCOME_SHARE * (-1) ** ply for ply in range(len(game.moves))]
    assert samples_from_games([red]).values.tolist() == alternating
    assert samples_from_games([blue]).values.tolist() == [-value for value in alternating]


def test_swaps_and_unsearched_plies_give_no_sample() -> None:
    games = toy_games(4)
    swapped = [game for game in games if game.swapped]
    assert swapped
    for game in games:
        samples = samples_from_games([game])
        assert len(samples) == len(game.moves) - 1 - game.swapped


def test_turned_samples_are_the_samples_of_the_turned_board() -> None:
    samples = samples_from_games(toy_games(4))
    rows = torch.arange(len(samples)) % 3 == 0
    turned = samples.turned(rows)
    for k, turn in enumerate(rows.tolist()):
        planes, policy = samples.planes[k].tolist(), samples.policy[k].tolist()
        if turn:
            planes = [[row[::-1] for row in plane[::-1]] for plane in planes]
            policy = policy[::-1]
        assert turned.planes[k].tolist() == planes
        assert turned.policy[k].tolist() == policy
    assert torch.equal(turned.values, samples.values)
    again = turned.turned(rows)
    assert torch.equal(again.planes, samples.planes)
    joined = Samples.cat([samples, turned])
    assert len(joined) == 2 * len(samples)
    assert torch.equal(joined.rows(slice(-1, None)).policy, turned.policy[-1:])


def tiny() -> HexNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return HexNetwork(NetworkConfig(8, 1))


def test_a_few_steps_reduce_the_loss_and_the_average_follows() -> None:
    samples = samples_from_games(toy_games(4))
    trainer = Trainer(tiny(), 1e-2)
    before = copy.deepcopy(trainer.average_network.state_dict())
    generator = torch.Generator().manual_seed(0)
    losses = [trainer.fit(samples, 10, 32, generator) for _ in range(12)]
    assert losses[-1].policy < 0.85 * losses[0].policy
    assert losses[-1].value < 0.8 * losses[0].value
    assert losses[-1].policy > 0  # above the target's own entropy, so never below 0
    after = trainer.average_network.state_dict()
    weight = "stem.conv.weight"
    assert not torch.equal(before[weight], after[weight])
    assert not torch.equal(trainer.network.state_dict()[weight], after[weight])


def test_a_learning_rate_of_nothing_learns_nothing() -> None:
    trainer = Trainer(tiny(), 3e-3)
    trainer.set_learning_rate(0.0)
    trainer.fit(samples_from_games(toy_games(3)), 3, 8, torch.Generator().manual_seed(0))
    weights = zip(trainer.network.parameters(), tiny().parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)


class _Enough(Exception):
    """Ends a loop after some rounds, whatever the clock says."""


def rounds_of(path: Path, count: int, **settings: Any) -> list[Round]:
    """The first rounds of a training loop."""
    done: list[Round] = []

    def report(found: Round) -> None:
        done.append(found)
        if len(done) == count:
            raise _Enough

    choice: dict[str, Any] = {
        "board_sizes": (3, 4),
        "search_widths": (2, 1),
        "games": 4,
        "batch": 16,
    } | settings
    with pytest.raises(_Enough):
        train(tiny(), LoopSettings(**choice), path, report)
    return done


def test_two_rounds_write_a_checkpoint_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "net.pt.gz"
    rounds = rounds_of(path, 2)
    assert [(done.number, done.games) for done in rounds] == [(1, 4), (2, 4)]
    assert {done.board_size for done in rounds} == {3, 4}
    assert all(done.samples > 0 and math.isfinite(done.losses.policy) for done in rounds)
    weights = load_checkpoint(path).network.state_dict()
    assert not torch.equal(weights["stem.conv.weight"], tiny().state_dict()["stem.conv.weight"])


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": 1e-6},
        {"board_sizes": (4,)},
        {"search_widths": (3, 1)},
        {"games": 5},
        {"window": 3},
        {"reuse": 9.0},
        {"batch": 3},
        {"learning_rate": 0.1},
        {"seed": 1},
    ],
    ids=str,
)
def test_every_setting_of_the_loop_changes_what_is_learnt(
    change: dict[str, Any], tmp_path: Path
) -> None:
    found = []
    for k, settings in enumerate(({}, change)):
        path = tmp_path / f"{k}.pt"
        if "seconds" in settings:
            rounds: list[Round] = []
            choice = LoopSettings(**settings, board_sizes=(3,), search_widths=(2, 1), games=4)
            train(tiny(), choice, path, rounds.append)
            assert len(rounds) <= 1  # the time is up before the second
            return
        rounds_of(path, 1, **settings)
        found.append(load_checkpoint(path).digest)
    assert found[0] != found[1]


@pytest.mark.parametrize(
    "change",
    [
        {"board_sizes": ()},
        {"board_sizes": (5, 4)},
        {"board_sizes": (4, 4)},
        {"board_sizes": (2,)},
        {"board_sizes": (3, 20)},
        {"search_widths": ()},
        {"search_widths": (0,)},
        *({name: 0} for name in ("seconds", "games", "window", "reuse", "batch")),
        *({name: math.nan} for name in ("seconds", "reuse", "learning_rate")),
        {"learning_rate": -1.0},
        {"seed": -1},
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant_are_refused_before_the_first_game(
    change: dict[str, Any],
) -> None:
    with pytest.raises(SettingError):
        LoopSettings(**change)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--board-sizes", "7,5"], "7, 5"),
        (["--board-sizes", "x"], "x"),
        (["--search-widths", "3;2"], "3;2"),
        (["--hours", "0"], "seconds"),
        (["--hours", "nan"], "nan"),
        (["--channels", "4"], "channels"),
        (["--blocks", "0"], "blocks"),
        (["--init", "nowhere.pt"], "nowhere.pt"),
    ],
    ids=str,
)
def test_bad_flags_end_in_one_line(
    flags: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sys, "argv", ["training", "--out", str(tmp_path / "net.pt"), *flags])
    with caplog.at_level(logging.INFO, "hex_ai.training"):
        assert command.main() not in (0, None)
    (record,) = caplog.records
    (line,) = record.getMessage().splitlines()
    assert line.startswith("error: ")
    assert named in line


def test_the_command_trains_and_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.pt"
    small = ["--board-sizes", "3", "--search-widths", "1", "--channels", "8", "--blocks", "1"]
    flags = ["training", "--out", str(path), "--hours", "0.00001", *small]
    monkeypatch.setattr(sys, "argv", flags)
    assert command.main() == 0
    assert load_checkpoint(path).network.config == NetworkConfig(8, 1)
