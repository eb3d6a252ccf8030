"""``merge``: several files of one kind as one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from sar_h5.cores import usable_cores
from sar_h5.derivation.derivation_summary import DerivationSummary
from sar_h5.derivation.making import Making
from sar_h5.derivation.pieces import open_piece
from sar_h5.derivation.requests import check_distinct, check_jobs, check_output, requested_bounds
from sar_h5.errors import SettingError
from sar_h5.pending import PendingFile
from sar_h5.progress import Progress


def merge(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    bounds: str | Path | None = None,
    overwrite: bool = False,
    jobs: int | None = None,
    progress: bool | None = False,
) -> DerivationSummary:
    """Put the patches of several files into a new one.

    Files must be of one kind: polarization, patch size, stride, encoding, quality filter, source and bounds. Chunks are
    copied as they are stored, each checked on the way; only those of another codec than the first file's, or with
    other codes, are compressed again. Tables of values are united where they do not follow from digital numbers.

    Scenes come in the order of the files. Parts of one scene, as ``extract`` makes them, are put together again, in the
    order of the scene; all parts of a file give back its ``content_digest``. A patch may be in one file only. Splits of
    one name are joined (patches of files without it are unused) and must not share pixels. Which histograms count:
    :mod:`sar_h5.derivation.counted_scenes`.

    Args:
        paths: two or more files of this package.
        out: the new file; its directory must exist.
        vmin: bound in dB to give to all of them, with ``vmax``; possible where they hold digital numbers (encoding
            "dn"). Patches that the quality filter drops with these bounds are left out.
        vmax: the upper bound.
        bounds: file with these bounds instead.
        overwrite: whether ``out`` may replace a file; never one of ``paths``.
        jobs: number of threads; None for as many as this process may use cores.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Raises:
        SettingError: where there are less than two files, one is named twice, or ``out`` is one of them.
        SourceError: where one is not there.
        FormatError: where one is none of this package, or damaged (:class:`CorruptPatchError` names a broken patch), or
            they do not make up one file: every difference is named.
        BoundsError: where nothing but bounds differs, or they cannot be changed.
        OutputError: where the result exists and may not be replaced, or cannot be written.

    Warns:
        LeakageWarning: where joined splits share ground or bounds without sharing pixels, or were forced to share
            pixels.
    """
    files, new = [Path(path) for path in ([paths] if isinstance(paths, (str, Path)) else paths)], Path(out)
    if len(files) < 2:
        raise SettingError(f"expected at least two files to merge; found {len(files)}")
    check_jobs(jobs)
    check_distinct(files)
    check_output(new, files)
    with PendingFile(new, overwrite=overwrite) as pending, Progress(progress) as bar:
        with ExitStack() as stack:
            pieces = [stack.enter_context(open_piece(path)) for path in files]
            given = requested_bounds(vmin, vmax, bounds, pieces[0].found.settings.polarization)
            operation = f"merge {' '.join(map(str, files))}"
            if given is not None:
                operation += f" with bounds {given.vmin!r} to {given.vmax!r} dB"
            summary = Making(pieces, operation, given, usable_cores() if jobs is None else jobs).run(pending, bar)
        pending.commit()
    return summary
