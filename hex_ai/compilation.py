"""Functions compiled by numba, where it is installed. But for H-search, only speed depends on that.

The only importer of numba, which takes a second to import: modules of kernels are imported when the
first of them is called for, and only where `has_numba` says so.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from numpy.typing import NDArray

Array = NDArray[Any]
Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def has_numba() -> bool:
    """Whether numba is installed and fits the NumPy beside it. It is not imported before that."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


def kernel(function: Function) -> Function:
    """Compiles a function at its first call, and keeps the code on disk where there is room.

    Numba keeps it in `NUMBA_CACHE_DIR`, beside the function's file or in the user's own cache,
    whichever can be written first; where none can, each process compiles anew.
    """
    from numba import njit

    try:
        compiled: Function = njit(function, cache=True, nogil=True)
    except RuntimeError:
        compiled = njit(function, nogil=True)
    return compiled
