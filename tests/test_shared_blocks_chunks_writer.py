"""Conversion to layout "blocks": the patches of layout "patches", bit for bit, from blocks that are stored once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sar_h5 import convert, schema
from sar_h5 import writer as writer_module
from sar_h5.columns import write_column
from sar_h5.errors import SettingError, SourceError
from sar_h5.finished_scene import FinishedScene
from sar_h5.palette import NotInPaletteError
from sar_h5.radiometry import Bounds, scale_all_dn
from sar_h5.shard_job import ShardBatch
from sar_h5.shared_blocks import contents, held_blocks
from sar_h5.writer import FileWriter
from tests.conftest import REAL_SCENE, make_dn, make_shards
from tests.raster_files import write_raster
from tests.written_blocks import assert_same_patches, check_blocks, dump, read_patches

BOUNDS = {"vmin": 14.77, "vmax": 24.54}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of a few patches, and room for a few of them, so that small sources keep many threads busy."""
    monkeypatch.setattr("sar_h5.cutting.BATCH_NBYTES", 40_000)
    monkeypatch.setattr("sar_h5.shard_job.BATCH_NBYTES", 40_000)
    monkeypatch.setattr(writer_module, "IN_FLIGHT_NBYTES", 300_000)


def convert_both(source: Path, out: Path, **settings: Any) -> Path:
    """Convert to both layouts, the blocks with two numbers of jobs, compare, and return the file of blocks."""
    patches = convert(source, out / "patches", jobs=2, **settings)
    one, four = (convert(source, out / str(jobs), jobs=jobs, layout="blocks", **settings) for jobs in (1, 4))
    for summary, again, other in zip(one, four, patches, strict=True):
        assert dump(Path(summary.path)) == dump(Path(again.path))
        assert summary.content_digest == other.content_digest
        assert (summary.blocks, summary.patches, summary.dropped) == (again.blocks, other.patches, other.dropped)
        assert_same_patches(Path(summary.path), Path(other.path))
    return Path(one[0].path)


def count_blocks(path: Path) -> int:
    with h5py.File(path) as f:
        return len(f["blocks"])


def cut_shards(directory: Path, image: np.ndarray, size: int, stride: int, order: np.ndarray | None = None) -> Path:
    """Cut an image as the reference pipeline does, into two shards, in any order."""
    make_shards(directory, size=size)
    values = scale_all_dn(Bounds(14.77, 24.54))[image]
    corners = [
        (row, col)
        for row in range(0, image.shape[0] - size + 1, stride)
        for col in range(0, image.shape[1] - size + 1, stride)
    ]
    patches = np.array([values[row : row + size, col : col + size] for row, col in corners])
    patches = patches if order is None else patches[order]
    halves = np.array_split(patches, 2)
    paths = sorted(directory.glob("s1a*.npy"))
    metadata = {"file_index": [(path.name, len(half)) for path, half in zip(paths, halves, strict=True)], **BOUNDS}
    for path, half in zip(paths, halves, strict=True):
        np.save(path, half)
    np.save(directory / "metadata.npy", np.array(metadata, dtype=object), allow_pickle=True)
    return directory


# From products


@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
@pytest.mark.parametrize(
    ("size", "stride", "block"), [(128, 64, 64), (64, 96, 64), (192, 64, 64), (128, 96, 32), (256, 128, 128)]
)
def test_patches_of_products_are_those_of_the_other_layout(
    products: Path, tmp_path: Path, size: int, stride: int, block: int, encoding: str
) -> None:
    path = convert_both(
        products, tmp_path, patch_size=size, stride=stride, encoding=encoding, min_valid=0.5, polarization="vh"
    )
    with h5py.File(path) as f:
        assert f.attrs["block_size"] == block
        assert len(f["index/row"]) > 4


def test_patches_of_a_real_scene_are_those_of_the_other_layout(real_data: Path, tmp_path: Path) -> None:
    path = convert_both(real_data / REAL_SCENE, tmp_path, stride=64, min_valid=0.5, polarization="vh")
    with h5py.File(path) as f:
        assert len(f["index/row"]) > len(f["blocks"]) / 4 > 20


def test_blocks_of_a_full_grid_cover_each_pixel_once_and_unused_ones_are_not_stored(tmp_path: Path) -> None:
    image = make_dn(0, (128, 320))
    image[:, 192:] = 0
    write_raster(tmp_path / "a_vv.tif", image)
    options = {"patch_size": 64, "stride": 32, **BOUNDS}
    (everything,) = convert(tmp_path / "a_vv.tif", tmp_path / "all", layout="blocks", min_valid=0, **options)
    (kept,) = convert(tmp_path / "a_vv.tif", tmp_path / "kept", layout="blocks", **options)
    assert everything.blocks is not None
    assert kept.blocks is not None
    assert (everything.patches, everything.blocks.count) == (3 * 9, 4 * 10)
    assert (kept.patches, kept.blocks.count) == (3 * 5, 4 * 6)
    assert (kept.blocks.sharing_patches, kept.blocks.used) == (15, 60)
    assert "24 of 32 x 32 px, each used 2.50 times; 15 of 15 patches share some" in kept.to_text()
    check_blocks(Path(kept.path))


def test_two_scenes_of_the_same_place_share_nothing(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_raster(tmp_path / "in" / f"{name}_vv.tif", make_dn(3, (64, 64)))
    (file,) = convert(tmp_path / "in", tmp_path / "out", layout="blocks", patch_size=64, stride=32, min_valid=0)
    assert count_blocks(Path(file.path)) == 2 * 4


def test_a_broken_scene_is_skipped_without_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write_raster(tmp_path / "in" / f"s{number}_vv.tif", make_dn(number, (160, 160)))
    options: dict[str, Any] = {"patch_size": 64, "stride": 32, "layout": "blocks", **BOUNDS}
    broken = tmp_path / "in" / "s1_vv.tif"
    content = broken.read_bytes()
    broken.unlink()
    (expected,) = convert(tmp_path / "in", tmp_path / "without", **options)
    broken.write_bytes(content)
    finish = FileWriter.finish_scene

    def fail(self: FileWriter, *rest: Any) -> None:
        if self.scenes[-1].info.path.endswith("s1_vv.tif"):
            self.flush()
            raise SourceError("broken at its very end")
        finish(self, *rest)

    monkeypatch.setattr(FileWriter, "finish_scene", fail)
    (found,) = convert(tmp_path / "in", tmp_path / "with", on_bad_source="skip", **options)
    assert found.content_digest == expected.content_digest
    dumps = [dump(Path(file.path)) for file in (found, expected)]
    for one in dumps:
        del one[""]["skipped_sources"], one["histogram"]
    assert dumps[0] == dumps[1]


def test_chunks_of_the_table_of_blocks_stay_small_whatever_its_width(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as f:
        for side, rows in ((1, 65536), (2, 16384), (64, 16), (300, 1)):
            group = f.create_group(str(side))
            column = write_column(group, schema.BLOCK_GRID_COLUMN, np.zeros((65536 // side**2 + 3, side, side), "<u4"))
            assert column.chunks == (rows, side, side)


# From shards


@pytest.mark.parametrize("encoding", ["palette", "float32"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_shards_that_have_lost_their_places_share_what_overlapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, *, shuffled: bool
) -> None:
    monkeypatch.setattr(held_blocks, "RECENT_NBYTES", 20_000)  # most blocks are read back
    count = 9 * 7
    order = np.random.default_rng(0).permutation(count) if shuffled else np.arange(count)
    (tmp_path / "in").mkdir()
    source = cut_shards(tmp_path / "in", make_dn(0, (320, 256)), 64, 32, order)
    path = convert_both(source, tmp_path, encoding=encoding, stride=32)
    assert count_blocks(path) == 10 * 8


@pytest.mark.parametrize(("stride", "block"), [(32, 32), (16, 16), (48, 16)])
def test_the_stride_of_shards_is_found_by_content(tmp_path: Path, stride: int, block: int) -> None:
    (tmp_path / "in").mkdir()
    source = cut_shards(tmp_path / "in", make_dn(0, (320, 256)), 64, stride)
    (file,) = convert(source, tmp_path / "out", layout="blocks")
    assert file.blocks is not None
    assert file.blocks.block_size == block
    check_blocks(Path(file.path))


def test_where_nothing_overlaps_the_command_says_that_patches_is_better(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make_shards(tmp_path / "in", size=64)
    path = convert_both(tmp_path / "in", tmp_path)
    (file,) = convert(tmp_path / "in", tmp_path / "out", layout="blocks")
    assert any("--layout patches is better here" in note and "--stride" in note for note in file.notes)
    assert count_blocks(path) == file.patches
    (file,) = convert(tmp_path / "in", tmp_path / "wrong", layout="blocks", stride=32)
    assert any("is it right" in note for note in file.notes)
    (file,) = convert(tmp_path / "in", tmp_path / "apart", layout="blocks", stride=64)
    assert any("do not overlap" in note for note in file.notes)


def test_small_blocks_are_made_with_a_note_and_absurd_ones_are_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "a_vv.tif", make_dn(0, (140, 180)))
    (file,) = convert(tmp_path / "a_vv.tif", tmp_path / "out", layout="blocks", patch_size=100, stride=45, min_valid=0)
    assert any("only share blocks of 5 px, 400 to read for each patch" in note for note in file.notes)
    with pytest.raises(SettingError, match=r"1 px a side, which makes 10,000 blocks a patch; use --layout patches"):
        convert(tmp_path / "a_vv.tif", tmp_path / "no", layout="blocks", patch_size=100, stride=49, min_valid=0)
    assert not (tmp_path / "no").exists()


def test_flat_shards_become_one_block(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(5, 5), size=64)
    for path in tmp_path.glob("s1a*.npy"):
        np.save(path, np.zeros((5, 64, 64), np.float32))
    (file,) = convert(tmp_path, tmp_path / "out", layout="blocks", stride=32)
    assert file.blocks is not None
    assert (file.blocks.count, file.blocks.sharing_patches, file.patches) == (1, 10, 10)
    check_blocks(Path(file.path))


def test_zeros_of_both_signs_are_different_blocks(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(1, 1), size=64)
    for zero, path in zip((0.0, -0.0), sorted(tmp_path.glob("s1a*.npy")), strict=True):
        np.save(path, np.full((1, 64, 64), zero, np.float32))
    (file,) = convert(tmp_path, tmp_path / "out", layout="blocks", stride=32, encoding="float32")
    assert count_blocks(Path(file.path)) == 2
    assert np.signbit(read_patches(Path(file.path))[:, 0, 0]).tolist() == [False, True]


def test_blocks_with_the_same_hash_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    source = cut_shards(tmp_path / "in", make_dn(0, (320, 256)), 64, 32)
    monkeypatch.setattr(contents, "hash_block", lambda block: hashlib.sha256(block.data).digest()[:1] * 16)
    assert count_blocks(convert_both(source, tmp_path, stride=32)) == 10 * 8
    monkeypatch.setattr(contents, "hash_block", lambda _: bytes(16))
    (file,) = convert(source, tmp_path / "none", layout="blocks", stride=32)
    assert count_blocks(Path(file.path)) == 10 * 8


def test_a_value_outside_the_predicted_palette_starts_the_file_anew(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    source = cut_shards(tmp_path / "in", make_dn(0, (320, 256)), 64, 32)
    last = max(source.glob("s1a*.npy"))
    values = np.load(last)
    values[-1, 3, 3] = np.float32(0.123456)
    np.save(last, values)
    path = convert_both(source, tmp_path, stride=32)
    with h5py.File(path) as f:
        assert np.float32(0.123456) in f["lut"][:]


# Interrupted


@pytest.mark.parametrize("kind", ["products", "shards"])
def test_an_interrupted_conversion_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    if kind == "shards":
        order = np.random.default_rng(0).permutation(9 * 7)
        cut_shards(source, make_dn(0, (320, 256)), 64, 32, order)
    else:
        for number in range(3):
            write_raster(source / f"s{number}_vv.tif", make_dn(number, (160, 160)))
    options: dict[str, Any] = {"layout": "blocks", "stride": 32, "patch_size": 64, **BOUNDS}
    (expected,) = convert(source, tmp_path / "whole", **options)
    finish, finished = FileWriter.finish_scene, []

    def interrupt(self: FileWriter, *rest: Any) -> None:
        if finished:
            self.flush()
            raise KeyboardInterrupt
        finish(self, *rest)
        finished.append(self.scenes[-1].info.name)

    with monkeypatch.context() as patched:
        patched.setattr(FileWriter, "finish_scene", interrupt)
        with pytest.raises(KeyboardInterrupt):
            convert(source, tmp_path / "out", resume=True, **options)
    with pytest.raises(Exception, match="layout was blocks, and is now patches"):
        convert(source, tmp_path / "out", resume=True, **options | {"layout": "patches"})
    (found,) = convert(source, tmp_path / "out", resume=True, **options)
    assert any("1 scenes of an earlier run were checked and kept" in note for note in found.notes)
    assert (found.content_digest, found.blocks) == (expected.content_digest, expected.blocks)
    assert dump(Path(found.path)) == dump(Path(expected.path))


def test_a_damaged_block_of_an_unfinished_file_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        write_raster(tmp_path / "in" / f"s{number}_vv.tif", make_dn(number, (160, 160)))
    options: dict[str, Any] = {"layout": "blocks", "stride": 32, "patch_size": 64, "resume": True, **BOUNDS}
    with monkeypatch.context() as patched:
        patched.setattr(FileWriter, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            convert(tmp_path / "in", tmp_path / "out", **options)
    partial = next((tmp_path / "out").glob("*.partial"))
    with h5py.File(partial) as f:
        place = f["blocks"].id.get_chunk_info(len(f["blocks"]) - 1)
    with partial.open("r+b") as file:
        file.seek(place.byte_offset + place.size - 1)
        last = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([last[0] ^ 1]))
    (found,) = convert(tmp_path / "in", tmp_path / "out", **options)
    assert any("is damaged in" in note and "s1_vv" in note for note in found.notes)
    check_blocks(Path(found.path))


def test_errors_of_making_patches_come_out_and_a_thread_is_never_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shards(tmp_path, size=64)

    def fail(self: ShardBatch) -> None:
        raise NotInPaletteError if self.encoder.storage.lut is not None else SourceError("no more")

    monkeypatch.setattr(ShardBatch, "make", fail)
    with pytest.raises(SourceError, match="no more"):
        convert(tmp_path, tmp_path / "out", layout="blocks", stride=32, encoding="float32")
    assert not (tmp_path / "out").exists()


def test_what_a_finished_scene_keeps_in_memory_is_its_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    cut_shards(tmp_path / "in", make_dn(0, (320, 256)), 64, 32)
    held: list[FinishedScene] = []
    finish = FileWriter.finish

    def look(self: FileWriter, *rest: Any) -> str:
        held.extend(self.scenes)
        return finish(self, *rest)

    monkeypatch.setattr(FileWriter, "finish", look)
    convert(tmp_path / "in", tmp_path / "out", layout="blocks", stride=32)
    assert [(len(scene.blocks.checksums), len(scene.blocks.hashes)) for scene in held] == [(0, 0)] * 2
    assert sum(len(scene.blocks.grid) for scene in held) == 9 * 7 * 4 * 4
