"""The scenes of an unfinished file are counted up to the first that is not as it was written."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from sar_h5 import schema
from sar_h5.finished_parts import count_sound_scenes
from sar_h5.finished_scene import FinishedScene
from sar_h5.journal import Entry
from sar_h5.partial_file import PartialFile
from sar_h5.progress import Progress
from sar_h5.sources.scene import SceneInfo

COUNTS = (3, 0, 2)
FRAMES = [bytes(range(100 + number, 150 + number)) for number in range(sum(COUNTS))]


@pytest.fixture
def part(tmp_path: Path) -> PartialFile:
    part = PartialFile.create(tmp_path / "vv.h5.partial", Entry({}))
    patches = part.file.create_dataset(
        schema.PATCHES, shape=(len(FRAMES), 8, 8), maxshape=(None, 8, 8), chunks=(1, 8, 8), dtype="u1", compression=1
    )
    for number, frame in enumerate(FRAMES):
        patches.id.write_direct_chunk((number, 0, 0), frame)
    part.commit(Entry({}))
    return part


def scenes() -> list[FinishedScene]:
    found, start = [], 0
    for count in COUNTS:
        scene = FinishedScene(SceneInfo("a", "a", "vv"), start, count=count)
        checksums = [zlib.crc32(frame) for frame in FRAMES[start : start + count]]
        scene.columns["checksum"] += np.array(checksums, dtype="<u4").tobytes()
        found.append(scene)
        start += count
    return found


@pytest.mark.parametrize("damaged", [None, 0, 2, 3, 4])
def test_scenes_are_sound_up_to_the_first_damaged_chunk(part: PartialFile, damaged: int | None) -> None:
    if damaged is not None:
        content = part.path.read_bytes()
        assert content.count(FRAMES[damaged]) == 1
        part.path.write_bytes(content.replace(FRAMES[damaged], b"\xff" + FRAMES[damaged][1:], 1))
    with part:
        expected = 3 if damaged is None else 0 if damaged < 3 else 2
        assert count_sound_scenes(part, scenes(), Progress(False)) == expected


def test_more_scenes_than_the_file_holds_do_not_count(part: PartialFile) -> None:
    more = FinishedScene(SceneInfo("b", "b", "vv"), len(FRAMES), count=1)
    more.columns["checksum"] += bytes(4)
    with part:
        assert count_sound_scenes(part, [*scenes(), more], Progress(False)) == 3


def test_a_file_without_patches_holds_no_scene(tmp_path: Path) -> None:
    with PartialFile.create(tmp_path / "a.partial", Entry({})) as part:
        assert count_sound_scenes(part, scenes(), Progress(False)) == 0
