"""How loops are compiled: to machine code that holds no GIL, kept on the disk for the next process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def compiled(function: FunctionT) -> FunctionT:
    """Compile a function of numbers and arrays with numba on its first call with each combination of types.

    The code is kept beside the module or in the user's cache directory (``NUMBA_CACHE_DIR`` names another); where
    neither can be written, each process compiles anew.
    """
    try:
        loop: FunctionT = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # numba's "no locator available": nowhere to keep the code
        loop = numba.njit(nogil=True)(function)
    return loop
