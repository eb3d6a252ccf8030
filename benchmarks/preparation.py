"""Each row's files, made from the patches once and used again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from benchmarks.data import PatchSource
from benchmarks.fingerprints import Fingerprint, fingerprint
from benchmarks.rivals.protocol import Rival

FORMATS, FINGERPRINTS = "formats", "fingerprints.npz"


def directory_of(home: Path, name: str) -> Path:
    """Return the directory of a row's files."""
    return home / FORMATS / name


def prepare_row(home: Path, source: PatchSource, name: str, rival: Rival) -> Path:
    """Prepare a row where it has not been; what an interrupted run left behind is made anew.

    Returns:
        The directory of its files.
    """
    directory, complete = directory_of(home, name), home / FORMATS / f"{name}.complete"
    if not complete.is_file():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        rival.prepare(source, directory)
        complete.touch()
    return directory


def source_fingerprints(home: Path, source: PatchSource) -> list[Fingerprint]:
    """Return the fingerprints of all patches, in order."""
    path = home / FINGERPRINTS
    if not path.is_file():
        marks = [fingerprint(patch) for patch in source.patches()]
        np.savez(
            path,
            digests=np.frombuffer(b"".join(mark.digest for mark in marks), dtype=np.uint64),
            orientations=np.array([mark.orientation for mark in marks]),
        )
    with np.load(path) as stored:
        pairs = zip(stored["digests"], stored["orientations"].tolist(), strict=True)
        return [Fingerprint(digest.tobytes(), orientation) for digest, orientation in pairs]
