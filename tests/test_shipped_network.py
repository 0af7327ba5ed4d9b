"""What the package promises of the network that it comes with, on boards that can be solved."""

import random
from collections.abc import Callable

import pytest
import torch
from reference import RED, SlowBoard, reachable, solve

from hex_ai.game.positions import Positions
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.inference_plan import default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.puct.levels import searched_moves

Share = Callable[[int, int], int]


@pytest.fixture(scope="module")
def model() -> ModelInference:
    network = load_checkpoint(default_model_path()).network
    return ModelInference(network, default_plan(torch.device("cpu"), runtime="eager"))


def batch(boards: list[SlowBoard]) -> Positions:
    stones = torch.tensor([board.stones for board in boards], dtype=torch.int8)
    return Positions.from_stones(stones, torch.tensor([board.mover != RED for board in boards]))


def some_of_4_by_4(count: int) -> list[SlowBoard]:
    """Positions reached by random moves, the game not over."""
    draw, found = random.Random(0), list[SlowBoard]()
    while len(found) < count:
        board = SlowBoard.empty(4)
        for _ in range(draw.randrange(14)):
            after = board.play(draw.choice(board.legal()))
            if after.winner():
                break
            board = after
        found.append(board)
    return found


def test_values_of_3_by_3_have_the_right_sign(model: ModelInference, share: Share) -> None:
    boards = [board for board in reachable(3) if not board.winner()][:: share(3, 1)]
    _, values = model.batch_infer(batch(boards))
    truth = torch.tensor([solve(board) for board in boards])
    assert ((values > 0) == (truth > 0)).double().mean() >= 0.995


@pytest.mark.parametrize("size", [3, 4])
def test_searches_keep_every_won_position_won(
    size: int, model: ModelInference, share: Share
) -> None:
    """At 4 × 4 a sample of the positions that random moves lead to."""
    if size == 3:
        boards = [board for board in reachable(3) if not board.winner()][:: share(4, 1)]
    else:
        boards = some_of_4_by_4(share(150, 3000))
    won = [board for board in boards if solve(board) == 1]
    assert len(won) > 90
    positions, collector = batch(won), PositionCollector(model)
    tree = build_search_tree_with_collection(positions, (8, 4), 0.0, collector)
    for moves in (tree.chosen, searched_moves(positions, collector, 60)):
        chosen = zip(won, moves.tolist(), strict=True)
        assert all(solve(board.play(move)) == -1 for board, move in chosen)


@pytest.mark.parametrize("size", [5, 7, 9, 11, 13])
def test_good_openings_are_worth_swapping_and_bad_ones_are_not(
    size: int, model: ModelInference
) -> None:
    """Values are those of the second player, before a swap: below 0, a swap is better."""
    openings = Positions.empty(size * size, size).play(torch.arange(size * size))
    _, values = model.batch_infer(openings)
    swapped = (values < 0).reshape(size, size)
    assert swapped[size // 2, size // 2]
    assert not swapped[0, 0]
    assert not swapped[-1, -1]
    assert 0.3 < swapped.double().mean() < 0.85
