"""Is every patch what the file says? Checksums, codes, valid fractions, in threads, and the digest over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.conversion_kernels import count_between
from sar_h5.cutting import BATCH_NBYTES
from sar_h5.digest import file_digest, hash_patches, patch_content
from sar_h5.file_structure import Structure
from sar_h5.intact_reads import IntactReads
from sar_h5.patch_kernels import measure_codes
from sar_h5.progress import Progress
from sar_h5.radiometry import INSIDE_HIGH, INSIDE_LOW, is_inside
from sar_h5.verify_report import Problem, ProblemKind
from sar_h5.workers import in_order

IN_FLIGHT_NBYTES = 32 << 20
"""How many bytes of decoded patches are looked at at once."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PatchReport:
    """What was found about patches.

    Attributes:
        problems: in the order of the file.
        broken: bool (N,), which patches cannot be read, or hold what they cannot.
        misstated: bool (N,), of which other patches the index states a wrong valid fraction.
        contents: uint8 (N, 32), the SHA-256 of the content of each patch that was checked and can be read.
        digest: of all patches, None where not all of them were checked and found sound.
    """

    problems: tuple[Problem, ...]
    broken: npt.NDArray[np.bool_]
    misstated: npt.NDArray[np.bool_]
    contents: npt.NDArray[np.uint8]
    digest: str | None


@dataclass(frozen=True)
class _Judged:
    numbers: Numbers
    problems: list[Problem]
    broken: Numbers
    misstated: Numbers
    contents: npt.NDArray[np.uint8]


def check_patches(reads: IntactReads, found: Structure, numbers: Numbers, jobs: int, progress: Progress) -> PatchReport:
    """Check patches; the digest only where they are all there are.

    Args:
        reads: of the file.
        found: its structure.
        numbers: int64 (n,), which patches to check, growing.
        jobs: number of threads.
        progress: told of every patch.
    """
    step = max(1, BATCH_NBYTES // found.patch_nbytes)

    def batches() -> Iterator[Numbers]:
        for start in range(0, len(numbers), step):
            reads.announce(numbers[start : start + step])
            yield numbers[start : start + step]

    judge = _Judge(reads, found)
    problems: list[Problem] = []
    broken, misstated = np.zeros(found.count, np.bool_), np.zeros(found.count, np.bool_)
    contents = np.zeros((found.count, 32), np.uint8)
    progress.start("verify", len(numbers) * found.patch_nbytes)
    for judged in in_order(judge.judge, batches(), lambda some: len(some) * found.patch_nbytes, jobs, IN_FLIGHT_NBYTES):
        problems += judged.problems
        broken[judged.broken] = True
        misstated[judged.misstated] = True
        contents[judged.numbers] = judged.contents
        progress.advance(len(judged.numbers) * found.patch_nbytes)
    digest = None
    if len(numbers) == found.count and not problems:
        digest = content_digest(found, contents)
    return PatchReport(tuple(problems), broken, misstated, contents, digest)


def content_digest(found: Structure, contents: npt.NDArray[np.uint8]) -> str:
    """Return the digest of a file from the SHA-256 of each of its patches' content, uint8 (N, 32)."""
    scenes = found.scenes
    rows, cols = found.told_places
    places = zip(rows.tolist(), cols.tolist(), contents, strict=True)
    names = scenes["name"].tolist()
    return file_digest(found.settings, names, scenes["patch_count"].tolist(), places, from_dn=found.from_dn)


class _Judge:
    """Looks at batches of patches; threads may share it."""

    def __init__(self, reads: IntactReads, found: Structure) -> None:
        self._reads, self._found = reads, found
        self._pixels = found.settings.patch_size**2
        self._by_range = found.attributes.get("valid_measure") == "range"
        self._counts_pixels = self._by_range or (found.lut is not None and found.settings.invalid_code is not None)
        self._is_counted = np.zeros(1 << 8 * min(found.dtype.itemsize, 2), np.bool_)
        if found.lut is not None:
            levels = len(found.lut)
            self._is_counted[:levels] = (
                is_inside(found.lut) if self._by_range else np.arange(levels) != found.settings.invalid_code
            )

    def judge(self, numbers: Numbers) -> _Judged:
        patches, unreadable = self._reads.read(numbers)
        contents = np.zeros((len(numbers), 32), np.uint8)
        sound = [position for position in range(len(numbers)) if position not in unreadable]
        problems = {
            position: Problem(self._found.place(int(numbers[position])), ProblemKind.CORRUPT, reason)
            for position, reason in unreadable.items()
        }
        highest, counted = self._measure(patches, sound)
        misstated = []
        for position in sound:
            number = int(numbers[position])
            reason = self._fault(highest[position])
            if reason is not None:
                problems[position] = Problem(self._found.place(number), ProblemKind.WRONG_VALUE, reason)
                continue
            contents[position] = np.frombuffer(self._hash(patches[position]), np.uint8)
            reason = self._misstated(number, int(counted[position]))
            if reason is not None:
                place = f"/{schema.INDEX}/valid_fraction[{number}]"
                problems[position] = Problem(place, ProblemKind.WRONG_VALUE, reason)
                misstated.append(position)
        order = sorted(problems)
        broken = [position for position in order if position not in misstated]
        listed = [problems[position] for position in order]
        return _Judged(numbers, listed, numbers[broken], numbers[misstated], contents)

    def _measure(
        self, patches: npt.NDArray[Any], sound: list[int]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Return the highest code or value of each patch (-1: one is negative or NaN), and how many pixels count."""
        highest, counted = np.zeros(len(patches)), np.zeros(len(patches), np.int64)
        flat = patches.reshape(len(patches), -1)
        if self._found.lut is not None:
            measure_codes(flat, self._is_counted, highest, counted)
            return highest, counted
        for position in sound:
            values = flat[position]
            highest[position] = values.max() if values.min() >= 0 else -1.0  # comparing NaN is false
            counted[position] = count_between(values, INSIDE_LOW, INSIDE_HIGH)
        return highest, counted

    def _fault(self, highest: float) -> str | None:
        lut = self._found.lut
        if lut is not None:
            return f"expected codes below {len(lut)}, found {highest:.0f}" if highest >= len(lut) else None
        return None if 0 <= highest <= 1 else "expected values in [0, 1]"

    def _misstated(self, number: int, counted: int) -> str | None:
        if not self._counts_pixels:
            return None
        stated, measured = self._found.index["valid_fraction"][number], counted / self._pixels
        if stated == np.float32(measured):
            return None
        return f"expected {measured:.6f} from its pixels, found {stated:.6f}"

    def _hash(self, patch: npt.NDArray[Any]) -> bytes:
        return hash_patches([patch_content(patch, self._found.lut, from_dn=self._found.from_dn)])[0]
