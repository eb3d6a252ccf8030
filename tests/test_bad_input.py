"""Bad input through the command line: exit code 1, one clear message, and nothing lost or left behind."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import convert, verify
from sar_h5.errors import SettingError, SourceError
from sar_h5.radiometry import Bounds, scale_all_dn
from tests.command_line import CommandLine
from tests.conftest import make_dn, make_shards
from tests.raster_files import write_raster

GIVEN = ("--vmin", "14.77", "--vmax", "24.54")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def good_shard(count: int = 3, size: int = 32) -> np.ndarray:
    return scale_all_dn(Bounds(14.77, 24.54))[make_dn(0, (count, size, size))]


def spoiled(place: tuple[int, ...], value: float) -> np.ndarray:
    shard = good_shard()
    shard[place] = value
    return shard


def shard_bytes(array: np.ndarray, directory: Path) -> bytes:
    np.save(directory / "scratch.npy", array)
    content = (directory / "scratch.npy").read_bytes()
    (directory / "scratch.npy").unlink()
    return content


BAD_SHARDS: dict[str, tuple[Callable[[], np.ndarray], slice, str]] = {
    "truncated": (good_shard, slice(0, -5000), "truncated: the header promises 3 patches"),
    "truncated in the header": (good_shard, slice(0, 50), "expected a .npy file of patches"),
    "0 bytes": (good_shard, slice(0, 0), "empty file"),
    "nan": (lambda: spoiled((1, 2, 3), np.nan), slice(None), "patch 1 holds NaN (1 of 1024 pixels)"),
    "infinity": (lambda: spoiled((2, 0, 0), np.inf), slice(None), "patch 2 holds values outside [0, 1] such as inf"),
    "above 1": (lambda: spoiled((0, 0, 0), 1.25), slice(None), "patch 0 holds values outside [0, 1] such as 1.25"),
    "below 0": (lambda: spoiled((0, 31, 31), -0.5), slice(None), "such as -0.5"),
    "float64": (lambda: good_shard().astype(np.float64), slice(None), "expected dtype float32, found float64"),
    "uint8": (lambda: np.zeros((3, 32, 32), np.uint8), slice(None), "expected dtype float32, found uint8"),
    "two axes": (lambda: good_shard()[0], slice(None), "expected shape (n, P, P), found (32, 32)"),
    "oblong": (lambda: good_shard()[:, :16], slice(None), "expected shape (n, P, P), found (3, 16, 32)"),
    "other size": (lambda: good_shard(3, 16), slice(None), "expected shape (n, 32, 32) as most shards have"),
    "objects": (lambda: np.array([{}, 1], dtype=object), slice(None), "expected dtype float32, found object"),
}


@pytest.mark.parametrize("name", BAD_SHARDS)
def test_a_bad_shard_is_refused_by_name_and_skipped_on_request(command: CommandLine, tmp_path: Path, name: str) -> None:
    make, kept, reason = BAD_SHARDS[name]
    make_shards(tmp_path, counts=(2, 2, 3))
    (tmp_path / "metadata.npy").unlink()
    bad = tmp_path / "bad-vv-1.npy"
    bad.write_bytes(shard_bytes(make(), tmp_path)[kept])

    message = command.refuse("convert", tmp_path, "--out", tmp_path / "h5", *GIVEN, untouched=tmp_path)
    assert f"1 source is broken; nothing was written:\n  {bad}: " in message
    assert reason in message
    assert "--on-bad-source skip" in message

    outcome = command.run("convert", tmp_path, "--out", tmp_path / "h5", *GIVEN, "--json", "--on-bad-source", "skip")
    assert (outcome.code, outcome.err) == (0, "")
    data = json.loads(outcome.out)
    for skipped in (data["skipped"], data["files"][0]["skipped"]):
        assert [entry["path"] for entry in skipped] == [str(bad)]
        assert reason in skipped[0]["reason"]
    with h5py.File(tmp_path / "h5" / "vv.h5") as f:
        (listed,) = f.attrs["skipped_sources"]
        assert listed.startswith(f"{bad}: ")
        assert len(f["patches"]) == 7
    assert verify(tmp_path / "h5" / "vv.h5", source=tmp_path).problems == ()
    assert f"skipped    {bad}: " in command.run("info", tmp_path / "h5" / "vv.h5").out


def test_several_broken_sources_of_every_sort_are_named_in_one_message(command: CommandLine, tmp_path: Path) -> None:
    bad = []
    for polarization in ("vv", "vh"):
        make_shards(tmp_path, polarization)
        for number, name in enumerate(("truncated", "nan", "float64", "above 1")):
            make, kept, _ = BAD_SHARDS[name]
            bad.append(tmp_path / f"bad-{polarization}-{number}.npy")
            bad[-1].write_bytes(shard_bytes(make(), tmp_path)[kept])
    (tmp_path / "metadata.npy").unlink()
    message = command.refuse("convert", tmp_path, "--out", tmp_path / "h5", *GIVEN, untouched=tmp_path)
    assert "8 sources are broken" in message
    assert all(f"\n  {path}: " in message for path in bad)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_RASTERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no tiff": (lambda path: path.write_text("<html>not found</html>"), "expected a readable GeoTIFF"),
    "empty file": (lambda path: path.write_bytes(b""), "expected a readable GeoTIFF"),
    "smaller than a patch": (
        lambda path: write_raster(path, make_dn(1, (31, 80))),
        "the scene has 31 x 80 pixels, less than one patch of 32 x 32; choose a smaller --patch-size",
    ),
    "zeros": (lambda path: write_raster(path, np.zeros((64, 64), np.uint16)), "holds no valid pixel"),
    "constant": (
        lambda path: write_raster(path, np.full((64, 64), 77, np.uint16)),
        "is constant: every valid pixel is DN 77",
    ),
    "8 bit": (
        lambda path: write_raster(path, make_dn(1, (64, 64)).astype(np.uint8)),
        "found uint8: an 8-bit display image has lost its radiometry",
    ),
    "two bands": (
        lambda path: write_raster(path, make_dn(1, (2, 64, 64))),
        "found 2 bands described as ['', '']; expected one band, or bands described VV, VH",
    ),
    "complex": (
        lambda path: write_raster(path, make_dn(1, (64, 64)).astype(np.complex64)),
        "found complex pixels (complex64, SLC): detect it first",
    ),
}


@pytest.mark.parametrize("given", [(), GIVEN])
@pytest.mark.parametrize("name", BAD_RASTERS)
def test_a_bad_raster_is_refused_by_name_and_skipped_on_request(
    command: CommandLine, tmp_path: Path, name: str, given: tuple[str, ...]
) -> None:
    make, reason = BAD_RASTERS[name]
    source = tmp_path / "in"
    write_raster(source / "good_vv.tif", make_dn(0, (70, 80)))
    bad = source / "bad_vv.tif"
    make(bad)
    arguments = ("convert", source, "--out", tmp_path / "h5", "--patch-size", 32, *given)

    message = command.refuse(*arguments, untouched=tmp_path)
    assert f"1 source is broken; nothing was written:\n  {bad}: " in message
    assert reason in message

    outcome = command.run(*arguments, "--json", "--on-bad-source", "skip")
    assert (outcome.code, outcome.err) == (0, "")
    data = json.loads(outcome.out)
    assert [entry["path"] for entry in data["skipped"]] == [str(bad)]
    assert data["files"][0]["scenes"] == 1
    assert verify(tmp_path / "h5" / "vv.h5", source=source).problems == ()

    alone = command.refuse("convert", bad, "--out", tmp_path / "other", *arguments[4:], untouched=tmp_path)
    no_scene = "no scene holds a patch of 32 x 32 (the largest has 31 x 80); choose a smaller --patch-size"
    assert (no_scene if "less than one patch" in reason else reason) in alone


def test_a_real_single_look_complex_raster_is_refused(command: CommandLine, tmp_path: Path, real_data: Path) -> None:
    message = command.refuse("convert", real_data / "slc_complex", "--out", tmp_path / "h5", untouched=tmp_path)
    assert "SLC: detect it first" in message or "complex" in message


def test_a_real_product_without_measurement_is_refused(command: CommandLine, tmp_path: Path, real_data: Path) -> None:
    (archive,) = (real_data / "pyrosar").glob("*.zip")
    message = command.refuse("convert", archive, "--out", tmp_path / "h5", untouched=tmp_path)
    assert "expected measurement/*.tiff, found no raster there" in message


def test_a_scene_smaller_than_the_default_patch_says_so(command: CommandLine, tmp_path: Path, real_data: Path) -> None:
    message = command.refuse(
        "convert", real_data / "BigEarthNet-S1-Example", "--out", tmp_path / "h5", untouched=tmp_path
    )
    reason = "no scene holds a patch of 256 x 256 (the largest has 120 x 120); choose a smaller --patch-size"
    assert message == f"sar-h5: {reason}\n"


def test_the_largest_scene_is_the_one_that_holds_the_largest_patch(tmp_path: Path) -> None:
    for name, shape in (("a", (30, 300)), ("b", (70, 60)), ("c", (50, 55))):
        write_raster(tmp_path / "in" / f"{name}_vv.tif", make_dn(0, shape))
    for policy in ("fail", "skip"):
        with pytest.raises(SettingError, match=r"no scene holds a patch of 64 x 64 \(the largest has 70 x 60\)"):
            convert(tmp_path / "in", tmp_path / "h5", patch_size=64, on_bad_source=policy)
    assert not (tmp_path / "h5").exists()
    # With something else broken, each source is named.
    (tmp_path / "in" / "d_vv.tif").write_bytes(b"no raster")
    with pytest.raises(SourceError, match="4 sources are broken"):
        convert(tmp_path / "in", tmp_path / "h5", patch_size=64)


def test_a_constant_scene_among_others_and_rasters_that_share_nothing(command: CommandLine, tmp_path: Path) -> None:
    write_raster(tmp_path / "in" / "a_vv.tif", make_dn(0, (64, 64)))
    write_raster(tmp_path / "in" / "b_vv.tif", np.full((64, 64), 0.25, np.float32))
    message = command.refuse(
        "convert", tmp_path / "in", "--out", tmp_path / "h5", "--patch-size", 32, untouched=tmp_path
    )
    assert "found digital numbers" in message
    assert "convert them into separate files" in message


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--stride", "0"), "the stride must be at least 1 pixel; found 0"),
        (("--patch-size", "-3"), "the patch size must be at least 1 pixel; found -3"),
        (("--vmin", "5", "--vmax", "5"), "vmin must be below vmax; found vmin=5.0 dB, vmax=5.0 dB"),
        (("--vmin", "25", "--vmax", "14"), "vmin must be below vmax"),
        (("--vmin", "nan", "--vmax", "14"), "bounds must be finite"),
        (("--vmin", "5"), "vmin and vmax belong together"),
        (("--min-valid", "1.5"), "the least valid fraction must lie in [0, 1]; found 1.5"),
        (("--percentiles", "99", "1"), "percentiles must satisfy 0 <= low < high <= 100; found 99 and 1"),
        (("--bounds", "absent.npy"), "absent.npy: the bounds file is not there"),
        (("--clevel", "11"), "expected a compression level from 0 to 9; found 11"),
        (("--polarization", "hh"), "found no scene of polarization hh"),
        (("--units", "db"), "uint16 pixels are digital numbers; --units db is for floats"),
        (("--patch-size", "401"), "no scene holds a patch of 401 x 401 (the largest has 400 x 600); choose"),
        (("--vmin", "80", "--vmax", "90"), "no vv patch is left: all 12 have less than 90% of pixels strictly inside"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(
    command: CommandLine, products: Path, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    message = command.refuse("convert", products, "--out", tmp_path / "h5", *arguments, untouched=tmp_path)
    assert reason in message


def test_sources_that_are_not_there_or_hold_nothing(command: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    for name, reason in (
        ("absent", "absent: no such file or directory"),
        ("empty", "empty: found no scene; expected .SAFE products"),
        ("text.txt", "text.txt: expected a .SAFE directory, a zipped .SAFE, a GeoTIFF"),
    ):
        message = command.refuse("convert", tmp_path / name, "--out", tmp_path / "h5", untouched=tmp_path)
        assert reason in message


def test_pickled_metadata_that_would_run_code_are_refused_and_not_run(command: CommandLine, tmp_path: Path) -> None:
    make_shards(tmp_path)

    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "metadata.npy").write_bytes(pickle.dumps({"file_index": [], "vmin": Evil()}))
    message = command.refuse("convert", tmp_path, "--out", tmp_path / "h5", untouched=tmp_path)
    assert "metadata.npy" in message
    assert "system" in message
    assert not (tmp_path / "ran").exists()


def test_outputs_that_cannot_be_written(command: CommandLine, products: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        message = command.refuse("convert", products, "--out", tmp_path / place, untouched=tmp_path)
        assert f"{tmp_path / place}: expected a directory to write to, cannot make it" in message
    (tmp_path / "h5" / "vv.h5").mkdir(parents=True)
    message = command.refuse("convert", products, "--out", tmp_path / "h5", "--overwrite", untouched=tmp_path)
    assert "vv.h5: expected a file to replace, found a directory" in message
    (tmp_path / "h5" / "vv.h5").rmdir()
    (tmp_path / "h5" / "vv.h5.partial").mkdir()
    message = command.refuse("convert", products, "--out", tmp_path / "h5", untouched=tmp_path)
    assert "vv.h5.partial: expected to remove what an earlier run left, cannot" in message


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc cannot be written to, even by root")
def test_a_directory_without_permission_is_not_taken_for_another_run(command: CommandLine, products: Path) -> None:
    message = command.refuse("convert", products, "--out", "/proc", untouched=Path("/proc/absent"))
    assert "/proc: expected a directory to write to, cannot write here" in message
    assert "another run" not in message


def test_too_little_disk(command: CommandLine, products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    message = command.refuse("convert", products, "--out", tmp_path / "h5", untouched=tmp_path)
    assert "of free disk for the result, found 0.000 GB; free some, or choose another --out" in message


def test_an_existing_result(command: CommandLine, products: Path, tmp_path: Path) -> None:
    (tmp_path / "vh.h5").write_bytes(b"precious")
    message = command.refuse("convert", products, "--out", tmp_path, untouched=tmp_path)
    assert f"{tmp_path / 'vh.h5'}: is there already; pass --overwrite to replace it, or choose another --out" in message


def test_units_in_doubt_are_asked_for_in_words_that_the_command_line_takes(
    command: CommandLine, tmp_path: Path
) -> None:
    write_raster(tmp_path / "in" / "a_vv.tif", make_dn(0, (64, 64)).astype(np.float32))
    arguments = ("convert", tmp_path / "in", "--out", tmp_path / "h5", "--patch-size", 32)
    message = command.refuse(*arguments, untouched=tmp_path)
    assert "pass --units linear or --units db" in message
    for units in ("linear", "db"):
        outcome = command.run(*arguments, "--units", units, "--overwrite", "--min-valid", "0.5")
        assert (outcome.code, outcome.err) == (0, "")
    with h5py.File(tmp_path / "h5" / "vv.h5") as f:
        assert f.attrs["units"] == "dB"
