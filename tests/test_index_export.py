"""The index as Parquet and CSV: what other programs read equals the table, and nothing half-made is left."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from sar_h5 import convert, export_index
from sar_h5.errors import MissingExtraError, OutputError, OutputExistsError, SettingError
from sar_h5.schema import SCENE_COLUMNS
from sar_h5.tables import index_export
from sar_h5.tables.patch_table import read_patch_table
from tests.command_line import CommandLine, snapshot
from tests.patch_files import make_codes, make_lut, write_file

HOSTILE = [
    'say "hi", then\nleave', "=1+1", "\r", " spaced ", "", "\N{SNOWMAN}\u2028", "'", '"', ",", "a\tb;c", "-", "nan", "x" * 3000,
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Patches of scenes with hostile names, and floats that are not short."""
    count = 40
    path = write_file(tmp_path / "vv.h5", make_codes((count, 8, 8), 200, "u1"), make_lut(200))
    generator = np.random.default_rng(0)
    with h5py.File(path, "a") as f:
        f["index/valid_fraction"][:] = generator.random(count, np.float32)
        f["index/checksum"][:] = generator.integers(0, 2**32, count, np.uint32)
        f["index/scene"][:] = np.arange(count) % len(HOSTILE)
        f["splits/default"] = generator.integers(0, 4, count).astype(np.uint8)
        for column in SCENE_COLUMNS:
            width = column.width or 1
            values = generator.normal(size=(len(HOSTILE), width)) * 1e6
            values[0] = np.nan if column.dtype == "<f8" else 0
            rows = HOSTILE if column.dtype == "utf-8" else values if column.width else values[:, 0]
            del f[f"scenes/{column.name}"]
            f[f"scenes/{column.name}"] = column.to_array(rows)
    return path


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "scenes.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = [[name, number % 2 == 0, number / 7 or "", name[::-1]] for number, name in enumerate(HOSTILE)]
        csv.writer(stream).writerows([["scene", "ice", "cloud, total", "note"], *rows])
    return path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def assert_equal(values: list[object], expected: np.ndarray) -> None:
    if expected.dtype == object:
        assert values == expected.tolist()
    else:
        np.testing.assert_array_equal(np.array(values, dtype=expected.dtype), expected)


def test_parquet_holds_the_table_with_its_types_units_and_origin(
    file: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_export, "ROWS_OF_GROUP", 16)
    summary = export_index(file, tmp_path / "index.parquet", manifest=manifest)
    table = read_patch_table(file, manifest)
    read = pyarrow.parquet.read_table(summary.path)
    assert tuple(read.column_names) == tuple(table) == summary.columns
    for name in read.column_names:
        assert_equal(read[name].to_pylist(), table[name])
        text = pyarrow.types.is_dictionary(read.schema.field(name).type)
        assert text or read.schema.field(name).type.to_pandas_dtype() == table[name].dtype
        assert text == (table[name].dtype == object)
    assert read.schema.field("row").metadata[b"units"] == b"pixel"
    assert read.schema.field("checksum").metadata[b"long_name"].startswith(b"CRC-32 of the stored chunk")
    metadata = {key: read.schema.metadata[key].decode() for key in (b"source", b"polarization", b"vmin", b"vmax")}
    assert metadata == {b"source": str(file), b"polarization": "vv", b"vmin": "14.77", b"vmax": "24.54"}
    assert pyarrow.parquet.ParquetFile(summary.path).num_row_groups == 3
    assert summary.nbytes == Path(summary.path).stat().st_size


def test_csv_is_read_back_by_others_with_every_bit(
    file: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_export, "ROWS_OF_TEXT", 7)
    export_index(file, tmp_path / "index.csv", manifest=manifest)
    table = read_patch_table(file, manifest)
    with (tmp_path / "index.csv").open(newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream, strict=True)
    assert header == list(table)
    for name, cells in zip(header, zip(*rows, strict=True), strict=True):
        values = [cell == "True" for cell in cells] if table[name].dtype == bool else list(cells)
        assert_equal([value or "nan" for value in values] if table[name].dtype.kind == "f" else values, table[name])

    read = pyarrow.csv.read_csv(
        tmp_path / "index.csv",
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types={"valid_fraction": pyarrow.float32()}),
    )
    for name in ("valid_fraction", "checksum", "left", "scene_name", "ice", "cloud, total"):
        assert_equal([np.nan if value is None else value for value in read[name].to_pylist()], table[name])


def test_an_exported_index_of_scenes_can_be_a_manifest_again(file: Path, manifest: Path, tmp_path: Path) -> None:
    export_index(file, tmp_path / "index.csv", manifest=manifest, where="patch < 13")
    with (tmp_path / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    with (tmp_path / "again.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["scene", "before"], *([row["scene_name"], row["cloud, total"]] for row in rows)])
    table = read_patch_table(file, manifest)
    np.testing.assert_array_equal(read_patch_table(file, tmp_path / "again.csv")["before"], table["cloud, total"])


def test_a_condition_chooses_the_rows(file: Path, tmp_path: Path) -> None:
    where = "split_default == 'train' and valid_fraction >= 0.25"
    table = read_patch_table(file)
    expected = np.flatnonzero((table["split_default"] == "train") & (table["valid_fraction"] >= np.float32(0.25)))
    summary = export_index(file, tmp_path / "index.parquet", where=where)
    assert (summary.patches, summary.of_patches) == (len(expected), 40)
    assert pyarrow.parquet.read_table(summary.path)["patch"].to_pylist() == expected.tolist()
    export_index(file, tmp_path / "INDEX.CSV", where=where)
    with (tmp_path / "INDEX.CSV").open(newline="", encoding="utf-8") as stream:
        assert [int(row["patch"]) for row in csv.DictReader(stream)] == expected.tolist()


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes, as Linux has them")
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_paths_may_hold_any_bytes(file: Path, suffix: str) -> None:
    odd = file.rename(file.with_name("\udcff.h5"))
    summary = export_index(odd, odd.with_name(f"\udcff.{suffix}"))
    assert summary.nbytes == Path(summary.path).stat().st_size
    if suffix == "parquet":
        with Path(summary.path).open("rb") as stream:
            assert pyarrow.parquet.read_schema(stream).metadata[b"source"].endswith(b"\\udcff.h5")


def test_a_file_without_patches_gives_a_table_without_rows(tmp_path: Path) -> None:
    empty = write_file(tmp_path / "vv.h5", np.zeros((0, 8, 8), np.uint8), make_lut(200))
    for name in ("index.csv", "index.parquet"):
        assert export_index(empty, tmp_path / name).patches == 0
    assert pyarrow.parquet.read_table(tmp_path / "index.parquet").num_rows == 0
    assert len((tmp_path / "index.csv").read_text(encoding="utf-8").splitlines()) == 1


def test_the_same_export_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    for suffix in ("csv", "parquet"):
        first, second = (Path(export_index(file, tmp_path / f"{name}.{suffix}").path).read_bytes() for name in "ab")
        assert first == second


def test_nothing_is_left_where_an_export_is_refused(file: Path, manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "vv.csv").symlink_to(file)
    (tmp_path / "there.parquet").mkdir()
    before = snapshot(tmp_path)
    for name, options, error, message in (
        ("index.xlsx", {}, SettingError, r"expected an index named \*.parquet or \*.csv, found .xlsx"),
        ("index", {}, SettingError, "found no suffix"),
        ("index.csv", {"where": "patch > 99"}, SettingError, "holds for none of 40 patches"),
        ("index.csv", {"where": ""}, SettingError, "expected a condition"),
        ("scenes.csv", {"manifest": manifest, "overwrite": True}, SettingError, "is the manifest itself"),
        (
            "there.csv",
            {},
            OutputExistsError,
            "is there already; pass --overwrite to replace it, or choose another --index",
        ),
        ("there.parquet", {"overwrite": True}, OutputError, "found a directory"),
        ("absent/index.csv", {}, OutputError, "expected a directory to write to.*choose another --index"),
    ):
        with pytest.raises(error, match=message):
            export_index(file, tmp_path / name, **options)
        assert snapshot(tmp_path) == before
    export_index(file, tmp_path / "there.csv", overwrite=True)
    assert (tmp_path / "there.csv").read_text(encoding="utf-8").startswith("patch,scene,row,")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a full disk on Linux")
@pytest.mark.parametrize("name", ["index.csv", "index.parquet"])
def test_a_full_disk_is_an_output_error(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write = index_export.WRITERS[Path(name).suffix]
    full = {Path(name).suffix: lambda _, table, chosen: write(Path("/dev/full"), table, chosen)}
    monkeypatch.setattr(index_export, "WRITERS", full)
    with pytest.raises(OutputError, match=f"{name}: cannot be written .disk full"):
        export_index(file, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vv.h5"]


def test_without_pyarrow_parquet_asks_for_it_and_csv_works(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"an index in Parquet needs pyarrow.*pip install 'sar_h5\[parquet\]'"):
        export_index(file, tmp_path / "index.parquet")
    assert not (tmp_path / "index.parquet").exists()
    assert export_index(file, tmp_path / "index.csv").patches == 40


def test_the_command_exports_and_says_what_it_did(command: CommandLine, products: Path, tmp_path: Path) -> None:
    convert(products, tmp_path, patch_size=128, polarization="vv")
    arguments = ("export", tmp_path / "vv.h5", "--index", tmp_path / "i.parquet", "--where", "orbit == 36201")
    outcome = command.run(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    table = pyarrow.parquet.read_table(tmp_path / "i.parquet")
    total = len(read_patch_table(tmp_path / "vv.h5")["patch"])
    start = f"{tmp_path / 'i.parquet'}: {len(table):,} of {total:,} patches of {tmp_path / 'vv.h5'}, 19 columns, "
    assert outcome.out.startswith(start)
    assert set(table["orbit"].to_pylist()) == {36201}

    names = sorted(set(table["scene_name"].to_pylist()))
    (tmp_path / "m.csv").write_text(f"scene,label\n{names[0]},ice\n")
    message = command.refuse(*arguments, "--overwrite", "--manifest", tmp_path / "m.csv", untouched=tmp_path)
    assert "found none for 1 of 2" in message
    assert "choose another --index" in command.refuse(*arguments, untouched=tmp_path)
    data = json.loads(command.run(*arguments, "--overwrite", "--json").out)
    assert (data["patches"], data["of_patches"], data["columns"]) == (len(table), total, table.column_names)


def test_an_export_of_nothing_is_wrong_usage(command: CommandLine, file: Path) -> None:
    outcome = command.run("export", file)
    assert (outcome.code, outcome.out) == (2, "")
    assert "give --index index.parquet or --index index.csv" in outcome.err
