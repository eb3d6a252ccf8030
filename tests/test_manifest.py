"""Manifests: what a CSV of the user's own gives for the scenes of a file, and every way in which it may not fit."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.errors import SettingError, SourceError
from sar_h5.tables.manifest import MAX_LINE, read_manifest, to_values


def write(directory: Path, content: str | bytes) -> Path:
    path = directory / "scenes.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_columns_come_in_the_order_of_the_scenes_with_the_types_of_their_cells(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "scene,season,cloud,tile,count,ice\nC,x,y,z,w,v\nB,winter, 0.25 ,032,7,true\nA,summer,,031,-2,False\n",
    )
    columns = read_manifest(path, ["A", "B"])
    assert list(columns) == ["season", "cloud", "tile", "count", "ice"]
    assert [values.dtype.kind for values in columns.values()] == ["O", "f", "O", "i", "b"]
    np.testing.assert_array_equal(columns["cloud"], [np.nan, 0.25])
    assert {name: columns[name].tolist() for name in ("season", "tile", "count", "ice")} == {
        "season": ["summer", "winter"], "tile": ["031", "032"], "count": [-2, 7], "ice": [False, True],
    }  # fmt: skip
    assert read_manifest(path, ["B", "A", "B"])["count"].tolist() == [7, -2, 7]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_delimiters_line_ends_and_byte_order_marks_of_spreadsheets(
    tmp_path: Path, delimiter: str, end: str, mark: bytes
) -> None:
    text = end.join(["label;scene;note", "1;A;'a'", "", '2;B;"x,y"', ""]).replace(";", delimiter)
    columns = read_manifest(write(tmp_path, mark + text.encode()), ["B", "A"])
    assert {name: values.tolist() for name, values in columns.items()} == {"label": [2, 1], "note": ["x,y", "'a'"]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name,label\nA,5\n", {"label": [5]}),
        ("label,scene_name\n5,A\n", {"label": [5]}),
        (" scene , label\nA,5\n", {"label": [5]}),
        ("name,scene\nB,A\n", {"name": ["B"]}),
        (",scene,label,\n0,A,5,\n", {"label": [5]}),
        ("scene\nA\n", {}),
    ],
)
def test_the_column_of_the_scenes_is_found_and_columns_without_a_name_are_left_out(
    tmp_path: Path, content: str, expected: dict[str, list[object]]
) -> None:
    columns = read_manifest(write(tmp_path, content), ["A"])
    assert {name: values.tolist() for name, values in columns.items()} == expected


HOSTILE = ["a,b", 'say "hi"', "two\nlines", "\r", "=1+1", " spaced ", "\N{SNOWMAN}", "'", ";\t", "x" * 1000]


def test_odd_names_are_found_as_they_are_written_by_others(tmp_path: Path) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerows([["scene", "note"], *([name, name[::-1]] for name in HOSTILE)])
    columns = read_manifest(write(tmp_path, stream.getvalue()), HOSTILE)
    assert columns["note"].tolist() == [name[::-1] for name in HOSTILE]


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        (["1", "-2", " 3 "], "int64", [1, -2, 3]),
        (["9223372036854775807", "0"], "int64", [2**63 - 1, 0]),
        (["9223372036854775808", "0"], "float64", [2.0**63, 0]),
        (["9223372036854775809", "0"], "object", None),
        (["9007199254740993", ""], "object", None),
        (["1", ""], "float64", [1, np.nan]),
        (["1e3", ".5", "-1.", "inf", "NaN", "+2"], "float64", [1000, 0.5, -1, np.inf, np.nan, 2]),
        (["TRUE", "false"], "bool", [True, False]),
        (["true", ""], "object", None),
        (["007", "1"], "object", None),
        (["0.10", "1"], "float64", [0.1, 1]),
        (["1_000"], "object", None),
        (["0x10"], "object", None),
        (["1,5"], "object", None),
        (["\N{ARABIC-INDIC DIGIT ONE}"], "object", None),
        (["9" * 5000], "object", None),
        (["", ""], "object", None),
        ([], "object", None),
    ],
)
def test_cells_become_what_all_of_them_hold(cells: list[str], dtype: str, values: list[object] | None) -> None:
    result = to_values(cells)
    assert result.dtype == dtype
    if values is None:
        assert result.tolist() == cells
    else:
        np.testing.assert_array_equal(result, values)


@given(
    values=st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1)
    | st.lists(st.floats(), min_size=1)
    | st.lists(st.booleans(), min_size=1)
)
def test_numbers_survive_as_text(values: list[float]) -> None:
    np.testing.assert_array_equal(to_values([str(value) for value in values]), np.array(values))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("", SourceError, r"expected a header with a column scene \(or scene_name or name\), found an empty file"),
        ("\n\n", SourceError, "found an empty file"),
        ("A,1\nB,2\n", SourceError, "expected a header with a column scene .*, found 'A', '1'"),
        ("a;b;Scene\n", SourceError, "found 'a', 'b', 'Scene'"),
        ("scene,x\nA,1\nB,1\nC,1\nA,2\nB,4\n", SourceError, "one row per scene, found 'A' in lines 2 and 5, 'B' in lines 3 and 6$"),
        ("scene,x\n\n\nB,1\nA,\"a\nb\"\nA,2\n", SourceError, "found 'A' in lines 5 and 7$"),
        ("scene,x\nA,1\n", SettingError, "found none for 1 of 2: 'B'$"),
        ("scene,x\n", SettingError, "expected a row for each scene of the file, found none for 2 of 2: 'A', 'B'$"),
        ("scene,x\nA.SAFE,1\nB.SAFE,1\n", SettingError, "for 2 of 2: 'A', 'B'; scenes that only the manifest has: 'A.SAFE', 'B.SAFE'$"),
        ("scene,x,x,y,y\n", SourceError, "expected different names of columns, found more than one 'x', 'y'"),
        ("scene,scene\nA,B\n", SourceError, "more than one 'scene'"),
        ("scene,x\nA,1\nB,1,2\n", SourceError, "expected 2 columns as in the header, found 3 in line 3"),
        ("scene,x\nA\nB,1\n", SourceError, "found 1 in line 2"),
        ('scene,x\nA,"1\nB,1\n', SourceError, "expected a CSV, found in line 2: unexpected end of data"),
        ('scene,x\nA,"1"2\n', SourceError, "expected a CSV, found in line 2: ',' expected after"),
        ("scene,x\nA,\0\nB,1\n", SourceError, "found a NUL character in line 2"),
        (b"scene,x\nA,\xff\n", SourceError, "expected a manifest in UTF-8, found invalid start byte; save it as UTF-8"),
        ("scene,x\nA,1\n".encode("utf-16"), SourceError, "expected a manifest in UTF-8"),
        ("scene,x\nA," + "9" * 200_000, SourceError, "found in line 2: field larger than field limit"),
        ("scene,x\n" + "A" * (MAX_LINE + 1), SourceError, "found more than 1,048,576 characters in line 2"),
        (b"\x89HDF\r\n\x1a\n\0\0", SourceError, "expected a manifest in UTF-8"),
    ],
)  # fmt: skip
def test_a_manifest_that_does_not_fit_is_refused_with_the_place(
    tmp_path: Path, content: str | bytes, error: type[Exception], message: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(error, match=message) as caught:
        read_manifest(path, ["A", "B"])
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) < 500


def test_only_the_first_of_many_missing_scenes_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "scene\n" + "\n".join(f"other{number}" for number in range(1000)))
    message = "found none for 2,000 of 2,000: 's0', 's1', 's2', 's3', 's4' and 1,995 more; .*'other4'$"
    with pytest.raises(SettingError, match=message):
        read_manifest(path, [f"s{number}" for number in range(2000)])


def test_a_path_that_cannot_be_read_is_a_source_error(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "directory"), (tmp_path / "absent.csv", "No such file"), ("a\0b", "null")):
        with pytest.raises(SourceError, match=f"expected a manifest .CSV., cannot read it: .*{reason}"):
            read_manifest(path, ["A"])


def test_repeated_scenes_that_the_file_does_not_have_do_no_harm(tmp_path: Path) -> None:
    assert read_manifest(write(tmp_path, "scene,x\nZ,1\nA,2\nZ,3\n"), ["A"])["x"].tolist() == [2]
