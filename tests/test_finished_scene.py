"""What is known of a finished scene comes back from its entry."""

from __future__ import annotations

import numpy as np

from sar_h5 import schema
from sar_h5.finished_scene import FinishedScene, SceneBlocks
from sar_h5.journal import Entry
from sar_h5.sources.scene import SceneInfo, SourceFile


def test_a_scene_comes_back_with_its_columns_and_hashes() -> None:
    scene = FinishedScene(SceneInfo("a", "a.npy", "vv"), 17, source=SourceFile(1 << 40, 0xFFFFFFFF), count=3, dropped=2)
    for number, column in enumerate(schema.INDEX_COLUMNS):
        scene.columns[column.name] += np.array([number, 5, 6], dtype=column.dtype).tobytes()
    scene.contents += bytes(range(96))
    scene.blocks.add(np.arange(12, dtype=np.uint32).reshape(3, 4), b"checksum", bytes(32), b"\0\1")
    back = FinishedScene.from_entry(Entry.from_bytes(scene.to_entry({"more": b"x"}).to_bytes()), scene.info)
    assert back == scene
    assert scene.to_entry({"more": b"x"}).blobs["more"] == b"x"
    assert list(back.patches()) == [
        (1, 2, bytes(range(32))),
        (5, 5, bytes(range(32, 64))),
        (6, 6, bytes(range(64, 96))),
    ]
    assert (back.blocks.count, back.chunk_checksums("blocks").tobytes()) == (2, b"checksum")
    back.blocks.forget_chunks()
    assert back.blocks == SceneBlocks(scene.blocks.grid, 2)
    assert back.chunk_checksums("patches").tolist() == [4, 5, 6]
    assert back.column("checksum").tolist() == [4, 5, 6]
