"""Chains of virtual connections against exact solvers.

Every random test is seeded and compares exactly: none can fail by chance.
"""

from collections.abc import Callable
from functools import cache
from itertools import product

import pytest
import torch
from read_counter import ReadCounter
from reference import BLUE, RED, TOUCHING, SlowBoard, solve
from torch import Tensor

from hex_ai.game.connections import TEMPLATES, ZIGGURAT, opponent_has_won
from hex_ai.game.positions import Positions

Share = Callable[[int, int], int]
Cell = tuple[int, int]


class Joining:
    """An exact solver of one question: do the stones join the start to the goal?

    Cells are bits of a mask. Each answer comes with the cells that its winner needs: the loser's
    moves outside them change nothing, so only moves within all such sets found so far need a look.
    """

    def __init__(self, cells: list[Cell], start: set[Cell], goal: set[Cell]) -> None:
        bit = {cell: 1 << k for k, cell in enumerate(cells)}
        self.touching = {
            bit[row, col]: sum(bit.get((row + down, col + right), 0) for down, right in TOUCHING)
            for row, col in cells
        }
        self.start = sum(bit[cell] for cell in start)
        self.goal = sum(bit[cell] for cell in goal)
        self.bit = bit
        self.known: dict[tuple[int, int], tuple[bool, int]] = {}

    def mask(self, cells: list[Cell]) -> int:
        return sum(self.bit[cell] for cell in cells)

    def missing(self, empty: int, own: int) -> int:
        """How many stones at least are missing, or 99."""
        reached, front = 0, self.start
        for stones in range(99):
            while found := front & own & ~reached:
                reached |= found
                front |= self.around(found)
            if reached & self.goal:
                return stones
            added = front & empty & ~reached
            if not added:
                return 99
            reached |= added
            front |= self.around(added)
        return 99

    def around(self, mask: int) -> int:
        near = 0
        while mask:
            lowest = mask & -mask
            near |= self.touching[lowest]
            mask ^= lowest
        return near

    def holds(self, empty: int, own: int) -> tuple[bool, int]:
        """Whether the stones join although the other side moves next, and the cells needed."""
        if (empty, own) not in self.known:
            self.known[empty, own] = self._answer(empty, own, self._intrude)
        return self.known[empty, own]

    def wins(self, empty: int, own: int) -> tuple[bool, int]:
        """The same when the stones' own side moves next."""
        return self._answer(empty, own, self._extend)

    def _answer(
        self, empty: int, own: int, search: Callable[[int, int], tuple[bool, int]]
    ) -> tuple[bool, int]:
        missing = self.missing(empty, own)
        return (missing == 0, 0) if missing in (0, 99) else search(empty, own)

    def _intrude(self, empty: int, own: int) -> tuple[bool, int]:
        used, hurting = 0, empty
        for move in sorted(bits(empty), key=lambda one: -self.missing(empty & ~one, own)):
            if move & hurting:
                joined, needed = self.wins(empty & ~move, own)
                if not joined:
                    return False, needed | move
                used, hurting = used | needed, hurting & needed
        return True, used

    def _extend(self, empty: int, own: int) -> tuple[bool, int]:
        used, helping = 0, empty
        for move in sorted(bits(empty), key=lambda one: self.missing(empty & ~one, own | one)):
            if move & helping:
                joined, needed = self.holds(empty & ~move, own | move)
                if joined:
                    return True, needed | move
                used, helping = used | needed, helping & needed
        return False, used


def bits(mask: int) -> list[int]:
    return [1 << k for k in range(mask.bit_length()) if mask >> k & 1]


@cache
def whole_board(size: int) -> Joining:
    cells = list(product(range(size), repeat=2))
    first = {cell for cell in cells if cell[0] == 0}
    return Joining(cells, first, {cell for cell in cells if cell[0] == size - 1})


def mover_loses(seen: list[list[int]]) -> bool:
    """Exactly, for a board as the mover sees it: +1 the mover's stones, -1 the opponent's."""
    size = len(seen)
    board = whole_board(size)
    cells = list(product(range(size), repeat=2))
    empty = board.mask([(col, row) for row, col in cells if seen[row][col] == 0])
    own = board.mask([(col, row) for row, col in cells if seen[row][col] == -1])
    return board.holds(empty, own)[0]


def placed(stones: Tensor, blue_to_move: Tensor, device: torch.device) -> Positions:
    """The given boards, without those where the mover has joined already."""
    rows = zip(stones.tolist(), blue_to_move.tolist(), strict=True)
    kept = [not mover_has_joined(board, blue) for board, blue in rows]
    return Positions.from_stones(stones[kept].to(device), blue_to_move[kept].to(device))


def mover_has_joined(board: list[list[int]], blue_to_move: bool) -> bool:
    mover = BLUE if blue_to_move else RED
    return SlowBoard(tuple(map(tuple, board)), mover).winner() == mover


def random_boards(size: int, count: int, seed: int, device: torch.device) -> Positions:
    """Cells drawn one by one, with shares of empty, Red and Blue cells that differ by board."""
    generator = torch.Generator().manual_seed(seed)
    empty = 0.1 + 0.6 * torch.rand(count, 1, 1, generator=generator)
    red = (1 - empty) * (0.3 + 0.4 * torch.rand(count, 1, 1, generator=generator))
    draw = torch.rand(count, size, size, generator=generator)
    stones = torch.where(draw < empty, 0, torch.where(draw < empty + red, RED, BLUE))
    return placed(stones, torch.rand(count, generator=generator) < 0.5, device)


def random_play(size: int, games: int, seed: int, device: torch.device) -> Positions:
    """All positions of games of uniform play but the last ones."""
    generator = torch.Generator().manual_seed(seed)
    positions, seen = Positions.empty(games, size, device), []
    for _ in range(size * size):
        legal = positions.legal_moves().cpu()
        draws = torch.rand(legal.shape, generator=generator).masked_fill(~legal, -1.0)
        positions = positions.play(draws.argmax(1).to(device))
        seen.append(positions[~positions.finished])
    return Positions.cat(seen)


def unfinished_proven(positions: Positions) -> Positions:
    return positions[opponent_has_won(positions) & ~positions.finished]


def picture(text: str, blue_to_move: bool = False) -> Positions:
    """A board as the mover sees it: `x` the mover's stones (top to bottom), `o` the opponent's."""
    seen = torch.tensor([["o.x".index(cell) - 1 for cell in line] for line in text.split()])
    board = -seen.mT if blue_to_move else seen
    return Positions.from_stones(board[None], torch.tensor([blue_to_move]))


def test_every_board_of_size_3_is_sound(device: torch.device) -> None:
    boards = torch.tensor(list(product((0, RED, BLUE), repeat=9))).view(-1, 3, 3)
    stones, blue = boards.repeat(2, 1, 1), torch.arange(2 * len(boards)) >= len(boards)
    positions = placed(stones, blue, device)
    proven = opponent_has_won(positions).tolist()
    assert all(opponent_has_won(positions[positions.finished]))
    rows = zip(positions.board().tolist(), positions.blue_to_move.tolist(), strict=True)
    lost = [
        solve(SlowBoard(tuple(map(tuple, board)), BLUE if blue else RED)) < 0
        for board, blue in rows
    ]
    assert all(says <= known for says, known in zip(proven, lost, strict=True))
    assert sum(proven) > 0.96 * sum(lost)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("size", "most_empty"), [(1, 1), (2, 4), (3, 9), (4, 16), (5, 15), (6, 17), (7, 18), (8, 20)]
)
def test_what_is_proven_is_lost_for_the_mover(
    size: int, most_empty: int, share: Share, device: torch.device
) -> None:
    """Boards with few enough empty cells for the solver."""
    count = share(1500, 15000)
    boards = random_boards(size, count, size, device)
    positions = Positions.cat([boards, random_play(size, count // 20, size, device)])
    positions = positions[(positions.stones() == 0).sum((1, 2)) <= most_empty]
    proven = unfinished_proven(positions)
    assert len(proven) > count // 20 or size < 3
    wrong = [seen for seen in proven.stones().tolist() if not mover_loses(seen)]
    assert not wrong[:1]


@pytest.mark.parametrize("size", [3, 4])
def test_the_solvers_agree(size: int, device: torch.device) -> None:
    positions = random_boards(size, 100, 90 + size, device)
    rows = zip(positions.board().tolist(), positions.blue_to_move.tolist(), strict=True)
    slow = [
        solve(SlowBoard(tuple(map(tuple, board)), BLUE if blue else RED)) for board, blue in rows
    ]
    fast = [-1 if mover_loses(seen) else +1 for seen in positions.stones().tolist()]
    assert fast == slow
    assert {*slow} == {+1, -1}


def holds(steps: list[Cell]) -> bool:
    """Whether a stone joins the edge below, of the row of the last steps, with these cells only."""
    goal = {cell for cell in steps if cell[0] == max(row for row, _ in steps)}
    start = {cell for cell in steps if cell in TOUCHING}
    area = Joining(steps, start, goal)
    return area.holds(area.mask(steps), 0)[0]


@pytest.mark.parametrize("steps", TEMPLATES)
def test_templates_hold_and_need_every_cell(steps: tuple[Cell, ...]) -> None:
    assert holds(list(steps))
    for spared in steps:
        assert not holds([cell for cell in steps if cell != spared]), spared


def with_template(steps: tuple[Cell, ...], size: int, column: int) -> list[list[int]]:
    """As the opponent sees it: a column of stones down to a template, the mover all around."""
    low = size - 1 - max(row for row, _ in steps)
    board = [[+1] * size for _ in range(size)]
    for row in range(low + 1):
        board[row][column] = -1
    for row, col in steps:
        if 0 <= column + col < size:
            board[low + row][column + col] = 0
    return board


def seen_by_mover(boards: list[list[list[int]]]) -> Positions:
    seen = torch.tensor(boards).mT
    return placed(seen, torch.zeros(len(boards), dtype=torch.bool), torch.device("cpu"))


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("steps", TEMPLATES)
def test_templates_prove_wherever_they_fit_on_the_board(
    steps: tuple[Cell, ...], rotated: bool
) -> None:
    size = 9
    for column in range(size):
        board = with_template(steps, size, column)
        fits = all(0 <= column + col < size for _, col in steps)
        low = size - 1 - max(row for row, _ in steps)
        spoilt = []
        for row, col in steps:
            if fits:
                other = [list(line) for line in board]
                other[low + row][column + col] = +1
                spoilt.append(other)
        boards = [board, *spoilt]
        if rotated:
            boards = [[line[::-1] for line in one[::-1]] for one in boards]
        assert opponent_has_won(seen_by_mover(boards)).tolist() == [fits] + [False] * len(spoilt)


def test_cells_of_a_template_may_hold_own_stones() -> None:
    board = with_template(ZIGGURAT, 6, 3)
    row, col = ZIGGURAT[-1]
    board[3 + row][3 + col] = -1
    assert opponent_has_won(seen_by_mover([board])).tolist() == [True]


@pytest.mark.parametrize("blue_to_move", [False, True])
@pytest.mark.parametrize(
    ("text", "proven"),
    [
        # Two stones bridged to both edges, then with one cell of a bridge taken.
        ("xxx. .oo. .xxx xxxx", True),
        ("xxx. .oo. xxxx xxxx", False),
        # Two links overlap in the middle cell; in the second board one has another pair of cells.
        ("xxo o.. .ox", False),
        ("xxo o.. .o.", True),
        # Again two links that overlap, in the first cell of both.
        ("xxoo xo.x x.ox o.xx", False),
        # A bridge into the corner of the board, and what would be one had the rim a cell there.
        ("xxx .oo .xx", True),
        ("xxx xxx .oo", False),
        ("oo. xxx xxx", False),
    ],
)
def test_links_hold_if_their_cells_are_apart(text: str, proven: bool, blue_to_move: bool) -> None:
    positions = picture(text, blue_to_move)
    assert opponent_has_won(positions).tolist() == [proven]
    assert mover_loses(positions.stones()[0].tolist()) == proven


@pytest.mark.parametrize("size", [1, 2, 3, 19])
def test_empty_boards_prove_nothing_and_finished_ones_count(
    size: int, device: torch.device
) -> None:
    empty = Positions.empty(3, size, device)
    assert not opponent_has_won(empty).any()
    assert opponent_has_won(empty[:0]).shape == (0,)
    over = random_play(size, 4, 1, device)
    over = over if len(over) else empty
    assert opponent_has_won(over.retire(torch.ones_like(over.finished))).all()


def test_a_stone_in_the_middle_of_size_5_has_won_and_ends_the_game(device: torch.device) -> None:
    middle = Positions.empty(1, 5, device).play(torch.tensor([12], device=device))
    assert opponent_has_won(middle).tolist() == [True]


@pytest.mark.parametrize("size", [2, 5, 11, 19])
def test_rows_are_independent(size: int, device: torch.device) -> None:
    positions = Positions.cat(
        [random_boards(size, 150, size, device), random_play(size, 2, size, device)]
    )
    proven = opponent_has_won(positions)
    assert 0 < int(proven.sum()) < len(proven)
    shuffled = torch.randperm(len(proven), generator=torch.Generator().manual_seed(0)).to(device)
    assert torch.equal(opponent_has_won(positions[shuffled]), proven[shuffled])
    for row in range(0, len(proven), 7):
        assert torch.equal(opponent_has_won(positions[row : row + 1]), proven[row : row + 1])


@pytest.mark.parametrize(("size", "found"), [(4, 661), (7, 704), (11, 721)])
def test_no_fewer_wins_are_found_than_before(size: int, found: int, device: torch.device) -> None:
    """Soundness alone would be had by finding nothing."""
    assert len(unfinished_proven(random_boards(size, 4000, 20 + size, device))) >= found


@pytest.mark.parametrize("size", [1, 3, 11])
def test_nothing_is_read_from_a_device_that_must_be_waited_for(
    size: int, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = random_boards(size, 20, size, device)
    monkeypatch.setattr("hex_ai.game.compiled.usable", lambda device: False)
    expected = opponent_has_won(positions)  # tables that are made once may cross over
    monkeypatch.setattr("hex_ai.game.connections._can_read", lambda device: False)
    with ReadCounter() as counter:
        found = opponent_has_won(positions)
    assert counter.reads == 0
    assert torch.equal(found, expected)


def test_both_sides_of_a_swap_of_colours_agree(device: torch.device) -> None:
    positions = random_boards(6, 400, 6, device)
    other = Positions.from_stones(-positions.board().mT, ~positions.blue_to_move)
    assert torch.equal(opponent_has_won(other), opponent_has_won(positions))
