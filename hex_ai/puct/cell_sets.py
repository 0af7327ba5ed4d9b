"""Cells and sets of cells as a search tree keeps them: all in one frame, sets as integers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Frame:
    """Cells between a tree's frame and a node's own view, which is that or its transpose."""

    def __init__(self, size: int) -> None:
        straight = np.arange(size * size, dtype=np.int16)
        self._size = size
        self._maps = np.stack((straight, straight.reshape(size, size).T.ravel()))

    def cell(self, cell: int, transposed: bool) -> int:
        """A node's cell in the frame, or the other way round."""
        return cell % self._size * self._size + cell // self._size if transposed else cell

    def cells(self, cells: NDArray[Any], transposed: NDArray[Any]) -> NDArray[Any]:
        """The same for rows of cells, `[B, K]`, each of a node that is transposed or not, `[B]`."""
        found: NDArray[Any] = self._maps[transposed.astype(np.intp)[:, None], cells]
        return found

    def transpose(self, sets: NDArray[Any], transposed: NDArray[Any]) -> NDArray[Any]:
        """The same for rows of marks, bool `[K, B, A]`, K sets of each node."""
        turned = sets.reshape(*sets.shape[:2], self._size, self._size).swapaxes(2, 3)
        found: NDArray[Any] = np.where(transposed[:, None], turned.reshape(sets.shape), sets)
        return found


def as_integers(sets: NDArray[Any]) -> list[int]:
    """Each row of marks, bool `[B, A]`, as an integer with bit k for cell k."""
    packed = np.packbits(sets, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]
