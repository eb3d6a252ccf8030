"""What splits of a file share, measured from the file; and splits made by others."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import SceneSplit, split_file, split_overlap
from sar_h5.contents import read_split
from sar_h5.errors import FormatError, SourceError
from sar_h5.splits import footprints
from sar_h5.splits.footprints import Footprints
from sar_h5.splits.leakage import SplitSource, count_noun, measure_overlap
from sar_h5.splits.scenes import PatchPlaces
from tests.split_files import convert_rasters, copy_files, paint_splits
from tests.split_places import lose_places, make_places, make_scene

EVERYWHERE = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_rasters(tmp_path_factory.mktemp("leakage"))


@pytest.fixture
def path(converted: Path, tmp_path: Path) -> Path:
    return copy_files(converted, tmp_path)[0]


def source(places: PatchPlaces, crs: str = "EPSG:32633") -> SplitSource:
    """A file whose scenes all cover the same ground."""
    count = len(places.scenes)
    return SplitSource("a.h5", places, Footprints((crs,) * count, np.array([EVERYWHERE] * count)))


@pytest.mark.parametrize("seed", range(3))
def test_splits_of_others_are_measured_like_ours(path: Path, seed: int) -> None:
    with h5py.File(path, "r+") as f:
        codes = np.random.default_rng(seed).integers(0, 4, len(f["patches"])).astype(np.uint8)
        f["splits/random"] = codes
    overlap = split_overlap(path, "random")
    assert list(overlap.shared_pixels.values()) == list(paint_splits(path, "random").values())
    assert list(overlap.shared_pixels) == ["train/val", "train/test", "val/test"]
    assert overlap.pixels > 0
    assert overlap.method is None
    assert overlap.patches == {
        "train": (codes == 1).sum(),
        "val": (codes == 2).sum(),
        "test": (codes == 3).sum(),
        "unused": (codes == 0).sum(),
    }
    assert json.loads(json.dumps(overlap.to_dict()))["method"] is None


def test_an_unknown_split_names_the_known_ones_and_what_makes_them(path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"splits called 'default'; the file holds none; `sar-h5 split .*vv\.h5 --name default` makes"
    ):
        split_overlap(path)
    with h5py.File(path, "r+") as f:
        for name in ("b", "a"):
            f[f"splits/{name}"] = np.ones(len(f["patches"]), dtype=np.uint8)
    with pytest.raises(FormatError, match=r"splits called 'c' for split='val'; the file holds a, b; `sar-h5 split"):
        read_split(path, "val", "c")
    with pytest.raises(FormatError, match=r"split val of 'a' is empty; `sar-h5 split .* --overwrite` makes others"):
        read_split(path, "val", "a")
    with pytest.raises(FormatError, match=r"expected split train, val or test; found 'training'"):
        read_split(path, "training", "a")
    with pytest.raises(SourceError, match="no such file"):
        split_overlap(path.parent / "absent.h5")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.full(7, 1, np.uint8), r"0 to 3 for each of 1,\d+ patches, found 7 up to 1"),
        (np.full(10_000, 1, np.uint8), "found 10,000"),
        (np.zeros((2, 2), np.uint8), r"as uint8 \(N,\), found uint8 of shape \(2, 2\)"),
        (np.zeros(3, np.int64), "found int64"),
    ],
)
def test_splits_that_do_not_fit_are_refused_with_what_to_do(path: Path, stored: np.ndarray, message: str) -> None:
    with h5py.File(path, "r+") as f:
        f["splits/default"] = stored
    with pytest.raises(FormatError, match=message + ".*--overwrite` makes it anew"):
        split_overlap(path)
    with h5py.File(path, "r+") as f:
        count = len(f["patches"])
        del f["splits/default"]
        f["splits/default"] = np.full(count, 4, np.uint8)
    with pytest.raises(FormatError, match="up to 4"):
        split_overlap(path)
    with h5py.File(path, "r+") as f:
        del f["splits/default"]
        f.create_group("splits/default")
    with pytest.raises(FormatError, match="found a group"):
        split_overlap(path)


@pytest.mark.filterwarnings("ignore::sar_h5.splits.leakage.LeakageWarning")
def test_a_split_is_seen_by_a_process_that_has_the_file_open(path: Path) -> None:
    with h5py.File(path) as held:
        assert "splits" not in held
        split_file(path, SceneSplit((0.5, 0.5)))
        assert split_overlap(path).pixels == 0
        assert len(read_split(path, "train", "default")) > 0


def test_patches_without_places_are_unknown_only_where_their_scene_is_in_several_splits() -> None:
    places = lose_places(make_places([make_scene("a"), make_scene("b")]))
    whole = np.where(places.scene == 0, 1, 2).astype(np.uint8)
    assert measure_overlap(source(places, crs=""), "x", None, whole).unknown == 0
    mixed = whole.copy()
    mixed[0] = 2
    mixed[1] = 0
    assert measure_overlap(source(places, crs=""), "x", None, mixed).unknown == (places.scene == 0).sum() - 1
    assert "places unknown" in measure_overlap(source(places, crs=""), "x", None, mixed).describe_overlap()


def test_pairs_of_scenes_on_one_ground_count_where_their_splits_differ() -> None:
    places = make_places([make_scene(name) for name in "abcd"])

    def count(*splits: int) -> int:
        return measure_overlap(source(places), "x", None, np.array(splits, dtype=np.uint8)[places.scene]).scene_pairs

    assert count(1, 1, 1, 1) == 0
    assert count(1, 1, 1, 2) == 3
    assert count(1, 1, 2, 2) == 4
    assert count(1, 2, 0, 0) == 1
    assert count(1, 2, 3, 0) == 3


def test_scenes_too_many_to_compare_are_said_not_to_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprints, "MOST_SCENES", 1)
    places = make_places([make_scene(name) for name in "ab"])
    overlap = measure_overlap(source(places), "x", None, (places.scene + 1).astype(np.uint8))
    assert overlap.scene_pairs == -1
    assert "not compared" in overlap.describe_overlap()


def test_coregistered_scenes_are_compared_pixel_by_pixel() -> None:
    near = make_places([make_scene("a", place=(0, 0)), make_scene("b", place=(0, 0))])
    halves = np.where(near.col < 60, 1, 2).astype(np.uint8)
    halves[(near.col > 50) & (near.col < 60)] = 0
    assert measure_overlap(source(near), "x", None, halves).scene_pairs == 0
    swapped = np.where((near.scene == 1) & (halves > 0), 3 - halves, halves).astype(np.uint8)
    assert measure_overlap(source(near), "x", None, swapped).pixels == 0
    assert measure_overlap(source(near), "x", None, swapped).scene_pairs == 1


def test_counts_come_with_nouns() -> None:
    assert [count_noun(n, "pixel") for n in (0, 1, 2000)] == ["0 pixels", "1 pixel", "2,000 pixels"]
    assert count_noun(2, "patch", "patches") == "2 patches"
