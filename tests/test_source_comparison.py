"""``verify`` with a source: every difference named with its place, and nothing said where there is none."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import convert, verify
from sar_h5.compression import Codec
from sar_h5.errors import RadiometryError, SettingError, SourceError
from sar_h5.raster_job import RasterJob
from sar_h5.shard_job import ShardJob
from sar_h5.verify_report import Problem
from tests.command_line import CommandLine
from tests.conftest import make_shards
from tests.damage import break_patch
from tests.raster_files import write_raster

DIGEST = "/@content_digest"


def change(path: Path, number: int, pixels: list[tuple[int, int]]) -> None:
    """Change pixels of a patch, with a checksum that fits."""
    with h5py.File(path, "r+") as f:
        patch = f["patches"][number]
        for row, col in pixels:
            patch[row, col] = 0.25 if patch.dtype.kind == "f" else patch[row, col] // 2 + 1
        frame = Codec().compress(patch)
        f["patches"].id.write_direct_chunk((number, 0, 0), frame)
        f["index/checksum"][number] = zlib.crc32(frame)


def differing(path: Path, source: Path, **options: object) -> list[Problem]:
    return [problem for problem in verify(path, source=source, **options).problems if problem.place != DIGEST]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("encoding", "options"),
    [
        ("palette", {}),
        ("dn", {"valid_by": "pixels", "min_valid": 0.3}),
        ("float32", {"stride": 40}),
        ("palette", {"vmin": 16.0, "vmax": 30.0, "codec": "small", "min_valid": 0.0}),
    ],
)
def test_patches_of_products_are_compared_value_by_value(
    products: Path, tmp_path: Path, encoding: str, options: dict
) -> None:
    convert(
        products, tmp_path, **{"patch_size": 64, "stride": 64, "polarization": "vv", "encoding": encoding} | options
    )
    path = tmp_path / "vv.h5"
    assert verify(path, source=products).problems == ()
    change(path, 3, [(5, 7), (9, 1)])
    with h5py.File(path) as f:
        row, col = int(f["index/row"][3]), int(f["index/col"][3])
        name = f["scenes/name"].asstr()[0]
    (problem,) = [item for item in differing(path, products) if item.place == "/patches[3]"]
    assert str(problem.kind) == "different"
    assert f"2 of 4096 pixels are not those of the source ({name}, row {row} col {col})" in problem.message
    assert re.search(r"the first at row 5 col 7 of the patch: expected 0\.\d+.*, found 0\.\d+", problem.message)


@pytest.mark.parametrize("units", ["linear", "db"])
def test_float_rasters_are_compared_in_the_unit_that_they_were_converted_in(tmp_path: Path, units: str) -> None:
    values = np.random.default_rng(0).gamma(4, 25, (96, 128)).astype(np.float32)
    write_raster(tmp_path / "in" / "a-vv.tif", values if units == "linear" else 10 * np.log10(values))
    convert(tmp_path / "in", tmp_path, patch_size=32, stride=32, units=units, vmin=10.0, vmax=27.0, min_valid=0.5)
    assert verify(tmp_path / "vv.h5", source=tmp_path / "in").problems == ()
    write_raster(tmp_path / "in" / "a-vv.tif", values.astype(np.uint16))
    with pytest.raises(RadiometryError, match="uint16 pixels are digital numbers"):
        verify(tmp_path / "vv.h5", source=tmp_path / "in")


def test_changed_shards_are_named_with_the_patches_that_differ(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    shards = make_shards(source, counts=(5, 3), size=32)
    convert(source, tmp_path)
    path = tmp_path / "vv.h5"
    assert verify(path, source=source).problems == ()
    assert verify(path, source=[source], sample=2).problems == ()
    first, second = sorted(source.glob("s1a-*.npy"))
    shards[1][2, 3, 4] = 0.123
    np.save(second, shards[1])
    patch, identity = differing(path, source)
    assert (patch.place, identity.place) == ("/patches[7]", "/scenes/source_checksum[1]")
    assert "first at row 3 col 4 of the patch: expected 0.123" in patch.message
    assert str(identity.kind) == "source changed"
    assert f"expected {second} to have {second.stat().st_size} bytes with checksum" in identity.message
    np.save(second, shards[1][:2])
    (source / "metadata.npy").unlink()
    short = differing(path, source)
    assert [problem.place for problem in short] == ["/patches[7]", "/scenes/source_checksum[1]"]
    assert "does not have it" in short[0].message
    first.unlink()
    (absent, *_) = differing(path, source)
    assert (absent.place, str(absent.kind)) == ("/scenes/name[0]", "missing")


def test_what_the_file_lacks_is_named_too(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    shards = make_shards(source, counts=(5, 3), size=32)
    convert(source, tmp_path)
    second = sorted(source.glob("s1a-*.npy"))[1]
    np.save(second, np.concatenate([shards[1], shards[0][:2]]))
    shutil.copy(second, source / "s1a-iw-grd-vv-20220110t031653-20220110t031718-046200-053ed0-001.npy")
    (source / "metadata.npy").unlink()
    found = {problem.place: problem.message for problem in differing(tmp_path / "vv.h5", source)}
    assert set(found) == {"/scenes/patch_count[1]", "/scenes/source_checksum[1]", "/scenes/name"}
    assert "of which 2 are missing; the first is number 3" in found["/scenes/patch_count[1]"]
    assert "expected scene s1a-iw-grd-20220110t031653-20220110t031718-046200-053ed0" in found["/scenes/name"]


def test_only_what_was_skipped_may_lack_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    make_shards(tmp_path / "in", counts=(5, 3, 2), size=32)
    bad, good, _ = sorted((tmp_path / "in").glob("s1a-*.npy"))
    sound = bad.read_bytes()
    np.save(bad, np.full((5, 32, 32), 2, np.float32))
    monkeypatch.chdir(tmp_path)
    convert("in", "h5", on_bad_source="skip")
    path = tmp_path / "h5" / "vv.h5"
    assert verify(path, source="in").problems == ()
    bad.write_bytes(sound)  # mended since, and still the file's own choice
    monkeypatch.chdir("/")
    assert verify(path, source=tmp_path / "in").problems == ()
    # Another one of that name, elsewhere, is another scene.
    (tmp_path / "in" / "metadata.npy").unlink()
    (tmp_path / "other").mkdir()
    shutil.move(bad, tmp_path / "other")
    (problem,) = verify(path, source=[tmp_path / "in", tmp_path / "other"]).problems
    assert (problem.place, str(problem.kind)) == ("/scenes/name", "missing")
    assert good.is_file()


def test_a_source_that_has_no_scene_of_the_file_is_told_in_one_line(tmp_path: Path) -> None:
    for name, first_day in (("in", 1), ("other", 11)):
        (tmp_path / name).mkdir()
        make_shards(tmp_path / name, counts=(2, 2, 2), size=32)
        for number, shard in enumerate(sorted((tmp_path / name).glob("s1a-*.npy"))):
            shard.rename(tmp_path / name / f"scene{first_day + number}-vv.npy")
        (tmp_path / name / "metadata.npy").unlink()
    convert(tmp_path / "in", tmp_path / "h5", vmin=14.0, vmax=24.0)
    (problem,) = verify(tmp_path / "h5" / "vv.h5", source=tmp_path / "other").problems
    assert (problem.place, str(problem.kind)) == ("/scenes/name", "missing")
    assert problem.message == "the source has none of the 3 scenes of the file; is it another one?"
    convert(tmp_path / "in" / "scene1-vv.npy", tmp_path / "one", vmin=14.0, vmax=24.0)
    (tmp_path / "other" / "scene12-vv.npy").write_bytes(b"no array")
    (problem,) = verify(tmp_path / "one" / "vv.h5", source=tmp_path / "other").problems
    assert problem.message.startswith(
        "the source has not the one scene scene1 of the file; is it another one? Broken: "
    )
    assert "scene12-vv.npy: expected a .npy" in problem.message


def test_damaged_patches_are_listed_once_and_a_table_of_other_bounds_is_found(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=64, stride=64, polarization="vv")
    path = tmp_path / "vv.h5"
    break_patch(path, 2)
    assert [problem.place for problem in differing(path, products)] == ["/patches[2]"]
    with h5py.File(path, "r+") as f:
        f["lut"][5] = (f["lut"][5] + f["lut"][6]) / 2
    places = [problem.place for problem in differing(path, products)]
    assert places == ["/patches[2]", "/lut"]


def test_a_sample_is_the_same_for_the_same_seed_and_leaves_the_digest_out(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=32, stride=32, polarization="vv", min_valid=0.5)
    path = tmp_path / "vv.h5"
    total = verify(path).patches
    for number in range(total):
        break_patch(path, number)
    first, again, other = (verify(path, sample=10, seed=seed).problems for seed in (0, 0, 1))
    assert first == again != other
    assert len(first) == len(other) == 10
    numbers = [int(problem.place[9:-1]) for problem in first]
    assert numbers == sorted(numbers)
    assert numbers[0] < total / 5
    assert numbers[-1] > total * 4 / 5
    assert verify(path, sample=10**9).patches == total


def test_a_sample_is_compared_without_reading_all_of_the_source(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shards").mkdir()
    shards = make_shards(tmp_path / "shards", counts=(30, 20), size=32)
    convert(tmp_path / "shards", tmp_path / "a")
    options = {"patch_size": 32, "stride": 32, "polarization": "vv", "min_valid": 0.5}
    convert(products, tmp_path / "b", **options)
    convert(products, tmp_path / "c", encoding="float32", **options)
    for jobs in (RasterJob, ShardJob):
        monkeypatch.setattr(jobs, "cut", lambda *_: pytest.fail("read from end to end"))
    for folder, source in (("a", tmp_path / "shards"), ("b", products), ("c", products)):
        path = tmp_path / folder / "vv.h5"
        assert verify(path, source=source, sample=20).problems == ()
        for number in range(verify(path).patches):
            change(path, number, [(3, 4)])
        found = verify(path, source=source, sample=20).problems
        assert len([item for item in found if item.place.startswith("/patches")]) == 20
        assert all("1 of 1024 pixels" in item.message for item in found if item.place.startswith("/patches"))
    np.save(sorted((tmp_path / "shards").glob("s1a*"))[0], shards[0][:1])
    (tmp_path / "shards" / "metadata.npy").unlink()
    found = verify(tmp_path / "a" / "vv.h5", source=tmp_path / "shards", sample=49).problems
    assert sum("does not have it" in item.message for item in found) >= 28


def test_any_number_of_jobs_finds_the_same(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=32, stride=32, polarization="vv", min_valid=0.5)
    path = tmp_path / "vv.h5"
    for number in (0, 5, 6):
        break_patch(path, number)
    one, many = (verify(path, products, jobs=jobs) for jobs in (1, 5))
    assert one == many
    assert len(one.problems) == 3


def test_the_command_takes_sources_and_samples(
    products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = CommandLine(monkeypatch, capsys)
    convert(products, tmp_path, patch_size=64, stride=64, polarization="vv")
    path = tmp_path / "vv.h5"
    outcome = line.run("verify", path, "--source", products, "--jobs", 2)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith("patches, no problem\n")
    change(path, 1, [(0, 0)])
    outcome = line.run("verify", path, "--source", products, "--sample", 1000, "--json")
    report = json.loads(outcome.out)
    assert (outcome.code, report["ok"]) == (1, False)
    assert "/patches[1]" in [problem["place"] for problem in report["problems"]]
    (tmp_path / "empty").mkdir()
    assert "expected .SAFE products" in line.refuse(
        "verify", path, "--source", tmp_path / "empty", untouched=tmp_path / "empty"
    )


def test_arguments_that_cannot_be_honoured_are_refused(products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=64, stride=64, polarization="vv")
    for options in ({"sample": 0}, {"jobs": 0}):
        with pytest.raises(SettingError, match="of at least 1; found 0"):
            verify(tmp_path / "vv.h5", **options)
    source = tmp_path / "in"
    source.mkdir()
    make_shards(source, polarization="vh")
    with pytest.raises(SourceError, match=r"found no scene of polarization vv|expected scenes of polarization vv"):
        verify(tmp_path / "vv.h5", source=source)
