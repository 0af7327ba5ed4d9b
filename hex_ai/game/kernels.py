"""Chains and threats a position at a time, compiled by numba: the same answers as the tensors give.

What is looked for, and in which order, is told in `connections` and `threats`; names are those of
there. To be imported only where `compilation.has_numba` says so.

Axes: `B` positions of size `N`, `A = N * N` cells, `F = (N + 2)²` cells of a board with its rim,
`T` templates of `K` cells. A board is kept flat, int32 `[F]`, as the player sees it who joins top
to bottom; cell k of a board rotated by 180 degrees is cell F - 1 - k of the board.
"""

import numpy as np

from hex_ai.compilation import Array, kernel
from hex_ai.game.connections import NOWHERE

# The rows of a chain, int32 `[5, F + 2]`: the fields of `connections.Chain`, then, for each label,
# the first and the last free cell that touches both its group and the chain.
CONNECTED, OTHERS, FREE, FIRST, LAST = range(5)

# What a cell touches: the chains from the top and the bottom edge, and those edges themselves.
TOP_CHAIN, BOTTOM_CHAIN, TOP_EDGE, BOTTOM_EDGE = 1, 2, 4, 8

# How many threats of a player are looked for: chain to chain, chain to edge, and edge to chain.
THREATS = 3


@kernel
def lost_positions(labels: Array, stones: Array, carriers: Array, lost: Array) -> None:
    """Marks in `lost`, bool `[B]`, where a chain of the player who is not to move is complete.

    Args:
      labels: int16 `[B, N + 2, N + 2]`, see `Positions`.
      stones, carriers: int64 `[T]` and `[T, K]`, see `connections.templates`.
      lost: written to where a chain is found, else left as it is.
    """
    count, width = labels.shape[:2]
    board = np.empty(width * width, np.int32)
    chain = np.empty((5, width * width + 2), np.int32)
    for row in range(count):
        for end in range(2):
            _see(labels[row], 1, end, board)
            _grow(board, width, stones, carriers, chain)
            if chain[CONNECTED, len(board) - 2] or (
                _ending_template(board, stones, carriers, chain) >= 0
            ):
                lost[row] = True
                break


@kernel
def verdicts(
    labels: Array,
    finished: Array,
    stones: Array,
    carriers: Array,
    marks: Array,
    proven: Array,
    moves: Array,
) -> None:
    """Fills in `threats.Verdicts`.

    Args:
      labels, stones, carriers: see `lost_positions`.
      finished: bool `[B]`.
      marks: bool `[3, B, A]`, zeros: `carriers`, `must` and `threats`.
      proven, moves: int8 and int64 `[B]`, zeros.
    """
    count, width = labels.shape[:2]
    cells = width * width
    chains = np.empty((2, 5, cells + 2), np.int32)
    wins = np.empty((2, 1 + THREATS, cells), np.bool_)
    found = np.empty((2, THREATS), np.int64)
    chained = np.empty(2, np.bool_)
    for row in range(count):
        for side in range(2):
            chained[side] = _find_wins(
                labels[row], side, stones, carriers, chains, wins[side], found[side]
            )
        _must_play(labels[row], finished[row], wins[1], found[1], marks[1, row], marks[2, row])
        lost = chained[1] or finished[row]
        move = _best_win(chained[0], wins[0], found[0])
        if lost:
            proven[row] = -1
        elif move:
            proven[row], moves[row] = 1, (move // width - 1) * (width - 2) + move % width - 1
        if proven[row] and not finished[row]:  # then no cells are needed any more
            winner = 1 if lost else 0
            _bare(wins[winner, 0], width, winner, marks[0, row])


@kernel
def _see(labels: Array, other: int, rotated: int, board: Array) -> None:
    """Writes the board, labels int16 `[N + 2, N + 2]`, as a player sees it, perhaps rotated."""
    width, cells = len(labels), len(board)
    for row in range(width):
        for column in range(width):
            label = -labels[column, row] if other else labels[row, column]
            if rotated and label:
                total = cells if abs(label) < cells else 2 * cells + 1
                label = (total if label > 0 else -total) - label
            cell = row * width + column
            board[cells - 1 - cell if rotated else cell] = label


@kernel
def steps(width: int) -> tuple[int, int, int, int, int, int]:
    """To the six neighbours on the flat board."""
    return -width, 1 - width, -1, 1, width - 1, width


@kernel
def _grow(board: Array, width: int, stones: Array, carriers: Array, chain: Array) -> None:
    """Grows the chain from the top edge, as `connections.chain_from_top` does."""
    cells = len(board)
    for cell in range(cells):
        label = board[cell]
        chain[CONNECTED, cell] = label == cells
        chain[OTHERS, cell] = label if label > 0 and label != cells else 0
        chain[FREE, cell] = label == 0
    # The corners look empty but are no cells.
    for corner in (0, width - 1, cells - width, cells - 1):
        chain[FREE, corner] = 0
    _connect_by_template(board, stones, carriers, chain)
    for _ in range(2 * (width - 2) // 3 + 1):
        if not _connect_by_two_cells(width, cells, chain):
            break


@kernel
def _fits(board: Array, chain: Array, carrier: Array, turn: int) -> bool:
    """Whether all cells of a template are free or the player's own; `turn` rotates by F - 1."""
    for cell in carrier:
        if cell == NOWHERE:
            return False
        there = abs(turn - cell)
        if not chain[FREE, there] and board[there] <= 0:
            return False
    return True


@kernel
def _connect_by_template(board: Array, stones: Array, carriers: Array, chain: Array) -> None:
    """Connects the group of largest label that has a template of the top edge."""
    last, best, chosen = len(board) - 1, 0, -1
    for number in range(len(stones)):
        label = chain[OTHERS, last - stones[number]]
        if label > best and _fits(board, chain, carriers[number], last):
            best, chosen = label, number
    if chosen >= 0:
        for cell in carriers[chosen]:
            chain[FREE, last - cell] = 0
        for cell in range(len(board)):
            if chain[OTHERS, cell] == best:
                chain[CONNECTED, cell], chain[OTHERS, cell] = 1, 0


@kernel
def _connect_by_two_cells(width: int, cells: int, chain: Array) -> bool:
    """Connects groups that share two free cells with connected ones; whether there were any."""
    _find_shared_cells(width, cells, chain)
    linked = False
    for label in range(1, cells + 2):
        if chain[LAST, label] > chain[FIRST, label]:
            chain[FREE, chain[FIRST, label]] = chain[FREE, chain[LAST, label]] = 0
            linked = True
    if linked:
        for cell in range(cells):
            label = chain[OTHERS, cell]
            if chain[LAST, label] > chain[FIRST, label]:
                chain[CONNECTED, cell], chain[OTHERS, cell] = 1, 0
    return linked


@kernel
def _find_shared_cells(width: int, cells: int, chain: Array) -> None:
    """Notes for each label the first and the last free cell between its group and the chain."""
    for label in range(cells + 2):
        chain[FIRST, label] = chain[LAST, label] = 0
    for cell in range(width + 1, cells - width - 1):
        if chain[FREE, cell]:
            near, label = 0, 0
            for step in steps(width):
                near |= chain[CONNECTED, cell + step]
                label = max(label, chain[OTHERS, cell + step])
            if near and label:
                if not chain[FIRST, label]:
                    chain[FIRST, label] = cell
                chain[LAST, label] = cell


@kernel
def _ending_template(board: Array, stones: Array, carriers: Array, chain: Array) -> int:
    """The first template that connects the chain to the bottom edge, or -1."""
    for number in range(len(stones)):
        if chain[CONNECTED, stones[number]] and _fits(board, chain, carriers[number], 0):
            return number
    return -1


@kernel
def _find_wins(
    labels: Array,
    other: int,
    stones: Array,
    carriers: Array,
    chains: Array,
    wins: Array,
    found: Array,
) -> bool:
    """The wins of one player, as that player sees the board; whether a chain is complete.

    Args:
      labels: int16 `[N + 2, N + 2]`.
      other: 1 for the player who is not to move, else 0; as for the kernels called, no constant, or
        numba would compile a version for each.
      stones, carriers: see `lost_positions`.
      chains: room for the chains from both ends.
      wins: bool `[4, F]`, written to: the carriers of the chain and of three threats, or nothing.
      found: int64 `[3]`, written to: the moves that make the threats, 0 where there is none.
    """
    width = len(labels)
    board, last, chained = np.empty(width * width, np.int32), width * width - 1, False
    for kind in range(1 + THREATS):
        for cell in range(len(board)):
            wins[kind, cell] = False
    # Of two complete chains, the one from the top counts, so it is looked for last.
    for end in range(1, -1, -1):
        _see(labels, other, end, board)
        chain = chains[end]
        _grow(board, width, stones, carriers, chain)
        template = _ending_template(board, stones, carriers, chain)
        if chain[CONNECTED, last - 1] or template >= 0:
            chained = True
            for cell in range(width, last - width):
                wins[0, abs(last * end - cell)] = board[cell] == 0 and not chain[FREE, cell]
            if template >= 0:
                for cell in carriers[template]:
                    wins[0, abs(last * end - cell)] |= board[cell] == 0
    _find_threats(board, width, chains, wins, found)
    return chained


@kernel
def _find_threats(board: Array, width: int, chains: Array, wins: Array, found: Array) -> None:
    """Looks for threats as `threats` does: chain to chain, chain to edge, and edge to chain."""
    touched = np.zeros(len(board), np.uint8)
    clash = _touched(board, width, chains, wins, touched)
    ends = np.empty(len(board), np.uint8)
    for number in range(THREATS):
        taken = wins[1 + number]
        top = TOP_EDGE if number == 2 else TOP_CHAIN
        bottom = BOTTOM_EDGE if number == 1 else BOTTOM_CHAIN
        for cell in range(len(board)):
            touch = 0 if taken[cell] else touched[cell]
            ends[cell] = (touch & top > 0) + 2 * (touch & bottom > 0)
        move = _joining_cell(board, width, ends, taken)
        if move and not (number == 0 and clash):
            found[number] = move
            _mark_carrier(width, ends, move, taken)
        else:
            found[number] = 0
            for cell in range(len(board)):
                taken[cell] = False


@kernel
def _touched(board: Array, width: int, chains: Array, wins: Array, touched: Array) -> bool:
    """Writes what each empty cell touches; whether the chains from both ends share a cell.

    The carriers of the chains are where the threats may not lie; `wins` gets them, too.
    """
    cells, clash = len(board), False
    last = cells - 1
    for cell in range(width, cells - width):
        if board[cell] == 0:
            above, below = not chains[0, FREE, cell], not chains[1, FREE, last - cell]
            wins[1, cell], wins[2, cell], wins[3, cell] = above or below, above, below
            clash = clash or (above and below)
            marks = 0
            for step in steps(width):
                near = cell + step
                marks |= TOP_CHAIN * chains[0, CONNECTED, near]
                marks |= BOTTOM_CHAIN * chains[1, CONNECTED, last - near]
                marks |= TOP_EDGE * (board[near] == cells)
                marks |= BOTTOM_EDGE * (board[near] == cells + 1)
            touched[cell] = marks
    return clash


@kernel
def _joining_cell(board: Array, width: int, ends: Array, taken: Array) -> int:
    """The cell that joins two ends with the fewest others, or 0.

    Args:
      board, width: the board.
      ends: uint8 `[F]`: 1 where a cell that may be used touches the one end, 2 the other, 3 both.
      taken: bool `[F]`, cells that may not be used.
    """
    best, chosen = 0, 0
    for cell in range(width, len(board) - width):
        if board[cell] == 0 and not taken[cell]:
            tops = bottoms = anys = 0
            for step in steps(width):
                end = ends[cell + step]
                tops += end & 1
                bottoms += end >> 1
                anys += end > 0
            here = ends[cell]
            joins = (here & 1 or tops >= 2) and (here >> 1 or bottoms >= 2)
            # Two connections of two cells each must not share any.
            if joins and (here or anys >= 4):
                score = 1 + (here & 1) + (here >> 1)
                if score > best:
                    best, chosen = score, cell
    return chosen


@kernel
def _mark_carrier(width: int, ends: Array, move: int, marks: Array) -> None:
    """Marks a threat's move, and the cells that connect it to an end it does not touch."""
    wanted = 3 & ~ends[move]
    marks[move] = True
    for step in steps(width):
        if ends[move + step] & wanted:
            marks[move + step] = True


@kernel
def _must_play(
    labels: Array, finished: bool, wins: Array, found: Array, must: Array, threats: Array
) -> None:
    """Writes the moves that no threat of the opponent's refutes, and the cells of all of them."""
    size = len(labels) - 2
    for cell in range(size * size):
        row, column = cell // size + 1, cell % size + 1
        left = labels[row, column] == 0 and not finished
        for number in range(THREATS):
            inside = wins[1 + number, column * (size + 2) + row]
            threats[cell] |= inside
            left = left and (inside or not found[number])
        must[cell] = left


@kernel
def _best_win(chained: bool, wins: Array, found: Array) -> int:
    """A winning move, or 0; leaves the win's carrier where that of the chain is."""
    cells = wins.shape[1]
    if chained:
        # A chain needs no move; one in its carrier brings the game closer to its end.
        for cell in range(cells):
            if wins[0, cell]:
                return cell
    least, best = cells + 1, -1
    for number in range(THREATS):
        count = 0
        for cell in range(cells):
            count += wins[1 + number, cell]
        if found[number] and count < least:
            least, best = count, number
    if best < 0:
        return 0
    for cell in range(cells):
        wins[0, cell] = wins[1 + best, cell]
    return int(found[best])


@kernel
def _bare(cells: Array, width: int, transposed: int, bare: Array) -> None:
    """Writes bool `[F]` without the rim, `[A]`, perhaps as the other side sees it."""
    size = width - 2
    for row in range(size):
        for column in range(size):
            there = (row + 1) * width + column + 1
            bare[column * size + row if transposed else row * size + column] = cells[there]
