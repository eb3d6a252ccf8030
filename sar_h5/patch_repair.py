"""The broken patches of one file: found, made again or dropped, and proven right, while the new file is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sar_h5.derivation.block_matching import plan_matching
from sar_h5.derivation.derived_file import DerivedFile, FileFacts
from sar_h5.derivation.patch_order import PatchOrder, order_patches
from sar_h5.derivation.pieces import Piece
from sar_h5.derivation.pixel_form import PixelForm
from sar_h5.digest import file_digest
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
from sar_h5.repaired_patches import RepairedPatches
from sar_h5.schema import HISTOGRAM
from sar_h5.source_patches import SourcePatches
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
            with name_damage(self._path), open_file(self._path) as old:
                piece = Piece.whole(self._path, old, self._found).keep(kept)
                order, form = order_patches([piece]), PixelForm.of(piece)
                matching = plan_matching([piece], order, form, np.array(self._scenes_of(rebuilt), np.int64))
                with DerivedFile(
                    pending.partial, [piece], form, len(kept), self._jobs, by_place=matching.by_place
                ) as file:  # fmt: skip
                    new = RepairedPatches(piece, reads, file, report.contents, matching.scenes)
                    self._write(new, np.flatnonzero(~faulty), converted, rebuilt)
                    file.pixels.flush()
                    digest = self._digest(order, new.contents[kept])
                    self._check_digest(digest, converted, rebuilt, dropped)
                    histogram = old[HISTOGRAM][:] if self._found.has_histogram else None
                    operation = self._operation(rebuilt, dropped)
                    facts = FileFacts(self._found.settings, self._found.lut, histogram, digest, operation)
                    file.finish(order, new.valid_fraction[kept], facts)
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

    def _write(self, new: RepairedPatches, sound: Numbers, converted: SourcePatches | None, wanted: Mask) -> None:
        """Copy sound patches and make the others again, in the order of the file: equal blocks are found in that."""
        if converted is None:
            self._progress.start("copy", new.nbytes(sound))
        else:
            self._progress.start("rebuild", new.nbytes(sound) + converted.nbytes(self._scenes_of(wanted)))
            for number, patch, valid_fraction in self._rebuild(converted, wanted):
                before = int(np.searchsorted(sound, number))
                self._copy(new, sound[:before])
                sound = sound[before:]
                new.replace(number, patch, valid_fraction)
        self._copy(new, sound)

    def _copy(self, new: RepairedPatches, numbers: Numbers) -> None:
        for number in numbers.tolist():
            self._progress.advance(new.copy(number), 1)

    def _rebuild(self, converted: SourcePatches, wanted: Mask) -> Iterator[tuple[int, npt.NDArray[Any], np.float32]]:
        """Yield patches with their numbers and valid fractions, scene by scene."""
        scenes = self._scenes_of(wanted)
        missing = wanted.copy()
        for scene in scenes:
            if converted.path(scene) is None:
                continue
            try:
                for batch in converted.batches(scene, self._progress):
                    for at in np.flatnonzero((batch.numbers >= 0) & wanted[batch.numbers]).tolist():
                        number = int(batch.numbers[at])
                        missing[number] = False
                        yield number, batch.made.patches[at], batch.made.valid_fraction[at]
            except NotInPaletteError as error:
                raise SourceError(
                    f"{converted.path(scene)}: holds values that the file's table has not: it is not what "
                    f"{self._path} was made from, or has changed since"
                ) from error
        if missing.any():
            names = sorted({str(self._found.scenes["name"][scene]) for scene in self._scenes_of(missing)})
            broken = "".join(f"\n  {item}" for item in converted.broken)
            verb = "is" if missing.sum() == 1 else "are"
            raise SourceError(
                f"{_patches(missing)} of {self._path} {verb} not in the source (scenes {shorten(names)}); name the "
                f"sources that the file was made from, or pass --drop to leave them out{broken}"
            )

    def _digest(self, order: PatchOrder, contents: npt.NDArray[np.uint8]) -> str:
        found = self._found
        rows, cols = (order.gather([axis]).tolist() for axis in found.told_places)
        places = zip(rows, cols, contents, strict=True)
        names, counts = found.scenes["name"].tolist(), order.counts.tolist()
        return file_digest(found.settings, names, counts, places, from_dn=found.from_dn)

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

    def _operation(self, rebuilt: Mask, dropped: Mask) -> str:
        done = []
        if rebuilt.any():
            done.append(f"{_patches(rebuilt)} made again from {', '.join(map(str, self._sources))}")
        if dropped.any():
            done.append(f"{_patches(dropped)} dropped")
        return f"repair {self._path}: {'; '.join(done)}"

    def _scenes_of(self, patches: Mask) -> list[int]:
        scenes: list[int] = np.unique(self._scene[patches]).tolist()
        return scenes


def _patches(chosen: Mask) -> str:
    count = int(chosen.sum())
    return f"{count:,} patch{'es' if count != 1 else ''}"
