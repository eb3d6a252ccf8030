"""What users ask for beside patches, checked before any file is read: bounds, threads, where the result goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sar_h5.errors import SettingError
from sar_h5.job import given_bounds
from sar_h5.radiometry import Bounds
from sar_h5.settings import ConvertSettings


def requested_bounds(
    vmin: float | None, vmax: float | None, bounds: str | Path | None, polarization: str
) -> Bounds | None:
    """Return the bounds that are given as numbers or as a file; None where there are none.

    Raises:
        SettingError: where both are given, or one of two numbers.
        BoundsError: where they leave no range, or the file holds none.
        SourceError: where the file cannot be read.
    """
    file = None if bounds is None else Path(bounds)
    return given_bounds(ConvertSettings(vmin=vmin, vmax=vmax, bounds_file=file), polarization)


def check_jobs(jobs: int | None) -> None:
    """Refuse less than one thread."""
    if jobs is not None and jobs < 1:
        raise SettingError(f"expected jobs of at least 1; found {jobs}")


def check_output(out: Path, taken: Sequence[Path]) -> None:
    """Refuse a result that would be one of the files it is made from, or that has no directory to lie in.

    Raises:
        SettingError: where that is so.
    """
    for path in taken:
        if out.exists() and path.exists() and out.samefile(path):
            raise SettingError(
                f"{out}: the result must be another file than those it is made from; choose another --out"
            )
    if not out.parent.is_dir():
        found = "a file" if out.parent.exists() else "no such directory"
        raise SettingError(f"{out.parent}: expected a directory for the result, found {found}; make it first")


def check_distinct(paths: Sequence[Path]) -> None:
    """Refuse a file that is named twice.

    Raises:
        SettingError: where one is.
    """
    for number, path in enumerate(paths):
        for other in paths[:number]:
            if path.exists() and other.exists() and path.samefile(other):
                raise SettingError(f"expected each file once; {other} and {path} are the same")
