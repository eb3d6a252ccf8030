"""How loops are compiled: to machine code that holds no GIL, kept on the disk for the next process."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

# numba imports the modules that implement its types with the first call of any function, a third of a second of them.
# As imports of this module they are done before a worker is given its work.
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()

if hasattr(os, "register_at_fork"):
    # A process forked while another thread compiles would find numba's lock taken for ever; so forks wait for that.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


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
