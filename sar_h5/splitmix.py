"""SplitMix64: random bits as a pure function of integers, the same on every machine and with every NumPy.

Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014, figures 17 and 18. NumPy promises
the bits of its generators, but not what it makes of them (NEP 19), so an order drawn from one could not be continued
from a checkpoint after an update.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


def mix(value: int) -> int:
    """Scramble an unsigned integer of 64 bits; no two give the same result."""
    value = (value ^ value >> 30) * _MIX_1 & MASK
    value = (value ^ value >> 27) * _MIX_2 & MASK
    return value ^ value >> 31


def mix_array(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble many at once; the same as :func:`mix` for each of them.

    Args:
        values: uint64 of any shape.

    Returns:
        uint64 of that shape.
    """
    with np.errstate(over="ignore"):  # arithmetic is modulo 2 ** 64
        mixed = (values ^ values >> np.uint64(30)) * np.uint64(_MIX_1)
        mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(_MIX_2)
    return mixed ^ mixed >> np.uint64(31)


def fold(*parts: int) -> int:
    """Make one state of 64 bits of the low 64 bits of several integers, where their order matters."""
    state = 0
    for part in parts:
        state = mix((state ^ int(part)) + GAMMA & MASK)  # NumPy's integers would overflow
    return state


def random_keys(state: int, count: int) -> npt.NDArray[np.uint64]:
    """Draw keys to sort by: the first outputs of the generator, no two of them alike.

    Args:
        state: of the generator, such as :func:`fold` makes.
        count: how many.

    Returns:
        uint64 (count,). Since ``GAMMA`` is odd and mixing loses nothing, they are distinct, so that sorting by them
        has one result only.
    """
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GAMMA) + np.uint64(state & MASK)
    return mix_array(steps)
