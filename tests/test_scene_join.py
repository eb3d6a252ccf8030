"""One list of the scenes of several files, and files that contradict each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.contents import Columns
from sar_h5.errors import SettingError
from sar_h5.stores.scene_join import FACTS, merge_scenes

PATHS = ["vv.h5", "vh.h5", "hh.h5"]
NAMES = st.lists(st.sampled_from(["a", "b", "c", "d", "été"]), unique=True)


def scenes(*names: str, file: str = "", **facts: object) -> Columns:
    """Columns of scenes whose sensing start tells the file that they come from."""
    columns: Columns = {fact: np.array([""] * len(names), dtype=object) for fact in FACTS}
    columns |= {fact: np.full(len(names), 100, dtype=np.int32) for fact in ("height", "width", "orbit")}
    columns["transform"] = np.full((len(names), 6), np.nan)
    columns["start_time"] = np.array([file] * len(names), dtype=object)
    columns |= {fact: np.array([value] * len(names)) for fact, value in facts.items()}
    return columns | {"name": np.array(names, dtype=object)}


@given(st.lists(NAMES, min_size=1, max_size=3))
def test_every_scene_is_there_once_as_its_first_file_describes_it(files: list[list[str]]) -> None:
    merged, renumbered = merge_scenes(
        [scenes(*names, file=path) for names, path in zip(files, PATHS, strict=False)], PATHS
    )
    assert merged["name"].tolist() == list(dict.fromkeys(name for names in files for name in names))
    assert set(merged) == set(FACTS)
    for names, numbers in zip(files, renumbered, strict=True):
        assert numbers.dtype == np.int64
        assert merged["name"][numbers].tolist() == names
    for name, origin in zip(merged["name"], merged["start_time"], strict=True):
        assert origin == next(path for names, path in zip(files, PATHS, strict=False) if name in names)


@pytest.mark.parametrize("file", [0, 1])
def test_namesakes_within_a_file_are_refused_also_where_another_file_has_the_scene(file: int) -> None:
    columns = [scenes("a", "b"), scenes("a", "b")]
    columns[file] = scenes("b", "a", "b")
    with pytest.raises(SettingError, match=f"^{PATHS[file]} has 2 scenes called b; nothing tells which one to join"):
        merge_scenes(columns, PATHS)


@pytest.mark.parametrize(
    ("fact", "value"),
    [("height", 101), ("width", 7), ("transform", [10.0, 0, 5, 0, -10, 5]), ("transform", [np.nan] * 5 + [0])],
)
def test_a_scene_that_two_files_describe_differently_is_refused(fact: str, value: object) -> None:
    known = scenes("a", transform=[10.0, 0, 4, 0, -10, 5]) if isinstance(value, list) else scenes("a")
    with pytest.raises(
        SettingError, match=rf"^vh\.h5: expected scene a with {fact} .* as in vv\.h5, found .* same places"
    ):
        merge_scenes([known, scenes("a", **{fact: value})], PATHS)


def test_scenes_without_a_transform_are_the_same() -> None:
    merged, (first, second) = merge_scenes([scenes("a"), scenes("b", "a", orbit=5)], PATHS)
    assert (first.tolist(), second.tolist()) == ([0], [1, 0])
    assert np.isnan(merged["transform"]).all()
    assert merged["orbit"].tolist() == [100, 5]  # only what decides about places must agree
