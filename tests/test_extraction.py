"""``extract``: some patches of a file as a file of their own, with a record of what was left out."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import SARH5Dataset, extract, merge, repair, verify
from sar_h5.derivation import block_pixels, patch_chunks
from sar_h5.derivation.taken_patch import StoredChunk
from sar_h5.errors import (
    BoundsError,
    CorruptPatchError,
    FormatError,
    OutputError,
    OutputExistsError,
    SettingError,
    SourceError,
)
from sar_h5.info import read_info
from tests.command_line import CommandLine, snapshot
from tests.conftest import make_dn, make_shards
from tests.damage import break_patch
from tests.derived_files import assert_same, attribute, columns, make_file, patches, values
from tests.patch_files import raw_chunks
from tests.raster_files import write_raster


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shards")
    make_shards(directory, counts=(9, 7, 5))
    return directory


@pytest.fixture(scope="module")
def made(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(shards, tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def dn(products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dn")
    return make_file(products, out, patch_size=64, stride=64, encoding="dn", vmin=14.0, vmax=28.0)


def test_chosen_patches_come_with_their_rows_and_a_record(made: Path, shards: Path, tmp_path: Path) -> None:
    numbers = [1, 4, 8, 16, 20]
    with h5py.File(shutil.copy(made, tmp_path / "a.h5"), "r+") as f:  # of the users' own
        f["index/feature"] = np.arange(42).reshape(21, 2)
        f["scenes/station"] = np.array([b"x", b"y", b"z"])
        f["embedding"] = np.arange(21.0)
        f["notes/text"] = np.bytes_("hello")
    before = (tmp_path / "a.h5").read_bytes()
    summary = extract(tmp_path / "a.h5", tmp_path / "new.h5", indices=[20, 16, 1, 4, 8, -13])
    assert (tmp_path / "a.h5").read_bytes() == before
    assert (summary.patches, summary.scenes, summary.left_out, summary.compressed) == (5, 2, 16, 0)
    old, new = columns(tmp_path / "a.h5"), columns(tmp_path / "new.h5")
    np.testing.assert_array_equal(patches(tmp_path / "new.h5"), patches(made)[numbers])
    for name in ("index/checksum", "index/valid_fraction", "index/row", "index/feature", "splits/default"):
        np.testing.assert_array_equal(new[name], old[name][numbers])
    assert new["index/scene"].tolist() == [0, 0, 0, 1, 1]
    assert new["index/position"].tolist() == [1, 4, 8, 0, 4]
    assert new["scenes/name"].tolist() == old["scenes/name"][[0, 2]].tolist()
    assert new["scenes/station"].tolist() == [b"x", b"z"]
    assert (new["scenes/patch_start"].tolist(), new["scenes/patch_count"].tolist()) == ([0, 3], [3, 2])
    assert (new["scenes/left_out_count"].tolist(), new["scenes/position"].tolist()) == ([6, 3], [0, 2])
    with h5py.File(tmp_path / "new.h5") as f:
        assert f["embedding"][:].tolist() == numbers
        assert f["notes/text"][()] == b"hello"
        assert f.attrs["extracted_from"] == attribute(made, "content_digest")
        assert f.attrs["left_out_scenes"] == 1
        assert f.attrs["history"].splitlines()[-1].split(" ", 1)[1].startswith("extract ")
        counts = {name: f["splits/default"].attrs[f"{name}_count"] for name in ("train", "val", "unused")}
        assert sum(counts.values()) == 5
    assert verify(tmp_path / "new.h5", source=shards).problems == ()
    info = read_info(tmp_path / "new.h5")
    assert (info.left_out, info.left_out_scenes) == (9, 1)
    assert "left out   9 patches of its scenes, and 1 scene" in info.to_text()


def test_what_is_missing_beside_what_was_left_out_is_reported(made: Path, shards: Path, tmp_path: Path) -> None:
    """A shard that has grown since, and a scene that nobody has left out."""
    extract(made, tmp_path / "new.h5", indices=[0, 2, 3, 9])
    more = tmp_path / "more"
    shutil.copytree(shards, more)
    shard = sorted(more.glob("s1a*.npy"))[0]
    np.save(shard, np.concatenate([np.load(shard), np.load(shard)[:1]]))
    (more / "metadata.npy").unlink()
    problems = verify(tmp_path / "new.h5", source=more).problems
    assert [problem.place for problem in problems] == ["/scenes/patch_count[0]", "/scenes/source_checksum[0]"]
    assert "of which 1 are missing; the first is number 9" in problems[0].message
    for number in (4, 5):  # two scenes more, of which one was left out
        np.save(
            more / shard.name.replace("036200", f"03620{number}").replace("20210110", f"2021011{number}"),
            np.load(shard),
        )
    missing = [
        problem for problem in verify(tmp_path / "new.h5", source=more).problems if problem.place == "/scenes/name"
    ]
    assert len(missing) == 3
    assert "(1 were left out on purpose, and the source has 3 more)" in missing[0].message


def test_a_record_that_cannot_be_is_found(made: Path, tmp_path: Path) -> None:
    extract(made, tmp_path / "new.h5", indices=[0, 2, 3, 9])

    def problem(change: str, value: object) -> str:
        with h5py.File(shutil.copy(tmp_path / "new.h5", tmp_path / "bad.h5"), "r+") as f:
            if value is None:
                del f[change]
            elif change.startswith("@"):
                f.attrs[change[1:]] = value
            else:
                f[change][...] = value
        return " ".join(map(str, verify(tmp_path / "bad.h5").problems))

    assert "/index/position[1]: wrong value: expected positions that rise" in problem("index/position", [0, 0, 3, 0])
    assert "/index/position[2]" in problem("index/position", [0, 2, 9, 0])
    assert "/index/position[0]" in problem("index/position", [-1, -1, -1, 0])
    assert "/index/position[0]" in problem("scenes/left_out_count", [-1, 6])
    assert "/index/position" in problem("scenes/left_out_count", [1 << 62, -7])
    assert "/scenes/left_out_count: missing" in problem("scenes/left_out_count", None)
    assert "/scenes/position: missing" in problem("scenes/position", None)
    assert "/@left_out_scenes: wrong value" in problem("@left_out_scenes", -1)
    assert "/@: wrong value: expected texts of checksum" in problem("@title", "x")
    assert problem("@note", "x") == ""


def test_conditions_combine(made: Path, tmp_path: Path) -> None:
    names = [name.decode() for name in columns(made)["scenes/name"]]
    (tmp_path / "m.csv").write_text("scene,season\n" + "".join(f"{name},s{n}\n" for n, name in enumerate(names)))
    split = columns(made)["splits/default"]

    def numbers(**options: object) -> list[int]:
        extract(made, tmp_path / "new.h5", overwrite=True, **options)  # type: ignore[arg-type]
        found = values(tmp_path / "new.h5")
        return [int(np.flatnonzero((values(made) == patch).all(axis=(1, 2)))[0]) for patch in found]

    assert numbers(split="train") == np.flatnonzero(split == 1).tolist()
    assert numbers(split="default:validation") == np.flatnonzero(split == 2).tolist()
    assert numbers(scenes=names[1]) == list(range(9, 16))
    assert numbers(scenes=names[:2], where="patch > 6") == list(range(7, 16))
    assert numbers(manifest=tmp_path / "m.csv", where="season == 's2'", indices=slice(0, 18)) == [16, 17]
    assert len(SARH5Dataset(tmp_path / "new.h5", verify="always")) == 2


def test_scenes_without_patches_from_the_start_stay_unless_scenes_are_named(tmp_path: Path) -> None:
    for name, shift in (("a", 0), ("b", 30_000), ("c", 0)):  # b is clipped all over
        write_raster(tmp_path / "in" / f"{name}-vv.tif", make_dn(len(name), (96, 64)) + np.uint16(shift))
    made = make_file(tmp_path / "in", tmp_path, patch_size=32, stride=32, vmin=14.0, vmax=28.0, split=False)
    assert columns(made)["scenes/patch_count"].tolist() == [6, 0, 6]
    names = columns(made)["scenes/name"].tolist()
    extract(made, tmp_path / "last.h5", where="scene == 2")
    assert columns(tmp_path / "last.h5")["scenes/name"].tolist() == names[1:]
    assert verify(tmp_path / "last.h5", source=tmp_path / "in").problems == ()
    extract(made, tmp_path / "named.h5", scenes=names[2].decode())
    assert columns(tmp_path / "named.h5")["scenes/name"].tolist() == names[2:]
    assert verify(tmp_path / "named.h5", source=tmp_path / "in").problems == ()
    extract(made, tmp_path / "first.h5", where="scene == 0")
    summary = merge([tmp_path / "last.h5", tmp_path / "first.h5"], tmp_path / "all.h5")
    assert summary.content_digest == attribute(made, "content_digest")
    assert_same(made, tmp_path / "all.h5")


def test_ground_control_points_are_numbered_anew(dn: Path, tmp_path: Path) -> None:
    old = columns(dn)
    extract(dn, tmp_path / "new.h5", scenes=old["scenes/name"][1].decode())
    new = columns(tmp_path / "new.h5")
    start, count = (int(old[f"scenes/gcp_{name}"][1]) for name in ("start", "count"))
    assert start > 0
    assert (new["scenes/gcp_start"].tolist(), new["scenes/gcp_count"].tolist()) == ([0], [count])
    assert new["scenes/gcps"].tobytes() == old["scenes/gcps"][start : start + count].tobytes()


def test_other_bounds_give_what_converting_with_them_gives(products: Path, dn: Path, tmp_path: Path) -> None:
    """Where nothing is dropped; the histogram then counts all scenes in either case."""
    all_of_it = make_file(
        products, tmp_path / "old", patch_size=64, stride=64, encoding="dn", min_valid=0.0, split=False
    )
    expected = make_file(
        products,
        tmp_path / "new",
        patch_size=64,
        stride=64,
        encoding="dn",
        min_valid=0.0,
        vmin=12.5,
        vmax=26.25,
        split=False,
    )
    summary = extract(all_of_it, tmp_path / "new.h5", vmin=12.5, vmax=26.25)
    assert summary.content_digest == attribute(expected, "content_digest")
    mine, theirs = columns(tmp_path / "new.h5"), columns(expected)
    assert mine.keys() == theirs.keys()
    for name, column in theirs.items():
        assert mine[name].tobytes() == column.tobytes(), name
    with h5py.File(expected) as a, h5py.File(tmp_path / "new.h5") as b:
        changed = {name for name in {*a.attrs, *b.attrs} if str(a.attrs.get(name)) != str(b.attrs.get(name))}
    assert changed == {"history", "uuid", "texts_checksum"}
    assert verify(tmp_path / "new.h5", source=products).problems == ()
    (tmp_path / "bounds.json").write_text('{"vmin": 12.5, "vmax": 26.25}')
    again = extract(dn, tmp_path / "again.h5", bounds=tmp_path / "bounds.json")
    assert (again.vmin, again.vmax) == (12.5, 26.25)


def test_patches_that_fall_below_the_least_fraction_are_dropped(products: Path, tmp_path: Path) -> None:
    options = {"patch_size": 64, "stride": 64, "encoding": "dn", "min_valid": 0.75, "split": False}
    wide = make_file(products, tmp_path / "wide", vmin=5.0, vmax=40.0, **options)
    narrow = make_file(products, tmp_path / "narrow", vmin=17.0, vmax=27.0, **options)
    summary = extract(wide, tmp_path / "new.h5", vmin=17.0, vmax=27.0)
    old, new, expected = (columns(path) for path in (wide, tmp_path / "new.h5", narrow))
    assert summary.filtered == len(old["index/row"]) - len(new["index/row"]) > 0
    assert verify(tmp_path / "new.h5").problems == ()
    assert (new["index/valid_fraction"] >= np.float32(0.75)).all()
    grown = new["scenes/dropped_count"] - old["scenes/dropped_count"]
    assert grown.sum() == summary.filtered
    # All that passes with both bounds is there; what the old ones had dropped is not, and the summary says so.
    assert set(zip(*(new[f"index/{name}"].tolist() for name in ("scene", "row", "col")), strict=True)) <= set(
        zip(*(expected[f"index/{name}"].tolist() for name in ("scene", "row", "col")), strict=True)
    )
    if old["scenes/dropped_count"].any():
        assert "cannot come back" in " ".join(summary.notes)
        assert new["scenes/left_out_count"].tolist() == [-1, -1]
        assert read_info(tmp_path / "new.h5").left_out is None
    assert verify(tmp_path / "new.h5", source=products).problems == ()


def test_a_chunk_that_hdf5_left_unfiltered_stays_so(made: Path, tmp_path: Path) -> None:
    with h5py.File(shutil.copy(made, tmp_path / "a.h5"), "r+") as f:
        patch = f["patches"][5]
        f["patches"].id.write_direct_chunk((5, 0, 0), patch.tobytes(), filter_mask=1)
        f["index/checksum"][5] = zlib.crc32(patch.tobytes())
    extract(tmp_path / "a.h5", tmp_path / "new.h5", indices=[4, 5])
    assert raw_chunks(tmp_path / "new.h5") == [False, True]
    assert verify(tmp_path / "new.h5").ok


def test_what_cannot_be_extracted_is_refused_with_the_reason(made: Path, tmp_path: Path) -> None:
    def refuse(match: str, error: type[Exception] = SettingError, path: Path = made, **options: object) -> None:
        before = snapshot(tmp_path)
        with pytest.raises(error, match=match):
            extract(path, **({"out": tmp_path / "new.h5"} | options))  # type: ignore[arg-type]
        assert snapshot(tmp_path) == before

    shutil.copy(made, tmp_path / "there.h5")
    refuse("nothing says which patches to extract")
    refuse("none of its 21 patches is chosen with indices", indices=[])
    refuse("holds for none of 21 patches", where="row > 5")
    refuse("split test of 'default' is empty", FormatError, split="test")
    refuse("holds default", FormatError, split="blocks:train")
    refuse("expected scenes of the file, found 'nowhere'.*it has 3, such as", scenes=["nowhere"])
    refuse("none of its 21 patches is chosen with", indices=[0], scenes=[columns(made)["scenes/name"][2].decode()])
    refuse("give --where as well", indices=[0], manifest=tmp_path / "m.csv")
    refuse("out of range", IndexError, indices=[21])
    refuse("must be another file", path=tmp_path / "there.h5", out=tmp_path / "there.h5", indices=[0], overwrite=True)
    refuse("is there already", OutputExistsError, out=tmp_path / "there.h5", indices=[0])
    refuse("expected a directory for the result", out=tmp_path / "a" / "b.h5", indices=[0])
    refuse("expected jobs of at least 1", indices=[0], jobs=0)
    refuse("no such file", SourceError, path=tmp_path / "absent.h5", indices=[0])
    refuse("encoding palette holds values that were clipped", BoundsError, vmin=1.0, vmax=2.0)
    refuse("only one of them was given", vmin=1.0)
    with h5py.File(tmp_path / "foreign.h5", "w") as f:
        f["patches"] = np.zeros((3, 4, 4))
    refuse("expected 'sar-h5'", FormatError, path=tmp_path / "foreign.h5", indices=[0])


def test_a_broken_patch_is_named_with_the_way_to_mend_it(made: Path, shards: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copy(made, tmp_path / "broken.h5"))
    break_patch(broken, 12)
    before = snapshot(tmp_path)
    with pytest.raises(
        CorruptPatchError, match=r"patch 12 cannot be read: .*checksum.*scene.*`sar-h5 repair .*broken.h5"
    ):
        extract(broken, tmp_path / "new.h5", indices=slice(10, 14))
    assert snapshot(tmp_path) == before
    extract(broken, tmp_path / "new.h5", indices=slice(0, 12))
    repair(broken, tmp_path / "mended.h5", drop=True)
    extract(tmp_path / "mended.h5", tmp_path / "newer.h5", indices=slice(10, 14))
    assert columns(tmp_path / "newer.h5")["index/position"].tolist() == [1, 2, 4, 5]
    assert verify(tmp_path / "newer.h5", source=shards).problems == ()


@pytest.mark.parametrize("layout", ["patches", "blocks"])
def test_a_full_disk_and_ctrl_c_leave_nothing(
    made: Path, shards: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch, layout: str,
) -> None:  # fmt: skip
    if layout == "blocks":
        made = make_file(shards, tmp_path_factory.mktemp("blocks"), layout=layout)
    write = patch_chunks.write_chunk

    def fail(error: BaseException) -> None:
        def fail_at_third(dataset: h5py.Dataset, place: int, chunk: StoredChunk) -> None:
            if place == 3:
                raise error
            write(dataset, place, chunk)

        for module in (patch_chunks, block_pixels):
            monkeypatch.setattr(module, "write_chunk", fail_at_third)

    for error, raised, match in (
        (OSError(28, "No space left on device"), OutputError, "disk full"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ):
        fail(error)
        with pytest.raises(raised, match=match):
            extract(made, tmp_path / "new.h5", indices=slice(0, 9))
        assert list(tmp_path.iterdir()) == []


def test_the_command_extracts(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = CommandLine(monkeypatch, capsys)
    out = tmp_path / "new.h5"
    outcome = line.run("extract", made, "--out", out, "--where", "patch >= 16", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(outcome.out)
    assert (found["patches"], found["content_digest"]) == (5, attribute(out, "content_digest"))
    assert "is there already" in line.refuse("extract", made, "--out", out, "--split", "train", untouched=tmp_path)
    outcome = line.run("extract", made, "--out", out, "--split", "train", "--overwrite", "--jobs", 1)
    assert outcome.out.startswith(f"{out}\n  patches   ")
    assert line.run("verify", out).code == 0
    assert line.run("extract", made).code == 2
