"""Every departure of a file from the format, and from its source: structure first, then the patches."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sar_h5.cores import usable_cores
from sar_h5.errors import SettingError, SourceError
from sar_h5.file_structure import Structure
from sar_h5.intact_reads import IntactReads
from sar_h5.patch_checks import check_patches
from sar_h5.patch_spread import spread_patches
from sar_h5.progress import Progress
from sar_h5.structure_process import check_structure_apart
from sar_h5.verify_report import Problem, ProblemKind, VerifyReport


def verify(
    path: str | Path,
    source: str | Path | Sequence[str | Path] | None = None,
    sample: int | None = None,
    jobs: int | None = None,
    *,
    seed: int = 0,
    progress: bool | None = False,
) -> VerifyReport:
    """Check a file from end to end.

    Structure, attributes, index, the checksum and every code of every patch, and the digest; on request every value
    against the products or shards that the file was made from. Memory grows by about 75 bytes a patch (54 MB for
    720,953), whatever their size; where patches share blocks by about 200, and 64 MB for blocks that are kept.

    The structure is read in another process with a time limit, since damaged metadata can make HDF5 loop without end;
    that is then a problem like others.

    Args:
        path: a file of this package.
        source: the products, GeoTIFFs or shards that it was made from, to compare it with: they are converted again,
            with the file's bounds and settings, and compared value by value.
        sample: check only so many patches, spread over the whole file, and neither the digest nor the checksums of the
            source's files; the structure always.
        jobs: number of threads; None for as many as this process may use cores.
        seed: of the choice of the sample; the same seed checks the same patches.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Returns:
        The report, with all problems; a file that cannot be opened at all is one problem.

    Raises:
        SourceError: where there is no such file, or ``source`` holds nothing to compare it with.
        SettingError: where ``sample`` or ``jobs`` is less than 1.
    """
    for name, value in (("sample", sample), ("jobs", jobs)):
        if value is not None and value < 1:
            raise SettingError(f"expected {name} of at least 1; found {value}")
    if not Path(path).is_file():
        what = "a directory" if Path(path).is_dir() else "no such file"
        raise SourceError(f"{path}: expected a file made by sar-h5 convert, found {what}")
    report = check_structure_apart(path)
    if report.structure is None:
        return VerifyReport(str(path), 0, report.problems)
    threads = usable_cores() if jobs is None else jobs
    numbers = _choose(report.structure, sample, seed)
    problems = [*report.problems]
    with Progress(progress) as bar, IntactReads(str(path), report.structure) as reads:
        patches = check_patches(reads, report.structure, numbers, threads, bar)
        # What is wrong with a patch's numbers of blocks shows in both.
        problems = [*dict.fromkeys([*problems, *patches.problems])]
        stated = report.structure.attributes.get("content_digest")
        if patches.digest is not None and patches.digest != stated:
            message = f"expected {patches.digest}, found {stated}"
            problems.append(Problem("/@content_digest", ProblemKind.WRONG_VALUE, message))
        if source is not None:
            given = [source] if isinstance(source, (str, Path)) else list(source)
            checks = import_module("sar_h5.source_comparison")  # which needs rasterio and takes a second to load
            problems += checks.check_source(
                path, reads, report.structure, given, numbers, ~patches.broken, threads, bar
            )
    is_sample = len(numbers) < report.structure.count
    return VerifyReport(str(path), len(numbers), tuple(problems), report.structure.count, seed if is_sample else None)


def _choose(found: Structure, sample: int | None, seed: int) -> npt.NDArray[np.int64]:
    if sample is None or found.count == 0:
        return np.arange(found.count, dtype=np.int64)
    return spread_patches(found.count, sample, seed)
