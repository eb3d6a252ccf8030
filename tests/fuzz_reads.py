"""Flip bits of stored chunks and read each result in batches, by both ways; print what came of it as JSON.

Run as ``python -m tests.fuzz_reads FILE FLIPS SEED``, in a process of its own, since what is looked for are crashes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import numpy as np

from sar_h5.errors import CorruptPatchError
from sar_h5.reader import PatchReader


def read(reader: PatchReader, numbers: np.ndarray, *, codes: bool) -> bytes | int:
    """Return what a batch holds, or which patch cannot be read."""
    shape = (len(numbers), *reader.source.shape[1:])
    out = np.full(shape, 77, dtype=reader.source.dtype if codes else np.float32)
    try:
        if codes:
            reader.codes(numbers, out, threads=2)
        else:
            reader.values(numbers, out, np.full(len(numbers), 3, dtype=np.uint8), threads=2)
    except CorruptPatchError as error:
        return error.patch
    return out.tobytes()


def main(path: Path, flips: int, seed: int) -> None:
    """Damage one chunk after the other, each time by one to three bits, and put it back."""
    bulk, single = PatchReader(path), PatchReader(path)
    original = path.read_bytes()
    with h5py.File(path) as file:
        patches = file["patches"]
        places = [patches.id.get_chunk_info(number) for number in range(len(patches))]
    numbers = np.arange(len(places))
    assert single._open().bulk is not None
    object.__setattr__(single._open(), "bulk", None)
    assert bulk._open().bulk is not None
    wanted = read(bulk, numbers, codes=True)
    assert isinstance(wanted, bytes)
    size = len(wanted) // len(numbers)
    generator = np.random.default_rng(seed)
    found = {"unchanged": 0, "changed": 0, "refused": 0, "wrong": []}
    for step in range(flips):
        number = int(generator.integers(len(places)))
        place = places[number]
        damaged = bytearray(original[place.byte_offset : place.byte_offset + place.size])
        for _ in range(int(generator.integers(1, 4))):
            # Every other time in the header or the table of blocks after it.
            bit = int(generator.integers(8 * (min(40, place.size) if step % 2 else place.size)))
            damaged[bit // 8] ^= 1 << bit % 8
        with path.open("r+b") as file:
            file.seek(place.byte_offset)
            file.write(damaged)
        for codes in (True, False):
            results = [read(reader, numbers, codes=codes) for reader in (bulk, single)]
            if results[0] != results[1] or results[0] not in (number, *[r for r in results if isinstance(r, bytes)]):
                found["wrong"].append(f"step {step}: {[r if isinstance(r, int) else 'a batch' for r in results]}")
            if not codes:
                continue
            if isinstance(results[0], int):
                found["refused"] += 1
                continue
            same = [results[0][at * size : (at + 1) * size] == wanted[at * size : (at + 1) * size] for at in numbers]
            if not all(same[:number] + same[number + 1 :]):
                found["wrong"].append(f"step {step}: another patch than {number} changed")
            found["unchanged" if same[number] else "changed"] += 1
        with path.open("r+b") as file:
            file.seek(place.byte_offset)
            file.write(original[place.byte_offset : place.byte_offset + place.size])
    assert read(bulk, numbers, codes=True) == wanted
    print(json.dumps(found))  # noqa: T201 - read by the test


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
