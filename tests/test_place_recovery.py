"""Places recovered from shards, from the conversion to the split: right up to an offset, or unknown."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5 import BlockSplit, SARH5Dataset, convert, export_index, export_shards, split_file, split_overlap, verify
from sar_h5.errors import SettingError
from sar_h5.info import read_info
from sar_h5.place_recovery import recover_file_places
from sar_h5.shared_blocks.telling import are_telling
from sar_h5.splits.shared_pixels import count_shared_pixels
from tests.raster_files import write_raster
from tests.recovered_places import (
    SIZE,
    TruePlaces,
    check_against,
    convert_blocks,
    cut_shards,
    make_ground,
    read_recovered,
    shard_name,
)
from tests.written_blocks import dump


@pytest.fixture(scope="module")
def recovered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TruePlaces]:
    """A file of two scenes with water, of which a third of the patches is missing, and where these truly lie."""
    directory = tmp_path_factory.mktemp("recovered")
    truth = cut_shards(directory / "shards", [make_ground(1), make_ground(2, 200, 260, water=False)], keep=0.67)
    return convert_blocks(directory / "shards", directory / "h5"), truth


def test_shards_without_places_are_split_by_block_without_a_shared_pixel(
    recovered: tuple[Path, TruePlaces], tmp_path: Path
) -> None:
    source, truth = recovered
    path = Path(shutil.copy(source, tmp_path / "vv.h5"))
    row, col, component = read_recovered(path)
    check_against(truth, row, col, component)
    assert (component >= 0).mean() > 0.95
    assert verify(path).problems == ()
    report = split_file(path, BlockSplit((0.5, 0.25, 0.25), block_px=64))
    with h5py.File(path) as f:
        codes = f["splits/default"][:]
    assert set(codes[component >= 0].tolist()) == {0, 1, 2, 3}
    assert (codes[component == -1] == 0).all()
    assert sum(count_shared_pixels(codes, truth.scene, truth.row, truth.col, SIZE).values()) == 0
    assert (split_overlap(path).pixels, report.files[0].unknown) == (0, 0)
    assert verify(path).problems == ()


def test_places_that_nobody_told_are_no_part_of_the_content(recovered: tuple[Path, TruePlaces], tmp_path: Path) -> None:
    blocks, truth = recovered
    shards = blocks.parents[1] / "shards"
    again = convert_blocks(shards, tmp_path / "four", jobs=4)
    patches = convert_blocks(shards, tmp_path / "patches", layout="patches")
    assert dump(again) == dump(blocks)
    with h5py.File(blocks) as f, h5py.File(patches) as g:
        assert f.attrs["content_digest"] == g.attrs["content_digest"]
        assert "component" not in g["index"]
        assert (g["index/row"][:] == -1).all()
    assert verify(blocks, source=shards).problems == ()
    info = read_info(blocks)
    known, parts = int((read_recovered(blocks)[2] >= 0).sum()), len(np.unique(read_recovered(blocks)[2])) - 1
    assert f"places     recovered for {known} of {len(truth.row)} patches, in {parts} part" in info.to_text()
    assert info.to_dict()["recovered"] == {"known": known, "patches": len(truth.row), "parts": parts}


def test_a_conversion_broken_off_recovers_the_same_places(
    recovered: tuple[Path, TruePlaces], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = recovered
    shards = whole.parents[1] / "shards"

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("sar_h5.writer.FileWriter.finish", fail)
        with pytest.raises(KeyboardInterrupt):
            convert_blocks(shards, tmp_path)
    assert not (tmp_path / "vv.h5").exists()
    assert dump(convert_blocks(shards, tmp_path, resume=True)) == dump(whole)


def test_shards_left_out_leave_no_trace_in_the_places_of_others(tmp_path: Path) -> None:
    cut_shards(tmp_path / "sound", [make_ground(1, water=False), make_ground(2, water=False)])
    shutil.copytree(tmp_path / "sound", tmp_path / "broken")
    first = tmp_path / "broken" / shard_name(2)
    np.save(first, np.full((3, SIZE, SIZE), 0.5, np.float32))
    with first.open("r+b") as file:
        file.truncate(2_000)
    whole = convert_blocks(tmp_path / "sound", tmp_path / "a")
    skipped = convert_blocks(tmp_path / "broken", tmp_path / "b", on_bad_source="skip")
    for one, other in zip(read_recovered(whole), read_recovered(skipped), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_edge_shifted_inwards_has_no_places_beside_the_grid(tmp_path: Path) -> None:
    """Its patches overlap those of the grid without a block in common, so that no split could keep them apart."""
    truth = cut_shards(tmp_path / "shards", [make_ground(3, 247, 327, water=False)], edge="shift")
    row, col, component = read_recovered(convert_blocks(tmp_path / "shards", tmp_path / "h5"))
    check_against(truth, row, col, component)
    is_shifted = (truth.row == 247 - SIZE) | (truth.col == 327 - SIZE)
    np.testing.assert_array_equal(component, np.where(is_shifted, -1, 0))


def test_where_nothing_is_shared_there_is_no_column(tmp_path: Path) -> None:
    cut_shards(tmp_path / "apart", [make_ground(1, water=False)], stride=SIZE)
    np.save(tmp_path / shard_name(0), np.random.default_rng(0).random((1, SIZE, SIZE), np.float32))
    for source in (tmp_path / "apart", tmp_path / shard_name(0)):
        path = convert_blocks(source, tmp_path / f"h5 {source.stem}")
        with h5py.File(path) as f:
            assert "component" not in f["index"]
            assert (f["index/row"][:] == -1).all()
        assert read_info(path).recovered is None
        assert verify(path).problems == ()


def test_places_that_were_told_stay_as_they_are(tmp_path: Path) -> None:
    write_raster(tmp_path / "a_vv.tif", make_ground(4))
    path = Path(convert(tmp_path / "a_vv.tif", tmp_path / "h5", patch_size=32, stride=16, layout="blocks")[0].path)
    with h5py.File(path) as f:
        assert "component" not in f["index"]
        assert (f["index/row"][:] >= 0).all()


@pytest.mark.parametrize("layout", ["blocks", "patches"])
def test_beside_shards_that_tell_their_places_no_others_are_recovered(tmp_path: Path, layout: str) -> None:
    write_raster(tmp_path / "in" / "a_vv.tif", make_ground(4))
    (told,) = convert(tmp_path / "in", tmp_path / "h5", patch_size=32, stride=16, min_valid=0, vmin=14.77, vmax=24.54)
    export_shards(told.path, tmp_path / "shards")
    cut_shards(tmp_path / "plain", [make_ground(5)])
    mixed = convert_blocks([tmp_path / "shards", tmp_path / "plain"], tmp_path / "mixed", layout=layout)
    with h5py.File(mixed) as f:
        assert "component" not in f["index"]
        row, scene = f["index/row"][:], f["index/scene"][:]
    assert set((row < 0).tolist()) == {True, False}
    assert all(len(set((row[scene == number] < 0).tolist())) == 1 for number in (0, 1))
    assert verify(mixed, source=[tmp_path / "shards", tmp_path / "plain"]).problems == ()


def test_of_scenes_that_overlap_only_the_largest_keeps_its_places() -> None:
    grounds = np.arange(400).reshape(20, 20)
    corners = [(row, col) for row in range(4) for col in range(8)]

    def scene(row: int, col: int, count: int) -> np.ndarray:
        return np.array([grounds[row + r : row + r + 2, col + c : col + c + 2] for r, c in corners[:count]], np.uint32)

    telling = np.ones(400, np.bool_)
    places = recover_file_places([scene(0, 0, 24), scene(10, 0, 32), scene(12, 4, 16)], telling, 16)
    assert places is not None
    np.testing.assert_array_equal(places.component, np.repeat([0, 1, -1], [24, 32, 16]))
    # Equal blocks of water are no reason to doubt that scenes lie apart.
    telling[grounds[12:15, 4:13]] = False
    again = recover_file_places([scene(10, 0, 32), scene(12, 4, 32)], telling, 16)
    assert again is not None
    assert set(again.component.tolist()) >= {0, 1}


def test_exported_shards_do_not_claim_the_places(recovered: tuple[Path, TruePlaces], tmp_path: Path) -> None:
    path, _ = recovered
    export_shards(path, tmp_path / "shards")
    again = convert_blocks(tmp_path / "shards", tmp_path / "h5")
    for one, other in zip(read_recovered(path), read_recovered(again), strict=True):
        np.testing.assert_array_equal(one, other)
    with h5py.File(path) as f, h5py.File(again) as g:
        assert f.attrs["content_digest"] == g.attrs["content_digest"]


def test_samples_say_to_what_their_places_are_relative_and_claim_no_ground(recovered: tuple[Path, TruePlaces]) -> None:
    path, _ = recovered
    row, col, component = read_recovered(path)
    dataset = SARH5Dataset(path, sample="dict")
    number = int(np.flatnonzero(component >= 0)[5])
    sample = dataset[number]
    assert [int(sample[name]) for name in ("row", "col", "component")] == [row[number], col[number], component[number]]
    assert bool(sample["transform"].isnan().all())
    assert bool(sample["bounds"].isnan().all())
    np.testing.assert_array_equal(dataset.index["component"], component)


def test_recovered_places_are_not_joined_with_others(recovered: tuple[Path, TruePlaces]) -> None:
    path, _ = recovered
    with pytest.raises(SettingError, match=r"were recovered from the pixels that they share.*cannot be joined"):
        SARH5Dataset([path, path])
    with pytest.raises(SettingError, match=r"were recovered from the pixels that they share.*one by one"):
        split_file(_twins(path), BlockSplit())


def _twins(path: Path) -> list[Path]:
    return [path, Path(shutil.copy(path, path.with_name("twin.h5")))]


def test_the_table_of_patches_has_the_column_where_it_is(recovered: tuple[Path, TruePlaces], tmp_path: Path) -> None:
    path, _ = recovered
    component = read_recovered(path)[2]
    summary = export_index(path, tmp_path / "index.csv", where="component == 0")
    assert summary.patches == int((component == 0).sum())
    assert "component" in summary.columns
    dataset = SARH5Dataset(path, where="component == -1 or component == 1")
    assert len(dataset) == int(((component == -1) | (component == 1)).sum())


def number_blocks(patches: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers (N, k, k) of the blocks of patches by content, and whether each of these tells its place."""
    count, size, _ = patches.shape
    per_side = size // side
    blocks = patches.reshape(count, per_side, side, per_side, side).swapaxes(2, 3).reshape(-1, side, side)
    known: dict[bytes, int] = {}
    grid = [known.setdefault(block.tobytes(), len(known)) for block in blocks]
    distinct = [np.frombuffer(content, patches.dtype).reshape(side, side) for content in known]
    return np.array(grid, np.uint32).reshape(count, per_side, per_side), are_telling(distinct)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    side=st.sampled_from([4, 8]),
    per_side=st.sampled_from([2, 3, 4, 8]),
    wet=st.floats(-2, 1),
    glints=st.sampled_from([0, 0.0005, 0.003, 0.02]),
    keep=st.sampled_from([0.1, 0.3, 0.6, 1]),
    shifts=st.booleans(),
    together=st.booleans(),
)
def test_no_water_with_glints_no_shifted_edge_and_no_second_scene_leads_astray(
    seed: int, side: int, per_side: int, wet: float, glints: float, keep: float, *, shifts: bool, together: bool
) -> None:
    generator = np.random.default_rng(seed)
    size, scenes, truth = side * per_side, [], []
    for number in range(2):
        height, width = generator.integers(size + side, size + 8 * side, 2).tolist()
        ground = np.clip(generator.gamma(4, 15, (height, width)), 0, 255).astype(np.uint8)
        waves = np.sin(np.arange(height) / generator.uniform(5, 30))[:, None] + np.sin(np.arange(width) / 9)
        is_wet = waves < wet
        ground[is_wet] = np.where(generator.random((height, width)) < glints, 7, 0)[is_wet]
        starts = [list(range(0, length - size + 1, side)) for length in (height, width)]
        if shifts:
            starts = [sorted({*places, length - size}) for places, length in zip(starts, (height, width), strict=True)]
        corners = [(row, col) for row in starts[0] for col in starts[1]]
        corners = [corners[item] for item in generator.permutation(len(corners))[: max(1, int(keep * len(corners)))]]
        scenes.append(np.stack([ground[row : row + size, col : col + size] for row, col in corners]))
        truth.append(np.array([(number, *corner) for corner in corners]))
    places = np.concatenate(truth)
    blocks, telling = number_blocks(np.concatenate(scenes), side)
    if together:
        order = generator.permutation(len(places))
        places, grids = places[order], [blocks[order]]
    else:
        grids = np.split(blocks, [len(scenes[0])])
    found = recover_file_places(grids, telling, side)
    if found is not None:
        check_against(TruePlaces(*places.T), found.row, found.col, found.component, size)
