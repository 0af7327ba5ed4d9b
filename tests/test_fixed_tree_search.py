"""The batched search against the slow reference, with toy evaluators whose answers are exact.

Every random test is seeded and none can fail by chance: both sides see the same positions, the same
noise and the same evaluations.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from evaluators import Hashed, Table, Toy, Uniform, random_roots, slow_boards
from reference import SlowBoard, SlowSearch, slow_search
from torch import Tensor

from hex_ai.errors import SettingError, ShapeError
from hex_ai.game.positions import Positions
from hex_ai.inference import fixed_tree_search
from hex_ai.inference.fixed_tree_search import (
    SearchTree,
    back_up,
    build_search_tree_with_collection,
    check_widths,
    expand,
)
from hex_ai.inference.global_collector import GlobalPositionCollector
from hex_ai.inference.position_collector import Collector, PositionCollector
from hex_ai.keyed_random import gumbel_noise

Share = Callable[[int, int], int]

WIDTHS = [(3, 2), (5, 4, 3), (2, 2, 2, 2), (1,), (8, 4), (2, 1, 2, 1, 2, 1), (60, 2)]
TOYS: dict[str, Callable[[], Toy]] = {
    "uniform": Uniform,
    "coarse": lambda: Hashed.coarse(1, finished_value=math.nan),
    "fine": lambda: Hashed(2),
}
TEMPERATURES = (0.0, 1.0, 0.3)
VALUE_WEIGHTS = (math.inf, 0.0, 1.5, math.inf)


@dataclass(frozen=True)
class Asked:
    """What a search is asked: roots, and for each its own noise and settings."""

    roots: Positions
    noise: Tensor
    temperature: Tensor
    value_weight: Tensor

    @staticmethod
    def about(roots: Positions) -> "Asked":
        """Settings in turn, so that unlike ones share each batch."""
        rows = torch.arange(len(roots), device=roots.device)
        turns = [
            torch.tensor(several, dtype=torch.float64, device=roots.device)[rows % len(several)]
            for several in (TEMPERATURES, VALUE_WEIGHTS)
        ]
        return Asked(roots, gumbel_noise(0, rows, rows % 7, roots.moves), *turns)

    def __getitem__(self, rows: Tensor) -> "Asked":
        return Asked(
            self.roots[rows], self.noise[rows], self.temperature[rows], self.value_weight[rows]
        )

    def search(self, widths: Sequence[int], collector: Collector) -> SearchTree:
        return build_search_tree_with_collection(
            self.roots,
            widths,
            self.temperature,
            collector,
            noise=self.noise,
            value_weight=self.value_weight,
        )

    def slow(self, widths: Sequence[int], toy: Toy) -> list[SlowSearch]:
        rows = (self.noise, self.temperature, self.value_weight)
        settings = zip(*(tensor.tolist() for tensor in rows), strict=True)
        return [
            slow_search(board, widths, toy.slow, *row)
            for board, row in zip(slow_boards(self.roots), settings, strict=True)
        ]


def assert_found(tree: SearchTree, slow: Sequence[SlowSearch]) -> None:
    """The tree holds what the slow searches found: all exact, but for the exponentials."""
    columns = (tree.candidates.cells, tree.candidates.log_priors.exp(), tree.q)
    for row, (mask, one) in enumerate(zip(tree.candidates.legal, slow, strict=True)):
        cells, priors, q = (column[row][mask].tolist() for column in columns)
        assert cells == one.candidates
        assert priors == pytest.approx(one.priors, rel=1e-6)
        assert q == one.q
        policy = tree.improved_policy[row].tolist()
        assert policy == pytest.approx(one.improved_policy, rel=1e-6, abs=1e-9)
    assert tree.chosen.tolist() == [one.chosen for one in slow]
    assert tree.values.tolist() == [one.root_value for one in slow]


def tensors(part: object) -> list[Tensor]:
    """All tensors of a tree, whatever dataclasses and tuples they lie in."""
    if isinstance(part, Tensor):
        return [part]
    if isinstance(part, tuple):
        return [tensor for entry in part for tensor in tensors(entry)]
    assert dataclasses.is_dataclass(part)
    return [t for field in dataclasses.fields(part) for t in tensors(getattr(part, field.name))]


def assert_same_rows(tree: SearchTree, other: SearchTree, rows: Tensor) -> None:
    """The tree is, bit for bit and with the signs of zeros, these rows of the other."""
    for one, whole in zip(tensors(tree), tensors(other), strict=True):
        same = whole[rows]
        assert one.dtype == same.dtype
        assert torch.equal(one, same)
        if one.is_floating_point():
            assert torch.equal(one.signbit(), same.signbit())


@pytest.mark.timeout(900)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("name", TOYS)
def test_search_agrees_with_the_reference(
    name: str, widths: tuple[int, ...], share: Share, device: torch.device
) -> None:
    """Positions of all plies; each level of some tree must hold won nodes and masked ones."""
    toy = TOYS[name]()
    seen = torch.zeros(len(widths), 2, dtype=torch.bool)
    for size, few, whole in ((3, 24, 300), (4, 16, 200), (5, 12, 200), (8, 4, 60), (11, 2, 40)):
        asked = Asked.about(random_roots(share(few, whole), size, size + len(widths), device))
        before = toy.requests
        tree = asked.search(widths, PositionCollector(toy))
        slow = asked.slow(widths, toy)
        assert_found(tree, slow)
        assert toy.requests - before == sum(one.requests for one in slow)
        boards = slow_boards(asked.roots)
        answers = [toy.slow(board) for board in boards]
        assert tree.network_values.tolist() == [value for _, value in answers]
        assert tree.preferred.tolist() == [
            min(board.legal(), key=lambda cell: (-logits[cell], cell))
            for board, (logits, _) in zip(boards, answers, strict=True)
        ]
        for found, level in zip(seen, tree.levels, strict=True):
            found |= torch.tensor([(level.finished & level.real).any(), (~level.real).any()])
    assert seen[1:].all()
    assert seen[0, 0]
    assert seen[0, 1] or widths[0] == 1  # a root has a move


def walk(
    levels: list[list[list[float]]], widths: Sequence[int], place: int, board: SlowBoard, toy: Toy
) -> tuple[float, list[int]]:
    """Checks a node and all under it; gives its value and its count of nodes at each level.

    `levels` are those of one game from the node's own on: cells, real, finished and values.
    """
    _, _, finished, values = levels[0]
    value, counts = toy.slow(board)[1], [0] * (len(levels) - 1)
    if board.winner():
        value = -1.0
    elif len(levels) > 1:
        below = []
        for child in range(place * widths[1], (place + 1) * widths[1]):
            cell = int(levels[1][0][child])
            assert levels[1][1][child] == (cell in board.legal())
            if cell in board.legal():
                child_value, found = walk(levels[1:], widths[1:], child, board.play(cell), toy)
                below.append(-child_value)
                counts = [one + other for one, other in zip(counts, found, strict=True)]
        value = max(below)
    assert finished[place] == (board.winner() != 0)
    assert values[place] == value
    return value, [1, *counts]


@pytest.mark.parametrize("size", [3, 6])
@pytest.mark.parametrize("widths", [(3, 2), (5, 4, 3), (2, 2, 2, 2)], ids=str)
def test_levels_hold_the_nodes_and_values_they_say(
    size: int, widths: tuple[int, ...], share: Share, device: torch.device
) -> None:
    toy = Hashed(5, finished_value=math.nan)
    asked = Asked.about(random_roots(share(16, 100), size, 3, device))
    tree = asked.search(widths, PositionCollector(toy))
    for depth, level in enumerate(tree.levels):
        assert level.cells.shape == (len(asked.roots), math.prod(widths[: depth + 1]))
        assert (level.finished | level.real).all()
    for row, root in enumerate(slow_boards(asked.roots)):
        levels = [[tensor[row].tolist() for tensor in tensors(level)] for level in tree.levels]
        counts = [0] * len(levels)
        for place, cell in enumerate(levels[0][0]):
            if cell in root.legal():
                _, found = walk(levels, widths, place, root.play(int(cell)), toy)
                counts = [one + other for one, other in zip(counts, found, strict=True)]
        # Whatever else a level holds has no place in the tree.
        assert counts == [sum(real) for _, real, _, _ in levels]


def test_a_tree_worked_out_by_hand(device: torch.device) -> None:
    """Red's a1 promises most, but Blue has an answer to it; b1 promises less and is safe."""
    empty = SlowBoard.empty(3)
    values_for_red = {(0, 1): 0.75, (0, 2): -0.5, (1, 0): 0.25, (1, 2): 0.5}
    table: dict[SlowBoard, tuple[list[float], float]] = {empty: ([3.0, 2.0, *[0.0] * 7], 0.0)}
    for (first, second), value in values_for_red.items():
        after = empty.play(first)
        seen_by_blue = second * 3  # of the first row, mirrored
        logits, _ = table.setdefault(after, ([0.0] * 9, 0.0))
        logits[seen_by_blue] = 1.0
        table[after.play(seen_by_blue)] = ([0.0] * 9, value)
    tree = build_search_tree_with_collection(
        Positions.empty(1, 3, device), (2, 2), 0.0, PositionCollector(Table(table))
    )
    assert tree.candidates.cells.tolist() == [[0, 1]]
    assert tree.levels[1].cells.tolist() == [[3, 6, 0, 6]]
    assert tree.levels[0].values.tolist() == [[0.5, -0.25]]
    assert tree.q.tolist() == [[-0.5, 0.25]]
    assert (tree.preferred.item(), tree.chosen.item(), tree.values.item()) == (0, 1, 0.25)


@pytest.mark.parametrize("games", [1, 200])
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_one_batch_a_level_whatever_the_number_of_games(
    widths: tuple[int, ...], games: int, device: torch.device
) -> None:
    """At (3, 2) a search asks 10 times: the boards are empty, so nothing is won or masked."""
    toy = Uniform()
    Asked.about(Positions.empty(games, 9, device)).search(widths, PositionCollector(toy))
    assert toy.calls == len(widths) + 1
    each = sum(math.prod(widths[:depth]) for depth in range(len(widths) + 1))
    assert toy.requests == toy.rows == each * games
    assert each == 10 or widths != (3, 2)


@pytest.mark.parametrize("size", [3, 5, 11])
@pytest.mark.parametrize("widths", [(3, 2), (5, 4, 3), (2, 1, 2, 1, 2, 1)], ids=str)
def test_a_game_does_not_notice_the_games_beside_it(
    size: int, widths: tuple[int, ...], share: Share, device: torch.device
) -> None:
    """Together, shuffled and one at a time; coarse values tell whether -0 and +0 get mixed up."""
    asked = Asked.about(random_roots(37, size, 9, device))
    order = torch.randperm(37, generator=torch.Generator().manual_seed(1)).to(device)
    for toy in (Hashed.coarse(7), Hashed(7)):
        together = asked.search(widths, PositionCollector(toy))
        for rows in (order, *order[: share(10, 37), None]):
            assert_same_rows(asked[rows].search(widths, PositionCollector(toy)), together, rows)


def test_every_collector_gives_the_same_tree(device: torch.device) -> None:
    asked = Asked.about(random_roots(20, 5, 4, device))
    rows = torch.arange(20, device=device)
    together = asked.search((3, 2, 2), PositionCollector(Hashed.coarse(8)))
    for limit in (1, 7, 1000):
        toy = Hashed.coarse(8)
        assert_same_rows(asked.search((3, 2, 2), PositionCollector(toy, limit)), together, rows)
        leaves = int((~together.levels[-1].finished).sum())
        assert toy.largest == min(limit, leaves)
        assert toy.rows == toy.requests, "who asks about few does not ask about finished ones"
    toy = Hashed.coarse(8)
    with GlobalPositionCollector(toy) as collector:
        assert_same_rows(asked.search((3, 2, 2), collector), together, rows)
    assert toy.calls == 4


@pytest.mark.parametrize("claim", [1.0, 0.0, math.nan])
def test_a_joined_chain_decides_whatever_the_evaluator_says(
    claim: float, device: torch.device
) -> None:
    """Won nodes are worth -1 to their mover, winning moves +1, and one of those is chosen."""
    toy = Hashed(4, finished_value=claim)
    roots = random_roots(60, 4, 6, device)
    tree = build_search_tree_with_collection(roots, (16, 3), 0.0, PositionCollector(toy))
    for level in tree.levels:
        assert (level.values[level.finished] == -1).all()
        assert (level.values.abs() <= 1).all()
    winners = 0
    for row, root in enumerate(slow_boards(roots)):
        winning = [cell for cell in root.legal() if root.play(cell).winner()]
        q = dict(zip(tree.candidates.cells[row].tolist(), tree.q[row].tolist(), strict=True))
        assert [cell for cell in root.legal() if q[cell] == 1] == winning  # the toy's are below 1
        assert not winning or (tree.chosen[row].item() in winning and tree.values[row].item() == 1)
        winners += bool(winning)
    assert 10 < winners < 60


def test_pure_steps_expand_and_back_up(device: torch.device) -> None:
    roots = Positions.empty(2, 3, device).play(torch.tensor([4, 0], device=device))
    cells = torch.tensor([[0, 4, 8], [1, 2, 0]], device=device)
    legal = torch.tensor([[True, False, True], [True, True, False]], device=device)
    children = expand(roots, cells, legal)
    assert children.finished.tolist() == (~legal.flatten()).tolist()
    boards = slow_boards(roots)
    played = [boards[k // 3].play(int(c)) for k, c in enumerate(cells.flatten()) if k not in (1, 5)]
    assert slow_boards(children[~children.finished]) == played

    values = torch.tensor([[0.5, -0.25, 1.0, -1.0, 0.25, -0.75]], device=device)
    real = torch.tensor([[True, True, True, False, False, False]], device=device)
    finished = torch.tensor([[False, True]], device=device)
    assert back_up(values, real, finished).tolist() == [[0.25, -1.0]]


def maximum_at_every_ply(children: Tensor, real: Tensor, finished: Tensor) -> Tensor:
    """A fault that such searches have had: no change of sign."""
    q = children.masked_fill(~real, -math.inf).view(*finished.shape, -1)
    return q.amax(2).masked_fill(finished, -1.0)


@pytest.mark.parametrize("widths", [widths for widths in WIDTHS if len(widths) > 1], ids=str)
def test_a_maximum_at_every_ply_is_noticed(
    widths: tuple[int, ...], device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = Hashed(2)
    asked = Asked.about(random_roots(8, 5, 1, device))
    slow = asked.slow(widths, toy)
    assert_found(asked.search(widths, PositionCollector(toy)), slow)
    monkeypatch.setattr(fixed_tree_search, "back_up", maximum_at_every_ply)
    with pytest.raises(AssertionError):
        assert_found(asked.search(widths, PositionCollector(toy)), slow)


@pytest.mark.parametrize(
    "widths", [(), (1,) * 7, (0,), (3, -1), (2.0,), ("3", "2"), (100, 1001), (10, 10, 10, 10, 11)]
)
def test_unusable_widths_are_refused(widths: tuple[int, ...], device: torch.device) -> None:
    with pytest.raises(SettingError):
        check_widths(widths)
    toy = Uniform()
    with pytest.raises(SettingError):
        build_search_tree_with_collection(
            Positions.empty(1, 3, device), widths, 0.0, PositionCollector(toy)
        )
    assert not toy.calls


def test_widths_up_to_the_limits_are_kept_as_a_tuple() -> None:
    assert check_widths([3, 2]) == (3, 2)
    assert check_widths((1,) * 6) == (1,) * 6
    assert check_widths((100, 1000)) == (100, 1000)


@pytest.mark.parametrize("temperature", [0.5, -1.0, math.nan, (0.0, 0.25), (0.0, -1.0)])
def test_a_temperature_wants_noise_and_is_not_negative(
    temperature: float | tuple[float, ...], device: torch.device
) -> None:
    temperatures, roots = torch.tensor(temperature), Positions.empty(2, 3, device)
    build_search_tree_with_collection(roots, (2,), 0, PositionCollector(Uniform()))
    with pytest.raises(SettingError):
        build_search_tree_with_collection(roots, (2,), temperatures, PositionCollector(Uniform()))
    if bool((temperatures < 0).any()):
        with pytest.raises(SettingError):
            build_search_tree_with_collection(
                roots, (2,), temperatures, PositionCollector(Uniform()), noise=torch.zeros(2, 9)
            )


def test_finished_roots_and_no_roots_are_refused(device: torch.device) -> None:
    moves = torch.tensor([[0, 0], [4, 4], [3, 1], [8, 8], [6, 2]], device=device)
    roots = Positions.empty(2, 3, device)
    for move in moves:  # Red fills the first column of one board, the first row of the other
        roots = roots.play(move)
    assert roots.finished.tolist() == [True, False]
    for refused in (roots, roots[:1], roots[:0]):
        with pytest.raises(ShapeError):
            build_search_tree_with_collection(refused, (2,), 0.0, PositionCollector(Uniform()))
