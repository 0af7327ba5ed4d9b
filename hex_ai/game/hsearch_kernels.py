"""The loops of `hsearch`, compiled by numba. To be imported only where `has_numba` says so.

A position is seen by the player who joins top to bottom. Its *nodes* are what can be connected: the
top edge, the bottom edge, that player's other groups, and the empty cells. Two nodes x < y are the
*pair* y (y - 1) / 2 + x. Sets of cells are those of `set_kernels`.

Axes: `B` positions of size `N`, `A = N * N` cells, `F = (N + 2)²` cells of a board with its rim,
`M = A + 2` nodes at most, `P = M (M - 1) / 2` pairs.
"""

from typing import NamedTuple

import numpy as np

from hex_ai.compilation import Array, kernel
from hex_ai.game.kernels import _see, steps
from hex_ai.game.set_kernels import (
    WORDS,
    add,
    cells_of,
    copy,
    has,
    holds,
    unite,
    unite_all,
    within,
)

TOP, BOTTOM = 0, 1

# How many connections and semi-connections of a pair are kept, how many cells lie in the carrier of
# one between two cells, how many connections a search finds, and places in its queue. On 11 × 11
# more time was not seen to prove much more.
VIRTUAL, SEMI, CELLS, FOUND, QUEUE = 5, 5, 2, 3000, 40_000

# The places of `Work.state`: entries of the queue ever made, the size of carriers that is looked
# at, threats found, the move of the first threat, and whether all is said.
QUEUED, SIZE, THREATS, MOVE, OVER = range(5)

# The first sets: the cells that all threats share, those of all threats that took some away, and
# the set that is being put together, twice. Then come the carriers of the queue's entries, and for
# each pair those of its connections, smallest first, and of its semi-connections.
LEFT, UNION, MADE, JOINED, QUEUE_SETS = range(5)
PAIR_SETS = QUEUE_SETS + QUEUE

# The places of `Work.counts`: connections and semi-connections of a pair, and from there on the
# sizes of the connections' carriers.
VIRTUALS, SEMIS, SIZES = range(3)


# Kernels kept on disk name this class: under another name those of before could not be read.
class Work(NamedTuple):
    """The memory of a search, which the next one uses again.

    Attributes:
      board: int32 `[F]`, the labels.
      nodes: int32 `[F]`, the node at each cell, or -1.
      cells: int32 `[M]`, the cell of each node, or -1 for a group.
      near: int32 `[M, 1 + M]`: to how many nodes each is connected, and to which.
      counts: int32 `[P, 2 + VIRTUAL]`, see `VIRTUALS`.
      sets: see `LEFT`.
      first: int32 `[A + 1]`, the entry of the queue to look at next, by the size of its carrier.
      queue: int32 `[QUEUE, 3]`: the ends of each entry, and the entry after it. -1: none.
      state: int64 `[5]`, see `QUEUED`.
    """

    board: Array
    nodes: Array
    cells: Array
    near: Array
    counts: Array
    sets: Array
    first: Array
    queue: Array
    state: Array


@kernel
def verdicts(labels: Array, work: Work, marks: Array, proven: Array, moves: Array) -> None:
    """Fills in `threats.Verdicts`.

    Args:
      labels: int16 `[B, N + 2, N + 2]`, of positions that are not finished.
      work: its contents mean nothing.
      marks: bool `[3, B, A]`, zeros: `carriers`, `must` and `threats`.
      proven, moves: int8 and int64 `[B]`, zeros.
    """
    for row in range(len(labels)):
        for other in range(2):  # constants as arguments would be compiled twice
            _connect(labels[row], other, work)
            if work.state[OVER] or (not other and work.state[THREATS]):
                proven[row] = 1 - 2 * other
                _mark(work, UNION, other, marks[0, row])
                break
        if proven[row] > 0:
            moves[row] = work.state[MOVE]
        else:
            _mark(work, LEFT, other, marks[1, row])
            _mark(work, UNION, other, marks[2, row])


@kernel
def _mark(work: Work, cells: int, transposed: int, marks: Array) -> None:
    """Writes a set as bool `[A]`, perhaps as the other side sees it."""
    sets = work.sets
    size = int(np.sqrt(len(marks)))
    for cell in range(size * size):
        there = cell % size * size + cell // size if transposed else cell
        marks[there] = has(sets, cells, cell)


@kernel
def _connect(labels: Array, other: int, work: Work) -> None:
    """Looks for connections from edge to edge of the mover, or of the other side.

    The mover needs one threat, so the search is over with the first; else it goes on until the
    edges are connected or the threats found share no cell.
    """
    width = len(labels)
    _see(labels, other, 0, work.board)
    _clear(_number_nodes(width, work), work)
    _queue_neighbours(width, work)
    found = 0
    while found < FOUND and not work.state[OVER] and (other or not work.state[THREATS]):
        entry = _next_entry(work)
        if entry < 0:
            break
        x, y = work.queue[entry, 0], work.queue[entry, 1]
        carrier = _keep(x, y, QUEUE_SETS + entry, work)
        if carrier:
            found += 1
            if y == BOTTOM:
                _end_connected(carrier, work)
            else:
                _combine(x, y, carrier, work)
                _combine(y, x, carrier, work)


@kernel
def _number_nodes(width: int, work: Work) -> int:
    """Gives every group and empty cell a node; how many there are."""
    board, nodes, cells = work.board, work.nodes, work.cells
    cells[TOP] = cells[BOTTOM] = -1
    of_label = np.full(len(board) + 2, -1, np.int32)
    of_label[len(board)], of_label[len(board) + 1] = TOP, BOTTOM
    count = 2
    for cell in range(len(board)):
        label, row, column = board[cell], cell // width, cell % width
        nodes[cell] = -1
        if label > 0:
            if of_label[label] < 0:
                of_label[label], cells[count] = count, -1
                count += 1
            nodes[cell] = of_label[label]
        elif label == 0 and 0 < row < width - 1 and 0 < column < width - 1:
            nodes[cell], cells[count] = count, (row - 1) * (width - 2) + column - 1
            count += 1
    return count


@kernel
def _clear(nodes: int, work: Work) -> None:
    """Forgets what was found before; all empty cells are left."""
    sets = work.sets
    for pair in range(nodes * (nodes - 1) // 2):
        work.counts[pair, VIRTUALS] = work.counts[pair, SEMIS] = 0
    for size in range(len(work.first)):
        work.first[size] = -1
    for place in range(len(work.state)):
        work.state[place] = 0
    for cells in range(QUEUE_SETS):
        for word in range(WORDS):
            sets[cells, word] = 0
    for node in range(nodes):
        work.near[node, 0] = 0
        if work.cells[node] >= 0:
            add(sets, LEFT, work.cells[node])


@kernel
def _queue_neighbours(width: int, work: Work) -> None:
    """Connects each empty cell to what it touches; no cell is needed for that."""
    for cell in range(width, len(work.board) - width):
        x = work.nodes[cell]
        if x >= 0 and work.cells[x] >= 0:
            for step in steps(width):
                y = work.nodes[cell + step]
                if y >= 0 and (work.cells[y] < 0 or y > x):
                    _queue(x, y, MADE, 0, work.sets, work.first, work.queue, work.state)


@kernel
def _queue(
    x: int,
    y: int,
    carrier: int,
    size: int,
    sets: Array,
    first: Array,
    queue: Array,
    state: Array,
) -> None:
    """Puts a connection of nodes x and y into the queue, if there is room."""
    entry = state[QUEUED]
    if entry < QUEUE:
        state[QUEUED] = entry + 1
        queue[entry, 0], queue[entry, 1], queue[entry, 2] = min(x, y), max(x, y), first[size]
        first[size] = entry
        copy(sets, carrier, QUEUE_SETS + entry)


@kernel
def _next_entry(work: Work) -> int:
    """Takes an entry of the fewest cells out of the queue; -1 if it is empty."""
    first, size = work.first, work.state[SIZE]
    while size < len(first) and first[size] < 0:
        size += 1
    work.state[SIZE] = size
    if size == len(first):
        return -1
    entry = first[size]
    first[size] = work.queue[entry, 2]
    return int(entry)


@kernel
def _keep(x: int, y: int, carrier: int, work: Work) -> int:
    """Keeps a connection: where its carrier is then; 0 if a smaller one does, or many are kept."""
    sets = work.sets
    pair = _pair(x, y)
    kept, count = _first_set(pair), work.counts[pair, VIRTUALS]
    if count == VIRTUAL or holds(sets, kept, count, carrier):
        return 0
    if count == 0:
        for node, other in ((x, y), (y, x)):
            work.near[node, 0] += 1
            work.near[node, work.near[node, 0]] = other
    copy(sets, carrier, kept + count)
    work.counts[pair, SIZES + count] = work.state[SIZE]
    work.counts[pair, VIRTUALS] = count + 1
    return int(kept + count)


@kernel
def _combine(end: int, middle: int, carrier: int, work: Work) -> None:
    """The AND rule: a new connection of `end` and `middle` with all others of `middle`.

    Through a group two connections make one; through an empty cell, a semi-connection.
    """
    near, counts, cells, sets = work.near, work.counts, work.cells, work.sets
    first, queue, state = work.first, work.queue, work.state
    size, at_end, between = state[SIZE], cells[end], cells[middle]
    for place in range(1, near[middle, 0] + 1):
        other = near[middle, place]
        at_other = cells[other]
        if other == end or has(sets, carrier, at_other):
            continue
        limit = CELLS if at_end >= 0 and at_other >= 0 else len(first) - 1
        pair, made = _pair(middle, other), _pair(end, other)
        start, known = _first_set(pair), _first_set(made)
        for number in range(counts[pair, VIRTUALS]):
            total = size + counts[pair, SIZES + number]
            if total > limit:
                break
            joined = start + number
            if has(sets, joined, at_end) or not unite(sets, carrier, joined, MADE):
                continue
            if between >= 0:
                add(sets, MADE, between)
            if holds(sets, known, counts[made, VIRTUALS], MADE):
                continue
            if between < 0:
                _queue(end, other, MADE, total, sets, first, queue, state)
            elif end + other == TOP + BOTTOM:
                _threaten(between, sets, state)
            else:
                _connect_by_cell(end, other, made, limit, counts, sets, first, queue, state)


@kernel
def _connect_by_cell(
    x: int,
    y: int,
    pair: int,
    limit: int,
    counts: Array,
    sets: Array,
    first: Array,
    queue: Array,
    state: Array,
) -> None:
    """The OR rule: a new semi-connection with one or two of its pair that share no cell with it.

    It is kept in place of those that need its cells and more, if there is room.
    """
    start = _first_set(pair) + VIRTUAL
    stop = start + counts[pair, SEMIS]
    if holds(sets, start, stop - start, MADE):
        return
    for one in range(start, stop):
        alone = unite_all(sets, one, one, MADE, JOINED)
        for other in range(one, one + 1 if alone else stop):
            if alone or unite_all(sets, one, other, MADE, JOINED):
                size = cells_of(sets, JOINED)
                if size <= limit:
                    _queue(x, y, JOINED, size, sets, first, queue, state)
    end = start
    for one in range(start, stop):
        if not within(sets, MADE, one):
            copy(sets, one, end)
            end += 1
    if end < start + SEMI:
        copy(sets, MADE, end)
        end += 1
    counts[pair, SEMIS] = end - start


@kernel
def _threaten(move: int, sets: Array, state: Array) -> None:
    """Notes a threat to connect the edges: the cells outside it are left no more."""
    if not within(sets, LEFT, MADE):
        if not state[THREATS]:
            state[MOVE] = move
        state[THREATS] += 1
        empty = True
        for word in range(WORDS):
            sets[LEFT, word] &= sets[MADE, word]
            sets[UNION, word] |= sets[MADE, word]
            empty = empty and sets[LEFT, word] == 0
        state[OVER] = empty


@kernel
def _end_connected(carrier: int, work: Work) -> None:
    """Notes that the edges are connected: nothing else matters then."""
    sets = work.sets
    for word in range(WORDS):
        sets[LEFT, word] = 0
    copy(sets, carrier, UNION)
    work.state[OVER] = 1
    for cell in range(len(work.first) - 1):
        if has(sets, carrier, cell):
            work.state[MOVE] = cell


@kernel
def _pair(x: int, y: int) -> int:
    """The pair of two nodes."""
    return y * (y - 1) // 2 + x if x < y else x * (x - 1) // 2 + y


@kernel
def _first_set(pair: int) -> int:
    """The carrier of a pair's first connection."""
    return PAIR_SETS + pair * (VIRTUAL + SEMI)
