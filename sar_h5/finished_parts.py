"""Whether the parts of an unfinished file are what its journal says: every chunk against its checksum."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from sar_h5 import schema
from sar_h5.finished_scene import FinishedScene
from sar_h5.partial_file import PartialFile
from sar_h5.progress import Progress
from sar_h5.schema import Layout


def count_sound_scenes(part: PartialFile, scenes: Sequence[FinishedScene], progress: Progress) -> int:
    """Return how many scenes, from the first, lie in the file as they were written; all their chunks are read.

    Args:
        part: the file.
        scenes: those that it holds, by its journal.
        progress: told of the bytes read.
    """
    try:
        layout: Layout = "blocks" if schema.BLOCKS in part.file else "patches"
        places = _read_places(part.file[schema.PIXELS[layout]])
    except (OSError, RuntimeError, KeyError, ValueError):  # damaged metadata make HDF5 fail anywhere
        return 0
    start = 0
    with part.path.open("rb") as file:
        for number, scene in enumerate(scenes):
            checksums = scene.chunk_checksums(layout).tolist()
            rows = places[start : start + len(checksums)]
            if len(rows) < len(checksums):
                return number
            for (offset, nbytes), checksum in zip(rows.tolist(), checksums, strict=True):
                file.seek(offset)
                if zlib.crc32(file.read(nbytes)) != checksum:
                    return number
                progress.advance(nbytes)
            start += len(checksums)
    return len(scenes)


def _read_places(chunks: h5py.Dataset) -> npt.NDArray[np.int64]:
    """Return int64 (N, 2): where each chunk starts in the file, and its size."""
    places = np.zeros((len(chunks), 2), dtype=np.int64)

    def note(chunk: Any) -> None:
        places[chunk.chunk_offset[0]] = chunk.byte_offset, chunk.size

    chunks.id.chunk_iter(note)
    return places
