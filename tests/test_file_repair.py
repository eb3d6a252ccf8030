"""``repair``: a sound copy with the broken patches made again, or without them; the file itself stays as it is."""

from __future__ import annotations

import json
import shutil
import warnings
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import SARH5Dataset, SceneSplit, convert, repair, split_file, verify
from sar_h5.errors import FormatError, OutputExistsError, SettingError, SourceError
from sar_h5.splits.leakage import LeakageWarning
from tests.block_files import break_block, make_overlapping_shards, set_blocks
from tests.command_line import CommandLine, snapshot
from tests.conftest import make_shards
from tests.damage import break_patch, loop_heap
from tests.derived_files import assert_same, values
from tests.patch_files import raw_chunks
from tests.written_blocks import check_blocks

BROKEN = (3, 12)


@pytest.fixture(scope="module")
def sources(products: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    shards = tmp_path_factory.mktemp("shards")
    make_shards(shards, counts=(9, 7))
    return {"products": products, "shards": shards}


@pytest.fixture
def sound(sources: dict[str, Path], tmp_path: Path) -> Path:
    """A sound file of shards, with splits."""
    return make(sources["shards"], tmp_path / "made")


def make(source: Path, out: Path, **options: object) -> Path:
    convert(source, out, polarization="vv", **options)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakageWarning)  # both products show the same ground
        split_file(out / "vv.h5", SceneSplit((0.5, 0.5, 0)))
    return out / "vv.h5"


def broken_copy(path: Path, target: Path, numbers: tuple[int, ...] = BROKEN) -> Path:
    shutil.copy(path, target)
    for number in numbers:
        break_patch(target, number)
    return target


def columns(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as f:
        return {f"{group}/{name}": f[group][name][:] for group in ("index", "scenes", "splits") for name in f[group]}


@pytest.mark.parametrize("encoding", ["palette", "dn", "float32", "shards"])
def test_patches_made_again_are_those_of_an_undamaged_conversion(
    sources: dict[str, Path], tmp_path: Path, encoding: str
) -> None:
    source = sources["shards" if encoding == "shards" else "products"]
    options = {} if encoding == "shards" else {"patch_size": 64, "stride": 64, "encoding": encoding, "codec": "small"}
    undamaged = make(source, tmp_path / "made", **options)
    broken = broken_copy(undamaged, tmp_path / "broken.h5")
    before = broken.read_bytes()
    summary = repair(broken, tmp_path / "new.h5", source=source)
    assert (summary.rebuilt, summary.dropped) == (BROKEN, ())
    assert broken.read_bytes() == before
    assert verify(tmp_path / "new.h5", source=source).problems == ()
    old, new = columns(undamaged), columns(tmp_path / "new.h5")
    assert old.keys() == new.keys()
    for name, column in old.items():
        assert column.tobytes() == new[name].tobytes(), name
    with h5py.File(undamaged) as a, h5py.File(tmp_path / "new.h5") as b:
        assert a["patches"][:].tobytes() == b["patches"][:].tobytes()
        changed = {name for name in {*a.attrs, *b.attrs} if str(a.attrs.get(name)) != str(b.attrs.get(name))}
        assert changed == {"history", "uuid", "texts_checksum"}
        assert b.attrs["history"].splitlines()[:-1] == a.attrs["history"].splitlines()
        assert f"repair {broken}: 2 patches made again from {source}" in b.attrs["history"].splitlines()[-1]
        assert {name: dict(item.attrs) for name, item in a["index"].items()} == {
            name: dict(item.attrs) for name, item in b["index"].items()
        }


@pytest.mark.parametrize("encoding", ["palette", "dn", "shards"])
def test_a_broken_block_is_made_again_for_all_its_patches(
    sources: dict[str, Path], tmp_path: Path, encoding: str
) -> None:
    """And shared by them as before, whether places or content tell so; a patch of wrong blocks gets its own back."""
    if encoding == "shards":
        source, options = tmp_path / "overlapping", {}
        source.mkdir()
        make_overlapping_shards(source)
    else:
        source, options = sources["products"], {"patch_size": 64, "stride": 32, "encoding": encoding}
    undamaged = make(source, tmp_path / "made", layout="blocks", **options)
    broken = Path(shutil.copy(undamaged, tmp_path / "broken.h5"))
    with h5py.File(undamaged) as f:
        grid = f["index/blocks"][:]
    block = int(np.bincount(grid.ravel()).argmax())
    affected = sorted({5, *np.flatnonzero((grid == block).any(axis=(1, 2))).tolist()})
    assert len(affected) > 3
    break_block(broken, block)
    set_blocks(broken, 5, [0, 1 << 31, 2, 2])
    summary = repair(broken, tmp_path / "new.h5", source=source)
    assert (list(summary.rebuilt), summary.dropped) == (affected, ())
    assert_same(undamaged, tmp_path / "new.h5")
    assert verify(tmp_path / "new.h5", source=source).problems == ()
    summary = repair(broken, tmp_path / "less.h5", drop=True)
    assert (summary.rebuilt, list(summary.dropped)) == ((), affected)
    check_blocks(tmp_path / "less.h5")
    assert verify(tmp_path / "less.h5", source=source).problems == ()
    np.testing.assert_array_equal(values(tmp_path / "less.h5"), np.delete(values(undamaged), affected, axis=0))


def test_sound_patches_are_copied_byte_by_byte(sound: Path, tmp_path: Path) -> None:
    with h5py.File(sound, "r+") as f:  # one that HDF5 has left unfiltered
        patch = f["patches"][5]
        f["patches"].id.write_direct_chunk((5, 0, 0), patch.tobytes(), filter_mask=1)
        f["index/checksum"][5] = zlib.crc32(patch.tobytes())
    repair(broken_copy(sound, tmp_path / "broken.h5"), tmp_path / "new.h5", drop=True)
    assert [number for number, raw in enumerate(raw_chunks(tmp_path / "new.h5")) if raw] == [4]
    kept = [number for number in range(16) if number not in BROKEN]
    with h5py.File(sound) as a, h5py.File(tmp_path / "new.h5") as b:
        for new, old in enumerate(kept):
            assert a["patches"].id.read_direct_chunk((old, 0, 0)) == b["patches"].id.read_direct_chunk((new, 0, 0))


def test_dropped_patches_leave_every_table_and_a_record(sound: Path, sources: dict[str, Path], tmp_path: Path) -> None:
    summary = repair(broken_copy(sound, tmp_path / "broken.h5"), tmp_path / "new.h5", drop=True)
    assert (summary.rebuilt, summary.dropped) == ((), BROKEN)
    kept = [number for number in range(16) if number not in BROKEN]
    old, new = columns(sound), columns(tmp_path / "new.h5")
    for name in ("index/scene", "index/checksum", "index/valid_fraction", "splits/default"):
        np.testing.assert_array_equal(new[name], old[name][kept])
    assert new["scenes/patch_start"].tolist() == [0, 8]
    assert new["scenes/patch_count"].tolist() == [8, 6]
    assert (new["scenes/name"] == old["scenes/name"]).all()
    with h5py.File(tmp_path / "new.h5") as f:
        assert f["index/position"][:].tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 0, 1, 2, 4, 5, 6]
        assert f["scenes/left_out_count"][:].tolist() == [1, 1]
        assert f.attrs["content_digest"] == summary.content_digest
        assert "2 patches dropped (sar_h5" in f.attrs["history"]
        counts = [int(f["splits/default"].attrs[f"{split}_count"]) for split in ("unused", "train", "val")]
        assert sum(counts) == 14
    assert verify(tmp_path / "new.h5", source=sources["shards"]).problems == ()
    # Positions count from the undamaged conversion, however many repairs there were.
    again = broken_copy(tmp_path / "new.h5", tmp_path / "again.h5", (2, 3))
    repair(again, tmp_path / "newer.h5", drop=True)
    with h5py.File(tmp_path / "newer.h5") as f:
        assert f["index/position"][:].tolist() == [0, 1, 5, 6, 7, 8, 0, 1, 2, 4, 5, 6]
        assert f["scenes/left_out_count"][:].tolist() == [3, 1]
    assert verify(tmp_path / "newer.h5", source=sources["shards"]).problems == ()
    assert len(SARH5Dataset(tmp_path / "newer.h5", split="train", verify="always")) > 0


def test_what_the_source_lacks_is_dropped_where_both_are_asked_for(
    sound: Path, sources: dict[str, Path], tmp_path: Path
) -> None:
    part = tmp_path / "part"
    part.mkdir()
    shard = sorted(sources["shards"].glob("s1a*.npy"))[1]
    shutil.copy(shard, part)
    broken = broken_copy(sound, tmp_path / "broken.h5")
    before = snapshot(tmp_path)
    with pytest.raises(SourceError, match=r"1 patch of .*broken.h5 is not in the source .*pass --drop"):
        repair(broken, tmp_path / "new.h5", source=part)
    assert snapshot(tmp_path) == before
    summary = repair(broken, tmp_path / "new.h5", source=part, drop=True)
    assert (summary.rebuilt, summary.dropped) == ((12,), (3,))
    assert verify(tmp_path / "new.h5", source=sources["shards"]).problems == ()
    values = np.load(part / shard.name)
    values[0] = values[1]  # patch 12 is as it was, and yet nothing tells so
    np.save(part / shard.name, values)
    with pytest.raises(SourceError, match="has changed since"):
        repair(broken, tmp_path / "newer.h5", source=part, drop=True)


@pytest.mark.parametrize("value", [None, 0.1234])
def test_a_source_that_has_changed_is_refused(
    sound: Path, sources: dict[str, Path], tmp_path: Path, value: float | None
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(sources["shards"], changed)
    shard = sorted(changed.glob("s1a*.npy"))[0]
    values = np.load(shard)
    values[3, 0, 0] = values[3, 5, 5] if value is None else value
    np.save(shard, values)
    broken = broken_copy(sound, tmp_path / "broken.h5")
    before = snapshot(tmp_path)
    with pytest.raises(SourceError, match=r"source has changed|holds values that the file's table has not"):
        repair(broken, tmp_path / "new.h5", source=changed)
    assert snapshot(tmp_path) == before


def test_nothing_is_written_where_nothing_is_broken(sound: Path, tmp_path: Path) -> None:
    summary = repair(sound, tmp_path / "new.h5", drop=True)
    assert not summary.is_written
    assert summary.to_dict()["out"] is None
    assert "none of them broken; nothing was written" in summary.to_text()
    assert not list(tmp_path.glob("new*"))


def test_what_cannot_be_mended_is_refused_with_the_reason(sound: Path, tmp_path: Path) -> None:
    def refuse(match: str, path: Path, error: type[Exception] = FormatError, **options: object) -> None:
        before = snapshot(tmp_path)
        with pytest.raises(error, match=match):
            repair(path, **({"out": tmp_path / "new.h5", "drop": True} | options))  # type: ignore[arg-type]
        assert snapshot(tmp_path) == before

    broken = broken_copy(sound, tmp_path / "broken.h5")
    refuse(r"2 problems \(/patches\[3\]: corrupt: .*; pass --source SOURCE", broken, drop=False)
    refuse("must be another file than the one to repair", broken, SettingError, out=broken, overwrite=True)
    refuse("expected a directory for the result", broken, SettingError, out=tmp_path / "a" / "b.h5")
    refuse("is there already", broken, OutputExistsError, out=sound)
    refuse("expected a file made by sar-h5 convert, found no such file", tmp_path / "absent.h5", SourceError)
    refuse("expected jobs of at least 1", broken, SettingError, jobs=0)
    refuse("every patch is broken", broken_copy(sound, tmp_path / "all.h5", tuple(range(16))))
    with h5py.File(shutil.copy(sound, tmp_path / "a.h5"), "r+") as f:
        del f["index/row"]
    refuse(r"its structure is damaged, and only patches can be mended: 1 problem \(/index/row", tmp_path / "a.h5")
    with h5py.File(shutil.copy(sound, tmp_path / "b.h5"), "r+") as f:
        f["scenes/name"][0] = "x"
    refuse("they do not fit content_digest", tmp_path / "b.h5")
    (tmp_path / "c.h5").write_bytes(b"hello")
    refuse(r"not an HDF5 file \(it begins with b'hello'\)", tmp_path / "c.h5")


def test_a_file_that_hdf5_loops_over_is_refused(sound: Path, tmp_path: Path) -> None:
    loop_heap(sound)
    with pytest.raises(FormatError, match=r"its structure is damaged.*would never come back from"):
        repair(sound, tmp_path / "new.h5", drop=True)


def test_the_command_repairs(
    sound: Path, sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    line = CommandLine(monkeypatch, capsys)
    broken, out = broken_copy(sound, tmp_path / "broken.h5"), tmp_path / "new.h5"
    assert "pass --source SOURCE" in line.refuse("repair", broken, "--out", out, untouched=tmp_path)
    outcome = line.run("repair", broken, "--out", out, "--source", sources["shards"])
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{out}: 16 patches, 2 of them made again, 0 dropped\n")
    outcome = line.run("repair", broken, "--out", out, "--drop", "--overwrite", "--json")
    assert json.loads(outcome.out)["dropped"] == [3, 12]
    assert line.run("verify", out).code == 0
    assert line.run("repair", broken).code == 2
