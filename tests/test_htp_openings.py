"""Which first moves the shipped engine swaps, and which one it makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from evaluators import Hashed
from htp_player import Player

from hex_ai.game.notation import cell_name
from hex_ai.game.records import MIN_SIZE
from hex_ai.htp.openings import opening_values
from hex_ai.htp.serve import serve_htp
from hex_ai.network.checkpoint import default_model_path, load_checkpoint, save_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig

# The first moves that win under perfect play, found by the solver of benzene
# (cgao3/benzene-vanilla-cmake at 9561476).
WINNING = {
    6: """
        . . . . . #
        . # # # # #
        # # # # # #
        # # # # # #
        # # # # # .
        # . . . . .""",
    7: """
        . . . . . . #
        . . # . # # #
        . # # # # # .
        # # # # # # #
        . # # # # # .
        # # # . # . .
        # . . . . . .""",
}

LARGEST = 13


def answers(*lines: str, model: Path | None = None, **settings: int) -> list[str]:
    """What an engine answers to these lines, without signs."""
    said = list[str]()
    serve_htp(model, board_size=6, lines=iter(lines), write=said.append, **settings)
    assert all(reply.startswith("= ") for reply in said)
    return [reply[2:].strip() for reply in said]


def swaps(
    size: int, names: Iterator[str], model: Path | None = None, **settings: int
) -> list[bool]:
    lines = [f"boardsize {size}"]
    for name in names:
        lines += ["clear_board", f"play b {name}", "genmove w"]
    return [reply == "swap-pieces" for reply in answers(*lines, model=model)[3::3]]


@pytest.mark.parametrize("size", WINNING)
def test_first_moves_that_win_are_swapped_and_others_are_not(size: int) -> None:
    winning = [mark == "#" for mark in WINNING[size].split()]
    names = (cell_name(cell, size) for cell in range(size**2))
    assert swaps(size, names) == winning


def test_all_sizes_that_are_played_are_known_and_fair_first_moves_are_made() -> None:
    known = opening_values(load_checkpoint(default_model_path()).digest)
    assert list(known) == list(range(MIN_SIZE, LARGEST + 1))
    for size, values in known.items():
        assert sorted(values) == list(range(size**2))
        assert all(values[cell] == values[size**2 - 1 - cell] for cell in values)
        assert all(-1 <= value <= 1 for value in values.values())
        fairest = min(map(abs, values.values()))
        (name,) = answers(f"boardsize {size}", "genmove b")[1:]
        cell = next(cell for cell in values if cell_name(cell, size) == name)
        assert abs(values[cell]) == fairest
    assert max(map(abs, known[3].values())) == min(map(abs, known[3].values())) == 1


def test_another_network_and_a_level_judge_by_themselves(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = HexNetwork(NetworkConfig(channels=8, blocks=1))
    save_checkpoint(tmp_path / "other.safetensors", network)
    assert not opening_values(load_checkpoint(tmp_path / "other.safetensors").digest)
    names = [cell_name(cell, 6) for cell in range(36)]
    assert swaps(6, iter(names), tmp_path / "other.safetensors") != swaps(6, iter(names))
    evaluator = Hashed(5)
    by_itself, told = (Player(evaluator, 4, level=1) for _ in range(2))
    told.engine._openings = {4: dict.fromkeys(range(16), -1.0)}
    for player in (by_itself, told):
        player.ask("play b b2")
    assert by_itself.ask("genmove w") == told.ask("genmove w")


def test_what_is_known_decides_whether_to_swap() -> None:
    for value in (-0.01, 0.0, 1.0):
        player = Player(Hashed(5), 4)
        player.engine._openings = {4: dict.fromkeys(range(16), value)}
        player.ask("play b b2")
        assert (player.ask("genmove w") == "swap-pieces") == (value < 0)
        # Stones that were set up are no opening, and where there is no swap, none is made.
        player.ask("play b c3")
        assert player.ask("genmove w") != "swap-pieces"
        for rule in ("off", "benzene"):
            player = Player(Hashed(5), 4, rule)
            player.engine._openings = {4: dict.fromkeys(range(16), -1.0)}
            player.ask("play b b2")
            assert ("swap" in player.ask("genmove w")) == (rule != "off")
