"""Which histograms count, and which scenes gave the bounds, where files are put together."""

from __future__ import annotations

import numpy as np
import pytest

from sar_h5.derivation.counted_scenes import CountedScenes, give_bounds, join_counted_scenes


def scenes(counted: str, bounds: str = "", value: int = 1, origin: str = "given") -> CountedScenes:
    return CountedScenes(np.full(65536, value, np.uint64), tuple(counted), tuple(bounds), origin)


@pytest.mark.parametrize(
    ("files", "value", "counted", "bounds"),
    [
        ([scenes("ab", value=2), scenes("c", value=5)], 7, "abc", ""),
        ([scenes("abc", value=2), scenes("abc", value=2)], 2, "abc", ""),  # extracted from one file
        ([scenes("ab", value=2), scenes("abc", value=5)], 5, "abc", ""),
        ([scenes("ab", value=2), scenes("bc", value=5), scenes("d", value=1)], 3, "abd", ""),  # b must not count twice
        ([scenes("ab", "ab", value=2), scenes("c", value=5)], 2, "ab", "ab"),  # appended
        ([scenes("c", value=5), scenes("ab", "ab", value=2)], 2, "ab", "ab"),
        ([scenes("a", "a", value=2), scenes("b", "b", value=3)], 5, "ab", "ab"),
        ([scenes("ab", "ab", value=2), scenes("ab", "ab", value=2)], 2, "ab", "ab"),
    ],
)
def test_no_scene_counts_twice_and_those_of_the_bounds_come_first(
    files: list[CountedScenes], value: int, counted: str, bounds: str
) -> None:
    joined = join_counted_scenes(files)
    assert joined.histogram is not None
    assert set(joined.histogram.tolist()) == {value}
    assert sorted(joined.counted) == sorted(counted)
    assert joined.bounds == tuple(bounds)


def test_the_origin_is_told_once_by_those_whose_bounds_they_are() -> None:
    files = [
        scenes("c", origin="given"),
        scenes("a", "a", origin="percentiles"),
        scenes("a", "a", origin="percentiles"),
    ]
    assert join_counted_scenes(files).origin == "percentiles"
    assert join_counted_scenes([scenes("a", origin="x"), scenes("b", origin="y")]).origin == "x; y"


def test_scenes_are_listed_where_nothing_else_tells_them() -> None:
    def listed(found: CountedScenes, names: str) -> dict[str, list[bytes] | None]:
        attrs = found.to_attrs(list(names))
        return {
            name: None if attrs[name] is None else np.asarray(attrs[name]).tolist()
            for name in ("bounds_scenes", "histogram_scenes")
        }

    assert listed(scenes("ab"), "ba") == {"bounds_scenes": None, "histogram_scenes": None}
    assert listed(scenes("ab"), "a") == {"bounds_scenes": None, "histogram_scenes": [b"a", b"b"]}
    assert listed(scenes("ab", "ab"), "a") == {"bounds_scenes": [b"a", b"b"], "histogram_scenes": None}
    assert listed(give_bounds(scenes("a", "a"), "given"), "ab") == {"bounds_scenes": None, "histogram_scenes": [b"a"]}
    nothing = CountedScenes(None, ("a",), (), "given")
    assert listed(nothing, "ab") == {"bounds_scenes": None, "histogram_scenes": None}
    assert join_counted_scenes([nothing, nothing]).histogram is None
