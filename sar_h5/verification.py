"""Every departure of a file from the format: structure first, then every patch."""

from __future__ import annotations

from pathlib import Path

from sar_h5.errors import SourceError
from sar_h5.opening import open_file
from sar_h5.patch_checks import PatchCheck
from sar_h5.progress import Progress
from sar_h5.structure_checks import StructureCheck
from sar_h5.verify_report import Problem, ProblemKind, VerifyReport


def verify(path: str | Path, *, progress: bool | None = False) -> VerifyReport:
    """Check a file from end to end.

    Structure, attributes, index, the checksum and every code of every patch, and the digest.

    Args:
        path: a file of this package.
        progress: whether to show progress on standard error; None shows it on a terminal only.

    Returns:
        The report, with all problems; a file that cannot be opened at all is one problem.

    Raises:
        SourceError: where there is no such file.
    """
    problems: list[Problem] = []
    checked = 0
    if not Path(path).is_file():
        what = "a directory" if Path(path).is_dir() else "no such file"
        raise SourceError(f"{path}: expected a file made by sar-h5 convert, found {what}")
    try:
        with open_file(path) as file, Progress(progress) as bar:
            structure = StructureCheck(file, problems)
            found = structure.check()
            if found is not None:
                checked = PatchCheck(file, found, problems, bar).check()
            structure.check_readable()
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        # Damaged metadata make h5py fail anywhere, with any of these; what was found before still counts.
        problems.append(Problem("/", ProblemKind.CORRUPT, f"HDF5 cannot read on: {error}"))
    return VerifyReport(str(path), checked, tuple(problems))
