"""Does a file hold what its source holds? Every patch, value by value, and the identity of the source's files."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.conversion_kernels import look_up
from sar_h5.errors import FormatError, SourceError
from sar_h5.file_structure import Structure
from sar_h5.intact_reads import IntactReads
from sar_h5.opening import name_damage, open_file
from sar_h5.progress import Progress
from sar_h5.source_patches import SourceBatch, SourcePatches
from sar_h5.splits.bounds_scenes import read_names
from sar_h5.verify_report import Problem, ProblemKind
from sar_h5.workers import in_order

IN_FLIGHT_NBYTES = 20 << 20
"""How many bytes of patches are compared at once."""
LUT_TOLERANCE = 1e-6
"""How far tables of the same bounds may be apart: the last bits of a logarithm depend on the machine."""


@dataclass(frozen=True)
class _Extra:
    """A patch that the source has and the file has not."""

    position: int
    row: int
    col: int

    def __str__(self) -> str:
        return f"{self.position}{f', at row {self.row} col {self.col}' if self.row >= 0 else ''}"


def check_source(
    path: str | Path,
    reads: IntactReads,
    found: Structure,
    sources: Sequence[str | Path],
    numbers: npt.NDArray[np.int64],
    readable: npt.NDArray[np.bool_],
    jobs: int,
    progress: Progress,
) -> list[Problem]:
    """Compare patches of a file with its source, converted again.

    Args:
        path: the file.
        reads: of it.
        found: its structure.
        sources: products, GeoTIFFs or shards.
        numbers: int64 (n,), which patches to compare.
        readable: bool (N,), which of all can be read; others are on the list already.
        jobs: number of threads.
        progress: told of all that is read.

    Raises:
        SourceError: where the source holds nothing of the file's polarization.
    """
    wanted = np.zeros(found.count, np.bool_)
    wanted[numbers] = True
    source = SourcePatches(found, sources, jobs)
    return SourceCheck(path, reads, found, source, wanted, readable, jobs, progress).check()


class SourceCheck:
    """Compares a file with its source.

    Args:
        path: the file.
        reads: of it.
        found: its structure.
        source: its source, converted again.
        wanted: bool (N,), which patches to compare.
        readable: bool (N,), which of them can be read; others are on the list already.
        jobs: number of threads.
        progress: told of all that is read.
    """

    def __init__(
        self,
        path: str | Path,
        reads: IntactReads,
        found: Structure,
        source: SourcePatches,
        wanted: npt.NDArray[np.bool_],
        readable: npt.NDArray[np.bool_],
        jobs: int,
        progress: Progress,
    ) -> None:
        self._path, self._reads, self._found, self._source = path, reads, found, source
        self._wanted, self._readable, self._jobs, self._progress = wanted, readable, jobs, progress
        self._compares_codes = source.storage.from_dn and found.lut is not None
        self.problems: list[Problem] = []

    def check(self) -> list[Problem]:
        """Compare all scenes with a wanted patch, and return the problems."""
        self._check_table()
        if self._is_another_source():
            return self.problems
        starts, counts = self._found.scenes["patch_start"], self._found.scenes["patch_count"]
        ends = starts + counts
        scenes = [
            scene
            for scene in range(len(starts))
            if self._wanted[starts[scene] : ends[scene]].any() or (counts[scene] == 0 and self._wanted.all())
        ]
        self._progress.start("source", self._source.nbytes(scenes))
        for order, scene in enumerate(scenes, start=1):
            self._progress.scene(order, len(scenes))
            if self._source.path(scene) is None:
                self._report_absent(scene)
                continue
            try:
                self._check_scene(scene, int(starts[scene]), int(ends[scene]))
                if self._wanted.all():
                    self._check_identity(scene)
            except SourceError as error:
                reason = f"its source {self._source.path(scene)} cannot be compared: {error}"
                self._add(f"/{schema.SCENES}/name[{scene}]", ProblemKind.SOURCE_CHANGED, reason)
        if self._wanted.all():
            self._report_scenes_left_out()
        return self.problems

    def _add(self, place: str, kind: ProblemKind, message: str) -> None:
        self.problems.append(Problem(place, kind, message))

    def _check_table(self) -> None:
        ours, theirs = self._found.lut, self._source.storage.lut
        if not self._compares_codes or ours is None or theirs is None:
            return
        if len(ours) != len(theirs):
            self._compares_codes = False
            message = f"expected {len(theirs)} values, which follow from vmin and vmax, found {len(ours)}"
            self._add(f"/{schema.LUT}", ProblemKind.DIFFERENT, message)
        elif (apart := np.abs(ours - theirs)).max() > LUT_TOLERANCE:
            code = int(apart.argmax())
            message = (
                f"expected {theirs[code]:.9g} for code {code}, which follows from vmin and vmax, found {ours[code]:.9g}"
            )
            self._add(f"/{schema.LUT}", ProblemKind.DIFFERENT, message)

    def _is_another_source(self) -> bool:
        """Report it where the source has no scene of the file, whose names would only be a long list."""
        count = len(self._found.scenes["name"])
        if not count or any(self._source.path(scene) is not None for scene in range(count)):
            return False
        scenes = f"none of the {count:,} scenes" if count > 1 else f"not the one scene {self._found.scenes['name'][0]}"
        message = f"the source has {scenes} of the file; is it another one?{self._broken()}"
        self._add(f"/{schema.SCENES}/name", ProblemKind.MISSING, message)
        return True

    def _broken(self) -> str:
        """Return what of the source cannot be used, for the end of a message."""
        return f" Broken: {'; '.join(map(str, self._source.broken))}" if self._source.broken else ""

    def _report_absent(self, scene: int) -> None:
        name = self._found.scenes["name"][scene]
        broken = "; ".join(str(item) for item in self._source.broken)
        message = f"expected scene {name} in the source, which does not have it{': ' if broken else ''}{broken}"
        self._add(f"/{schema.SCENES}/name[{scene}]", ProblemKind.MISSING, message)

    def _report_scenes_left_out(self) -> None:
        held = set(self._found.scenes["name"].tolist())
        absent = {name: path for name, path in self._source.paths.items() if name not in held}
        skipped = _skipped_sources(self._path) if absent else []
        names = sorted(name for name, path in absent.items() if not _is_listed(path, skipped))
        if len(names) <= self._found.left_out_scenes:
            return
        on_purpose = self._found.left_out_scenes
        note = f" ({on_purpose} were left out on purpose, and the source has {len(names)} more)" if on_purpose else ""
        for name in names:
            message = f"expected scene {name}, which the source has{note}"
            self._add(f"/{schema.SCENES}/name", ProblemKind.MISSING, message)

    def _check_identity(self, scene: int) -> None:
        scenes, now = self._found.scenes, self._source.identify(scene)
        nbytes, crc32 = int(scenes["source_size"][scene]), int(scenes["source_checksum"][scene])
        if (now.nbytes, now.crc32) != (nbytes, crc32):
            self._add(
                f"/{schema.SCENES}/source_checksum[{scene}]",
                ProblemKind.SOURCE_CHANGED,
                f"expected {self._source.path(scene)} to have {nbytes} bytes with checksum {crc32:08x}, found "
                f"{now.nbytes} with {now.crc32:08x}",
            )

    def _check_scene(self, scene: int, start: int, stop: int) -> None:
        rows = int(self._wanted[start:stop].sum()) * self._found.settings.patch_size
        height = int(self._found.scenes["height"][scene])
        if not self._wanted.all() and self._source.can_take_single and (height == schema.UNKNOWN or rows <= height):
            self._check_single(start, stop)  # one by one they are fewer rows to read than the whole scene has
        else:
            self._check_whole(scene, start, stop)

    def _check_whole(self, scene: int, start: int, stop: int) -> None:
        seen = np.zeros(stop - start, np.bool_)
        extra: list[_Extra] = []
        batches = self._source.batches(scene, self._progress)
        for batch, problems in in_order(
            lambda item: (item, self._compare(item)),
            batches,
            lambda item: item.made.nbytes,
            self._jobs,
            IN_FLIGHT_NBYTES,
        ):
            self.problems += problems
            seen[batch.numbers[batch.numbers >= 0] - start] = True
            extra += [
                _Extra(int(batch.positions[at]), int(batch.made.rows[at]), int(batch.made.cols[at]))
                for at in np.flatnonzero(
                    (batch.numbers < 0) & ~self._found.is_left_out(scene, batch.positions)
                ).tolist()
            ]
        absent = start + np.flatnonzero(~seen & self._wanted[start:stop])
        self.problems += [self._not_there(number) for number in absent.tolist()]
        if extra and self._wanted.all():
            message = (
                f"expected all patches of {self._source.path(scene)}, of which {len(extra)} are missing; the first is "
                f"number {extra[0]}"
            )
            self._add(f"/{schema.SCENES}/patch_count[{scene}]", ProblemKind.MISSING, message)

    def _check_single(self, start: int, stop: int) -> None:
        """Compare the wanted patches of a scene, each read from the source by itself."""
        chosen = np.flatnonzero(self._wanted[start:stop] & self._readable[start:stop]) + start
        size = self._found.patch_nbytes
        for problems in in_order(self._compare_single, chosen.tolist(), lambda _: size, self._jobs, IN_FLIGHT_NBYTES):
            self.problems += problems

    def _compare_single(self, number: int) -> list[Problem]:
        expected = self._source.patch(number)
        if expected is None:
            return [self._not_there(number)]
        numbers = np.array([number], np.int64)
        stored, unreadable = self._reads.read(numbers)
        return [] if unreadable else self._differences(numbers, stored, expected[np.newaxis])

    def _not_there(self, number: int) -> Problem:
        path = self._source.path(int(self._found.index["scene"][number]))
        message = f"expected it in {path}, which does not have it{self._place(number)}"
        return Problem(self._found.place(number), ProblemKind.DIFFERENT, message)

    def _compare(self, batch: SourceBatch) -> list[Problem]:
        numbers = batch.numbers
        chosen = np.flatnonzero((numbers >= 0) & self._wanted[numbers] & self._readable[numbers])
        stored, unreadable = self._reads.read(numbers[chosen])
        # Those that have gone bad since they were checked a moment ago are left to the next run.
        still = [position for position in range(len(chosen)) if position not in unreadable]
        return self._differences(numbers[chosen[still]], stored[still], batch.made.patches[chosen[still]])

    def _differences(
        self, numbers: npt.NDArray[np.int64], stored: npt.NDArray[Any], made: npt.NDArray[Any]
    ) -> list[Problem]:
        problems = []
        for number, theirs, ours in zip(numbers.tolist(), made, stored, strict=True):
            expected, found = self._alike(theirs), self._alike(ours, ours=True)
            differs = expected != found
            if differs.any():
                problems.append(self._describe(number, differs, expected, found))
        return problems

    def _alike(self, patch: npt.NDArray[Any], *, ours: bool = False) -> npt.NDArray[Any]:
        """Return what to compare: codes where the tables are the same, else the bits of values."""
        if self._compares_codes:
            return patch
        table = self._found.lut if ours else self._source.storage.lut
        if table is None:
            return np.ascontiguousarray(patch, dtype=np.float32).view(np.uint32)
        values = np.empty(patch.shape, np.float32)
        look_up(np.ascontiguousarray(patch).reshape(-1), table, values.reshape(-1))
        return values.view(np.uint32)

    def _describe(
        self, number: int, differs: npt.NDArray[np.bool_], expected: npt.NDArray[Any], found: npt.NDArray[Any]
    ) -> Problem:
        first = int(differs.argmax())
        row, col = divmod(first, differs.shape[1])
        values = [self._value(patch.reshape(-1)[first]) for patch in (expected, found)]
        return Problem(
            self._found.place(number),
            ProblemKind.DIFFERENT,
            f"{int(differs.sum())} of {differs.size} pixels are not those of the source{self._place(number)}; the "
            f"first at row {row} col {col} of the patch: expected {values[0]}, found {values[1]}",
        )

    def _value(self, item: Any) -> str:
        if self._compares_codes and self._found.lut is not None:
            return f"{self._found.lut[item]:.9g} (code {item})"
        return f"{np.uint32(item).view(np.float32):.9g}"

    def _place(self, number: int) -> str:
        index, scenes = self._found.index, self._found.scenes
        name = scenes["name"][index["scene"][number]]
        row, col = (int(axis[number]) for axis in self._found.told_places)
        return f" ({name}{f', row {row} col {col}' if row >= 0 else ''})"


def _skipped_sources(path: str | Path) -> list[str]:
    """Return what a file says was left out when it was made, as "path: reason"."""
    # Where the attribute cannot be read, that is on the list of problems already.
    with contextlib.suppress(FormatError), name_damage(path), open_file(path) as file:
        return read_names(file, "skipped_sources")
    return []


def _is_listed(path: str, skipped: Sequence[str]) -> bool:
    """Tell whether a source is among those that were skipped; a relative path may have been so to another directory."""
    listed = [Path(line.partition(": ")[0]).parts for line in skipped]
    there = Path(path).absolute().parts
    return any(line.startswith(f"{path}: ") for line in skipped) or any(
        parts and there[-len(parts) :] == parts for parts in listed
    )
