"""The compiled loops of reading: stored patches to batches in one pass, without the GIL.

Look-up and symmetry happen in one sweep over the codes; reading and Blosc decoding go before it in the same loop over
the patches of a slice, so that threads meet only once per slice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.compiled import compiled
from sar_h5.native import call_crc32, call_decompress, call_pread

_TILE = 8
"""Side of the tiles in which patches are transposed: eight codes or floats of a row share a cache line."""
FRAME_HEADER_NBYTES = 16
_BLOSC_FORMAT, _COPIED, _RESERVED = 2, 0x2, 0x8
"""Of a Blosc-1 header: the format's version in byte 0, flags in byte 2 (README_CHUNK_FORMAT.rst of c-blosc)."""


@compiled
def place(
    codes: npt.NDArray[Any], lut: npt.NDArray[np.float32] | None, levels: int, symmetry: int, out: npt.NDArray[Any]
) -> bool:
    """Look up the codes of a patch and place them under one of the eight symmetries of the square.

    Args:
        codes: (H, W) as stored; numbers themselves where there is no table.
        lut: float32, as long as the codes' dtype has values, so that no code can lead outside; or None.
        levels: how many entries of the table count.
        symmetry: 0 to 7 as in ``symmetry.apply_symmetry``; odd ones only where H equals W.
        out: float32 (H, W), filled; without a table the codes' dtype as well.

    Returns:
        Whether every code counts; where not, ``out`` is of no use.
    """
    if lut is not None and not _all_below(codes, levels):
        return False
    turns, mirrored = symmetry & 3, symmetry > 3
    if turns == 0:
        _place_upright(codes, lut, False, mirrored, out)
    elif turns == 1:
        _place_transposed(codes, lut, True, mirrored, out)
    elif turns == 2:
        _place_upright(codes, lut, True, not mirrored, out)
    else:
        _place_transposed(codes, lut, False, not mirrored, out)
    return True


@compiled
def _all_below(codes: npt.NDArray[Any], levels: int) -> bool:
    highest = codes.dtype.type(0)
    for code in codes.ravel():
        highest = max(highest, code)
    return bool(np.int64(highest) < levels)


@compiled
def _value(lut: npt.NDArray[np.float32] | None, code: Any) -> Any:
    if lut is None:
        return code  # becomes what it is put into
    return lut[code]


@compiled
def _place_upright(
    codes: npt.NDArray[Any], lut: npt.NDArray[np.float32] | None, upended: bool, mirrored: bool, out: npt.NDArray[Any]
) -> None:
    height, width = out.shape
    for row in range(height):
        source = codes[height - 1 - row if upended else row]
        if mirrored:
            backwards = source[::-1]
            for col in range(width):
                out[row, col] = _value(lut, backwards[col])
        else:
            for col in range(width):
                out[row, col] = _value(lut, source[col])


@compiled
def _place_transposed(
    codes: npt.NDArray[Any], lut: npt.NDArray[np.float32] | None, upended: bool, mirrored: bool, out: npt.NDArray[Any]
) -> None:
    size = out.shape[0]
    whole = size - size % _TILE
    for top in range(0, whole, _TILE):
        for left in range(0, whole, _TILE):
            for step in range(_TILE):
                row = top + step
                source_col = size - 1 - row if upended else row
                if mirrored:
                    for col in range(_TILE):
                        out[row, left + col] = _value(lut, codes[size - 1 - left - col, source_col])
                else:
                    for col in range(_TILE):
                        out[row, left + col] = _value(lut, codes[left + col, source_col])
    for row in range(size):
        source_col = size - 1 - row if upended else row
        for col in range(whole if row < whole else 0, size):
            out[row, col] = _value(lut, codes[size - 1 - col if mirrored else col, source_col])


@compiled
def read_values(
    pread: int,
    decompress: int,
    descriptor: int,
    offsets: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    plain: npt.NDArray[np.bool_],
    crc32: int,
    checksums: npt.NDArray[np.uint32] | None,
    numbers: npt.NDArray[np.int64],
    symmetries: npt.NDArray[np.uint8],
    lut: npt.NDArray[np.float32] | None,
    levels: int,
    frame: npt.NDArray[np.uint8],
    payload: npt.NDArray[Any],
    codes: npt.NDArray[Any],
    places: npt.NDArray[np.int64],
    out: npt.NDArray[Any],
) -> int:
    """Read, decode, look up and place patches.

    Args:
        pread: address of ``pread``; see ``native``.
        decompress: address of ``blosc_decompress_ctx``.
        descriptor: of the open file.
        offsets: int64 (N,), where each chunk lies in the file.
        sizes: int64 (N,), bytes of each chunk.
        plain: bool (N,), whether it is stored without Blosc.
        crc32: address of zlib's ``crc32``; see ``native``.
        checksums: uint32 (N,), what the stored bytes must have; None to take them as they are.
        numbers: int64 (n,), patches to read.
        symmetries: uint8 (n,), of each of them.
        lut: see :func:`place`.
        levels: see :func:`place`.
        frame: uint8, scratch for a chunk; larger chunks are refused.
        payload: (H, W) in the stored dtype, what follows the header in ``frame``.
        codes: (H, W) in the stored dtype, scratch for a patch.
        places: int64 (n,), which of ``out`` each patch goes to.
        out: float32 (m, H, W), or as :func:`place` has it.

    Returns:
        How many patches were placed, n or the position of the first one that could not be.
    """
    for position in range(len(numbers)):
        number = numbers[position]
        offset, size = offsets[number], sizes[number]
        in_place = False
        if plain[number]:
            if not _read(pread, descriptor, offset, size, codes.nbytes, codes.ctypes.data):
                return position
            if not _is_intact(crc32, checksums, number, codes.ctypes.data, size):
                return position
        elif not _read_frame(pread, descriptor, offset, size, codes.nbytes, frame) or not _is_intact(
            crc32, checksums, number, frame.ctypes.data, size
        ):
            return position
        elif _is_copy(frame, size, codes.nbytes):
            in_place = True
        elif not _decode(decompress, frame, codes.ctypes.data, codes.nbytes):
            return position
        if not place(payload if in_place else codes, lut, levels, int(symmetries[position]), out[places[position]]):
            return position
    return len(numbers)


@compiled
def read_codes(
    pread: int,
    decompress: int,
    descriptor: int,
    offsets: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    plain: npt.NDArray[np.bool_],
    crc32: int,
    checksums: npt.NDArray[np.uint32] | None,
    numbers: npt.NDArray[np.int64],
    frame: npt.NDArray[np.uint8],
    out: npt.NDArray[Any],
) -> int:
    """Read and decode patches straight to their places, as stored; arguments and result as :func:`read_values`."""
    for position in range(len(numbers)):
        number = numbers[position]
        offset, size = offsets[number], sizes[number]
        patch = out[position]
        target, nbytes = patch.ctypes.data, patch.size * patch.itemsize
        if plain[number]:
            if not _read(pread, descriptor, offset, size, nbytes, target):
                return position
            if not _is_intact(crc32, checksums, number, target, size):
                return position
        elif (
            not _read_frame(pread, descriptor, offset, size, nbytes, frame)
            or not _is_intact(crc32, checksums, number, frame.ctypes.data, size)
            or not _decode(decompress, frame, target, nbytes)
        ):
            return position
    return len(numbers)


@compiled
def _read(pread: int, descriptor: int, offset: int, size: int, nbytes: int, target: int) -> bool:
    """Read an unfiltered chunk, and tell whether it is as long as a patch and all of it was there."""
    return bool(size == nbytes and call_pread(pread, descriptor, target, nbytes, offset) == nbytes)


@compiled
def _read_frame(pread: int, descriptor: int, offset: int, size: int, nbytes: int, frame: npt.NDArray[np.uint8]) -> bool:
    """Read a Blosc frame, and tell whether its header says what is known to be true: the decoder trusts it."""
    if size > len(frame) or size < FRAME_HEADER_NBYTES:
        return False
    if call_pread(pread, descriptor, frame.ctypes.data, size, offset) != size:
        return False
    return bool(_little_endian(frame, 4) == nbytes and _little_endian(frame, 12) == size)


@compiled
def _is_intact(crc32: int, checksums: npt.NDArray[np.uint32] | None, number: int, address: int, size: int) -> bool:
    """Tell whether the stored bytes of a patch have its checksum, where there are checksums to check."""
    if checksums is None:
        return True
    return bool(call_crc32(crc32, address, size) == np.int64(checksums[number]))


@compiled
def _is_copy(frame: npt.NDArray[np.uint8], size: int, nbytes: int) -> bool:
    """Tell whether a frame holds the patch as it is, since it would not shrink: most of VH does.

    Whatever else is unusual about the header is left for the decoder to judge.
    """
    flags, block_nbytes = frame[2], _little_endian(frame, 8)
    return bool(
        frame[0] == _BLOSC_FORMAT
        and flags & _COPIED
        and not flags & _RESERVED
        and frame[3] > 0
        and 0 < block_nbytes <= nbytes
        and size == nbytes + FRAME_HEADER_NBYTES
    )


@compiled
def _decode(decompress: int, frame: npt.NDArray[np.uint8], target: int, nbytes: int) -> bool:
    return bool(call_decompress(decompress, frame.ctypes.data, target, nbytes) == nbytes)


@compiled
def _little_endian(frame: npt.NDArray[np.uint8], start: int) -> int:
    number = 0
    for position in range(4):
        number |= int(frame[start + position]) << (8 * position)
    return number
