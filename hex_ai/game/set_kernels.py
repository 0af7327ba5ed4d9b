"""Sets of cells for compiled loops: rows of words, bit k of them for cell k.

All sets of a search are one array, uint64 `[K, WORDS]`, and a set is the number of its row: slices
would cost more than what is done with them. To be imported only where `has_numba` says so.
"""

import numpy as np

from hex_ai.compilation import Array, kernel

# Of a set. A number that is known to the compiler makes loops over words more than twice as fast.
WORDS = 2


@kernel
def has(sets: Array, cells: int, cell: int) -> bool:
    """Whether a set has a cell; none has -1."""
    word = sets[cells, max(cell, 0) >> 6]
    return cell >= 0 and (word >> np.uint64(cell & 63)) & np.uint64(1) != 0


@kernel
def add(sets: Array, cells: int, cell: int) -> None:
    """Adds a cell to a set."""
    sets[cells, cell >> 6] |= np.uint64(1) << np.uint64(cell & 63)


@kernel
def copy(sets: Array, source: int, target: int) -> None:
    """Writes a set in another one's place."""
    for word in range(WORDS):
        sets[target, word] = sets[source, word]


@kernel
def within(sets: Array, inner: int, outer: int) -> bool:
    """Whether a set has no cell outside another."""
    for word in range(WORDS):  # noqa: SIM110 - faster compiled
        if sets[inner, word] & ~sets[outer, word]:
            return False
    return True


@kernel
def holds(sets: Array, start: int, count: int, carrier: int) -> bool:
    """Whether one of `count` sets from `start` on lies within `carrier`, which adds nothing."""
    for one in range(start, start + count):  # noqa: SIM110 - faster compiled
        if within(sets, one, carrier):
            return True
    return False


@kernel
def unite(sets: Array, one: int, other: int, union: int) -> bool:
    """Whether two sets share no cell; if so, `union` becomes all of theirs."""
    for word in range(WORDS):
        if sets[one, word] & sets[other, word]:
            return False
    for word in range(WORDS):
        sets[union, word] = sets[one, word] | sets[other, word]
    return True


@kernel
def unite_all(sets: Array, one: int, other: int, third: int, union: int) -> bool:
    """Whether no cell is in all three sets; if so, `union` becomes all of theirs."""
    for word in range(WORDS):
        if sets[one, word] & sets[other, word] & sets[third, word]:
            return False
    for word in range(WORDS):
        sets[union, word] = sets[one, word] | sets[other, word] | sets[third, word]
    return True


@kernel
def cells_of(sets: Array, cells: int) -> int:
    """How many cells a set has."""
    total = np.uint64(0)
    for word in range(WORDS):
        bits = sets[cells, word]
        bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
        bits = (bits & np.uint64(0x3333333333333333)) + (
            (bits >> np.uint64(2)) & np.uint64(0x3333333333333333)
        )
        bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        total += (bits * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return int(total)
