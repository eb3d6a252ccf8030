"""The compiled loops of conversion: each pixel is looked at once, without the GIL.

They compare, count and look up; no arithmetic of the reference pipeline is done here, so that its last bits stay
NumPy's. Arrays are C-contiguous; where a loop takes a flat array, any shape may be flattened for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.compiled import compiled

CELLS = 1 << 16
"""Into how many equal cells [0, 1] is divided to find a value's code."""

Flat = npt.NDArray[Any]

_CELL_SCALE = np.float32(CELLS - 1)
_ONE_BITS = np.uint32(0x3F800000)
_HIGH = np.uint64(32)
_BLOCK = 1024
_EMPTY = np.uint32(0xFFFFFFFF)
_HASH_FACTOR = np.uint32(2654435769)


@compiled
def encode_patches(
    values: Flat,
    bits: Flat,
    cells: Flat,
    levels: Flat,
    low: np.float32,
    high: np.float32,
    codes: Flat,
    counted: Flat,
) -> bool:
    """Find the codes of values, and count the values between two thresholds.

    Args:
        values: float32 (n, pixels).
        bits: the same memory as uint32.
        cells: uint64 (65536,): for each cell of [0, 1] the lowest level in it as bits, and its code above them.
        levels: uint32 (K,), all levels as bits, rising; the code of the first is that of the first cell.
        low: values must be greater to be counted.
        high: values must be less to be counted.
        codes: uint8 or uint16 (n, pixels), filled.
        counted: int64 (n,), filled with how many values of each patch were counted.

    Returns:
        Whether every value is one of the levels; where not, ``codes`` and ``counted`` are of no use.
    """
    places = np.empty(_BLOCK, np.int32)
    for patch in range(len(values)):
        counted[patch] = 0
        for start in range(0, values.shape[1], _BLOCK):
            part = slice(start, min(start + _BLOCK, values.shape[1]))
            inside = _place_and_count(values[patch, part], bits[patch, part], low, high, places)
            if inside < 0:
                return False
            counted[patch] += inside
            if not _take_codes(bits[patch, part], places, cells, codes[patch, part]) and not _search_codes(
                bits[patch, part], levels, cells[0] >> _HIGH, codes[patch, part]
            ):
                return False
    return True


@compiled
def _place_and_count(values: Flat, bits: Flat, low: np.float32, high: np.float32, places: Flat) -> Any:
    """Find the cells of values and count some of them; -1 where one is above 1, negative (-0.0 as well) or NaN."""
    counted, highest = np.int32(0), np.uint32(0)
    for position in range(values.size):
        value = values[position]
        places[position] = np.int32(value * _CELL_SCALE)
        counted += np.int32((value > low) & (value < high))
        highest = max(highest, bits[position])
    return counted if highest <= _ONE_BITS else np.int32(-1)


@compiled
def _take_codes(bits: Flat, places: Flat, cells: Flat, codes: Flat) -> bool:
    """Take the codes of the lowest levels in their cells, and tell whether all values are those levels."""
    other = np.uint32(0)
    for position in range(bits.size):
        cell = cells[np.uint32(places[position])]
        other |= np.uint32(cell) ^ bits[position]
        codes[position] = cell >> _HIGH
    return bool(other == 0)


@compiled
def _search_codes(bits: Flat, levels: Flat, first_code: int, codes: Flat) -> bool:
    """Search for each value among the levels, and tell whether all are there."""
    for position in range(bits.size):
        level = np.searchsorted(levels, bits[position])
        if level == len(levels) or levels[level] != bits[position]:
            return False
        codes[position] = np.uint64(level) + first_code
    return True


@compiled
def count_between(values: Flat, low: np.float32, high: np.float32) -> int:
    """Count the values (float32, flat) that are greater than ``low`` and less than ``high``."""
    counted = 0
    for position in range(values.size):
        if low < values[position] < high:
            counted += 1
    return counted


@compiled
def look_up(codes: Flat, lut: Flat, values: Flat) -> None:
    """Fill ``values`` (float32, flat) with ``lut[codes]``; every code must lie in the table."""
    for position in range(codes.size):
        values[position] = lut[np.uint32(codes[position])]


@compiled
def encode_dn(
    dn: Flat, nodata: int, table: Flat, first: int, last: int, stored: Flat, counted: Flat, counts: Flat | None
) -> None:
    """Look up digital numbers, tell which count as valid, and add them to a histogram.

    Args:
        dn: uint16 (n,).
        nodata: the digital number that is taken for 0; 0 for none.
        table: (65536,), what to store for each digital number.
        first: the least digital number that counts.
        last: the greatest digital number that counts.
        stored: (n,) of the table's dtype, filled.
        counted: bool (n,), filled.
        counts: uint64 (65536,), to add to, or None.
    """
    for position in range(dn.size):
        number = np.uint32(dn[position])
        if number == nodata:
            number = np.uint32(0)
        stored[position] = table[number]
        counted[position] = (number >= first) & (number <= last)
        if counts is not None:
            counts[number] += np.uint64(1)


@compiled
def add_numbers(numbers: Flat, counts: Flat) -> None:
    """Add how often each number (uint16, flat) occurs to ``counts``, uint64 (65536,)."""
    for position in range(numbers.size):
        counts[np.uint32(numbers[position])] += np.uint64(1)


@compiled
def ordered_key(bits: Any) -> Any:
    """Map the bits of a float32 to a uint32 so that the integers order as the numbers do (NaN excluded)."""
    return ~bits if bits >> np.uint32(31) else bits | np.uint32(0x80000000)


@compiled
def add_upper_halves(bits: Flat, counts: Flat) -> None:
    """Add how often each upper half of the ordered bit patterns occurs to ``counts``, uint64 (65536,).

    Args:
        bits: uint32 (n,), float32 values as bits.
        counts: see above.
    """
    for position in range(bits.size):
        counts[ordered_key(bits[position]) >> np.uint32(16)] += np.uint64(1)


@compiled
def add_lower_halves(bits: Flat, rows: Flat, counts: Flat) -> None:
    """Add how often each lower half of the ordered bit patterns occurs, for some of the upper halves.

    Args:
        bits: uint32 (n,), float32 values as bits.
        rows: int32 (65536,), for each upper half the row of ``counts`` to add to, or -1.
        counts: uint64 (rows, 65536), to add to.
    """
    for position in range(bits.size):
        key = ordered_key(bits[position])
        row = rows[key >> np.uint32(16)]
        if row >= 0:
            counts[row, key & np.uint32(0xFFFF)] += np.uint64(1)


@compiled
def count_columns(mask: Flat, columns: Flat) -> None:
    """Add the number of pixels set in each column of ``mask``, bool (h, W), to ``columns``, int32 (W,)."""
    for row in range(mask.shape[0]):
        for col in range(mask.shape[1]):
            columns[col] += np.int32(mask[row, col])


@compiled
def collect_distinct(bits: Flat, table: Flat, known: int, most: int) -> int:
    """Add values to a hash set.

    Args:
        bits: uint32 (n,), the values; 0xFFFFFFFF must not occur.
        table: uint32, of a power of two at least twice as long as ``most``; 0xFFFFFFFF where empty.
        known: how many values it holds.
        most: how many it may hold.

    Returns:
        How many it holds now, or -1 where they would be more than ``most``.
    """
    mask = np.uint32(len(table) - 1)
    previous = _EMPTY
    for position in range(bits.size):
        number = bits[position]
        if number == previous:
            continue
        previous = number
        product = np.uint32(number * _HASH_FACTOR)
        place = (product ^ (product >> np.uint32(15))) & mask
        while table[place] != number:
            if table[place] == _EMPTY:
                if known == most:
                    return -1
                table[place] = number
                known += 1
                break
            place = (place + np.uint32(1)) & mask
    return known
