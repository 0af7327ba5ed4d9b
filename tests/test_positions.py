"""`Positions` against the slow reference, OpenSpiel and the theorems of Hex.

Every random test is seeded and compares exactly: none can fail by chance.
"""

from collections.abc import Callable

import pytest
import torch
from reference import BLUE, RED, SlowBoard, canonical, cell_name, count_reachable, reachable
from torch import Tensor

from hex_ai.errors import IllegalMoveError, SettingError, ShapeError
from hex_ai.game.positions import Positions

Share = Callable[[int, int], int]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_moves(positions: Positions, generator: torch.Generator) -> Tensor:
    """One uniform legal move a row; cell 0 where the game is over. Drawn on the CPU: the same
    games on every device."""
    legal = positions.legal_moves().cpu()
    draws = torch.rand(legal.shape, generator=generator).masked_fill(~legal, -1.0)
    return draws.argmax(dim=1).to(positions.device)


def random_positions(batch: int, size: int, seed: int, device: torch.device) -> Positions:
    """Rows of uniform play, each stopped after a number of moves of its own, some at the end."""
    generator = seeded(seed)
    lengths = torch.randint(0, size * size + 1, (batch,), generator=generator).to(device)
    positions = Positions.empty(batch, size, device)
    stopped = [positions[lengths == 0]]
    for ply in range(1, size * size + 1):
        positions = positions.play(random_moves(positions, generator))
        stopped.append(positions[lengths == ply])
    return Positions.cat(stopped)


def assert_same_state(first: Positions, second: Positions) -> None:
    """Bit for bit the same rows, group labels included."""
    assert torch.equal(first.labels, second.labels)
    assert torch.equal(first.blue_to_move, second.blue_to_move)
    assert torch.equal(first.finished, second.finished)


def slow_facts(board: SlowBoard) -> tuple[list[list[int]], bool, int, list[bool]]:
    legal = set(board.legal())
    mask = [cell in legal for cell in range(board.size**2)]
    return canonical(board), board.mover == BLUE, board.winner(), mask


def fast_facts(positions: Positions) -> list[tuple[list[list[int]], bool, int, list[bool]]]:
    rows = zip(
        positions.stones().tolist(),
        positions.blue_to_move.tolist(),
        positions.winner().tolist(),
        positions.legal_moves().tolist(),
        strict=True,
    )
    return list(rows)


def slow_board(stones: list[list[int]], mover: int) -> SlowBoard:
    return SlowBoard(tuple(tuple(line) for line in stones), mover)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("size", "few", "whole"),
    [
        (3, 1000, 4000),
        (4, 600, 2500),
        (5, 400, 2000),
        (7, 150, 1000),
        (11, 50, 400),
        (13, 30, 200),
        (19, 12, 100),
    ],
)
def test_random_games_agree_with_the_reference_at_every_ply(
    size: int, few: int, whole: int, share: Share, device: torch.device
) -> None:
    """Stones, mover, winner and legal moves; a third of the games begin with a swap."""
    games = share(few, whole)
    generator = seeded(size)
    fast = Positions.empty(games, size, device)
    slow = [SlowBoard.empty(size)] * games
    facts = [slow_facts(board) for board in slow]
    assert fast_facts(fast) == facts
    for ply in range(size * size):
        moves = random_moves(fast, generator)
        fast = fast.play(moves)
        for row, move in enumerate(moves.tolist()):
            if not slow[row].winner():
                slow[row] = slow[row].play(move)
                facts[row] = slow_facts(slow[row])
        assert fast_facts(fast) == facts, f"after {ply + 1} moves"
        assert fast.finished.tolist() == [board.winner() != 0 for board in slow]
        if ply == 0:
            fast = fast.swap(torch.arange(games, device=device) % 3 == 0)
            slow[::3] = [board.swap() for board in slow[::3]]
            facts[::3] = [slow_facts(board) for board in slow[::3]]
            assert fast_facts(fast) == facts, "after the swap"
    assert fast.finished.all()  # a full board has a winner, so every game has ended
    assert fast.board().tolist() == [[list(line) for line in board.stones] for board in slow]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("size", "few", "whole"), [(2, 50, 50), (3, 100, 150), (5, 60, 150), (8, 30, 100), (11, 15, 60)]
)
def test_random_games_agree_with_open_spiel_at_every_ply(
    size: int, few: int, whole: int, share: Share, device: torch.device
) -> None:
    """There, too, the first player (`x`, player 0) joins top to bottom and actions are
    `row * size + col` of the board as it lies, which the names of the actions confirm."""
    pyspiel = pytest.importorskip(
        "pyspiel", reason="OpenSpiel is not installed", exc_type=ImportError
    )
    game = pyspiel.load_game(f"hex(board_size={size})")
    start = game.new_initial_state()
    names = [start.action_to_string(action) for action in range(size * size)]
    assert names == [cell_name(cell, size) for cell in range(size * size)]

    colours = {"x": RED, "o": BLUE, ".": 0}
    generator = seeded(100 + size)
    positions = Positions.empty(share(few, whole), size, device)
    states = [start.clone() for _ in range(len(positions))]
    while not positions.finished.all():
        moves = random_moves(positions, generator)
        for state, action in zip(states, positions.to_board_cells(moves).tolist(), strict=True):
            if not state.is_terminal():
                state.apply_action(action)
        positions = positions.play(moves)

        boards = positions.board().flatten(1).tolist()
        assert boards == [[colours[sign] for sign in str(state).split()] for state in states]
        assert positions.winner().tolist() == [int(state.returns()[0]) for state in states]
        assert positions.finished.tolist() == [state.is_terminal() for state in states]
        every_cell = torch.arange(size * size, device=device).expand(len(positions), -1)
        legal = positions.legal_moves().gather(1, positions.to_board_cells(every_cell))
        for row, state in enumerate(states):
            cells = legal[row].nonzero().flatten().tolist()
            assert cells == ([] if state.is_terminal() else state.legal_actions())
            if not state.is_terminal():
                assert positions.blue_to_move[row].item() == (state.current_player() == 1)
    assert all(state.is_terminal() for state in states)


@pytest.mark.parametrize(("size", "count"), [(1, 2), (2, 32), (3, 5514)])
def test_reachable_positions_are_exactly_those_of_the_reference(
    size: int, count: int, device: torch.device
) -> None:
    """Breadth first, all children of a ply in one batch; counts without swap."""
    found: set[SlowBoard] = set()
    ply = Positions.empty(1, size, device)
    while len(ply):
        rows: dict[SlowBoard, int] = {}
        movers = [BLUE if blue else RED for blue in ply.blue_to_move.tolist()]
        for row, stones in enumerate(ply.board().tolist()):
            rows.setdefault(slow_board(stones, movers[row]), row)
        found.update(rows)
        ply = ply[torch.tensor(list(rows.values()), device=device)]
        assert ply.winner().tolist() == [board.winner() for board in rows]
        parents, moves = ply.legal_moves().nonzero(as_tuple=True)
        ply = ply[parents].play(moves)
    assert len(found) == count
    assert count_reachable(size) == count
    assert found == set(reachable(size))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 13])
def test_full_boards_have_exactly_one_winner(size: int, device: torch.device) -> None:
    """With the loser to move they are finished; the winner cannot be to move."""
    stones = torch.randint(0, 2, (64, size, size), generator=seeded(size)) * 2 - 1
    winners = torch.tensor([slow_board(board, RED).winner() for board in stones.tolist()])
    blue_lost = winners == RED
    over = Positions.from_stones(stones.to(device), blue_lost.to(device))
    assert over.winner().tolist() == winners.tolist()
    for board, lost in zip(stones.to(device), blue_lost.to(device), strict=True):
        with pytest.raises(IllegalMoveError):
            Positions.from_stones(board[None], ~lost[None])


def test_long_chains_grown_from_pieces_win_by_the_right_stone(device: torch.device) -> None:
    """Red fills a snake over the whole board in random order, Blue the cells it leaves: chains
    longer, and made of more pieces, than those of random games."""
    size, games = 19, 4
    snake = {
        (row, col)
        for row in range(size)
        for col in range(size)
        if row % 3 == 0 or col == (size - 1 if row % 6 < 3 else 0)
    }
    red = torch.tensor([row * size + col for row, col in sorted(snake)])
    blue = torch.tensor(  # as Blue sees them
        [col * size + row for row in range(size) for col in range(size) if (row, col) not in snake]
    )
    generator = seeded(0)
    orders = [
        cells[torch.rand(games, len(cells), generator=generator).argsort(dim=1)]
        for cells in (red, blue)
    ]
    fast = Positions.empty(games, size, device)
    slow = [SlowBoard.empty(size)] * games
    for ply in range(2 * len(red) - 1):
        moves = orders[ply % 2][:, ply // 2]
        fast = fast.play(moves.to(device))
        slow = [
            board if board.winner() else board.play(move)
            for board, move in zip(slow, moves.tolist(), strict=True)
        ]
        assert fast.winner().tolist() == [board.winner() for board in slow]
    assert fast.winner().tolist() == [RED] * games


@pytest.mark.parametrize("size", [1, 2, 3, 6, 11])
def test_rows_do_not_depend_on_their_neighbours(size: int, device: torch.device) -> None:
    positions = random_positions(96, size, size, device)
    moves = random_moves(positions, seeded(size))
    played = positions.play(moves)

    order = torch.randperm(len(positions), generator=seeded(1)).to(device)
    assert_same_state(positions[order].play(moves[order]), played[order])
    for some in (slice(0, 1), slice(5, 8), slice(40, None)):
        assert_same_state(positions[some].play(moves[some]), played[some])
    padded = Positions.cat([positions, Positions.empty(7, size, device)])
    padded_moves = torch.cat([moves, moves.new_zeros(7)])
    assert_same_state(padded.play(padded_moves)[: len(positions)], played)


def test_playing_leaves_the_position_before_as_it_was(device: torch.device) -> None:
    positions = random_positions(64, 5, 3, device)
    kept = Positions.cat([positions[:32], positions[32:]])
    positions.play(random_moves(positions, seeded(3)))
    positions[: len(positions) // 2].swap(torch.zeros(32, dtype=torch.bool, device=device))
    assert_same_state(positions, kept)


@pytest.mark.parametrize("size", [2, 4, 9])
def test_finished_rows_stay_put_whatever_their_move(size: int, device: torch.device) -> None:
    generator = seeded(size)
    positions = Positions.empty(32, size, device)
    for _ in range(size * size):
        positions = positions.play(random_moves(positions, generator))
    assert positions.finished.all()
    assert not positions.legal_moves().any()
    for move in range(size * size):
        moves = torch.full((32,), move, device=device)
        assert_same_state(positions.play(moves), positions)


@pytest.mark.parametrize("size", [2, 3, 5, 19])
def test_swap_mirrors_the_stone_and_keeps_what_the_mover_sees(
    size: int, device: torch.device
) -> None:
    """Every first move, played twice over: the even rows swap, the odd rows do not."""
    openings = torch.arange(size * size, device=device).repeat_interleave(2)
    before = Positions.empty(len(openings), size, device).play(openings)
    swapping = torch.arange(len(openings), device=device) % 2 == 0
    after = before.swap(swapping)

    assert_same_state(after[~swapping], before[~swapping])
    swapped = after[swapping]
    assert torch.equal(swapped.stones(), before[swapping].stones())
    assert torch.equal(swapped.planes(), before[swapping].planes())
    assert torch.equal(swapped.legal_moves(), before[swapping].legal_moves())
    assert not swapped.blue_to_move.any()
    assert not swapped.finished.any()
    for cell, board in enumerate(swapped.board().tolist()):
        row, col = divmod(cell, size)
        stones = [(r, c, s) for r, line in enumerate(board) for c, s in enumerate(line) if s]
        assert stones == [(col, row, BLUE)]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 11])
def test_positions_from_stones_play_on_as_those_that_were_played(
    size: int, device: torch.device
) -> None:
    """Their labels may differ, as numbers of groups; what they mean may not."""
    generator = seeded(size)
    played = random_positions(96, size, 50 + size, device)
    placed = Positions.from_stones(played.board(), played.blue_to_move)
    for _ in range(size * size + 1):
        assert fast_facts(placed) == fast_facts(played)
        assert torch.equal(placed.finished, played.finished)
        assert torch.equal(placed.planes(), played.planes())
        moves = random_moves(played, generator)
        played, placed = played.play(moves), placed.play(moves)
    assert placed.finished.all()


@pytest.mark.parametrize("size", [2, 4, 8])
def test_positions_from_any_count_of_stones_agree_with_the_reference(
    size: int, device: torch.device
) -> None:
    generator = seeded(size)
    chance = torch.tensor([0.2, 0.6, 0.2])
    stones = torch.multinomial(chance.expand(200, -1), size**2, True, generator=generator) - 1
    stones = stones.view(200, size, size)
    blue_to_move = torch.rand(200, generator=generator) < 0.5
    movers = [BLUE if blue else RED for blue in blue_to_move.tolist()]
    slow = [slow_board(*row) for row in zip(stones.tolist(), movers, strict=True)]
    has_turn = [board.winner() != board.mover for board in slow]
    stones, blue_to_move = stones.to(device), blue_to_move.to(device)

    rows = torch.tensor(has_turn, device=device)
    fast = Positions.from_stones(stones[rows], blue_to_move[rows])
    slow = [board for board in slow if board.winner() != board.mover]
    assert fast_facts(fast) == [slow_facts(board) for board in slow]
    for _ in range(size * size):
        moves = random_moves(fast, generator)
        fast = fast.play(moves)
        slow = [
            board if board.winner() else board.play(move)
            for board, move in zip(slow, moves.tolist(), strict=True)
        ]
        assert fast_facts(fast) == [slow_facts(board) for board in slow]

    assert not all(has_turn)
    with pytest.raises(IllegalMoveError):
        Positions.from_stones(stones, blue_to_move)


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_planes_show_stones_edges_and_empty_corners(size: int, device: torch.device) -> None:
    positions = random_positions(48, size, size, device)
    planes = positions.planes()
    assert planes.shape == (48, 2, size + 2, size + 2)
    assert planes.dtype == torch.float32
    assert torch.equal(positions.planes(torch.bfloat16).float(), planes)
    for seen, (own, other) in zip(positions.stones().tolist(), planes.tolist(), strict=True):
        for row in range(size + 2):
            for col in range(size + 2):
                row_rim, col_rim = row in (0, size + 1), col in (0, size + 1)
                if row_rim or col_rim:
                    want = (float(row_rim and not col_rim), float(col_rim and not row_rim))
                else:
                    stone = seen[row - 1][col - 1]
                    want = (float(stone == +1), float(stone == -1))
                assert (own[row][col], other[row][col]) == want, (row, col)


@pytest.mark.parametrize("size", [1, 3, 11])
def test_cells_translate_between_the_mover_and_the_board(size: int, device: torch.device) -> None:
    cells = torch.arange(-1, size * size, device=device).expand(2, -1)
    positions = Positions.empty(2, size, device)
    positions.blue_to_move[1] = True
    transposed = [col * size + row for row in range(size) for col in range(size)]
    assert positions.to_board_cells(cells).tolist() == [
        [-1, *range(size * size)],
        [-1, *transposed],
    ]
    for column in cells.T:
        one = positions.to_board_cells(column.contiguous())
        many = positions.to_board_cells(column[:, None])
        assert torch.equal(one, many[:, 0])
    assert torch.equal(positions.to_board_cells(positions.to_board_cells(cells)), cells)


@pytest.mark.parametrize("size", [3, 19])
def test_state_keeps_its_types_and_its_device(size: int, device: torch.device) -> None:
    positions = random_positions(16, size, size, device)
    moves = random_moves(positions, seeded(0))
    nobody = torch.zeros(16, dtype=torch.bool, device=device)
    variants = [
        positions,
        Positions.empty(16, size, device),
        positions.play(moves),
        positions.swap(nobody),
        Positions.from_stones(positions.board().long(), positions.blue_to_move),
        Positions.cat([positions, positions]),
        positions[3:5],
        positions[~nobody],
        positions[torch.tensor([1, 1, 0], device=device)],
    ]
    for variant in variants:
        assert variant.labels.dtype == torch.int16
        assert variant.blue_to_move.dtype == variant.finished.dtype == torch.bool
        assert variant.legal_moves().dtype == torch.bool
        assert variant.legal_moves().shape == (len(variant), variant.moves)
        for shown in (variant.stones(), variant.board(), variant.winner()):
            assert shown.dtype == torch.int8
        assert variant.to_board_cells(torch.zeros_like(variant.winner()).long()).dtype == (
            torch.int64
        )
        kept = (variant.labels, variant.blue_to_move, variant.finished, variant.planes())
        assert {tensor.device.type for tensor in kept} == {device.type}
        assert variant.size == size
        assert variant.moves == size * size


def test_rows_are_chosen_and_joined_in_order(device: torch.device) -> None:
    positions = random_positions(12, 4, 9, device)
    boards = positions.board()
    some = torch.tensor([7, 0, 7, 3], device=device)
    odd = torch.arange(12, device=device) % 2 == 1
    for rows in (slice(2, 9), slice(None, None, 5), some, odd):
        assert torch.equal(positions[rows].board(), boards[rows])
        assert torch.equal(positions[rows].blue_to_move, positions.blue_to_move[rows])
        assert torch.equal(positions[rows].winner(), positions.winner()[rows])
    joined = Positions.cat([positions[some], positions[odd]])
    assert torch.equal(joined.board(), torch.cat([boards[some], boards[odd]]))


def test_a_batch_may_be_empty(device: torch.device) -> None:
    none = Positions.empty(0, 5, device)
    assert len(none.play(torch.zeros(0, dtype=torch.int64, device=device))) == 0
    assert none.planes().shape == (0, 2, 7, 7)
    assert none.legal_moves().shape == (0, 25)
    assert len(Positions.from_stones(none.board(), none.blue_to_move)) == 0
    assert len(Positions.cat([none, Positions.empty(2, 5, device)])) == 2


@pytest.mark.parametrize("move", [4, -1, 9], ids=["occupied", "below", "past the board"])
def test_illegal_moves_are_refused(move: int, device: torch.device) -> None:
    positions = Positions.empty(3, 3, device).play(torch.full((3,), 4, device=device))
    positions.require_legal(torch.tensor([0, 8, 1], device=device))
    for row in range(3):
        moves = torch.tensor([0, 8, 1], device=device)
        moves[row] = move
        with pytest.raises(IllegalMoveError):
            positions.require_legal(moves)


def test_moves_after_the_end_are_refused(device: torch.device) -> None:
    over = Positions.empty(1, 1, device).play(torch.zeros(1, dtype=torch.int64, device=device))
    with pytest.raises(IllegalMoveError):
        over.require_legal(torch.zeros(1, dtype=torch.int64, device=device))
    stones = torch.tensor([[[1, 0], [1, 0]]], device=device)
    won = Positions.from_stones(stones, torch.tensor([True], device=device))
    with pytest.raises(IllegalMoveError):
        won.require_legal(torch.tensor([3], device=device))


@pytest.mark.parametrize(
    "moves",
    [
        torch.zeros(2, dtype=torch.int64),
        torch.zeros(4, dtype=torch.int64),
        torch.zeros(3, 1, dtype=torch.int64),
        torch.tensor(0),
        torch.zeros(3, dtype=torch.int32),
        torch.zeros(3),
        torch.zeros(3, dtype=torch.bool),
    ],
    ids=lambda moves: f"{moves.dtype}-{tuple(moves.shape)}",
)
def test_moves_of_the_wrong_shape_or_type_are_refused(moves: Tensor, device: torch.device) -> None:
    with pytest.raises(ShapeError):
        Positions.empty(3, 4, device).require_legal(moves.to(device))


@pytest.mark.parametrize(
    ("stones", "blue_to_move"),
    [
        (torch.zeros(2, 3, 4, dtype=torch.int8), torch.zeros(2, dtype=torch.bool)),
        (torch.zeros(3, 3, dtype=torch.int8), torch.zeros(3, dtype=torch.bool)),
        (torch.zeros(2, 3, 3, dtype=torch.int8), torch.zeros(3, dtype=torch.bool)),
        (torch.zeros(2, 3, 3, dtype=torch.int8), torch.zeros(2, 1, dtype=torch.bool)),
        (torch.zeros(2, 3, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.bool)),
        (torch.zeros(2, 3, 3, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)),
        (torch.zeros(2, 3, 3), torch.zeros(2, dtype=torch.bool)),
        (torch.full((2, 3, 3), -128, dtype=torch.int8), torch.zeros(2, dtype=torch.bool)),
    ],
    ids=["not square", "no batch", "other batch", "column", "unsigned", "bool", "float", "two"],
)
def test_stones_of_the_wrong_shape_or_type_are_refused(
    stones: Tensor, blue_to_move: Tensor, device: torch.device
) -> None:
    with pytest.raises(ShapeError):
        Positions.from_stones(stones.to(device), blue_to_move.to(device))


@pytest.mark.parametrize(("batch", "size"), [(1, 0), (1, -3), (1, 20), (-1, 5)])
def test_boards_that_cannot_be_are_refused(batch: int, size: int) -> None:
    with pytest.raises(SettingError):
        Positions.empty(batch, size)
