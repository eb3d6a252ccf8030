"""What all exports have in common while they are written: the number of threads, and one error for the system's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sar_h5.cores import usable_cores
from sar_h5.errors import OutputError, SarH5Error, SettingError


def check_jobs(jobs: int | None) -> int:
    """Return how many threads to use; raise SettingError where they are none."""
    if jobs is not None and jobs < 1:
        raise SettingError(f"the number of jobs must be at least 1; found {jobs}")
    return usable_cores() if jobs is None else jobs


@contextmanager
def output_errors(out: Path, option: str) -> Iterator[None]:
    """Turn errors of the system into OutputError; errors of this package, of reading, stay what they are."""
    try:
        yield
    except SarH5Error:
        raise
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written (disk full, or no longer there?): {error.strerror or error}; choose another "
            f"{option}"
        ) from error
