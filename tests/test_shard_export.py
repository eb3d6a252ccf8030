"""Patches as shards: plain NumPy reads them, and a conversion makes an equal file of them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sar_h5 import LazyPatchDataset, convert, export_shards, scan, verify
from sar_h5.errors import (
    BadSourceError,
    CorruptPatchError,
    FormatError,
    OutputError,
    OutputExistsError,
    SettingError,
    SourceError,
)
from sar_h5.exports import shard_export
from sar_h5.pending_directory import MARK
from sar_h5.verify_report import ProblemKind
from tests.command_line import CommandLine, snapshot, start
from tests.conftest import make_shards
from tests.damage import break_patch
from tests.exported_files import HOSTILE_NAMES, assert_same, digest, make_file, read_values, rename_scenes


@pytest.fixture(scope="module")
def made(products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(products, tmp_path_factory.mktemp("h5"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def read_metadata(directory: Path) -> dict[str, object]:
    metadata: dict[str, object] = np.load(directory / "metadata.npy", allow_pickle=True).item()
    return metadata


def write_metadata(directory: Path, metadata: dict[str, object]) -> None:
    np.save(directory / "metadata.npy", np.array(metadata, dtype=object), allow_pickle=True)


# There and back


def test_plain_shards_come_back_byte_for_byte_with_their_order_and_metadata(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make_shards(tmp_path / "in", counts=(5, 0, 3))
    metadata = read_metadata(tmp_path / "in")
    metadata["file_index"] = [metadata["file_index"][number] for number in (2, 0, 1)]  # type: ignore[index]
    write_metadata(tmp_path / "in", {**metadata, "stride": 16})
    (first,) = convert(tmp_path / "in", tmp_path / "h5")
    summary = export_shards(first.path, tmp_path / "out")
    assert (summary.patches, summary.of_patches, summary.scenes, summary.files) == (8, 8, 3, 3)
    for shard in (tmp_path / "in").glob("s1a*.npy"):
        assert (tmp_path / "out" / shard.name).read_bytes() == shard.read_bytes()
    exported = read_metadata(tmp_path / "out")
    assert {name: exported[name] for name in ("file_index", "vmin", "vmax", "stride")} == {**metadata, "stride": 16}
    assert (exported["patch_size"], exported["polarization"]) == (32, "vv")
    bounds = np.load(tmp_path / "out" / "global_bounds.npy", allow_pickle=True).item()
    assert bounds == {"vmin": 14.77, "vmax": 24.54}
    (second,) = convert(tmp_path / "out", tmp_path / "again")
    assert first.content_digest == second.content_digest
    assert_same(Path(first.path), Path(second.path))


@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
def test_a_file_made_from_products_comes_back_with_its_places_and_scenes(
    products: Path, tmp_path: Path, encoding: str
) -> None:
    path = make_file(products, tmp_path / "h5", encoding=encoding)
    exported = export_shards(path, tmp_path / "shards", jobs=1)
    with h5py.File(path) as file:
        firsts, counts = file["scenes/patch_start"][:], file["scenes/patch_count"][:]
    index: Any = read_metadata(tmp_path / "shards")["file_index"]
    for (name, count), first, patches in zip(index, firsts, counts, strict=True):
        shard = np.load(tmp_path / "shards" / name, mmap_mode="r")
        assert (shard.dtype, len(shard), count) == (np.float32, patches, patches)
        np.testing.assert_array_equal(shard, read_values(path)[first : first + patches])
    (summary,) = convert(tmp_path / "shards", tmp_path / "again")
    assert_same(path, Path(summary.path))
    assert len(exported.notes) == {"palette": 1, "dn": 2, "float32": 0}[encoding]
    assert verify(summary.path, source=tmp_path / "shards").problems == ()
    # The file that was exported holds the same patches as well; only what it was made from is another file.
    kinds = {problem.kind for problem in verify(path, source=tmp_path / "shards").problems}
    assert kinds == {ProblemKind.SOURCE_CHANGED}


def test_exported_shards_serve_samples_and_are_forecast(made: Path, tmp_path: Path) -> None:
    export_shards(made, tmp_path / "shards")
    samples = LazyPatchDataset(tmp_path / "shards")
    np.testing.assert_array_equal(samples[3][0].numpy(), read_values(made)[3])
    assert (samples.polarization, samples.stride, samples.patch_size) == ("vv", 48, 64)
    (plan,) = scan(tmp_path / "shards").plans
    assert plan.patches == len(read_values(made))


def test_a_selection_keeps_the_places_of_its_patches(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made, tmp_path / "vv.h5"))
    with h5py.File(path, "a") as file:
        file["splits/default"] = np.random.default_rng(0).integers(0, 4, len(file["index/row"])).astype(np.uint8)
        scene, row, codes = file["index/scene"][:], file["index/row"][:], file["splits/default"][:]
        names = file["scenes/name"].asstr()[:]
    chosen = np.flatnonzero((scene == scene[np.flatnonzero(codes == 1)[0]]) & (row > 60) & (codes == 1))
    name = names[scene[chosen[0]]]
    summary = export_shards(path, tmp_path / "out", where="row > 60", split="train", scene=name)
    assert (summary.patches, summary.scenes) == (len(chosen), 1)
    assert "(1 scene) as values in 1 file, " in summary.to_text()
    (back,) = convert(tmp_path / "out", tmp_path / "again")
    np.testing.assert_array_equal(read_values(Path(back.path)), read_values(path)[chosen])
    with h5py.File(back.path) as file:
        np.testing.assert_array_equal(file["index/row"][:], row[chosen])
        assert file["scenes/name"].asstr()[:].tolist() == [name]


def test_what_cannot_be_chosen_is_refused_with_the_reason(made: Path, tmp_path: Path) -> None:
    for reason, settings in (
        ("has no scene 'x'; the nearest are S1A", {"scene": "x"}),
        ("none of its .* patches|holds for none", {"where": "row < -1"}),
        ("number of jobs must be at least 1", {"jobs": 0}),
    ):
        with pytest.raises(SettingError, match=reason):
            export_shards(made, tmp_path / "out", **settings)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="expected splits called 'default'"):
        export_shards(made, tmp_path / "out", split="train")
    with pytest.raises(SettingError, match=r"the file .* lies in it"):
        export_shards(made, made.parent, overwrite=True)
    assert snapshot(tmp_path) == {}


# Hostile files


def test_no_name_within_a_file_leads_outside_and_all_of_them_come_back(made: Path, tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    path = Path(shutil.copy(made, top / "vv.h5"))
    for paths in (None, [f"{name}.npy" for name in HOSTILE_NAMES]):
        rename_scenes(path, HOSTILE_NAMES, paths)
        before = snapshot(tmp_path)
        summary = export_shards(path, top / "out", overwrite=True, where="row >= 0")
        added = {place for place in snapshot(tmp_path) or {} if place not in (before or {})}
        assert all(Path(place).is_relative_to(top / "out") or place == str(top / "out.lock") for place in added)
        assert summary.files == len([*(top / "out").glob("*.npy")]) - 2
        (back,) = convert(top / "out", top / "again", overwrite=True)
        with h5py.File(back.path) as file:
            assert sorted(file["scenes/name"].asstr()[:]) == sorted(HOSTILE_NAMES)
        np.testing.assert_array_equal(read_values(Path(back.path)), read_values(path))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rows": np.zeros(2, np.int32), "cols": np.zeros(2, np.int32)}, "tells the places of 2 patches"),
        ({"rows": np.zeros(2, np.int32)}, "as many rows as columns"),
        ({"rows": np.full(200, 2**40)}, "from -1 to 2147483647"),
        ({"rows": "many"}, "plain arrays of integers"),
        ({"cols": np.full((2, 2), 1)}, "plain arrays of integers"),
        ({"height": 10}, "of a scene that has 10"),
        ({"height": 2.5}, "expected an integer"),
        ({"name": 7}, "expected text, found int"),
        ({"transform": np.zeros(5)}, "in rows of 6"),
        ({"gcps": [1, 2]}, "in rows of 5"),
    ],
)
def test_facts_that_cannot_be_are_a_bad_source(
    made: Path, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    export_shards(made, tmp_path / "shards")
    metadata = read_metadata(tmp_path / "shards")
    metadata["sar_h5"]["scenes"][1].update(change)  # type: ignore[index]
    write_metadata(tmp_path / "shards", metadata)
    with pytest.raises(BadSourceError, match=reason) as caught:
        convert(tmp_path / "shards", tmp_path / "again")
    assert len(caught.value.sources) == 1
    metadata["sar_h5"]["scenes"][1] = {"file": "else"}  # type: ignore[index]
    write_metadata(tmp_path / "shards", metadata)
    convert(tmp_path / "shards", tmp_path / "again")  # facts of no shard harm nobody


@pytest.mark.parametrize("facts", [7, {}, {"version": 2, "scenes": []}, {"version": np.zeros(3), "scenes": []},
                                   {"version": 1, "scenes": [], "polarization": np.zeros(2)},
                                   {"version": 1, "scenes": [3], "polarization": "vv"}])  # fmt: skip
def test_facts_of_another_kind_are_refused(made: Path, tmp_path: Path, facts: object) -> None:
    export_shards(made, tmp_path / "shards")
    write_metadata(tmp_path / "shards", {**read_metadata(tmp_path / "shards"), "sar_h5": facts})
    with pytest.raises(SourceError, match=r"metadata\.npy: expected"):
        convert(tmp_path / "shards", tmp_path / "again")


# What ends early


def test_a_broken_patch_is_named_and_nothing_is_left(made: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(made, tmp_path / "vv.h5"))
    break_patch(path, 5)
    before = snapshot(tmp_path)
    with pytest.raises(CorruptPatchError, match=r"vv\.h5: patch 5 cannot be read"):
        export_shards(path, tmp_path / "out")
    assert snapshot(tmp_path) == before
    export_shards(path, tmp_path / "out", where="patch != 5")


def test_a_disk_that_is_too_small_is_told_before_and_a_full_one_leaves_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(OutputError, match=r"of free disk .* choose another --shards"):
            export_shards(made, tmp_path / "out")
    if sys.platform == "linux":
        code = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
            "from sar_h5.cli import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, "export", str(made), "--shards", str(tmp_path / "out")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert "cannot be written (disk full" in done.stderr
        assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
@pytest.mark.parametrize(("end", "kind"), [(signal.SIGTERM, "--geotiff"), (signal.SIGKILL, "--shards")])
def test_a_run_that_is_ended_leaves_no_directory_and_the_next_one_works(
    made: Path, tmp_path: Path, end: signal.Signals, kind: str
) -> None:
    process = start("export", made, kind, tmp_path / "out")
    while not any((tmp_path / "out.partial").glob("*")) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(end)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.partial").exists() == (end == signal.SIGKILL)
    assert "Traceback" not in err
    export_shards(made, tmp_path / "out")
    assert not (tmp_path / "out.partial").exists()


def test_an_export_that_is_there_is_replaced_only_when_asked(made: Path, tmp_path: Path) -> None:
    export_shards(made, tmp_path / "out")
    with pytest.raises(OutputExistsError, match="pass --overwrite"):
        export_shards(made, tmp_path / "out")
    export_shards(made, tmp_path / "out", overwrite=True, where="row == 0")
    assert json.loads((tmp_path / "out" / MARK).read_text())["patches"] < len(read_values(made))


def test_metadata_too_large_to_be_read_back_are_refused(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_export, "MOST_METADATA_NBYTES", 1 << 10)
    with pytest.raises(OutputError, match="export some scenes at a time"):
        export_shards(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# The command


def test_the_command_prints_what_it_made(made: Path, tmp_path: Path, command: CommandLine) -> None:
    outcome = command.run("export", made, "--shards", tmp_path / "a", "--json", "--jobs", 1)
    assert (outcome.code, outcome.err) == (0, "")
    printed = json.loads(outcome.out)
    assert (printed["kind"], printed["content_digest"], printed["scenes"]) == ("shards", digest(made), 2)
    text = command.run("export", made, "--shards", tmp_path / "b", "--where", "row == 0").out
    assert text.startswith(f"{tmp_path / 'b'}: ")
    assert "as values in 2 files" in text


def test_one_export_at_a_time_is_asked_for(made: Path, tmp_path: Path, command: CommandLine) -> None:
    several = command.run("export", made, "--shards", tmp_path / "a", "--geotiff", tmp_path / "b")
    assert (several.code, "--shards and --geotiff are several exports" in several.err) == (2, True)
    pixels = command.run("export", made, "--shards", tmp_path / "a", "--pixels", "dn")
    assert (pixels.code, "--pixels is for --geotiff" in pixels.err) == (2, True)
    assert list(tmp_path.iterdir()) == []
    command.refuse("export", tmp_path / "no.h5", "--shards", tmp_path / "a", untouched=tmp_path)
