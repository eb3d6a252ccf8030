"""``convert`` with any number of threads: the same bytes, the same errors, and no thread or file left behind."""

from __future__ import annotations

import shutil
import signal
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sar_h5 import convert, verify
from sar_h5 import writer as writer_module
from sar_h5.errors import BadSourceError, OutputError, SettingError, SourceError
from sar_h5.packing import Packer
from sar_h5.radiometry import Bounds, scale_all_dn
from sar_h5.writer import FileWriter
from tests import reference
from tests.conftest import make_dn, make_shards
from tests.raster_files import write_raster

BOUNDS = {"vmin": 14.77, "vmax": 24.54}
JOBS = (1, 2, 5)
VOLATILE = ("uuid", "history", "texts_checksum")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not [name for name in left if name.startswith("sar-h5")]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of a few patches, and room for a few of them, so that small sources keep many threads busy."""
    monkeypatch.setattr("sar_h5.cutting.BATCH_NBYTES", 40_000)
    monkeypatch.setattr("sar_h5.shard_job.BATCH_NBYTES", 40_000)
    monkeypatch.setattr("sar_h5.bands.BAND_NBYTES", 60_000)
    monkeypatch.setattr(writer_module, "IN_FLIGHT_NBYTES", 300_000)


def dump(path: Path) -> dict[str, Any]:
    """Return everything in a file but when and as which copy it was made; chunks as they are stored."""
    found: dict[str, Any] = {}
    with h5py.File(path) as f:
        found["root"] = {name: repr(value) for name, value in f.attrs.items() if name not in VOLATILE}
        found["patches"] = [f["patches"].id.read_direct_chunk((i, 0, 0)) for i in range(len(f["patches"]))]

        def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
            found[name, "attrs"] = {key: repr(value) for key, value in item.attrs.items()}
            if isinstance(item, h5py.Dataset) and name != "patches":
                found[name] = item[()].tobytes()

        f.visititems(visit)
    return found


def assert_same_for_any_jobs(source: Path, out: Path, **settings: Any) -> list[Path]:
    """Convert with several numbers of threads and compare the files; return those of the last run."""
    dumps, digests, sizes = [], set(), set()
    for jobs in JOBS:
        summary = convert(source, out / str(jobs), jobs=jobs, **settings)
        dumps.append([dump(Path(file.path)) for file in summary])
        digests.add(tuple(file.content_digest for file in summary))
        sizes.add(tuple(file.patches for file in summary))
    assert dumps[1:] == dumps[:1] * (len(JOBS) - 1)
    assert len(digests) == len(sizes) == 1
    return [Path(file.path) for file in summary]


@pytest.mark.parametrize(("size", "stride"), [(96, 40), (250, 125), (256, 128), (32, 32)])
@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
def test_products_give_the_same_file_for_any_number_of_threads(
    products: Path, tmp_path: Path, size: int, stride: int, encoding: str
) -> None:
    for path in assert_same_for_any_jobs(products, tmp_path, patch_size=size, stride=stride, encoding=encoding):
        assert verify(path).problems == ()


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64}, {"blockysize": 7}])
@pytest.mark.parametrize("cache_nbytes", [0, 1_000_000, 128_000_000])
def test_neither_the_cache_nor_the_raster_s_layout_changes_the_file(
    tmp_path: Path, layout: dict[str, Any], cache_nbytes: int
) -> None:
    images = [make_dn(seed, (700, 560)) for seed in range(2)]
    for number, image in enumerate(images):
        write_raster(tmp_path / "in" / f"s{number}_vv.tif", image, compress="deflate", **layout)
    (path,) = assert_same_for_any_jobs(
        tmp_path / "in", tmp_path / "out", patch_size=512, stride=32, cache_nbytes=cache_nbytes
    )
    with h5py.File(path) as f:
        bounds = float(f.attrs["vmin"]), float(f.attrs["vmax"])
    scaled = [reference.scale(reference.to_db(image)[0], *bounds) for image in images]
    reference.assert_equals(path, reference.cut(scaled, 512, 32))


@pytest.mark.parametrize("units", ["linear", "db"])
@pytest.mark.parametrize("levels", [50, 1 << 20])
def test_float_rasters_give_the_same_file_for_any_number_of_threads(tmp_path: Path, units: str, levels: int) -> None:
    for number in range(2):
        pixels = np.round(np.random.default_rng(number).gamma(4.4, 0.05 / 4.4, (400, 300)) * levels * 4) / levels / 4
        pixels = pixels.astype(np.float32) + np.float32(0.01)
        pixels[:, :9] = np.nan
        image = 10 * np.log10(pixels) if units == "db" else pixels
        write_raster(tmp_path / "in" / f"s{number}_vv.tif", image)
    (path,) = assert_same_for_any_jobs(tmp_path / "in", tmp_path / "out", patch_size=96, stride=48, units=units)
    assert verify(path).problems == ()


@pytest.mark.parametrize("size", [32, 96, 250])
@pytest.mark.parametrize("min_valid", [None, 0.5])
def test_shards_give_the_same_file_for_any_number_of_threads(
    tmp_path: Path, size: int, min_valid: float | None
) -> None:
    (tmp_path / "in").mkdir()
    shards = make_shards(tmp_path / "in", counts=(9, 1, 30), size=size)
    shards[2][3:6] = 0
    shards[2][29, : size // 3] = 1
    np.save(sorted((tmp_path / "in").glob("s1a*"))[2], shards[2])
    (path,) = assert_same_for_any_jobs(tmp_path / "in", tmp_path / "out", min_valid=min_valid)
    kept = [*shards[:2], shards[2] if min_valid is None else np.delete(shards[2], [3, 4, 5], 0)]
    np.testing.assert_array_equal(reference.read_plain(path), np.concatenate(kept))
    assert verify(path).problems == ()


def test_incompressible_patches_give_the_same_file_for_any_number_of_threads(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    values = [np.random.default_rng(seed).random((12, 64, 64), dtype=np.float32) for seed in range(3)]
    for number, shard in enumerate(values):
        np.save(tmp_path / "in" / f"p-vv-{number}.npy", shard)
    (path,) = assert_same_for_any_jobs(tmp_path / "in", tmp_path / "out", codec="zlib", **BOUNDS)
    np.testing.assert_array_equal(reference.read_plain(path), np.concatenate(values))
    assert verify(path).problems == ()


def test_more_threads_than_patches_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (shard,) = make_shards(tmp_path / "in", counts=(1,))
    (summary,) = convert(tmp_path / "in", tmp_path / "h5", jobs=64)
    assert summary.patches == 1
    np.testing.assert_array_equal(reference.read_plain(tmp_path / "h5" / "vv.h5"), shard)
    write_raster(tmp_path / "one_vv.tif", make_dn(0, (64, 64)))
    (summary,) = convert(tmp_path / "one_vv.tif", tmp_path / "one", jobs=64, patch_size=64)
    assert summary.patches == 1


def test_neither_threads_nor_cache_are_in_the_history(tmp_path: Path) -> None:
    make_shards(tmp_path)
    convert(tmp_path, tmp_path / "h5", jobs=3, cache_nbytes=5, min_valid=0.25)
    with h5py.File(tmp_path / "h5" / "vv.h5") as f:
        assert f.attrs["history"].split(" (")[0].endswith(f"convert {tmp_path} with min_valid=0.25")


@pytest.mark.parametrize("jobs", [0, -1])
def test_fewer_than_one_thread_are_refused_before_anything_is_made(tmp_path: Path, jobs: int) -> None:
    make_shards(tmp_path)
    with pytest.raises(SettingError, match=f"the number of jobs must be at least 1; found {jobs}"):
        convert(tmp_path, tmp_path / "h5", jobs=jobs)
    assert not (tmp_path / "h5").exists()


# Trouble on the way


@pytest.mark.parametrize("jobs", JOBS)
def test_a_value_outside_the_predicted_palette_at_the_end_starts_again(tmp_path: Path, jobs: int) -> None:
    table = scale_all_dn(Bounds(14.77, 24.54))
    shards = [table[make_dn(seed, (30, 32, 32))] for seed in range(3)]
    shards[2][29, 31, 31] = np.nextafter(table[120], np.float32(1))
    (tmp_path / "in").mkdir()
    for number, shard in enumerate(shards):
        np.save(tmp_path / "in" / f"p-vv-{number}.npy", shard)
    (summary,) = convert(tmp_path / "in", tmp_path / "h5", jobs=jobs, **BOUNDS)
    assert (summary.levels, summary.patches) == (len(np.unique(np.concatenate(shards))), 90)
    np.testing.assert_array_equal(reference.read_plain(tmp_path / "h5" / "vv.h5"), np.concatenate(shards))
    assert verify(tmp_path / "h5" / "vv.h5").problems == ()


@pytest.mark.parametrize("jobs", JOBS)
@pytest.mark.parametrize("value", [np.nan, 1.5, -0.25, np.inf])
@pytest.mark.parametrize("number", [0, 17, 29])
def test_a_broken_shard_in_the_middle_is_skipped_without_a_trace(
    tmp_path: Path, jobs: int, value: float, number: int
) -> None:
    (tmp_path / "in").mkdir()
    shards = make_shards(tmp_path / "in", counts=(8, 30, 8))
    shards[1][number, 5, 6] = value
    np.save(sorted((tmp_path / "in").glob("s1a*"))[1], shards[1])
    with pytest.raises(BadSourceError, match=rf"1 source is broken[\s\S]*patch {number} holds") as caught:
        convert(tmp_path / "in", tmp_path / "fail", jobs=jobs)
    assert len(caught.value.sources) == 1
    assert not (tmp_path / "fail").exists()
    (summary,) = convert(tmp_path / "in", tmp_path / "h5", jobs=jobs, on_bad_source="skip")
    assert (summary.scenes, summary.patches, len(summary.skipped)) == (2, 16, 1)
    path = tmp_path / "h5" / "vv.h5"
    np.testing.assert_array_equal(reference.read_plain(path), np.concatenate([shards[0], shards[2]]))
    with h5py.File(path) as f:
        assert f["index/scene"][:].tolist() == [0] * 8 + [1] * 8
        checksums = [zlib.crc32(f["patches"].id.read_direct_chunk((i, 0, 0))[1]) for i in range(16)]
        assert f["index/checksum"][:].tolist() == checksums
    assert verify(path).problems == ()


@pytest.mark.parametrize("jobs", JOBS)
def test_the_first_broken_patch_is_the_one_that_is_named(tmp_path: Path, jobs: int) -> None:
    shards = make_shards(tmp_path, counts=(30,))
    shards[0][[3, 4, 20, 29], 0, 0] = np.nan
    np.save(next(tmp_path.glob("s1a*")), shards[0])
    for encoding in ("auto", "float32"):
        with pytest.raises(BadSourceError, match="patch 3 holds NaN"):
            convert(tmp_path, tmp_path / "h5", jobs=jobs, encoding=encoding)


@pytest.mark.parametrize("jobs", JOBS)
@pytest.mark.parametrize("given", [{}, BOUNDS])
def test_a_truncated_raster_in_the_middle_is_skipped_without_a_trace(
    tmp_path: Path, jobs: int, given: dict[str, float]
) -> None:
    images = [make_dn(seed, (500, 300)) for seed in range(3)]
    for number, image in enumerate(images):
        write_raster(tmp_path / "in" / f"s{number}_vv.tif", image, compress="deflate")
    broken = tmp_path / "in" / "s1_vv.tif"
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(BadSourceError, match=r"s1_vv.tif: expected a readable GeoTIFF"):
        convert(tmp_path / "in", tmp_path / "fail", jobs=jobs, patch_size=96, **given)
    assert not (tmp_path / "fail").exists()
    (summary,) = convert(tmp_path / "in", tmp_path / "h5", jobs=jobs, patch_size=96, on_bad_source="skip", **given)
    assert (summary.scenes, len(summary.skipped)) == (2, 1)
    path = tmp_path / "h5" / "vv.h5"
    scaled = [reference.scale(reference.to_db(images[n])[0], summary.vmin, summary.vmax) for n in (0, 2)]
    reference.assert_equals(path, reference.cut(scaled, 96, 128))
    assert verify(path).problems == ()


@pytest.mark.parametrize("jobs", JOBS)
def test_an_interruption_while_threads_are_busy_leaves_nothing(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    write_batch, calls = FileWriter._write_batch, []

    def interrupt(self: FileWriter, batch: Any) -> None:
        calls.append(batch)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        write_batch(self, batch)

    monkeypatch.setattr(FileWriter, "_write_batch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert(products, tmp_path / "h5", jobs=jobs, patch_size=64, stride=8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("jobs", JOBS)
def test_a_disk_that_fills_up_in_the_middle_is_an_output_error_and_leaves_nothing(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    (tmp_path / "h5").mkdir()
    (tmp_path / "h5" / "vv.h5").write_bytes(b"precious")
    usage = shutil.disk_usage(tmp_path)

    class FullDisk(h5py.h5d.DatasetID):
        """Stands in for a data set on a disk with room for ten chunks."""

        def write_direct_chunk(self, offsets: tuple[int, ...], *arguments: Any) -> None:
            if offsets[0] == 10:
                raise OSError(28, "No space left on device")
            super().write_direct_chunk(offsets, *arguments)

    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(h5py.Dataset, "id", property(lambda self: FullDisk(self._id.id)))
    with pytest.raises(OutputError, match=r"vv\.h5\.partial: cannot be written \(disk full"):
        convert(products, tmp_path / "h5", jobs=jobs, patch_size=64, stride=8, overwrite=True)
    assert [path.name for path in (tmp_path / "h5").iterdir()] == ["vv.h5"]
    assert (tmp_path / "h5" / "vv.h5").read_bytes() == b"precious"


@pytest.mark.parametrize("jobs", JOBS)
@pytest.mark.parametrize("error", [MemoryError, RuntimeError, KeyboardInterrupt])
def test_what_a_thread_raises_comes_out_as_it_is(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, error: type[BaseException]
) -> None:
    pack, calls = Packer.pack, []

    def fail(self: Packer, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            raise error("in a thread")
        return pack(self, batch)

    monkeypatch.setattr(Packer, "pack", fail)
    with pytest.raises(error, match="in a thread"):
        convert(products, tmp_path / "h5", jobs=jobs, patch_size=64, stride=8)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_shrinks_while_it_is_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_shards(tmp_path, counts=(40,))
    shard = next(tmp_path.glob("s1a*"))
    write_batch = FileWriter._write_batch

    def shrink(self: FileWriter, batch: Any) -> None:
        shard.write_bytes(shard.read_bytes()[:5000])
        write_batch(self, batch)

    monkeypatch.setattr(writer_module, "IN_FLIGHT_NBYTES", 1)
    monkeypatch.setattr(FileWriter, "_write_batch", shrink)
    with pytest.raises(SourceError, match=r"s1a.*ended early.*was it changed while it was read"):
        convert(tmp_path, tmp_path / "h5", jobs=2)
    assert not (tmp_path / "h5").exists()
