"""``split_file``: what it stores, what it refuses before anything is written, and what it warns of."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sar_h5 import (
    BlockSplit,
    DateSplit,
    PatchSplit,
    SARH5Dataset,
    SceneSplit,
    convert,
    split_file,
    split_overlap,
    verify,
)
from sar_h5.errors import FormatError, OutputError, OutputExistsError, SettingError, SourceError
from sar_h5.splits.leak_checks import describe_leaks
from sar_h5.splits.leakage import LeakageWarning, read_split_source
from sar_h5.splits.methods import SplitMethod, method_from_attrs
from tests.command_line import snapshot
from tests.conftest import make_shards
from tests.split_files import codes_by_place, convert_rasters, copy_files, paint_splits

GOLDEN = Path(__file__).parent / "golden" / "v1.0.h5"
quiet = pytest.mark.filterwarnings("ignore::sar_h5.splits.leakage.LeakageWarning")
METHODS = [
    SceneSplit((0.6, 0.2, 0.2)),
    DateSplit((0.6, 0.2, 0.2), 3),
    BlockSplit(guard_px=6, seed=1),
    PatchSplit(forced=True),
]


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_rasters(tmp_path_factory.mktemp("split"))


@pytest.fixture
def files(converted: Path, tmp_path: Path) -> list[Path]:
    return copy_files(converted, tmp_path)


@quiet
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.by)
def test_splits_are_stored_with_how_they_were_made_and_polarizations_agree(
    files: list[Path], method: SplitMethod
) -> None:
    for path in files:
        report = split_file(path, method)
        (overlap,) = report.files
        with h5py.File(path) as f:
            split = f["splits/default"]
            codes, attrs = split[:], dict(split.attrs)
            assert (split.dtype, split.shape) == (np.uint8, (len(f["patches"]),))
            assert (split.compression, split.shuffle, split.fletcher32) == ("gzip", True, True)
            assert f.attrs["history"].splitlines()[-1].endswith(f" split {report.method} as default (sar_h5 0.1.0)")
        assert method_from_attrs(attrs) == report.method
        assert (attrs["flag_meanings"], attrs["flag_values"].tolist()) == ("unused train val test", [0, 1, 2, 3])
        counts = {name: int((codes == code).sum()) for code, name in enumerate(("unused", "train", "val", "test"))}
        assert overlap.patches == counts == {name: attrs[f"{name}_count"] for name in counts}
        assert min(counts[name] for name in ("train", "val", "test")) > 0
        painted = list(paint_splits(path).values())
        assert list(overlap.shared_pixels.values()) == painted
        assert attrs["shared_pixels"] == sum(painted)
        assert (sum(painted) == 0) == (method.by != "patch")
        assert split_overlap(path) == overlap
        assert len(SARH5Dataset(path, split="val")) == counts["val"]
        assert verify(path).ok
    vv, vh = map(codes_by_place, files)
    assert len(vh) < len(vv)
    assert all(vv[place] == code for place, code in vh.items() if place in vv)


@quiet
def test_several_splits_live_in_one_file_and_are_replaced_only_when_asked(files: list[Path]) -> None:
    path = files[0]
    split_file(path, METHODS[0])
    split_file(path, METHODS[2], name="blocks-2")
    before = path.read_bytes()
    with pytest.raises(OutputExistsError, match="splits called 'default' are there already; pass --overwrite"):
        split_file(path)
    assert path.read_bytes() == before
    old = codes_by_place(path)
    split_file(path, SceneSplit((0.6, 0.2, 0.2), seed=1), overwrite=True)
    assert codes_by_place(path) != old
    assert split_overlap(path).method == SceneSplit((0.6, 0.2, 0.2), seed=1)
    assert isinstance(split_overlap(path, "blocks-2").method, BlockSplit)
    with h5py.File(path) as f:
        assert sorted(f["splits"]) == ["blocks-2", "default"]
        assert len(f.attrs["history"].splitlines()) == 4
    assert verify(path).ok


@quiet
def test_files_of_different_scenes_are_split_together_or_not_at_all(converted: Path, tmp_path: Path) -> None:
    vv = Path(shutil.copy(converted / "vv.h5", tmp_path / "vv.h5"))
    rasters = sorted((converted.parent / "rasters").glob("*_vh.tif"))[1:]
    convert(rasters, tmp_path, patch_size=16, stride=8)
    report = split_file([vv, tmp_path / "vh.h5"], SceneSplit((0.5, 0.5)))
    assert [Path(file.path).name for file in report.files] == ["vv.h5", "vh.h5"]
    ours, theirs = codes_by_place(vv), codes_by_place(tmp_path / "vh.h5")
    split_of = {scene: code for (scene, _, _), code in ours.items()}
    assert all(split_of[scene] == code for (scene, _, _), code in theirs.items())
    shutil.copy(converted / "vv.h5", vv)
    before = snapshot(tmp_path)
    with pytest.raises(OutputExistsError, match=r"vh\.h5: splits called 'default' are there"):
        split_file([vv, tmp_path / "vh.h5"])
    assert snapshot(tmp_path) == before
    shutil.copy(GOLDEN, tmp_path / "c.h5")
    before = snapshot(tmp_path)
    with pytest.raises(SettingError):
        split_file([tmp_path / "c.h5", vv], BlockSplit(), name="other")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": "a/b"}, SettingError, r"a name of letters, digits, _ and - for the splits; found 'a/b'"),
        ({"name": ""}, SettingError, "a name of letters"),
        ({"name": ".."}, SettingError, "a name of letters"),
        ({"name": "x\n"}, SettingError, "a name of letters"),
        ({"method": "scene"}, SettingError, r"expected SceneSplit\(\), .*found 'scene'"),
        ({"method": BlockSplit(block_px=17)}, SettingError, "blocks of at least 20 px"),
        ({"method": PatchSplit()}, SettingError, "patches overlap"),
        ({"method": BlockSplit(block_px=36, guard_px=20)}, SettingError, r"split \w+ got no patch from its \d+ blocks? \(by block.*nothing was written"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_soundly_is_refused_and_nothing_is_written(
    files: list[Path], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    before = snapshot(files[0].parent)
    with pytest.raises(error, match=message):
        split_file(files, **options)
    assert snapshot(files[0].parent) == before


def test_what_is_no_file_to_split_is_refused(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent\.h5: .*no such file"):
        split_file([files[0], tmp_path / "absent.h5"])
    with pytest.raises(SettingError, match="at least one file to split; found none"):
        split_file([])
    with pytest.raises(SettingError, match="each file once"):
        split_file([files[0], files[0].parent / "." / files[0].name])
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["data"] = np.zeros((2, 3, 3))
    with pytest.raises(FormatError, match=r"other\.h5: expected a file made by sar-h5 convert"):
        split_file(tmp_path / "other.h5")
    with h5py.File(files[0], "r+") as f:
        f["splits"] = np.zeros(3)
    with pytest.raises(FormatError, match="/splits to be a group"):
        split_file(files[0])


def test_damage_is_named_and_left_alone(files: list[Path]) -> None:
    with h5py.File(files[0]) as f:
        header = h5py.h5o.get_info(f["index/row"].id).addr
    content = bytearray(files[0].read_bytes())
    content[header + 12] ^= 0xFF
    files[0].write_bytes(content)
    with pytest.raises(FormatError, match=r"vv\.h5: expected a sound file, found damage.*sar-h5 verify"):
        split_file(files[0])
    with pytest.raises(FormatError, match=r"vv\.h5: expected a sound file, found damage"):
        split_overlap(files[0])
    assert files[0].read_bytes() == content


@quiet
def test_positions_outside_their_scene_do_not_leak_unseen(files: list[Path]) -> None:
    with h5py.File(files[0], "r+") as f:
        f["index/row"][...] = 0
        f["index/col"][...] = np.where(f["index/scene"][:] == 0, 10_000, f["index/col"][:])
    split_file(files[0], SceneSplit((0.6, 0.2, 0.2)))  # scenes are whole wherever their patches lie
    with pytest.raises((FormatError, SettingError)):
        split_file(files[0], BlockSplit(), name="blocks")


def test_shards_are_split_by_scene_and_by_no_place(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(6, 5, 4, 3))
    convert(tmp_path, tmp_path / "h5")
    path = tmp_path / "h5" / "vv.h5"
    (overlap,) = split_file(path, SceneSplit((0.5, 0.25, 0.25))).files
    assert (overlap.pixels, overlap.unknown) == (0, 0)
    assert sorted(overlap.patches.values()) == sorted([0, *overlap.patches.values()][:4])
    for method in (BlockSplit(), PatchSplit()):
        with pytest.raises(SettingError, match=r"needs to know where patches lie.*split by scene"):
            split_file(path, method, name="other")
    with pytest.warns(
        LeakageWarning, match=r"forced splits leak: 0 pixels in two splits, \d+ patches of scenes in several splits"
    ):
        (forced,) = split_file(path, PatchSplit((0.5, 0.25, 0.25), forced=True), name="forced").files
    with h5py.File(path) as f:
        codes, scene = f["splits/forced"][:], f["index/scene"][:]
    mixed = [number for number in range(4) if len(set(codes[scene == number].tolist())) > 1]
    assert forced.unknown == np.isin(scene, mixed).sum() > 0


def test_leaks_of_ground_and_bounds_are_warned_of(files: list[Path]) -> None:
    with pytest.warns(LeakageWarning) as caught:
        report = split_file(files[0], SceneSplit((0.6, 0.2, 0.2)))
    ground, bounds = (str(warning.message) for warning in caught)
    assert (ground, bounds) == report.warnings
    # Of 10 pairs of dates, 3 are within train.
    assert "vv.h5: splits 'default': 7 pairs of scenes of different splits cover the same ground" in ground
    assert "--by block" in ground
    assert "vv.h5: bounds were computed on 2 scenes not wholly in train (S1A_IW_GRDH" in bounds
    assert f"--bounds-from {files[0]}" in bounds
    with pytest.warns(LeakageWarning) as caught:
        split_file(files[0], name="other")
    assert "--bounds-from and a text file of the scenes of train, which are those of 'other'" in str(caught[1].message)
    assert {warning.filename for warning in caught} == {__file__}
    with pytest.warns(LeakageWarning) as caught:
        split_file(files[0], BlockSplit(), name="blocks")
    (bounds,) = (str(warning.message) for warning in caught)  # co-registered: blocks keep places apart
    assert "computed on 5 scenes" in bounds
    assert "--vmin and --vmax" in bounds
    with h5py.File(files[0]) as f:  # scenes of other grids
        overlap = replace(split_overlap(files[0], "blocks"), scene_pairs=9)
        ground, _ = describe_leaks(f, read_split_source(f, files[0]), f["splits/blocks"][:], overlap)
    assert "vv.h5: splits 'blocks': 9 pairs of scenes" in ground
    assert "--by block" not in ground


def test_nothing_is_warned_of_where_nothing_leaks(converted: Path, tmp_path: Path) -> None:
    convert(converted.parent / "rasters", tmp_path, patch_size=16, stride=8, vmin=10, vmax=25, polarization="vv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = split_file(tmp_path / "vv.h5", BlockSplit())
    assert report.warnings == ()


def test_a_file_of_before_the_list_of_scenes_is_warned_of_by_the_origin_of_its_bounds(
    files: list[Path], tmp_path: Path
) -> None:
    path = files[0]
    with h5py.File(path, "r+") as f:
        del f.attrs["bounds_scenes"]
    with pytest.warns(LeakageWarning, match=r"vv\.h5: bounds were computed on 5 scenes"):
        split_file(path, BlockSplit())
    golden = Path(shutil.copy(GOLDEN, tmp_path / "golden.h5"))
    with h5py.File(golden) as f:
        assert not f.attrs["bounds_origin"].startswith("percentiles")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split_file(golden, SceneSplit((0.5, 0.5)))
    assert verify(golden).ok


def test_a_file_open_for_writing_elsewhere_stops_all_files(files: list[Path]) -> None:
    before = files[0].read_bytes()
    with (
        h5py.File(files[1], "r+", libver="v110"),
        pytest.raises(OutputError, match=r"vh\.h5: another process has the file open"),
    ):
        split_file(files)
    assert files[0].read_bytes() == before


def test_warnings_made_errors_stop_the_split_before_anything_is_written(files: list[Path]) -> None:
    before = snapshot(files[0].parent)
    with pytest.raises(LeakageWarning, match="bounds were computed"):
        split_file(files, BlockSplit())
    assert snapshot(files[0].parent) == before


@quiet
def test_the_report_is_plain_data_and_text(files: list[Path]) -> None:
    report = split_file(files, METHODS[2])
    data = json.loads(json.dumps(report.to_dict()))
    assert data["method"] == {
        "by": "block",
        "fractions": [0.8, 0.1, 0.1],
        "seed": 1,
        "block_px": data["method"]["block_px"],
        "guard_px": 6,
    }
    assert data["files"][0]["shared_pixels"] == {"train/val": 0, "train/test": 0, "val/test": 0}
    assert set(data["groups"]) == {"of", "train", "val", "test"}
    text = report.to_text()
    assert f"{files[1]}: splits 'default' by block, fractions 0.8 0.1 0.1, seed 1, blocks" in text
    assert text.count("overlap   0 pixels in two splits") == 2
    assert "in the guard bands between blocks" in text
    assert f"{report.files[0].patches['train']:,} patches" in text


def test_the_real_scene_in_blocks(real_data: Path, tmp_path: Path) -> None:
    scene = next(real_data.glob("S1A_IW_GRDH*"))
    convert(scene, tmp_path, patch_size=32, stride=16)
    with pytest.warns(LeakageWarning, match="bounds were computed on 1 scene not wholly in train"):
        split_file([tmp_path / "vv.h5", tmp_path / "vh.h5"], BlockSplit())
    for name in ("vv.h5", "vh.h5"):
        assert set(paint_splits(tmp_path / name).values()) == {0}
    vv, vh = codes_by_place(tmp_path / "vv.h5"), codes_by_place(tmp_path / "vh.h5")
    assert all(vv[place] == code for place, code in vh.items() if place in vv)
