"""What tells whether a source is still what it was when a conversion was begun, without reading it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from sar_h5.sources.scene import SceneInfo


@dataclass(frozen=True)
class SourceState:
    """A source as it stands on the disk.

    Attributes:
        path: the raster or shard, as a user would type it.
        nbytes: size of its file; of the archive, where it lies in one. -1 where there is none any more.
        mtime_ns: when that was changed last, in nanoseconds since 1970.
        described: SHA-256 of all that is known of the scene before its pixels are read.
    """

    path: str
    nbytes: int
    mtime_ns: int
    described: str

    @classmethod
    def of(cls, info: SceneInfo) -> SourceState:
        """Look at a scene's file."""
        described = hashlib.sha256(repr(astuple(info)).encode(errors="backslashreplace")).hexdigest()
        for path in (Path(info.path), *Path(info.path).parents):
            try:
                status = os.stat(path)  # noqa: PTH116 - a member of an archive has no file of its own
            except OSError:
                continue
            return cls(info.path, status.st_size, status.st_mtime_ns, described)
        return cls(info.path, -1, -1, described)


def find_differences(before: Sequence[SourceState], now: Sequence[SourceState]) -> dict[str, str]:
    """Return by path what became of the sources that are not what they were."""
    old, new = {state.path: state for state in before}, {state.path: state for state in now}
    found = {path: "is gone" for path in old if path not in new}
    found |= {path: "was not there" for path in new if path not in old}
    for path in old:
        if path in new and old[path] != new[path]:
            found[path] = _difference(old[path], new[path])
    return found


def _difference(old: SourceState, new: SourceState) -> str:
    if old.nbytes != new.nbytes:
        return f"has changed from {old.nbytes:,} to {new.nbytes:,} bytes"
    if old.mtime_ns != new.mtime_ns:
        return "has been written to"
    return "is described otherwise by what lies beside it"
