"""The broken patches of one file: found, made again or dropped, and proven right, while the new file is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sar_h5.digest import file_digest, hash_patches, patch_content
from sar_h5.errors import FormatError, SourceError
from sar_h5.file_structure import Structure
from sar_h5.intact_reads import IntactReads
from sar_h5.job import check_disk
from sar_h5.opening import name_damage, open_file
from sar_h5.palette import NotInPaletteError
from sar_h5.patch_checks import PatchReport, check_patches
from sar_h5.pending import PendingFile
from sar_h5.progress import Progress
from sar_h5.repair_summary import RepairSummary
from sar_h5.repaired_file import RepairedFile
from sar_h5.schema import DROPPED_PATCHES
from sar_h5.source_patches import SourcePatches, undamaged_positions
from sar_h5.verify_report import list_problems, shorten

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


class PatchRepair:
    """One file being repaired.

    Args:
        path: the file.
        found: its structure, which is sound.
        sources: what it was made from; none where broken patches are to be dropped.
        jobs: number of threads.
        progress: told of every stage.
    """

    def __init__(
        self, path: Path, found: Structure, sources: Sequence[str | Path], jobs: int, progress: Progress
    ) -> None:
        self._path, self._found, self._sources = path, found, sources
        self._jobs, self._progress = jobs, progress
        self._scene = found.index["scene"]

    def write(self, pending: PendingFile, *, drop: bool) -> RepairSummary:
        """Check all patches, and write the new file where one is broken."""
        with IntactReads(str(self._path), self._found) as reads:
            report = check_patches(reads, self._found, np.arange(self._found.count), self._jobs, self._progress)
            faulty = report.broken | report.misstated
            if not faulty.any():
                self._check_nothing_else(report)
                return self._summary(pending.path, faulty, faulty, self._stated_digest)
            self._check_remedy(report, drop=drop)
            converted = SourcePatches(self._found, self._sources, self._jobs, as_stored=True) if self._sources else None
            rebuilt = self._find_rebuildable(converted, faulty, sure=not drop)
            dropped = faulty & ~rebuilt
            kept = np.flatnonzero(~dropped).astype(np.int64)
            if not len(kept):
                raise FormatError(f"{self._path}: every patch is broken, nothing would be left; convert again")
            check_disk(pending.path.parent, self._path.stat().st_size)
            contents = report.contents
            with (
                name_damage(self._path),
                open_file(self._path) as old,
                RepairedFile(old, pending.partial, self._found, kept) as file,
            ):
                self._copy(reads, file, np.flatnonzero(~faulty))
                if converted is not None:
                    self._rebuild(converted, file, rebuilt, contents)
                digest = self._digest(file, kept, contents)
                self._check_digest(digest, converted, rebuilt, dropped)
                file.finish(digest, self._all_dropped(dropped), self._operation(rebuilt, dropped))
        return self._summary(pending.path, rebuilt, dropped, digest)

    @property
    def _stated_digest(self) -> str:
        return self._found.attributes.get("content_digest", "")

    def _summary(self, out: Path, rebuilt: Mask, dropped: Mask, digest: str) -> RepairSummary:
        return RepairSummary(
            path=str(self._path),
            out=str(out),
            patches=self._found.count,
            rebuilt=tuple(np.flatnonzero(rebuilt).tolist()),
            dropped=tuple(np.flatnonzero(dropped).tolist()),
            content_digest=digest,
        )

    def _check_nothing_else(self, report: PatchReport) -> None:
        if report.digest != self._stated_digest:
            raise FormatError(
                f"{self._path}: every patch fits its checksum, but together they do not fit content_digest, so that "
                "nothing tells which to mend (patches moved, or attributes changed); convert again. `sar-h5 verify "
                f"{self._path} --source SOURCE` shows which patches differ from their source"
            )

    def _check_remedy(self, report: PatchReport, *, drop: bool) -> None:
        if not self._sources and not drop:
            raise FormatError(
                f"{self._path}: {list_problems(report.problems)}; pass --source SOURCE to make them again from what "
                "the file was made from, or --drop to leave them out; nothing was written"
            )

    def _find_rebuildable(self, converted: SourcePatches | None, faulty: Mask, *, sure: bool) -> Mask:
        """Return which patches the source has; where they must all be there, that shows when they are made."""
        if converted is None:
            return np.zeros_like(faulty)
        if sure:
            return faulty.copy()
        there = np.zeros_like(faulty)
        for scene in self._scenes_of(faulty):
            if converted.path(scene) is None:
                continue
            try:
                for batch in converted.batches(scene, self._progress):
                    there[batch.numbers[batch.numbers >= 0]] = True
            except (SourceError, NotInPaletteError):
                there[self._scene == scene] = False
        return there & faulty

    def _copy(self, reads: IntactReads, file: RepairedFile, numbers: Numbers) -> None:
        self._progress.start("copy", int(self._found.table.sizes[numbers].sum()))
        for number in numbers.tolist():
            try:
                stored = reads.chunks.stored(number)
            except (OSError, ValueError) as error:
                raise SourceError(
                    f"{self._path}: patch {number} was sound a moment ago and cannot be read now: {error}; is the disk "
                    "failing? Nothing was written"
                ) from error
            file.copy_patch(number, stored)
            self._progress.advance(len(stored), 1)

    def _rebuild(
        self, converted: SourcePatches, file: RepairedFile, wanted: Mask, contents: npt.NDArray[np.uint8]
    ) -> None:
        scenes = self._scenes_of(wanted)
        self._progress.start("rebuild", converted.nbytes(scenes))
        missing = wanted.copy()
        for scene in scenes:
            if converted.path(scene) is None:
                continue
            try:
                for batch in converted.batches(scene, self._progress):
                    for at in np.flatnonzero((batch.numbers >= 0) & wanted[batch.numbers]).tolist():
                        number, patch = int(batch.numbers[at]), batch.made.patches[at]
                        file.replace_patch(number, patch, batch.made.valid_fraction[at])
                        content = patch_content(patch, self._found.lut, from_dn=self._found.from_dn)
                        contents[number] = np.frombuffer(hash_patches([content])[0], np.uint8)
                        missing[number] = False
            except NotInPaletteError as error:
                raise SourceError(
                    f"{converted.path(scene)}: holds values that the file's table has not: it is not what "
                    f"{self._path} was made from, or has changed since"
                ) from error
        if missing.any():
            names = sorted({str(self._found.scenes["name"][scene]) for scene in self._scenes_of(missing)})
            broken = "".join(f"\n  {item}" for item in converted.broken)
            raise SourceError(
                f"{_patches(missing)} of {self._path} are not in the source (scenes {shorten(names)}); name the "
                f"sources that the file was made from, or pass --drop to leave them out{broken}"
            )

    def _digest(self, file: RepairedFile, kept: Numbers, contents: npt.NDArray[np.uint8]) -> str:
        found = self._found
        rows, cols = found.index["row"][kept].tolist(), found.index["col"][kept].tolist()
        places = zip(rows, cols, contents[kept], strict=True)
        counts = file.scenes().counts.tolist()
        return file_digest(found.settings, found.scenes["name"].tolist(), counts, places, from_dn=found.from_dn)

    def _check_digest(self, digest: str, converted: SourcePatches | None, rebuilt: Mask, dropped: Mask) -> None:
        """Rebuilt patches must be those that were lost: the digest tells; or, where some are dropped, their files."""
        if converted is None or not rebuilt.any():
            return
        if not dropped.any():
            if digest != self._stated_digest:
                raise SourceError(
                    f"{self._path}: made again, its patches do not have the content that content_digest tells: the "
                    f"source has changed, or is another one. `sar-h5 verify {self._path} --source` names the "
                    "differences; --drop without --source leaves the broken patches out"
                )
            return
        scenes = self._found.scenes
        for scene in self._scenes_of(rebuilt):
            now = converted.identify(scene)
            if (now.nbytes, now.crc32) != (
                int(scenes["source_size"][scene]),
                int(scenes["source_checksum"][scene]),
            ):
                raise SourceError(
                    f"{converted.path(scene)}: has changed since {self._path} was made from it, so that its patches "
                    "may be others; leave out --source to drop all broken patches"
                )

    def _all_dropped(self, dropped: Mask) -> Numbers:
        """Return all dropped patches, those of earlier repairs as well, as rows of scene, position, row and col."""
        found, index = self._found, self._found.index
        rows = [found.dropped]
        for scene in self._scenes_of(dropped):
            start, count = int(found.scenes["patch_start"][scene]), int(found.scenes["patch_count"][scene])
            earlier = found.dropped[found.dropped[:, 0] == scene, 1]
            here = np.flatnonzero(dropped[start : start + count])
            positions = undamaged_positions(count, earlier)[here]
            numbers = here + start
            columns = (np.full(len(here), scene), positions, index["row"][numbers], index["col"][numbers])
            rows.append(np.stack(columns, axis=1).astype(np.int64))
        table = np.concatenate(rows)
        return table[np.lexsort((table[:, 1], table[:, 0]))]

    def _operation(self, rebuilt: Mask, dropped: Mask) -> str:
        done = []
        if rebuilt.any():
            done.append(f"{_patches(rebuilt)} made again from {', '.join(map(str, self._sources))}")
        if dropped.any():
            done.append(f"{_patches(dropped)} dropped, listed in {DROPPED_PATCHES}")
        return f"repair {self._path}: {'; '.join(done)}"

    def _scenes_of(self, patches: Mask) -> list[int]:
        scenes: list[int] = np.unique(self._scene[patches]).tolist()
        return scenes


def _patches(chosen: Mask) -> str:
    count = int(chosen.sum())
    return f"{count:,} patch{'es' if count != 1 else ''}"
