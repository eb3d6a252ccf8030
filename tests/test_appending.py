"""``append``: the file as if all had been converted at once, or as it was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import append, extract, verify
from sar_h5.compression import Codec
from sar_h5.derivation import appending
from sar_h5.derivation.patch_chunks import PatchChunks
from sar_h5.errors import BadSource, BadSourceError, BoundsError, FormatError, OutputError, SettingError, SourceError
from sar_h5.pending import PendingFile
from sar_h5.sources.rasters import GeoTiffScene
from sar_h5.sources.scene import SourceFile
from sar_h5.text_checksum import seal_texts
from sar_h5.writer import FileWriter
from tests.block_files import make_overlapping_shards
from tests.command_line import CommandLine, snapshot
from tests.conftest import make_dn, make_shards
from tests.derived_files import assert_same, attribute, columns, make_file
from tests.patch_files import read_plain
from tests.raster_files import write_raster
from tests.written_blocks import check_blocks

OPTIONS = {"patch_size": 32, "stride": 32, "vmin": 14.0, "vmax": 28.0}


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("rasters")
    for number, name in enumerate("abc"):
        write_raster(directory / f"{name}-vv.tif", make_dn(number, (96, 80 + 8 * number)))
    return {name: directory / f"{name}-vv.tif" for name in "abc"}


@pytest.fixture(scope="module")
def whole(rasters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(list(rasters.values()), tmp_path_factory.mktemp("whole"), split=False, **OPTIONS)


@pytest.fixture(scope="module")
def first_made(rasters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(rasters["a"], tmp_path_factory.mktemp("first"), split=False, **OPTIONS)


@pytest.fixture
def first(first_made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(first_made, tmp_path / "vv.h5"))


@pytest.mark.parametrize("layout", ["patches", "blocks"])
def test_the_result_is_that_of_converting_all_at_once(
    first: Path, whole: Path, rasters: dict[str, Path], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory,
    layout: str,
) -> None:  # fmt: skip
    if layout == "blocks":
        options = OPTIONS | {"stride": 16, "layout": "blocks"}
        whole = make_file(list(rasters.values()), tmp_path_factory.mktemp("blocks"), split=False, **options)
        first.unlink()
        make_file(rasters["a"], tmp_path, split=False, **options)
    first.chmod(0o640)
    with h5py.File(first) as reader:  # who has the old one open goes on with it
        held = reader[layout]
        before = held[:]
        summary = append(first, [rasters["b"], rasters["c"]])
        np.testing.assert_array_equal(held[:], before)
    assert summary.content_digest == attribute(whole, "content_digest")
    assert summary.sources == (str(rasters["b"]), str(rasters["c"]))
    assert_same(whole, first)
    assert stat.S_IMODE(first.stat().st_mode) == 0o640
    assert verify(first, source=list(rasters.values())).problems == ()
    assert [path.name for path in tmp_path.iterdir()] == ["vv.h5"]
    lines = str(attribute(first, "history")).splitlines()
    assert [line.split(" ")[1] for line in lines] == ["convert", "append"]
    assert lines[1].rpartition(" (sar_h5 ")[0].endswith(f" append {rasters['b']} {rasters['c']} to {first}")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_the_file_stays_one(first: Path, whole: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.h5"
    link.symlink_to(first)
    append(link, whole, skip_existing=True)
    assert link.is_symlink()
    assert_same(whole, first)


@pytest.mark.parametrize("encoding", ["dn", "float32"])
def test_any_encoding_and_codec_is_kept(rasters: dict[str, Path], tmp_path: Path, encoding: str) -> None:
    options = OPTIONS | {"encoding": encoding, "codec": "zstd", "clevel": 2, "shuffle": "bit", "min_valid": 0.25}
    expected = make_file(list(rasters.values()), tmp_path / "all", split=False, **options)
    path = make_file(rasters["a"], tmp_path, split=False, **options)
    other = make_file(rasters["c"], tmp_path / "c", split=False, **options)
    summary = append(path, [other, rasters["b"]], jobs=1)  # files come last
    assert summary.compressed == 0
    assert_same(expected, path)


def test_blocks_of_another_side_are_cut_as_the_file_has_them(tmp_path: Path) -> None:
    """Nothing tells the stride of shards; a look at the new ones finds no overlap, and half of them is in the file."""
    for name in ("all", "one", "two"):
        (tmp_path / name).mkdir()
    shards = make_overlapping_shards(tmp_path / "all")
    values = [np.load(tmp_path / "all" / shard) for shard in shards]
    values[1] = values[1][::5]
    for directory, shard, patches in zip(("one", "two"), shards, values, strict=True):
        np.save(tmp_path / directory / shard, patches)
        metadata = {"file_index": [(shard, len(patches))], "vmin": 14.77, "vmax": 24.54}
        np.save(tmp_path / directory / "metadata.npy", np.array(metadata, dtype=object), allow_pickle=True)
    path = make_file(tmp_path / "one", tmp_path, split=False, layout="blocks")
    assert attribute(make_file(tmp_path / "two", tmp_path / "h5", split=False, layout="blocks"), "block_size") == 32
    before = len(columns(path)["block_checksum"])
    summary = append(path, tmp_path / "two")
    check_blocks(path)
    assert attribute(path, "block_size") == 16
    assert summary.blocks is not None
    assert before < summary.blocks.count < before + 4 * len(values[1])
    assert verify(path, source=[tmp_path / "one", tmp_path / "two"]).problems == ()
    np.testing.assert_array_equal(read_plain(path)[:, 0], np.concatenate(values))


def test_shards_are_appended_to_a_file_of_shards(tmp_path: Path) -> None:
    for name, counts, seed in (("one", (5, 3), 0), ("two", (4,), 7), ("other", (4,), 7)):
        (tmp_path / name).mkdir()
        make_shards(tmp_path / name, counts=counts, seed=seed)
    shard = next((tmp_path / "two").glob("s1a*.npy"))
    shard.rename(shard.with_name(shard.name.replace("036200", "036299")))
    (tmp_path / "two" / "metadata.npy").unlink()
    path = make_file(tmp_path / "one", tmp_path, split=False)
    append(path, tmp_path / "two")
    assert columns(path)["scenes/patch_count"].tolist() == [5, 3, 4]
    assert verify(path, source=[tmp_path / "one", tmp_path / "two"]).problems == ()
    metadata = np.load(tmp_path / "other" / "metadata.npy", allow_pickle=True).item()
    np.save(tmp_path / "other" / "metadata.npy", np.array(metadata | {"vmax": 25.0}, dtype=object), allow_pickle=True)
    before = snapshot(tmp_path)
    with pytest.raises(BoundsError, match=r"these shards were scaled with bounds 14.77 to 25.0 dB, and .*24.54 dB"):
        append(path, tmp_path / "other")
    write_raster(tmp_path / "d-vv.tif")
    with pytest.raises(SourceError, match="was made of shards, and these are rasters"):
        append(path, tmp_path / "d-vv.tif")
    (tmp_path / "d-vv.tif").unlink()
    assert snapshot(tmp_path) == before


def test_bounds_and_histogram_stay_those_of_the_scenes_that_gave_them(rasters: dict[str, Path], tmp_path: Path) -> None:
    path = make_file([rasters["a"], rasters["c"]], tmp_path, patch_size=32, stride=32, min_valid=0.0)
    old = columns(path)
    names = old["scenes/name"].tolist()
    assert str(attribute(path, "bounds_origin")).endswith("of all scenes")
    append(path, [rasters["b"]])
    new = columns(path)
    assert new["histogram"].tolist() == old["histogram"].tolist()
    assert np.atleast_1d(attribute(path, "bounds_scenes")).tolist() == names
    assert str(attribute(path, "bounds_origin")).endswith("of 2 scenes (bounds_scenes)")
    assert (new["splits/default"][len(old["index/row"]) :] == 0).all()
    assert verify(path, source=list(rasters.values())).problems == ()


def test_scenes_that_are_there_are_refused_or_passed_over(
    first: Path, whole: Path, rasters: dict[str, Path], tmp_path: Path
) -> None:
    before = snapshot(tmp_path)
    with pytest.raises(SourceError, match=r"has 1 of its scenes already \(a-vv|\(a\).*--skip-existing"):
        append(first, list(rasters.values()))
    with pytest.raises(SourceError, match="has 1 of its scenes already"):
        append(first, whole)
    assert snapshot(tmp_path) == before
    summary = append(first, [rasters["a"]], skip_existing=True)
    assert summary.notes == ("all of these scenes are in the file already; it is as it was",)
    assert snapshot(tmp_path) == before
    append(first, list(rasters.values()), skip_existing=True)
    assert_same(whole, first)
    again = append(first, [whole, rasters["c"]], skip_existing=True)
    assert again.content_digest == attribute(whole, "content_digest")


def test_scenes_of_a_file_are_passed_over_one_by_one(first: Path, whole: Path) -> None:
    append(first, whole, skip_existing=True)
    assert_same(whole, first)


def test_the_summary_says_what_was_added_and_what_was_not(
    first: Path, rasters: dict[str, Path], tmp_path: Path
) -> None:
    before = len(columns(first)["index/row"])
    c = make_file(rasters["c"], tmp_path / "c", split=False, **OPTIONS)
    write_raster(tmp_path / "more" / "d-vv.tif", np.where(np.arange(96)[:, None] < 40, 0, make_dn(5, (96, 96))))
    (tmp_path / "more" / "e-vv.tif").write_bytes(b"II*\0 not really")
    sources = [rasters["a"], tmp_path / "more", c]
    summary = append(first, sources, skip_existing=True, on_bad_source="skip")
    counts = dict(zip(columns(first)["scenes/name"].tolist(), columns(first)["scenes/patch_count"], strict=True))
    added, dropped = counts[b"c"] + counts[b"d"], 9 + 9 - counts[b"c"] - counts[b"d"]
    assert dropped >= 6
    assert summary.to_dict()["added"] == {
        "scenes": 2, "patches": added, "dropped": dropped, "passed_over": 1, "converted": counts[b"d"]
    }  # fmt: skip
    text = summary.to_text()
    assert f"  added     {added} patches from 2 scenes; {dropped} dropped by the quality filter; 1 scene passed" in text
    assert f"copied as stored: {before + counts[b'c']}; converted: {counts[b'd']}\n" in text
    assert "compressed again" not in text
    assert [source.path for source in summary.skipped] == [str(tmp_path / "more" / "e-vv.tif")]
    assert f"\n  skipped   {tmp_path / 'more' / 'e-vv.tif'}: " in text
    assert json.loads(json.dumps(summary.to_dict()))["skipped"][0]["reason"] == summary.skipped[0].reason
    (tmp_path / "more" / "e-vv.tif").unlink()
    again = append(first, sources, skip_existing=True)
    assert again.sources == tuple(map(str, sources))
    assert "  added     0 patches from 0 scenes; 3 scenes passed over, being there already\n" in again.to_text()


def test_files_of_another_kind_are_refused_as_such_though_all_names_are_there(first: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(first, tmp_path / "vh.h5"))
    with h5py.File(other, "r+") as f:
        f.attrs["polarization"] = f["patches"].attrs["polarization"] = "vh"
        seal_texts(f)
    before = snapshot(tmp_path)
    for skip_existing in (False, True):
        with pytest.raises(FormatError, match=r"polarization is vv in .*vv.h5 and vh in .*vh.h5"):
            append(first, other, skip_existing=skip_existing)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("kind", ["raster", "file", "shard"])
def test_scenes_of_the_same_name_from_another_source_are_not_passed_over(
    first: Path, rasters: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    source = tmp_path / "again"
    if kind == "shard":
        source.mkdir()
        make_shards(source, counts=(5, 3))
        first.unlink()
        make_file(source, tmp_path, split=False)
        assert append(first, source, skip_existing=True).scenes == 2
        shard = sorted(source.glob("s1a*.npy"))[1]
        values = np.load(shard)
        values[1, 2, 3] = 1 - values[1, 2, 3]
        np.save(shard, values)
        name = columns(first)["scenes/name"].tolist()[1].decode()
    else:
        write_raster(source / "a-vv.tif", make_dn(9, (96, 80)))
        name = "a"
    if kind == "file":
        source = make_file(source, tmp_path / "h5", split=False, **OPTIONS)
    before = snapshot(tmp_path)
    with pytest.raises(SourceError, match=rf"scene {name} is in .*vv.h5, but made from another source file: expected"):
        append(first, [source, rasters["b"]] if kind != "shard" else source, skip_existing=True)
    assert snapshot(tmp_path) == before


def test_known_scenes_that_cannot_be_read_are_broken_sources(
    first: Path, rasters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identify, before = GeoTiffScene.identify, snapshot(tmp_path)

    def fail(scene: GeoTiffScene) -> SourceFile:
        if scene.info.name == "a":
            raise SourceError("cannot be read: Input/output error")
        return identify(scene)

    monkeypatch.setattr(GeoTiffScene, "identify", fail)
    sources = [rasters["a"], rasters["b"]]
    with pytest.raises(BadSourceError, match=r"a-vv.tif: cannot be read: Input/output error"):
        append(first, sources, skip_existing=True)
    assert snapshot(tmp_path) == before
    summary = append(first, sources, skip_existing=True, on_bad_source="skip")
    assert summary.skipped == (BadSource(str(rasters["a"]), "cannot be read: Input/output error"),)
    assert columns(first)["scenes/name"].tolist() == [b"a", b"b"]


def test_what_cannot_be_appended_is_refused(first: Path, rasters: dict[str, Path], tmp_path: Path) -> None:
    extract(first, tmp_path / "part.h5", indices=[0, 1])
    write_raster(tmp_path / "bad" / "d-vv.tif")
    (tmp_path / "bad" / "e-vv.tif").write_bytes(b"II*\0 not really")
    (tmp_path / "broken.h5").write_bytes(first.read_bytes()[:3000])

    def refuse(match: str, error: type[Exception], sources: object, path: Path = first, **options: object) -> None:
        before = snapshot(tmp_path)
        with pytest.raises(error, match=match):
            append(path, sources, **options)  # type: ignore[arg-type]
        assert snapshot(tmp_path) == before

    refuse("expected something to append", SettingError, [])
    refuse("expected each file once", SettingError, first)
    refuse("expected jobs of at least 1", SettingError, rasters["b"], jobs=0)
    refuse(
        "expected a file to append to, found no such file; `sar-h5 convert`",
        SourceError,
        rasters["b"],
        tmp_path / "x.h5",
    )
    refuse("structure is damaged", FormatError, rasters["b"], tmp_path / "broken.h5")
    refuse("has 1 of its scenes already", SourceError, tmp_path / "part.h5")
    refuse("e-vv.tif", BadSourceError, tmp_path / "bad")
    refuse("absent", SourceError, tmp_path / "absent")
    other = make_file(rasters["b"], tmp_path / "other", split=False, **(OPTIONS | {"vmax": 27.0, "stride": 16}))
    refuse("found 1 difference:\n  stride is 32 in", FormatError, other)
    append(first, tmp_path / "bad", on_bad_source="skip")
    assert columns(first)["scenes/name"].tolist() == [b"a", b"d"]
    assert "e-vv.tif" in str(attribute(first, "skipped_sources"))


def test_a_full_disk_and_ctrl_c_leave_the_file_as_it_was(
    first: Path, rasters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(tmp_path)

    def stop(error: BaseException) -> Callable[..., None]:
        def raise_it(*_: object, **__: object) -> None:
            raise error

        return raise_it

    for owner, name, error, raised in (
        (PatchChunks, "finish", OSError(28, "No space left on device"), OutputError),
        (appending, "convert_inventory", KeyboardInterrupt(), KeyboardInterrupt),
        (PendingFile, "commit", OutputError("x: cannot be given this name"), OutputError),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stop(error))
            with pytest.raises(raised):
                append(first, rasters["b"])
        assert snapshot(tmp_path) == before
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))  # type: ignore[attr-defined]
        with pytest.raises(OutputError, match="of free disk"):
            append(first, rasters["b"])
    assert snapshot(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="forks, and kills")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("place", ["conversion", "copy", "rename"])
def test_a_kill_leaves_the_file_as_it_was_and_the_next_run_clears_up(
    first: Path, whole: Path, rasters: dict[str, Path], tmp_path: Path, place: str
) -> None:
    before = first.read_bytes()
    child = os.fork()
    if child == 0:

        def die(*_: object, **__: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        if place == "conversion":
            FileWriter.finish = die  # type: ignore[method-assign, assignment]
        elif place == "copy":
            PatchChunks.finish = die  # type: ignore[method-assign]
        else:
            Path.replace = _die_for(first, Path.replace)  # type: ignore[method-assign]
        try:
            append(first, [rasters["b"], rasters["c"]], jobs=1)
        finally:
            os._exit(3)
    deadline = time.monotonic() + 60
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(done[1]) == -signal.SIGKILL
    assert first.read_bytes() == before
    left = {path.name for path in tmp_path.iterdir()} - {"vv.h5", "vv.h5.lock"}
    assert left <= {"vv.h5.partial", "vv.h5.append.partial"}
    assert left
    append(first, [rasters["b"], rasters["c"]])
    assert_same(whole, first)
    assert [path.name for path in tmp_path.iterdir()] == ["vv.h5"]


def _die_for(file: Path, replace: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    def die(path: Path, target: Path) -> Path:
        if Path(target) == file:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)

    return die


def test_filters_are_declared_while_a_dataset_is_open(first: Path) -> None:
    with h5py.File(first) as f:
        held = f["patches"]
        assert Codec().dataset_arguments()["compression"] == 32001
        assert len(held[0])


def test_the_command_appends(
    first: Path, whole: Path, rasters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    line = CommandLine(monkeypatch, capsys)
    message = line.refuse("append", first, rasters["a"], rasters["b"], untouched=tmp_path)
    assert "pass --skip-existing" in message
    outcome = line.run("append", first, rasters["a"], rasters["b"], rasters["c"], "--skip-existing", "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["content_digest"] == attribute(whole, "content_digest")
    assert line.run("verify", first).code == 0
    assert line.run("append", first).code == 2
