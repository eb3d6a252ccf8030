"""What is said of recovered places."""

from __future__ import annotations

import numpy as np

from sar_h5.recovered_count import RecoveredCount


def test_known_places_and_their_parts_are_counted() -> None:
    found = RecoveredCount.count(np.array([0, -1, 3, 3, 0, -1, 0], np.int32))
    assert found.to_dict() == {"known": 5, "patches": 7, "parts": 2}
    assert str(found) == "recovered for 5 of 7 patches, in 2 parts"
    assert str(RecoveredCount.count(np.zeros(1234, np.int32))) == "recovered for 1,234 of 1,234 patches, in 1 part"
