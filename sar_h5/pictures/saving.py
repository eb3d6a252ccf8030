"""Figures as files, each complete or not there at all."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from sar_h5.errors import OutputError, SettingError
from sar_h5.pending import PendingFile
from sar_h5.preview import SUFFIXES


def save_picture(figure: Figure, path: Path, *, overwrite: bool = False) -> None:
    """Write a figure as PNG, PDF or SVG, by the suffix.

    Args:
        figure: what to write.
        path: the file; its directory must exist.
        overwrite: whether a file of that name may be replaced.

    Raises:
        SettingError: where the suffix is another.
        OutputExistsError: where the file exists and may not be replaced.
        OutputError: where it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SettingError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}; found {suffix or 'no suffix'}")
    with PendingFile(path, overwrite=overwrite) as pending:
        try:
            figure.savefig(pending.partial, format=suffix[1:])
        except OSError as error:
            raise OutputError(f"{path}: cannot write the picture: {error.strerror or error}") from error
        pending.commit()
