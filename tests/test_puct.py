"""The search for play: exact where it proves, the same alone as among others, within its budget.

Proofs are held against the exact solver of the reference, with evaluators that know nothing or lie.
All is seeded, and evaluators are functions of the position: nothing here can fail by chance.
"""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from evaluators import Hashed, Toy, Uniform, random_roots, slow_boards
from reference import SlowBoard, reachable, solve
from torch import Tensor

from hex_ai.errors import IllegalMoveError, SettingError, ShapeError
from hex_ai.game.positions import Positions
from hex_ai.game.threats import resolve
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.puct.search import PuctResult, PuctSearch, PuctSettings
from hex_ai.puct.tree import Node, PuctTree, expected_line

Share = Callable[[int, int], int]
CPU = torch.device("cpu")
PLENTY = 10**6


class Liar(Toy):
    """Says of every 3×3 or 4×4 position that its loser wins, and likes the worst moves best."""

    def answer(self, positions: Positions) -> tuple[Tensor, Tensor]:
        answers = [self.slow(board) for board in slow_boards(positions)]
        logits = torch.tensor([row for row, _ in answers])
        return logits, torch.tensor([value for _, value in answers])

    def slow(self, board: SlowBoard) -> tuple[list[float], float]:
        if board.winner():
            return [0.0] * board.size**2, 1.0
        logits = [30.0] * board.size**2
        for cell in board.legal():
            logits[cell] = 20.0 * solve(board.play(cell))
        return logits, -0.9375 * solve(board)


TOYS: dict[str, Callable[[], Toy]] = {"uniform": Uniform, "hashed": lambda: Hashed(3), "liar": Liar}


def searched(roots: Positions, toy: Toy, evaluations: int = PLENTY, **settings: int) -> PuctResult:
    return PuctSearch(roots, PositionCollector(toy), PuctSettings(**settings)).search(
        evaluations=evaluations
    )


def positions_of(boards: list[SlowBoard]) -> Positions:
    stones = torch.tensor([board.stones for board in boards])
    return Positions.from_stones(stones, torch.tensor([board.mover < 0 for board in boards]))


def assert_exact(roots: Positions, found: PuctResult) -> None:
    """Every root is proven for whom it is won, and a won one is kept won."""
    truth = [solve(board) for board in slow_boards(roots)]
    assert found.proven.tolist() == found.values.tolist() == truth
    roots.require_legal(found.moves)
    after = [solve(board) for board in slow_boards(roots.play(found.moves))]
    assert after == [-winner for winner in truth]


@pytest.mark.parametrize("name", TOYS)
def test_every_position_of_3_by_3_is_proven(name: str) -> None:
    boards = [board for board in reachable(3) if not board.winner()]
    roots = positions_of(boards)
    assert_exact(roots, searched(roots, TOYS[name]()))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["uniform", "hashed"])
def test_positions_of_4_by_4_are_proven(name: str, share: Share) -> None:
    roots = random_roots(share(20, 1000), 4, 7, CPU)
    assert_exact(roots, searched(roots, TOYS[name]()))


def test_the_empty_board_of_4_by_4_is_proven_one_leaf_at_a_time() -> None:
    found = searched(Positions.empty(1, 4), Hashed(5), leaves=1)
    assert found.proven.tolist() == [1]


def assert_sound(node: Node, size: int) -> int:
    """All proofs below a node hold even if the loser has every cell but the carrier."""
    checked = 0
    if node.proof:
        loser_is_second = (node.proof == 1) != node.transposed
        outside = ((1 << size * size) - 1) & ~(node.stones[0] | node.stones[1] | node.carrier)
        first, second = node.stones
        first, second = (first, second | outside) if loser_is_second else (first | outside, second)
        board = SlowBoard(
            tuple(
                tuple(
                    (first >> row * size + col & 1) - (second >> row * size + col & 1)
                    for col in range(size)
                )
                for row in range(size)
            ),
            -1 if node.transposed else 1,
        )
        assert solve(board) == node.proof
        checked = 1
    return checked


def test_proofs_inside_the_tree_hold_within_their_carriers() -> None:
    search = PuctSearch(random_roots(40, 4, 3, CPU), PositionCollector(Hashed(8)))
    search.search(evaluations=PLENTY)
    nodes = [node for tree in search.trees for node in tree.nodes.values()]
    assert sum(assert_sound(node, 4) for node in nodes) > 100


def fields(found: PuctResult, row: int) -> list[object]:
    """One game's part of a result."""
    columns = (found.moves, found.values, found.proven, found.visits, found.evaluations)
    values = found.move_values[row].nan_to_num(9.0)
    return [*(column[row].tolist() for column in columns), values.tolist(), found.lines[row]]


@pytest.mark.parametrize("leaves", [1, 5, 16])
def test_a_game_is_searched_alike_alone_and_among_others(leaves: int) -> None:
    roots = random_roots(24, 6, 2, CPU)
    together = searched(roots, Hashed(1), 60, leaves=leaves)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    shuffled = searched(roots[order], Hashed(1), 60, leaves=leaves)
    for place, row in enumerate(order.tolist()):
        assert fields(shuffled, place) == fields(together, row)
    for row in range(0, 24, 5):
        alone = searched(roots[row : row + 1], Hashed(1), 60, leaves=leaves)
        assert fields(alone, 0) == fields(together, row)


def test_statistics_add_up() -> None:
    roots = Positions.empty(1, 7)
    search = PuctSearch(roots, PositionCollector(Hashed(4)))
    found = search.search(evaluations=200)
    assert found.evaluations.tolist() == [200]
    new = sum(len(tree.nodes) for tree in search.trees) - 1
    assert 200 - 1 <= int(found.visits.sum()) <= new
    seen = found.visits > 0
    assert torch.equal(seen, ~found.move_values.isnan() & seen)
    assert found.lines[0][0] == int(found.moves[0])
    assert int(found.visits[0, found.moves[0]]) == int(found.visits.max())


def test_a_refuted_move_is_not_expected_while_others_are_left() -> None:
    tree = PuctTree((0, 0))
    tree.judge(tree.root, 0, carrier=0, must=0b1011, threats=0, move=-1)
    shares = np.array([0.4, 0.3, 0.2, 0.1], np.float32)
    tree.evaluate(tree.root, np.array([0, 2, 3, 1], np.int16), shares, 0.5)
    descent = tree.descend()
    tree.judge(descent.leaf, 1, carrier=0b1010, must=0, threats=0, move=1)
    tree.end(descent, counted=True)
    assert [edge.cell for edge in tree.root.edges] == [0]
    assert expected_line(tree.root) == [3]


def test_the_budget_of_evaluations_is_kept_to_the_row() -> None:
    roots = random_roots(10, 7, 0, CPU)
    for budget in (1, 2, 17, 50):
        toy = Hashed(6)
        found = searched(roots, toy, budget)
        assert int(found.evaluations.max()) == budget
        assert int(found.evaluations.sum()) == toy.requests
        assert int(found.evaluations.min()) >= 1


class Clock:
    """Gains a second whenever the evaluator is asked."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Slow(Hashed):
    """Takes a second, or none, and a hundredth a row on a clock of its own."""

    def __init__(self, clock: Clock, a_batch: float = 1.0) -> None:
        super().__init__(9)
        self._clock, self._a_batch = clock, a_batch

    def answer(self, positions: Positions) -> tuple[Tensor, Tensor]:
        self._clock.now += self._a_batch + 0.01 * len(positions)
        return super().answer(positions)


@pytest.mark.parametrize("games", [1, 150])
def test_the_budget_of_seconds_is_kept_to_a_tenth(games: int) -> None:
    clock = Clock()
    search = PuctSearch(Positions.empty(games, 9), PositionCollector(Slow(clock)), clock=clock)
    search.search(seconds=30.0)
    assert 25.0 <= clock.now - 100.0 <= 33.0


def test_a_tree_that_was_kept_keeps_the_budget_too() -> None:
    """There the root takes no time, which says nothing of what a leaf takes."""
    clock = Clock()
    search = PuctSearch(Positions.empty(1, 11), PositionCollector(Slow(clock, 0.0)), clock=clock)
    search.search(seconds=20.0)
    for _ in range(3):
        before = clock.now
        found = search.search(seconds=0.05)
        assert clock.now - before < 0.07
        search.advance(found.moves)


def test_what_is_proven_stays_so_whatever_the_loser_plays(
    share: Callable[[int, int], int],
) -> None:
    """Also by moves that nobody looked at, since one refutation stood for many."""
    draw = random.Random(1)
    games = kept = lost = 0
    roots = random_roots(600, 5, 11, CPU)
    for row in range(share(150, 600)):
        search = PuctSearch(roots[row : row + 1], PositionCollector(Hashed(2)))
        found = search.search(evaluations=600)
        if int(found.proven[0]) != 1 or len(search.trees[0].nodes) < 20:
            continue
        proven, games = True, games + 1
        while True:
            search.advance(found.moves)
            if bool(search.positions.finished[0]):
                kept += proven
                break
            search.advance(torch.tensor([draw.choice(unseen(search))]))
            if bool(search.positions.finished[0]):
                lost += 1
                break
            found = search.search(evaluations=1)
            proven &= int(found.proven[0]) == 1
            assert_sound(search.trees[0].root, 5)
    assert lost == 0
    assert kept >= games - 3 > 5  # the others are found again


def unseen(search: PuctSearch) -> list[int]:
    """Legal moves that the tree has no proof against, nor the threats: all, if there are none."""
    legal = search.positions.legal_moves()[0].nonzero()[:, 0]
    after = search.positions[torch.zeros_like(legal)].play(legal)
    root = search.trees[0].root
    known = {search._frame.cell(e.cell, root.transposed) for e in root.edges if e.child.proof}
    proven = resolve(after).proven.tolist()
    blank = [m for m, p in zip(legal.tolist(), proven, strict=True) if p != 1 and m not in known]
    return blank or legal.tolist()


def test_the_root_is_evaluated_however_short_the_time() -> None:
    clock = Clock()
    search = PuctSearch(Positions.empty(3, 9), PositionCollector(Slow(clock)), clock=clock)
    found = search.search(seconds=0.001)
    assert found.evaluations.tolist() == [1, 1, 1]
    assert clock.now - 100.0 < 2.0


def test_trees_are_kept_from_move_to_move() -> None:
    """The node behind the move played is the next root, with all that was found behind it."""
    search = PuctSearch(Positions.empty(4, 6), PositionCollector(Hashed(2)))
    found = search.search(evaluations=80)
    search.advance(found.moves)
    behind = found.visits.gather(1, found.moves[:, None])[:, 0]
    values = found.move_values.gather(1, found.moves[:, None])[:, 0]
    roots = [tree.root for tree in search.trees]
    # The visit that made the node is not one of a move behind it.
    assert all(root.visits + 1 >= count for root, count in zip(roots, behind.tolist(), strict=True))
    assert [-root.value for root in roots] == pytest.approx(values.tolist())
    assert [root.stones for root in roots] == [
        min(tree.nodes, key=_stones) for tree in search.trees
    ]
    again = search.search(evaluations=1)
    assert (again.visits.sum(1) >= behind).all()
    search.positions.require_legal(again.moves)


def _stones(pair: tuple[int, int]) -> int:
    return sum(side.bit_count() for side in pair)


def test_a_tree_that_was_kept_proves_what_a_new_one_proves() -> None:
    roots, searches = random_roots(20, 4, 5, CPU), []
    for row in range(len(roots)):
        search = PuctSearch(roots[row : row + 1], PositionCollector(Hashed(2)))
        search.advance(search.search(evaluations=3).moves)
        if not bool(search.positions.finished[0]):
            searches.append(search)
    assert len(searches) > 10
    for search in searches:
        assert_exact(search.positions, search.search(evaluations=PLENTY))


@pytest.mark.parametrize("opening", range(6))
def test_whole_games_are_legal_and_won_by_who_was_proven_to_win(opening: int) -> None:
    roots = Positions.empty(1, 4).play(torch.tensor([opening]))
    search = PuctSearch(roots, PositionCollector(Hashed(7)))
    winner = -int(search.search(evaluations=PLENTY).proven[0])  # Blue is to move
    assert winner
    while not bool(search.positions.finished[0]):
        search.advance(search.search(evaluations=20).moves)
    assert int(search.positions.winner()[0]) == winner


def test_any_legal_move_may_be_played_even_one_nobody_looked_at() -> None:
    search = PuctSearch(Positions.empty(1, 6), PositionCollector(Hashed(1)))
    for _ in range(6):
        found = search.search(evaluations=8)
        unseen = search.positions.legal_moves() & found.move_values.isnan()
        search.advance(unseen.to(torch.int8).argmax(1))
    assert [len(slow_boards(search.positions)), int(search.positions.stones().abs().sum())] == [
        1,
        6,
    ]


def test_memory_is_bounded() -> None:
    search = PuctSearch(
        Positions.empty(2, 8), PositionCollector(Hashed(3)), PuctSettings(max_nodes=150)
    )
    for _ in range(5):
        found = search.search(evaluations=1000)
        assert sum(len(tree.nodes) for tree in search.trees) <= 150 + 2 * 16
        # Where there was no room for a move, nobody has looked.
        assert bool(
            (found.visits > 0)[~found.move_values.isnan() & (found.move_values.abs() < 1)].all()
        )
        search.advance(found.moves)
    kept = [node for tree in search.trees for node in tree.nodes.values() if node.ready]
    assert all(node.priors.base is None and node.cells.base is None for node in kept)


def test_a_tree_of_one_node_leaves_other_boards_alone() -> None:
    roots = Positions.empty(1, 5).play(torch.tensor([7]))
    searched(roots, Hashed(1), 1, max_nodes=1)
    assert not bool(Positions.empty(2, 5).stones().any())


def test_a_lost_position_is_played_on_by_policy_and_a_won_one_to_its_end() -> None:
    lost = positions_of([SlowBoard(((1, 0, 0), (1, 0, 0), (0, 0, 0)), -1)])
    found = searched(lost, Hashed(1))
    assert found.proven.tolist() == [-1]
    lost.require_legal(found.moves)


def test_unusable_budgets_roots_and_settings_are_refused() -> None:
    roots = Positions.empty(2, 3)
    search = PuctSearch(roots, PositionCollector(Uniform()))
    for budget in ({}, {"evaluations": 0}, {"seconds": 0.0}, {"seconds": float("nan")}):
        with pytest.raises(SettingError):
            search.search(**budget)
    for settings in ({"leaves": 0}, {"max_nodes": 0}):
        with pytest.raises(SettingError):
            PuctSettings(**settings)
    finished = positions_of([SlowBoard(((1, -1), (1, -1)), -1)])
    for refused in (finished, roots[:0]):
        with pytest.raises(ShapeError):
            PuctSearch(refused, PositionCollector(Uniform()))
    with pytest.raises(IllegalMoveError):
        search.advance(torch.tensor([4, 9]))


def test_a_finished_game_is_not_searched_on() -> None:
    search = PuctSearch(Positions.empty(1, 1), PositionCollector(Uniform()))
    search.advance(search.search(evaluations=1).moves)
    with pytest.raises(ShapeError):
        search.search(evaluations=1)


def test_the_leaves_of_a_round_change_the_tree() -> None:
    roots = Positions.empty(1, 8)
    assert not torch.equal(
        searched(roots, Hashed(1), 100).visits, searched(roots, Hashed(1), 100, leaves=3).visits
    )
