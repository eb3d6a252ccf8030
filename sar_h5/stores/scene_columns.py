"""What is known of scenes, as columns under the names that files have for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sar_h5.contents import Columns
from sar_h5.sources.scene import SceneInfo


def scene_columns(scenes: Sequence[SceneInfo]) -> Columns:
    """Arrange scenes as :func:`sar_h5.contents.read_columns` does those of a file.

    Args:
        scenes: what is known of each.

    Returns:
        Arrays with one entry per scene: text as object arrays of str, ``transform`` float64 (S, 6), NaN where a scene
        has none.
    """
    texts = {
        "name": [info.name for info in scenes],
        "source_path": [info.path for info in scenes],
        "start_time": [info.start_time for info in scenes],
        "platform": [info.platform for info in scenes],
        "mode": [info.mode for info in scenes],
        "product_type": [info.product_type for info in scenes],
        "pass": [info.orbit_pass for info in scenes],
        "crs": [info.georeference.crs for info in scenes],
    }
    numbers = {
        "height": [info.height for info in scenes],
        "width": [info.width for info in scenes],
        "orbit": [info.orbit for info in scenes],
    }
    transforms = [info.georeference.transform for info in scenes]
    return {
        **{name: np.array(values, dtype=object) for name, values in texts.items()},
        **{name: np.array(values, dtype=np.int32) for name, values in numbers.items()},
        "transform": np.array(transforms, dtype=np.float64).reshape(-1, 6),
    }
