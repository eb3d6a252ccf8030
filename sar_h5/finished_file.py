"""Whether a finished file is the result of this very conversion, so that a rerun can keep it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sar_h5 import schema
from sar_h5.errors import OutputExistsError, SarH5Error
from sar_h5.info import FileInfo, read_info
from sar_h5.opening import open_as_it_is
from sar_h5.schema import FileSettings
from sar_h5.shared_blocks.sharing import BlockSharing, measure_sharing
from sar_h5.source_state import SourceState
from sar_h5.summary import FileSummary


def keep_finished(path: Path, polarization: str, command: str, sources: Sequence[SourceState]) -> FileSummary:
    """Sum up a finished file, if the same command made it from the same sources.

    By what the file says: files of this package get their final name only once all of them is on the disk.

    Args:
        path: the file.
        polarization: what it should hold.
        command: what is run now, as the file's history words it.
        sources: what is there to convert now, broken ones too.

    Raises:
        OutputExistsError: where it is anything else, with the reason.
    """
    try:
        info = read_info(path)
        reason = _find_difference(path, info, polarization, command, sources)
    except SarH5Error as error:
        reason = str(error)
    if reason:
        raise OutputExistsError(
            f"{path}: is there already, and not the result of this conversion: {reason}. Choose another --out, or pass "
            "--overwrite instead of --resume to replace it"
        )
    return _summarize(info)


def _find_difference(
    path: Path, info: FileInfo, polarization: str, command: str, sources: Sequence[SourceState]
) -> str:
    if info.settings.polarization != polarization:
        return f"it holds {info.settings.polarization} patches"
    made_by = info.attributes["history"].partition("\n")[0].partition(" ")[2].rpartition(" (sar_h5 ")[0]
    if made_by != command:
        return f"it was made by {made_by!r}, and this is {command!r}"
    held = [scene["source_path"] for scene in info.scenes]
    skipped = info.attributes["skipped_sources"].splitlines()
    made_ns = path.stat().st_mtime_ns
    for source in sources:
        if source.path not in held and not any(line.startswith(f"{source.path}: ") for line in skipped):
            return f"{source.path} is not in it"
        if source.mtime_ns > made_ns:
            return f"{source.path} has been written to since"
    gone = sorted({*held} - {source.path for source in sources})
    return f"{gone[0]}, which is in it, is gone" if gone else ""


def _summarize(info: FileInfo) -> FileSummary:
    settings, attributes = info.settings, info.attributes
    nbytes = info.patches * settings.patch_size**2 * 4
    return FileSummary(
        path=info.path,
        polarization=settings.polarization,
        scenes=len(info.scenes),
        patches=info.patches,
        dropped=sum(scene["dropped_count"] for scene in info.scenes),
        min_valid=settings.min_valid,
        valid_measure=attributes["valid_measure"],
        patch_size=settings.patch_size,
        stride=settings.stride,
        vmin=settings.vmin,
        vmax=settings.vmax,
        bounds_origin=attributes["bounds_origin"],
        encoding=settings.encoding,
        levels=info.levels,
        codec=info.filter,
        nbytes=info.nbytes,
        float32_nbytes=nbytes,
        source_nbytes=0,
        seconds=0.0,
        content_digest=attributes["content_digest"],
        layout=settings.layout,
        blocks=_read_sharing(info.path, settings),
        recovered=info.recovered,
        notes=("finished by an earlier run of the same command, and kept",),
    )


def _read_sharing(path: str, settings: FileSettings) -> BlockSharing | None:
    if settings.block_size is None:
        return None
    with open_as_it_is(path) as file:
        grid = file[schema.INDEX][schema.BLOCKS][:]
    return measure_sharing([grid.astype("<u4").tobytes()], settings.block_size, settings.patch_size)
