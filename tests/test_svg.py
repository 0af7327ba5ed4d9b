"""Boards as pictures: what notebooks show, and that a board reads without colours."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from hex_ai.game.notation import mirror
from hex_ai.game.positions import Positions
from hex_ai.game.records import BLUE, NO_CELL, RED, SWAP, GameRecord
from hex_ai.game.svg import board_svg
from hex_ai.store.replay import replay

SVG = "{http://www.w3.org/2000/svg}"


def stones_drawn(picture: str) -> list[int]:
    """How many stones each board of a picture has, red and then blue; stones are whole groups."""
    root = ElementTree.fromstring(picture)
    return [len(group) for group in root.iter(f"{SVG}g") if group.find(f"{SVG}circle") is not None]


def record(size: int, moves: list[int]) -> GameRecord:
    plies = len(moves)
    none, nothing = np.full((plies, 1), NO_CELL, np.int16), np.zeros((plies, 1), np.float32)
    return GameRecord(
        game_id=3,
        board_size=size,
        moves=np.array(moves, np.int16),
        winner=BLUE,
        end="join",
        network="",
        search=np.zeros(plies, np.uint8),
        values=nothing[:, 0],
        preferred=none[:, 0],
        candidate_cells=none,
        candidate_priors=nothing,
        candidate_values=nothing,
        policy_cells=none,
        policy_probabilities=nothing,
        policy_rest=nothing[:, 0],
    )


@pytest.mark.parametrize(("batch", "more"), [(1, 0), (6, 0), (7, 1), (100, 94)])
def test_a_notebook_shows_the_first_positions_of_a_batch(batch: int, more: int) -> None:
    positions = Positions.empty(batch, 5).play(torch.arange(batch) % 25)
    picture = positions._repr_svg_()
    assert stones_drawn(picture) == [1] * min(batch, 6)
    assert re.findall(r"and (\d+) more", picture) == [str(more)] * bool(more)


def test_a_notebook_shows_that_a_batch_is_empty() -> None:
    assert "no positions" in Positions.empty(0, 5)._repr_svg_()


@pytest.mark.parametrize(
    "moves", [[], [7], [7, SWAP], [4, SWAP], [1, 3, 5], [1, SWAP, 8, 7, 2, 0, 4]]
)
def test_a_notebook_shows_the_last_board_of_a_game(moves: list[int]) -> None:
    game = record(3, moves)
    board = replay(3, moves)[-1].board()[0]
    assert game.stones().tolist() == board.tolist()
    last = None if not moves else moves[-1]
    if last == SWAP:
        last = mirror(moves[0], 3)
    assert game._repr_svg_() == board_svg(board.tolist(), last)


def test_bars_tell_stones_apart_without_colours() -> None:
    """A red stone's bar stands, a blue one's lies: as the edges that each wants to join."""
    bars = {}
    for colour in (RED, BLUE):
        paths = ElementTree.fromstring(board_svg([[colour]])).iter(f"{SVG}path")
        (bar,) = [path.attrib["d"] for path in paths if path.get("stroke") == "white"]
        bars[colour] = bar
    assert re.fullmatch(r"M[\d.,]+v\d+", bars[RED])
    assert re.fullmatch(r"M[\d.,]+h\d+", bars[BLUE])
