"""``merge``: parts give back the whole, files of one kind become one, all others are refused with the reason."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import PatchSplit, SceneSplit, extract, merge, split_file, verify
from sar_h5.errors import BoundsError, CorruptPatchError, FormatError, OutputExistsError, SettingError, SourceError
from sar_h5.splits.leakage import LeakageWarning
from tests.block_files import make_overlapping_shards
from tests.command_line import CommandLine, snapshot
from tests.conftest import make_shards
from tests.damage import break_patch
from tests.derived_files import assert_same, attribute, columns, make_file, values
from tests.raster_files import write_raster

pytestmark = pytest.mark.filterwarnings("ignore::sar_h5.splits.leakage.LeakageWarning")


@pytest.fixture(scope="module")
def sources(products: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    shards = tmp_path_factory.mktemp("shards")
    make_shards(shards, counts=(9, 7, 5))
    overlapping = tmp_path_factory.mktemp("overlapping")
    make_overlapping_shards(overlapping)
    return {"products": products, "shards": shards, "overlapping": overlapping}


@pytest.fixture(scope="module")
def wholes(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each encoding, with splits by scene."""
    files = {
        "shards": make_file(sources["shards"], tmp_path_factory.mktemp("shards")),
        "overlapping blocks": make_file(
            sources["overlapping"], tmp_path_factory.mktemp("overlapping"), layout="blocks"
        ),
    }
    for encoding in ("palette", "dn", "float32", "palette blocks", "float32 blocks"):
        out = tmp_path_factory.mktemp(encoding.replace(" ", "-"))
        code, _, layout = encoding.partition(" ")
        options = {"encoding": code, "layout": layout or "patches"}
        files[encoding] = make_file(sources["products"], out, patch_size=64, stride=32, **options)
    return files


@pytest.mark.parametrize(
    "encoding", ["palette", "dn", "float32", "shards", "palette blocks", "float32 blocks", "overlapping blocks"]
)
def test_parts_give_back_the_whole(
    wholes: dict[str, Path], sources: dict[str, Path], tmp_path: Path, encoding: str
) -> None:
    """Blocks as well: as many as before, though parts have some of them in common."""
    whole = wholes[encoding]
    parts = [tmp_path / f"{split}.h5" for split in ("val", "train")]
    for part in parts:
        extract(whole, part, split=part.stem)
    summary = merge(parts, tmp_path / "scenes.h5")
    assert summary.content_digest == attribute(whole, "content_digest")
    assert_same(whole, tmp_path / "scenes.h5")
    thirds = [tmp_path / f"{start}.h5" for start in (2, 0, 1)]
    for part in thirds:
        extract(whole, part, indices=slice(int(part.stem), None, 3))
    merge(thirds[:2], tmp_path / "most.h5", jobs=1)
    source = sources.get(encoding.removesuffix(" blocks"), sources["products"])
    assert verify(tmp_path / "most.h5", source=source).problems == ()
    assert columns(tmp_path / "most.h5")["scenes/left_out_count"].sum() == len(range(1, len(values(whole)), 3))
    merge([tmp_path / "most.h5", thirds[2]], tmp_path / "all.h5")
    assert_same(whole, tmp_path / "all.h5")
    lines = str(attribute(tmp_path / "all.h5", "history")).splitlines()
    assert len(lines) == len(set(lines))
    assert [line.split(" ")[1] for line in lines] == [
        "convert",
        "split",
        "extract",
        "extract",
        "merge",
        "extract",
        "merge",
    ]


def test_files_of_other_scenes_become_one(products: Path, tmp_path: Path) -> None:
    """As if all had been converted at once, in that order; a codec that differs costs compressing again."""
    options = {"patch_size": 64, "stride": 64, "vmin": 14.0, "vmax": 28.0, "encoding": "dn"}
    whole = make_file(products, tmp_path / "whole", split=False, **options)
    first, second = sorted(products.iterdir())
    one = make_file(first, tmp_path / "one", split=False, **options)
    other = make_file(second, tmp_path / "other", codec="zstd", split=False, **options)
    summary = merge([one, other], tmp_path / "all.h5")
    assert summary.compressed == columns(other)["scenes/patch_count"].sum()
    assert summary.content_digest == attribute(whole, "content_digest")
    assert_same(whole, tmp_path / "all.h5")
    assert verify(tmp_path / "all.h5", source=products).problems == ()
    reverse = merge([other, one], tmp_path / "reverse.h5")
    assert reverse.content_digest != summary.content_digest
    assert columns(tmp_path / "reverse.h5")["histogram"].tolist() == columns(whole)["histogram"].tolist()
    assert verify(tmp_path / "reverse.h5", source=products).problems == ()


def test_bounds_that_differ_are_refused_or_given_anew(products: Path, tmp_path: Path) -> None:
    options = {"patch_size": 64, "stride": 64, "encoding": "dn", "min_valid": 0.0, "split": False}
    first, second = sorted(products.iterdir())
    one = make_file(first, tmp_path / "one", **options)
    other = make_file(second, tmp_path / "other", **options)
    with pytest.raises(
        BoundsError, match=r"one/vv.h5 has bounds .* dB, .*other/vv.h5 .* dB; give all of them the same with --vmin"
    ):
        merge([one, other], tmp_path / "all.h5")
    expected = make_file(products, tmp_path / "expected", vmin=15.0, vmax=25.5, **options)
    summary = merge([one, other], tmp_path / "all.h5", vmin=15.0, vmax=25.5)
    assert summary.content_digest == attribute(expected, "content_digest")
    assert_same(expected, tmp_path / "all.h5")
    palettes = [
        make_file(source, tmp_path / source.name[-9:-5], **(options | {"encoding": "palette"}))
        for source in (first, second)
    ]
    with pytest.raises(BoundsError, match="only files of --encoding dn can be given other bounds"):
        merge(palettes, tmp_path / "palettes.h5")
    with pytest.raises(BoundsError, match="convert the products again with these bounds"):
        merge(palettes, tmp_path / "palettes.h5", vmin=15.0, vmax=25.5)


def write_floats(path: Path, seed: int, levels: int) -> Path:
    """A float raster in dB with so many values between 0 and 10."""
    steps = np.random.default_rng(seed).choice(10_000, levels, replace=False)
    pixels = np.random.default_rng(seed).choice(steps, (64, 96)).astype(np.float32) / 1000 + 5
    write_raster(path / f"{path.name}-vv.tif", pixels)
    return path


def test_tables_of_values_are_united(tmp_path: Path) -> None:
    options = {
        "patch_size": 32,
        "stride": 32,
        "vmin": 4.0,
        "vmax": 16.0,
        "min_valid": 0.0,
        "units": "db",
        "split": False,
    }
    places = [write_floats(tmp_path / name, seed, 200) for seed, name in enumerate("ab")]
    files = [make_file(place, place / "h5", **options) for place in places]
    whole = make_file(places, tmp_path / "h5", **options)
    with h5py.File(files[0]) as f:
        assert f["patches"].dtype == np.uint8
    summary = merge(files, tmp_path / "all.h5")
    assert summary.compressed == 12
    assert "codes of 2 files were written anew" in " ".join(summary.notes)
    assert summary.content_digest == attribute(whole, "content_digest")
    np.testing.assert_array_equal(values(tmp_path / "all.h5"), values(whole))
    np.testing.assert_array_equal(columns(tmp_path / "all.h5")["lut"], columns(whole)["lut"])
    with h5py.File(tmp_path / "all.h5") as f:
        assert (f["patches"].dtype, f.attrs["invalid_code"]) == (np.uint16, 0)
    assert verify(tmp_path / "all.h5", source=places).problems == ()
    nearer = merge(
        [tmp_path / "all.h5", make_file(write_floats(tmp_path / "c", 0, 150), tmp_path / "c5", **options)],
        tmp_path / "3.h5",
    )
    assert verify(tmp_path / "3.h5").ok
    assert nearer.levels >= summary.levels


def test_a_table_whose_last_bits_differ_is_taken_from_the_first_file(wholes: dict[str, Path], tmp_path: Path) -> None:
    parts = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for number, part in enumerate(parts):
        extract(wholes["palette"], part, where=f"scene == {number}")
    with h5py.File(parts[1], "r+") as f:
        f["lut"][7] = np.nextafter(f["lut"][7], np.float32(1))
    summary = merge(parts, tmp_path / "all.h5")
    assert "in the last bit" in " ".join(summary.notes)
    assert columns(tmp_path / "all.h5")["lut"].tobytes() == columns(wholes["palette"])["lut"].tobytes()
    assert summary.content_digest == attribute(wholes["palette"], "content_digest")
    with h5py.File(parts[1], "r+") as f:
        f["lut"][7] = (f["lut"][6] + f["lut"][7]) / 2
    with pytest.raises(FormatError, match=r"expected the table /lut of .*a.h5"):
        merge(parts, tmp_path / "other.h5")


def test_what_does_not_go_together_is_refused_with_every_reason(wholes: dict[str, Path], tmp_path: Path) -> None:
    def refuse(match: str, *paths: Path, error: type[Exception] = FormatError, **options: object) -> None:
        before = snapshot(tmp_path)
        with pytest.raises(error, match=match):
            merge(paths, **({"out": tmp_path / "new.h5"} | options))  # type: ignore[arg-type]
        assert snapshot(tmp_path) == before

    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    extract(wholes["palette"], a, indices=slice(0, 20))
    extract(wholes["palette"], b, indices=slice(19, 40))
    with pytest.raises(FormatError) as caught:
        merge([a, wholes["shards"]], tmp_path / "new.h5")
    title, *lines = str(caught.value).splitlines()
    assert title == "expected files of the same kind, found 4 differences:"
    assert [line.split()[0] for line in lines] == ["patch_size", "stride", "min_valid", "quantity"]
    assert lines[0].startswith(f"  patch_size is 64 in {a} and 32 in {wholes['shards']}: ")
    assert lines[1].startswith(f"  stride is 32 in {a} and unknown in {wholes['shards']}: ")
    refuse(
        r"layout is patches in .*a.h5 and blocks in .*vv.h5: `sar-h5 repack .*vv.h5 --out NEW --layout patches` makes",
        a,
        wholes["palette blocks"],
    )
    refuse("block_size is 32 in .* and 16 in .*: turn both", wholes["palette blocks"], wholes["overlapping blocks"])
    refuse("found 1 difference:\n  encoding is palette .* and dn", a, wholes["dn"])
    refuse("found 1 difference:\n  encoding is palette .* and float32", a, wholes["float32"])
    refuse("1 of its patches are there twice; the first is number 19 of .*a.h5 and number 0 of .*b.h5", a, b)
    refuse("expected each file once", a, b, a, error=SettingError)
    refuse("at least two files", a, error=SettingError)
    refuse("must be another file", a, b, error=SettingError, out=b, overwrite=True)
    refuse("is there already", a, wholes["palette"], error=OutputExistsError, out=b)
    refuse("no such file", a, tmp_path / "absent.h5", error=SourceError)
    with h5py.File(shutil.copy(b, tmp_path / "c.h5"), "r+") as f:
        f["scenes/source_checksum"][0] += 1
    refuse("scene S1A.*not the same in both: source_checksum is", a, tmp_path / "c.h5")
    with h5py.File(shutil.copy(b, tmp_path / "d.h5"), "r+") as f:
        f["scenes/left_out_count"][0] += 1
    refuse("the conversion kept .* and .* patches of it", a, tmp_path / "d.h5")
    break_patch(b, 3)
    extract(wholes["palette"], tmp_path / "e.h5", indices=slice(0, 5))
    refuse(
        "b.h5: patch 3 cannot be read.*sar-h5 repair .*b.h5 --out NEW --source SOURCE.*--drop",
        tmp_path / "e.h5",
        b,
        error=CorruptPatchError,
    )
    (tmp_path / "f.h5").write_bytes(b"hello")
    refuse("f.h5: its structure is damaged", a, tmp_path / "f.h5")


def test_splits_are_joined_and_measured_again(wholes: dict[str, Path], tmp_path: Path) -> None:
    a, b = tmp_path / "a.h5", tmp_path / "b.h5"
    extract(wholes["palette"], a, indices=slice(0, None, 2))
    extract(wholes["palette"], b, indices=slice(1, None, 2))
    with h5py.File(b, "r+") as f:
        del f["splits"]
    merge([a, b], tmp_path / "half.h5")
    codes = columns(tmp_path / "half.h5")["splits/default"]
    assert (codes[1::2] == 0).all()
    assert (codes[::2] > 0).all()
    with h5py.File(tmp_path / "half.h5") as f:
        assert f["splits/default"].attrs["unused_count"] == (codes == 0).sum()
    split_file(b, PatchSplit((0.5, 0.5, 0), forced=True))
    before = snapshot(tmp_path)
    with pytest.raises(
        FormatError, match=r"splits 'default' would share .* pixels in two splits.*sar-h5 split .*a.h5 .*b.h5"
    ):
        merge([a, b], tmp_path / "leaks.h5")
    assert snapshot(tmp_path) == before
    split_file([a, b], SceneSplit((0.5, 0.5, 0), seed=3), overwrite=True)
    with pytest.warns(LeakageWarning, match="alike.h5: splits 'default': 1 pair of scenes .* the same ground"):
        summary = merge([a, b], tmp_path / "alike.h5")
    assert summary.warnings
    with warnings.catch_warnings():
        warnings.simplefilter("error", LeakageWarning)
        with pytest.raises(LeakageWarning):
            merge([a, b], tmp_path / "strict.h5")
    assert not (tmp_path / "strict.h5").exists()


def test_tables_of_users_come_along_where_all_files_have_them(wholes: dict[str, Path], tmp_path: Path) -> None:
    whole = Path(shutil.copy(wholes["shards"], tmp_path / "whole.h5"))
    with h5py.File(whole, "r+") as f:
        f["index/feature"] = np.arange(42.0).reshape(21, 2)
        f["index/odd"] = np.arange(21)
    parts = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for number, part in enumerate(parts):
        extract(whole, part, indices=slice(number, None, 2))
    with h5py.File(parts[1], "r+") as f:
        del f["index/odd"]
    summary = merge(parts, tmp_path / "all.h5")
    assert summary.notes == ("index/odd is not in all files in one form, and was left out",)
    with h5py.File(tmp_path / "all.h5") as f:
        np.testing.assert_array_equal(f["index/feature"][:], np.arange(42.0).reshape(21, 2))
        assert "odd" not in f["index"]


def test_the_command_merges(
    wholes: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = CommandLine(monkeypatch, capsys)
    a, b, out = tmp_path / "a.h5", tmp_path / "b.h5", tmp_path / "new.h5"
    assert line.run("extract", wholes["palette"], "--out", a, "--split", "train").code == 0
    assert line.run("extract", wholes["palette"], "--out", b, "--split", "val").code == 0
    outcome = line.run("merge", a, b, "--out", out, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["content_digest"] == attribute(wholes["palette"], "content_digest")
    assert outcome.err.startswith(f"sar-h5: warning: {out}: splits 'default': 1 pair of scenes")
    assert "is there already" in line.refuse("merge", a, b, "--out", out, untouched=tmp_path)
    assert line.run("verify", out).code == 0
    assert line.run("merge", a, b).code == 2
