"""Blocks that are equal by chance only where that is next to impossible."""

from __future__ import annotations

import numpy as np

from sar_h5.shared_blocks.telling import are_telling


def test_blocks_of_few_values_do_not_tell_where_they_lie() -> None:
    generator = np.random.default_rng(0)
    speckle = generator.gamma(4, 0.1, (32, 32)).astype(np.float32)
    flat = np.zeros((32, 32), np.float32)
    masked = np.where(generator.random((32, 32)) < 0.5, np.float32(0), np.float32(1))
    few = flat.copy()
    few.flat[:14] = speckle.flat[:14]
    enough = flat.copy()
    enough.flat[:15] = speckle.flat[:15]
    assert are_telling([speckle, flat, masked, few, enough]).tolist() == [True, False, False, False, True]
    # 0.0 and -0.0 are different values in a file.
    assert are_telling([np.arange(16, dtype=np.uint8).reshape(4, 4), np.arange(9).reshape(3, 3)]).tolist() == [
        True, False,
    ]  # fmt: skip
