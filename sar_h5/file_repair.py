"""Mend a file whose patches are broken: make them again from the source, or drop them, in a new file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sar_h5.cores import usable_cores
from sar_h5.derivation.pieces import sound_structure
from sar_h5.errors import SettingError, SourceError
from sar_h5.patch_repair import PatchRepair
from sar_h5.pending import PendingFile
from sar_h5.progress import Progress
from sar_h5.repair_summary import RepairSummary


def repair(
    path: str | Path,
    out: str | Path,
    *,
    source: str | Path | Sequence[str | Path] | None = None,
    drop: bool = False,
    overwrite: bool = False,
    jobs: int | None = None,
    progress: bool | None = False,
) -> RepairSummary:
    """Write a sound copy of a file whose patches are broken; the file itself stays as it is.

    Every patch is checked as :func:`sar_h5.verify` does; one is broken too where the index states another valid
    fraction than its pixels have. Sound ones are copied as they are stored, without compressing them again. Broken ones
    are made again from the source, which must give the content that the file's digest tells; or dropped: from
    ``/index``, ``/scenes``, the splits and the digest, with a line in ``history`` and a record of what is left
    (``/index/position``, ``/scenes/left_out_count``). The structure of a file (attributes, columns, tables) cannot be
    mended.

    Args:
        path: a file of this package.
        out: the new file; its directory must exist.
        source: the products, GeoTIFFs or shards that the file was made from.
        drop: whether patches that cannot be made again are dropped.
        overwrite: whether ``out`` may replace a file; never ``path`` itself.
        jobs: number of threads; None for as many as this process may use cores.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Returns:
        What was done. Where every patch is sound nothing is written.

    Raises:
        SourceError: where there is no such file, or the source is not the one that it was made from.
        FormatError: where more is broken than patches, or patches are broken and nothing says what to do about them.
        OutputError: where the result exists and may not be replaced, or cannot be written.
        SettingError: where ``out`` is the file itself, or ``jobs`` less than 1.
    """
    old, new = Path(path), Path(out)
    if jobs is not None and jobs < 1:
        raise SettingError(f"expected jobs of at least 1; found {jobs}")
    if not old.is_file():
        raise SourceError(f"{old}: expected a file made by sar-h5 convert, found {_what(old)}")
    if new.exists() and new.samefile(old):
        raise SettingError(f"{new}: the result must be another file than the one to repair; choose another --out")
    if not new.parent.is_dir():
        raise SettingError(
            f"{new.parent}: expected a directory for the result, found {_what(new.parent)}; make it first"
        )
    sources = [source] if isinstance(source, (str, Path)) else list(source or ())
    with PendingFile(new, overwrite=overwrite) as pending, Progress(progress) as bar:
        run = PatchRepair(
            old,
            sound_structure(old, "only patches can be mended", mends_patches=True),
            sources,
            usable_cores() if jobs is None else jobs,
            bar,
        )
        summary = run.write(pending, drop=drop)
        if summary.is_written:
            pending.commit()
    return summary


def _what(path: Path) -> str:
    return "a directory" if path.is_dir() else "a file" if path.exists() else "no such file"
