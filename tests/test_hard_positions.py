"""The judge of the hard positions against the slow reference, and the set against the judge."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluators import random_roots, slow_boards
from reference import RED, SlowBoard, solve

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import exact_solver

    return exact_solver


def absolute_winning_moves(board: SlowBoard) -> list[int]:
    wins = [cell for cell in board.legal() if solve(board.play(cell)) == -1]
    return sorted(row * board.size + col for row, col in map(board.place_of, wins))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_judge_finds_all_winning_moves(
    size: int, share: Callable[[int, int], int], judge: Any
) -> None:
    solver = judge.ExactSolver(size)
    for board in slow_boards(random_roots(share(60, 2000), size, size, torch.device("cpu"))):
        cells = [stone for row in board.stones for stone in row]
        if sum(map(abs, cells)) < size:  # the slow reference would take long over them
            continue
        red, blue = (
            sum(solver.cell(k) for k, stone in enumerate(cells) if stone == colour)
            for colour in (1, -1)
        )
        mover = judge.RED if board.mover == RED else judge.BLUE
        assert solver.winning_moves(red, blue, mover) == absolute_winning_moves(board)


def test_the_set_is_what_it_says_and_a_share_of_it_is_solved_again(judge: Any) -> None:
    records = json.loads((BENCHMARKS / "hard_positions.json").read_text())["positions"]
    assert len({record["stones"] for record in records}) == len(records) >= 200
    for record in records:
        red, blue = record["stones"].count("R"), record["stones"].count("B")
        assert red - blue == (record["mover"] == "blue")
        assert 1 <= len(record["wins"]) <= 3
    sides = {"red": judge.RED, "blue": judge.BLUE}
    for record in [record for record in records if record["nodes"] < 300][:30]:
        solver = judge.ExactSolver(7)
        flat = record["stones"].replace("/", "")
        red, blue = (
            sum(solver.cell(k) for k, sign in enumerate(flat) if sign == side) for side in "RB"
        )
        wins = solver.winning_moves(red, blue, sides[record["mover"]])
        assert sorted(f"{'abcdefg'[k % 7]}{k // 7 + 1}" for k in wins) == record["wins"]
