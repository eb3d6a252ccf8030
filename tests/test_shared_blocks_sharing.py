"""What the sharing of a file is said to be."""

from __future__ import annotations

import numpy as np

from sar_h5.shared_blocks.sharing import BlockSharing, measure_sharing


def test_patches_that_share_with_others_are_counted_over_all_scenes_and_not_those_that_repeat_themselves() -> None:
    grids = [np.array(rows, "<u4").tobytes() for rows in ([[0, 0, 0, 0], [1, 2, 3, 4]], [], [[5, 6, 7, 1]])]
    found = measure_sharing(grids, 4, 8)
    assert found == BlockSharing(4, count=8, used=12, sharing_patches=2, patches=3)
    assert str(found) == "8 of 4 x 4 px, each used 1.50 times; 2 of 3 patches share some"
    assert found.to_dict()["ratio"] == 1.5
    assert measure_sharing([], 4, 8) == BlockSharing(4, 0, 0, 0, 0)


def test_only_where_patches_would_be_better_there_is_a_note() -> None:
    shared, alone = BlockSharing(128, 10, 30, 9, 9), BlockSharing(128, 36, 36, 0, 9)
    assert shared.notes(256, 128) == []
    assert "do not overlap" in alone.notes(256, 256)[0]
    assert "is it right" in alone.notes(256, 128)[0]
    assert "--stride does" in alone.notes(256, -1)[0]
    assert "64 to read for each patch" in BlockSharing(16, 10, 30, 9, 9).notes(128, 48)[0]
    assert BlockSharing(16, 10, 30, 9, 9).notes(16, 8) == []
