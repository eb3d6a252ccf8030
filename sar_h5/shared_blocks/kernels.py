"""The compiled loops over blocks: of their hash table, see ``table``, and over their pixels, see ``telling``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.compiled import compiled

Flat = npt.NDArray[Any]


@compiled
def probe(slots: Flat, keys: Flat, high: np.uint64, low: np.uint64, place: int) -> Any:
    """Look for a key from a slot on.

    Args:
        slots: uint32 (a power of two,), 1 + the number of a key, or 0 where free; one at least is free.
        keys: uint64 (n, 2), the keys by number.
        high: first half of the key.
        low: second half of the key.
        place: the slot to begin with.

    Returns:
        The slot of the first number with that key, and the number; or the free slot before which there is none, and -1.
    """
    last = len(slots) - 1
    while True:
        place &= last
        number = np.int64(slots[place]) - 1
        if number < 0 or (keys[number, 0] == high and keys[number, 1] == low):
            return place, number
        place += 1


@compiled
def insert(slots: Flat, keys: Flat, first: int, stop: int) -> None:
    """Put keys, by their numbers, into the first free slots after those where they belong."""
    last = np.uint64(len(slots) - 1)
    for number in range(first, stop):
        place = np.int64(keys[number, 1] & last)
        while slots[place]:
            place = (place + 1) & np.int64(last)
        slots[place] = number + 1


@compiled
def count_values(pixels: Flat, most: int) -> int:
    """Count the different values of pixels (n,), up to ``most``, where it stops."""
    found = np.empty(most, pixels.dtype)
    count = 0
    for pixel in pixels:
        known = 0
        while known < count and found[known] != pixel:
            known += 1
        if known == count:
            found[count] = pixel
            count += 1
            if count == most:
                break
    return count
