"""Going on with an unfinished file: what of it can be trusted, or exactly why it cannot be gone on with."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sar_h5.conversion_record import ConversionRecord, Undertaking
from sar_h5.errors import BadSource, CannotResumeError
from sar_h5.finished_parts import count_sound_scenes
from sar_h5.finished_scene import FinishedScene
from sar_h5.job import Job, Plan
from sar_h5.journal import Entry
from sar_h5.partial_file import PartialFile
from sar_h5.progress import Progress
from sar_h5.quantiles import Counts
from sar_h5.source_state import find_differences

_COUNTS = "counts"
"""Blob of a scene's entry: counts of digital numbers up to that scene, where no survey has counted them."""

_ANEW = "--overwrite instead of --resume starts anew"


@dataclass(frozen=True)
class Resumption:
    """What of an unfinished file stays.

    Attributes:
        plan: how it is written.
        finished: the scenes in it.
        notes: what a user may want to know.
    """

    plan: Plan
    finished: Sequence[FinishedScene]
    notes: Sequence[str]


def resume(path: Path, job: Job[Any], undertaking: Undertaking, progress: Progress) -> Resumption:
    """Check an unfinished file, take back what is not sound, and bring the job to where it was.

    Args:
        path: the unfinished file; it and its journal exist.
        job: the job, before its survey.
        undertaking: what the file is to be now.
        progress: told of what is read.

    Raises:
        FormatError: where the file or its journal is damaged, so that nothing of it can be used.
        CannotResumeError: where it was begun with other settings, or from other sources.
    """
    with PartialFile(path) as part:
        record = ConversionRecord.from_entry(part.about)
        _refuse_other_terms(path, undertaking, record.undertaking)
        try:
            entries = _outcomes(part)
            notes = _check_sources(path, job, undertaking, record, entries)
            _restore(path, job, record, entries)
            finished, noted = _keep_sound(part, job, entries, progress)
        except (LookupError, TypeError, ValueError, zlib.error) as error:
            raise CannotResumeError(
                f"{path}: cannot go on, its journal holds what it should not: {error!r}; {_ANEW}"
            ) from error
    return Resumption(record.job.plan, finished, (*notes, *noted))


def scene_blobs(job: Job[Any]) -> dict[str, bytes]:
    """Return what of a job's state is written down with each finished scene."""
    counts = job.running_counts
    return {} if counts is None else {_COUNTS: zlib.compress(counts.astype("<u8").tobytes(), 1)}


def _outcomes(part: PartialFile) -> list[Entry]:
    """Return what became of each scene so far; the first commit made the empty file, a last one may have ended it."""
    entries = [part.entry(number) for number in range(1, part.commits)]
    return [entry for entry in entries if "scene" in entry.fields or "broken" in entry.fields]


def _path(entry: Entry) -> str:
    return str(entry.fields["scene"]["path"] if "scene" in entry.fields else entry.fields["broken"][0])


def _refuse_other_terms(path: Path, now: Undertaking, before: Undertaking) -> None:
    differences = now.differences(before)
    if differences:
        raise CannotResumeError(
            f"{path}: cannot go on with this unfinished file, which was begun otherwise: {'; '.join(differences)}. "
            f"Give the same options again; {_ANEW}"
        )


def _check_sources(
    path: Path, job: Job[Any], undertaking: Undertaking, record: ConversionRecord, entries: Sequence[Entry]
) -> list[str]:
    """Refuse sources that differ where that matters; else say how they do."""
    differences = find_differences(record.undertaking.sources, undertaking.sources)
    done = [_path(entry) for entry in entries]
    # Sources not reached yet may change, come and go where nothing was derived from them: a repaired shard, say.
    in_place = [scene.info.path for scene in job.scenes][: len(done)] == done
    if differences and (record.job.from_pixels or not in_place or any(source in differences for source in done)):
        reason = (
            "bounds or codes were derived from all sources"
            if record.job.from_pixels
            else "they are in the file already, or come before what is"
        )
        listed = "\n".join(f"  {source} {what}" for source, what in differences.items())
        raise CannotResumeError(
            f"{path}: cannot go on with this unfinished file, since sources have changed since it was begun, and "
            f"{reason}:\n{listed}\nPut them back as they were; {_ANEW}"
        )
    return [f"since this file was begun, {source} {what}" for source, what in differences.items()]


def _restore(path: Path, job: Job[Any], record: ConversionRecord, entries: Sequence[Entry]) -> None:
    if record.job.from_pixels:
        scenes = {scene.info.path: scene for scene in job.scenes}
        job.scenes = [scenes[name] for name in record.scenes]
        job.broken = list(record.broken)
    broken = [BadSource(*entry.fields["broken"]) for entry in entries if "broken" in entry.fields]
    job.broken += broken
    left_out = {source.path for source in broken}
    job.scenes = [scene for scene in job.scenes if scene.info.path not in left_out]
    try:
        job.restore(record.job)
    except ValueError as error:
        raise CannotResumeError(f"{path}: cannot go on with this unfinished file: {error}; {_ANEW}") from error


def _keep_sound(
    part: PartialFile, job: Job[Any], entries: Sequence[Entry], progress: Progress
) -> tuple[list[FinishedScene], list[str]]:
    """Take back what is not as it was written, and all that follows it; whatever ends the file is written again."""
    written = [entry for entry in entries if "scene" in entry.fields]
    scenes = {scene.info.path: scene.info for scene in job.scenes}
    finished = [FinishedScene.from_entry(entry, scenes[_path(entry)]) for entry in written]
    progress.start(f"{job.polarization} finished parts", part.path.stat().st_size)
    sound = count_sound_scenes(part, finished, progress)
    if sound == len(finished):
        part.take_back(1 + len(entries) if finished else 0)
        notes = [f"{len(finished):,} scenes of an earlier run were checked and kept"] if finished else []
    else:
        part.take_back(1 + list(entries).index(written[sound]) if sound else 0)
        notes = [
            f"what an earlier run had finished is damaged in {_path(written[sound])}, which was written again with all "
            "that followed"
        ]
    if sound and _COUNTS in written[sound - 1].blobs:
        counts: Counts = np.frombuffer(zlib.decompress(written[sound - 1].blobs[_COUNTS]), dtype="<u8")
        job.restore_counts(counts.astype(np.uint64))
    return finished[:sound], notes
