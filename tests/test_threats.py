"""Chains and threats against the exact solver: whatever they say must be so, carriers included.

Seeded; a wrong answer is a wrong proof, so nothing here can fail by chance.
"""

from collections.abc import Callable

import pytest
import torch
from evaluators import random_roots, slow_boards
from reference import SlowBoard, solve
from torch import Tensor

from hex_ai.game.connections import opponent_has_won
from hex_ai.game.positions import Positions
from hex_ai.game.threats import Verdicts, resolve

Share = Callable[[int, int], int]


def filled(positions: Positions, cells: Tensor, stone: int) -> Positions:
    """The positions with a stone (as the mover sees it, ±1) on each of the cells, bool `[B, A]`."""
    marked = cells.view(-1, positions.size, positions.size)
    stones = positions.stones().masked_fill(marked, stone).to(torch.int64)
    return Positions.from_stones(stones, torch.zeros(len(positions), dtype=torch.bool))


def winners(positions: Positions) -> Tensor:
    """int8 `[B]`: +1 where the mover wins."""
    return torch.tensor([solve(board) for board in slow_boards(positions)], dtype=torch.int8)


def require_proofs_hold(positions: Positions, found: Verdicts) -> None:
    """The winner of a proof wins although the loser has all empty cells but the carrier."""
    empty = positions.legal_moves()
    assert not (found.carriers & ~empty).any()
    for winner in (1, -1):
        rows = found.proven == winner
        assert rows.any()
        outside = empty[rows] & ~found.carriers[rows]
        try:
            hardest = filled(positions[rows], outside, -winner)
        except ValueError as error:
            raise AssertionError("the loser joins outside the carrier") from error
        assert (winners(hardest) == winner).all()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_verdicts_hold_wherever_the_loser_has_all_cells_but_the_carrier(
    size: int, share: Share
) -> None:
    positions = random_roots(share(400, 4000), size, size, torch.device("cpu"))
    require_proofs_hold(positions, resolve(positions))


@pytest.mark.parametrize("size", [3, 4])
def test_winning_moves_win_and_moves_ruled_out_lose(size: int, share: Share) -> None:
    positions = random_roots(share(80, 3000), size, 10 + size, torch.device("cpu"))
    found = resolve(positions)
    won = found.proven == 1
    assert (winners(positions[won].play(found.moves[won])) == -1).all()
    ruled_out = positions.legal_moves() & ~found.must & (found.proven == 0)[:, None]
    assert ruled_out.any()
    rows, cells = ruled_out.nonzero().T
    assert (winners(positions[rows].play(cells)) == 1).all()
    # Within the threats alone they lose too: the rest of the board may be the mover's.
    played = positions[rows].play(cells)
    outside = positions.legal_moves()[rows] & ~found.threats[rows]
    transposed = outside.view(-1, size, size).mT.flatten(1) & played.legal_moves()
    assert (winners(filled(played, transposed, -1)) == 1).all()


def test_nothing_that_a_chain_proves_is_missed() -> None:
    positions = random_roots(500, 7, 0, torch.device("cpu"))
    assert torch.equal(opponent_has_won(positions), resolve(positions).proven == -1)


def test_each_answer_depends_on_its_own_row_alone() -> None:
    positions = random_roots(60, 6, 1, torch.device("cpu"))
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    whole, shuffled = resolve(positions), resolve(positions[order])
    for field in ("proven", "carriers", "must", "threats", "moves"):
        assert torch.equal(getattr(whole, field)[order], getattr(shuffled, field))
    alone = [int(resolve(positions[row : row + 1]).proven) for row in range(60)]
    assert alone == whole.proven.tolist()


def test_the_mover_who_can_close_a_gap_wins_there() -> None:
    board = SlowBoard(((0, 0, 0), (0, 0, 0), (0, 0, 0)))
    assert solve(board) == 1
    found = resolve(Positions.empty(1, 3))
    assert found.proven.tolist() == [1]
    assert found.moves.tolist() == [4]
