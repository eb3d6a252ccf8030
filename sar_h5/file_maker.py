"""One file on its way through the stages: survey, plan, write; timed, and summed up at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from sar_h5.conversion_record import ConversionRecord, Undertaking
from sar_h5.errors import BadSource, FormatError, SourceError
from sar_h5.finished_scene import FinishedScene
from sar_h5.job import Job, Plan
from sar_h5.palette import NotInPaletteError
from sar_h5.partial_file import PartialFile
from sar_h5.pending import PendingFile
from sar_h5.progress import Progress
from sar_h5.recovered_count import RecoveredCount
from sar_h5.schema import FileSettings
from sar_h5.settings import ConvertSettings
from sar_h5.shared_blocks.sharing import BlockSharing, measure_sharing
from sar_h5.sources.scene import SourceFile
from sar_h5.summary import FileSummary
from sar_h5.unfinished_file import Resumption, resume, scene_blobs
from sar_h5.writer import FileWriter, Provenance


class FileMaker:
    """Makes one file of one job.

    Attributes:
        job: where its patches come from.
        output: where it goes.

    Args:
        job: see above.
        output: see above.
        settings: the user's.
        undertaking: what the file is to be.
        command: what was run, for the file's history.
        progress: told of every stage.
    """

    def __init__(
        self,
        job: Job[Any],
        output: PendingFile,
        settings: ConvertSettings,
        undertaking: Undertaking,
        command: str,
        progress: Progress,
    ) -> None:
        self.job, self.output = job, output
        self._settings, self._undertaking, self._command, self._progress = settings, undertaking, command, progress
        self._plan: Plan
        self._resumption: Resumption | None = None
        self._scenes: tuple[FinishedScene, ...] = ()
        self._seconds = 0.0
        self._nbytes = 0
        self._digest = ""
        self._notes: list[str] = []
        self._sharing: BlockSharing | None = None
        self._recovered: RecoveredCount | None = None

    @property
    def estimated_nbytes(self) -> int:
        """About how much more disk the file will take; known once planned."""
        there = 0 if self._resumption is None else self.output.partial.stat().st_size
        return max(self._plan.estimated_nbytes - there, 0)

    def survey(self) -> None:
        """Look at all pixels where the bounds need it, unless an earlier run has; broken scenes are set aside."""
        with self._timed():
            if self._settings.resume:
                self._resumption = self._resume()
            if self._resumption is None:
                self.job.survey(self._progress)

    def plan(self) -> None:
        """Decide bounds, storage and codec, unless an earlier run has."""
        with self._timed():
            if self._resumption is None:
                self._plan = self.job.plan(self._progress)
            else:
                self._plan = self._resumption.plan

    def begin(self) -> None:
        """Make the file, empty, and write down what was found out so far, unless an earlier run has."""
        if self._resumption is None:
            scenes = tuple(scene.info.path for scene in self.job.scenes)
            saved = self.job.save(self._plan)
            record = ConversionRecord(self._undertaking, saved, scenes, tuple(self.job.broken))
            PartialFile.create(self.output.partial, record.to_entry()).close()

    def check(self) -> None:
        """Read all scenes without writing anything, only to name every broken one."""
        self._progress.start(f"{self.job.polarization} check", self.job.source_nbytes)
        for number, scene in enumerate(list(self.job.scenes), start=1):
            self._progress.scene(number, len(self.job.scenes))
            self._check_scene(scene)

    def write(self, broken_before: Sequence[BadSource]) -> None:
        """Write the file under its temporary name, after :meth:`begin`.

        Args:
            broken_before: sources that were left out before this file's job was made.
        """
        with self._timed():
            try:
                self._write_file(broken_before)
            except NotInPaletteError:
                self._plan = self.job.replan(self._progress)
                self._resumption = None
                self.begin()
                self._write_file(broken_before)

    def summarize(self, broken_before: Sequence[BadSource], notes: Sequence[str]) -> FileSummary:
        """Sum up what was written."""
        plan, job, settings = self._plan, self.job, self._settings
        reason = (f"stored as {plan.storage.encoding}: {plan.storage.reason}",) if plan.storage.reason else ()
        return FileSummary(
            path=str(self.output.path),
            polarization=job.polarization,
            scenes=len(self._scenes),
            patches=self._patches,
            dropped=self._dropped,
            min_valid=job.min_valid,
            valid_measure=settings.valid_measure,
            patch_size=job.patch_size,
            stride=job.stride,
            vmin=plan.bounds.vmin,
            vmax=plan.bounds.vmax,
            bounds_origin=plan.bounds.origin,
            encoding=plan.storage.encoding,
            levels=0 if plan.storage.lut is None else len(plan.storage.lut),
            codec=str(plan.codec),
            nbytes=self._nbytes,
            float32_nbytes=self._patches * job.patch_size**2 * 4,
            source_nbytes=job.source_nbytes,
            seconds=self._seconds,
            content_digest=self._digest,
            layout="patches" if plan.block_size is None else "blocks",
            blocks=self._sharing,
            recovered=self._recovered,
            skipped=(*broken_before, *job.broken),
            notes=(*reason, *self._notes, *self._block_notes(), *self._twins(), *notes),
        )

    @property
    def _patches(self) -> int:
        return sum(scene.count for scene in self._scenes)

    @property
    def _dropped(self) -> int:
        return sum(scene.dropped for scene in self._scenes)

    def _resume(self) -> Resumption | None:
        if not self.output.unfinished:
            self._notes.append("no earlier run had left anything to go on with")
            return None
        try:
            resumption = resume(self.output.partial, self.job, self._undertaking, self._progress)
        except FormatError as error:
            self._notes.append(f"what an earlier run had left is of no use, so all was done again: {error}")
            return None
        self._notes += resumption.notes
        return resumption

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._seconds += time.perf_counter() - started

    def _start_bar(self) -> None:
        self._progress.start(f"{self.job.polarization} patches", self.job.source_nbytes)

    def _write_file(self, broken_before: Sequence[BadSource]) -> None:
        plan = self._plan
        finished = () if self._resumption is None else self._resumption.finished
        self._start_bar()
        part, threads = PartialFile(self.output.partial), self._settings.threads
        with FileWriter(part, self._file_settings(), plan.storage, plan.codec, threads, finished) as writer:
            self._write_scenes(writer, len(finished))
            self._scenes = tuple(writer.scenes)
            if not self.job.scenes or (self.job.broken and self._settings.on_bad_source == "fail"):
                return  # the caller leaves this file out, or stops the run once it has checked the other files' scenes
            if self._patches == 0:
                raise SourceError(self._nothing_kept())
            provenance = self._provenance((*broken_before, *self.job.broken))
            self._digest = writer.finish(provenance, self.job.histogram)
            self._recovered = None if writer.places is None else RecoveredCount.count(writer.places.component)
        if plan.block_size is not None:
            grids = [scene.blocks.grid for scene in self._scenes]
            self._sharing = measure_sharing(grids, plan.block_size, self.job.patch_size)
        self._nbytes = self.output.partial.stat().st_size

    def _write_scenes(self, writer: FileWriter, finished: int) -> None:
        total = len(self.job.scenes)
        for number, scene in enumerate(self.job.scenes[finished:], start=finished + 1):
            self._progress.scene(number, total)
            if self.job.broken and self._settings.on_bad_source == "fail":
                self._check_scene(scene)
                continue
            try:
                self._write_scene(writer, scene)
            except SourceError as error:
                writer.abandon_scene()
                reason = self._set_aside(scene, error)
                if self._settings.on_bad_source == "skip":
                    writer.skip_scene(reason.path, reason.reason)

    def _write_scene(self, writer: FileWriter, scene: Any) -> None:
        before = writer.patch_count
        writer.start_scene(scene.info)
        shown = before
        for batch in self.job.cut(scene, self._progress):
            writer.append(batch)
            self._progress.advance(0, writer.patch_count - shown)
            shown = writer.patch_count
        writer.flush()
        self._progress.advance(0, writer.patch_count - shown)
        dropped = self.job.positions(scene) - (writer.patch_count - before)
        writer.finish_scene(scene.identify(), dropped, scene_blobs(self.job))

    def _twins(self) -> list[str]:
        """Return a note for each scene whose file holds the same bytes as another one's."""
        notes, paths = [], dict[SourceFile, str]()
        for scene in self._scenes:
            twin = paths.setdefault(scene.source, scene.info.path)
            if twin != scene.info.path:
                notes.append(f"{scene.info.path} holds the same bytes as {twin}: is one scene there twice?")
        return notes

    def _block_notes(self) -> list[str]:
        return [] if self._sharing is None else self._sharing.notes(self.job.patch_size, self.job.stride)

    def _check_scene(self, scene: Any) -> None:
        try:
            self.job.check(scene, self._progress)
        except SourceError as error:
            self._set_aside(scene, error)

    def _set_aside(self, scene: Any, error: SourceError) -> BadSource:
        reason = BadSource(scene.info.path, str(error))
        self.job.broken.append(reason)
        self.job.scenes = [other for other in self.job.scenes if other is not scene]
        return reason

    def _nothing_kept(self) -> str:
        if self._dropped == 0:
            return (
                f"expected at least one {self.job.polarization} patch, found none: the sources are sound, but hold no "
                "patches; look for the ones that do"
            )
        measure = (
            "strictly inside (0.01, 0.99) after scaling"
            if self._settings.valid_measure == "range"
            else "that hold data"
        )
        return (
            f"no {self.job.polarization} patch is left: all {self._dropped:,} have less than "
            f"{self.job.min_valid:.0%} of pixels {measure}; "
            "lower --min-valid, or look at the bounds "
            f"({self._plan.bounds.vmin:.2f} to {self._plan.bounds.vmax:.2f} dB, {self._plan.bounds.origin})"
        )

    def _file_settings(self) -> FileSettings:
        return FileSettings(
            vmin=self._plan.bounds.vmin,
            vmax=self._plan.bounds.vmax,
            patch_size=self.job.patch_size,
            stride=self.job.stride,
            min_valid=self.job.min_valid,
            polarization=self.job.polarization,
            encoding=self._plan.storage.encoding,
            layout="patches" if self._plan.block_size is None else "blocks",
            invalid_code=self._plan.storage.invalid_code,
            block_size=self._plan.block_size,
        )

    def _provenance(self, skipped: Sequence[BadSource]) -> Provenance:
        size = self.job.patch_size
        return Provenance(
            title=f"Sentinel-1 {self.job.polarization.upper()} patches of {size} x {size} pixels",
            command=self._command,
            quantity=self.job.quantity,
            units=self.job.units,
            bounds_origin=self._plan.bounds.origin,
            valid_measure=self._settings.valid_measure,
            skipped_sources=tuple(str(source) for source in skipped),
            bounds_scenes=tuple(self.job.bounds_scenes),
        )
