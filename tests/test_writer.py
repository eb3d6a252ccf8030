"""``FileWriter``: what it writes is what was given, scene by scene, and what is taken out again leaves no trace."""

from __future__ import annotations

import dataclasses
import threading
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import writer as writer_module
from sar_h5.compression import Codec
from sar_h5.cutting import PatchBatch
from sar_h5.encoding import Storage, float_storage, palette_storage
from sar_h5.errors import OutputError, SourceError
from sar_h5.palette import Palette
from sar_h5.schema import FileSettings
from sar_h5.sources.scene import Georeference, SceneInfo, SourceFile
from sar_h5.verification import verify
from sar_h5.writer import FileWriter, Provenance

SIZE = 16
PROVENANCE = Provenance("title", "command", "quantity", "1", "given", "range")
LUT = np.linspace(0, 1, 300, dtype=np.float32)
SETTINGS = FileSettings(14.77, 24.54, SIZE, 8, 0.0, "vv", "palette")
CODES = palette_storage(Palette(LUT), from_dn=False)
FLOATS = dataclasses.replace(SETTINGS, encoding="float32")


def make_batch(seed: int, count: int, storage: Storage = CODES) -> PatchBatch:
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, len(LUT), (count, SIZE, SIZE))
    values = LUT[codes]
    inside = ((values > 0.01) & (values < 0.99)).mean(axis=(1, 2)).astype(np.float32)
    rows, cols = generator.integers(0, 80, (2, count)).astype(np.int32)
    return PatchBatch(codes.astype(storage.dtype) if storage.lut is not None else values, rows, cols, inside)


def make_info(name: str, **facts: object) -> SceneInfo:
    return SceneInfo(name, f"in/{name}.tif", "vv", 100, 100, **facts)  # type: ignore[arg-type]


def write(
    path: Path, plan: list[tuple[str, list[PatchBatch], bool]], storage: Storage = CODES, codec: Codec | None = None
) -> str:
    settings = SETTINGS if storage.lut is not None else FLOATS
    with FileWriter(path, settings, storage, codec or Codec()) as writer:
        for name, batches, kept in plan:
            writer.start_scene(make_info(name))
            for batch in batches:
                writer.append(batch)
            if kept:
                writer.finish_scene(SourceFile(123, 456), 7)
            else:
                writer.abandon_scene()
        return writer.finish(PROVENANCE, None)


@pytest.mark.parametrize("codec", [Codec(), Codec("zstd", 3, "bit"), Codec("zlib", 1, "none"), Codec("blosclz", 9)])
@pytest.mark.parametrize("storage", [CODES, float_storage()])
def test_plain_h5py_reads_what_was_appended(tmp_path: Path, storage: Storage, codec: Codec) -> None:
    first, second, third = (make_batch(seed, count, storage) for seed, count in ((0, 5), (1, 1), (2, 3)))
    write(
        tmp_path / "a.h5", [("s1", [first, second], True), ("empty", [], True), ("s2", [third], True)], storage, codec
    )
    with h5py.File(tmp_path / "a.h5") as f:
        expected = np.concatenate([first.patches, second.patches, third.patches])
        np.testing.assert_array_equal(f["patches"][:], expected)
        assert f["patches"].dtype == storage.dtype
        assert f["index/scene"][:].tolist() == [0] * 6 + [2] * 3
        for name, field in (("row", "rows"), ("col", "cols"), ("valid_fraction", "valid_fraction")):
            columns = np.concatenate([getattr(batch, field) for batch in (first, second, third)])
            np.testing.assert_array_equal(f["index"][name][:], columns)
        for number in range(9):
            mask, frame = f["patches"].id.read_direct_chunk((number, 0, 0))
            assert (mask, zlib.crc32(frame)) == (0, f["index/checksum"][number])
        assert f["scenes/patch_start"][:].tolist() == [0, 6, 6]
        assert f["scenes/patch_count"][:].tolist() == [6, 0, 3]
        assert f["scenes/dropped_count"][:].tolist() == [7, 7, 7]
        assert f["scenes/source_size"][:].tolist() == [123] * 3
        assert f["scenes/source_checksum"][:].tolist() == [456] * 3
        assert f["scenes/name"].asstr()[:].tolist() == ["s1", "empty", "s2"]
    assert verify(tmp_path / "a.h5").problems == ()


def test_an_abandoned_scene_leaves_no_trace_at_any_place(tmp_path: Path) -> None:
    one, two, bad = ([make_batch(seed, 4)] for seed in range(3))
    clean = write(tmp_path / "clean.h5", [("s1", one, True), ("s2", two, True)])
    for place in range(3):
        plan = [("s1", one, True), ("s2", two, True)]
        plan.insert(place, ("bad", bad, False))
        assert write(tmp_path / f"{place}.h5", plan) == clean
        assert verify(tmp_path / f"{place}.h5").problems == ()
        with h5py.File(tmp_path / f"{place}.h5") as f:
            np.testing.assert_array_equal(f["patches"][:], np.concatenate([one[0].patches, two[0].patches]))
            assert f["scenes/name"].asstr()[:].tolist() == ["s1", "s2"]


def test_the_digest_depends_on_content_order_names_and_places_but_not_on_batches(tmp_path: Path) -> None:
    batch = make_batch(0, 4)
    halves = [
        PatchBatch(batch.patches[part], batch.rows[part], batch.cols[part], batch.valid_fraction[part])
        for part in (slice(0, 1), slice(1, 4))
    ]
    moved = dataclasses.replace(batch, rows=batch.rows + np.int32(1))
    turned = dataclasses.replace(batch, patches=batch.patches[::-1])
    base = write(tmp_path / "a.h5", [("s", [batch], True)])
    assert write(tmp_path / "b.h5", [("s", halves, True)]) == base
    others = [
        write(tmp_path / "c.h5", [("t", [batch], True)]),
        write(tmp_path / "d.h5", [("s", [moved], True)]),
        write(tmp_path / "e.h5", [("s", [turned], True)]),
        write(tmp_path / "f.h5", [("s", [batch], True), ("empty", [], True)]),
    ]
    assert len({base, *others}) == 5


def test_georeference_of_all_scenes_comes_back(tmp_path: Path) -> None:
    gcps = ((0.0, 1.0, 10.5, 45.25, 3.0), (7.0, 8.0, 11.5, 44.25, 0.0))
    placed = Georeference("WKT", (1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    with FileWriter(tmp_path / "a.h5", SETTINGS, CODES, Codec()) as writer:
        for name, place in (("a", Georeference()), ("b", Georeference("", gcps=gcps, gcp_crs="LL")), ("c", placed)):
            writer.start_scene(make_info(name, georeference=place, start_time="2021-01-19T03:16:53"))
            writer.append(make_batch(0, 2))
            writer.finish_scene(SourceFile(1, 2), 0)
        writer.finish(PROVENANCE, None)
    with h5py.File(tmp_path / "a.h5") as f:
        scenes = f["scenes"]
        assert scenes["gcp_start"][:].tolist() == [0, 0, 2]
        assert scenes["gcp_count"][:].tolist() == [0, 2, 0]
        assert scenes["gcps"][:].tolist() == [list(point) for point in gcps]
        assert scenes["gcp_crs"].asstr()[:].tolist() == ["", "LL", ""]
        assert np.isnan(scenes["transform"][:2]).all()
        assert scenes["transform"][2].tolist() == [1, 2, 3, 4, 5, 6]
        assert scenes["crs"].asstr()[2] == "WKT"


def test_a_place_that_cannot_be_written_to_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"absent/a\.h5: cannot be written"):
        FileWriter(tmp_path / "absent" / "a.h5", SETTINGS, CODES, Codec())


def test_an_error_closes_the_file_and_is_the_one_that_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), FileWriter(tmp_path / "a.h5", SETTINGS, CODES, Codec()) as writer:  # noqa: PT012
        writer.start_scene(make_info("s"))
        raise ZeroDivisionError
    (tmp_path / "a.h5").unlink()
    write(tmp_path / "a.h5", [("s", [make_batch(0, 1)], True)])
    assert verify(tmp_path / "a.h5").ok


# Threads


class Late:
    """A batch that is made when it is told to be, or fails to be made."""

    def __init__(self, batch: PatchBatch, gate: threading.Event, error: Exception | None = None) -> None:
        self.batch, self.gate, self.error = batch, gate, error
        self.nbytes = batch.nbytes

    def make(self) -> PatchBatch:
        assert self.gate.wait(20)
        if self.error is not None:
            raise self.error
        return self.batch


def test_batches_that_are_made_in_any_order_are_written_in_theirs(tmp_path: Path) -> None:
    batches = [make_batch(seed, 3) for seed in range(4)]
    gates = [threading.Event() for _ in batches]
    with FileWriter(tmp_path / "a.h5", SETTINGS, CODES, Codec(), jobs=4) as writer:
        writer.start_scene(make_info("s"))
        for batch, gate in zip(batches, gates, strict=True):
            writer.append(Late(batch, gate))
        for gate in reversed(gates):
            assert writer.patch_count == 0
            gate.set()
        writer.flush()
        assert writer.patch_count == 12
        writer.finish_scene(SourceFile(123, 456), 7)
        late = writer.finish(PROVENANCE, None)
    with h5py.File(tmp_path / "a.h5") as f:
        np.testing.assert_array_equal(f["patches"][:], np.concatenate([batch.patches for batch in batches]))
    assert late == write(tmp_path / "b.h5", [("s", batches, True)])


def test_an_error_of_making_a_batch_comes_out_before_the_scene_ends_and_the_scene_can_be_abandoned(
    tmp_path: Path,
) -> None:
    good, opened = make_batch(0, 3), threading.Event()
    opened.set()
    with FileWriter(tmp_path / "a.h5", SETTINGS, CODES, Codec(), jobs=3) as writer:
        for name in ("bad", "good", "worse"):
            writer.start_scene(make_info(name))
            writer.append(good)
            if name == "good":
                writer.finish_scene(SourceFile(123, 456), 7)
                continue
            with pytest.raises(SourceError, match=name):  # noqa: PT012 - any of the calls may be the one
                for error in (SourceError(name), ZeroDivisionError(), None):
                    writer.append(Late(good, opened, error))
                writer.finish_scene(SourceFile(0, 0), 0)
            writer.abandon_scene()
        digest = writer.finish(PROVENANCE, None)
    assert digest == write(tmp_path / "b.h5", [("good", [good], True)])
    assert verify(tmp_path / "a.h5").problems == ()


def test_little_waits_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "IN_FLIGHT_NBYTES", 2 * make_batch(0, 3).nbytes)
    opened, shut = threading.Event(), threading.Event()
    opened.set()
    with FileWriter(tmp_path / "a.h5", SETTINGS, CODES, Codec(), jobs=8) as writer:
        writer.start_scene(make_info("s"))
        for _ in range(20):
            before = writer.patch_count
            writer.append(Late(make_batch(0, 3), opened))
        assert before >= 3 * 17
        writer.flush()
        for _ in range(2):  # as much as may wait is taken without waiting
            writer.append(Late(make_batch(0, 3), shut))
        shut.set()


def test_a_batch_whose_patches_were_all_dropped_adds_nothing(tmp_path: Path) -> None:
    empty, full = make_batch(0, 0), make_batch(0, 3)
    digest = write(tmp_path / "a.h5", [("s", [empty, full, empty], True)])
    assert digest == write(tmp_path / "b.h5", [("s", [full], True)])
    assert verify(tmp_path / "a.h5").problems == ()
