"""The file format as data: names that hold together, and settings that come back as they went in."""

from __future__ import annotations

import io
import re
from typing import Any, get_args

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5 import schema
from sar_h5.schema import Column, FileSettings

numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a layout, and sizes that go with it."""
    layout = draw(st.sampled_from(schema.LAYOUTS))
    if layout == "patches":
        return {"layout": layout, "patch_size": draw(st.integers(1, 2**62))}
    block_size = draw(st.integers(1, 2**30))
    return {"layout": layout, "block_size": block_size, "patch_size": block_size * draw(st.integers(1, 2**30))}


def _build(sizes: dict[str, Any], **others: Any) -> FileSettings:
    return FileSettings(**sizes, **others)


all_settings = st.builds(
    _build,
    layouts(),
    vmin=numbers,
    vmax=numbers,
    stride=st.integers(-1, 2**62),
    min_valid=st.floats(0, 1),
    polarization=st.sampled_from(["vv", "vh", "hh", "hv"]),
    encoding=st.sampled_from(schema.ENCODINGS),
    invalid_code=st.none() | st.integers(0, 65535),
)
SETTINGS = FileSettings(14.77, 24.54, 256, 128, 0.9, "vv", "palette", invalid_code=0)


@given(settings=all_settings)
def test_settings_come_back_from_their_attributes(settings: FileSettings) -> None:
    assert FileSettings.from_attrs(settings.to_attrs()) == settings


@settings(deadline=None)
@given(settings=all_settings)
def test_settings_come_back_from_a_file(settings: FileSettings) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=schema.LIBVER) as file:
        file.attrs.update(settings.to_attrs())
    with h5py.File(buffer) as file:
        found = FileSettings.from_attrs(file.attrs)
        assert found == settings
        assert {type(getattr(found, name)) for name in ("vmin", "vmax", "min_valid")} == {float}
        assert {type(getattr(found, name)) for name in ("patch_size", "stride")} == {int}
        attrs = dict(file.attrs)
    assert found.to_attrs() == attrs == settings.to_attrs()
    assert {name: type(value) for name, value in attrs.items()} == {
        name: type(value) for name, value in settings.to_attrs().items()
    }


@pytest.mark.parametrize(
    ("layout", "block_size"), [("blocks", None), ("patches", 64), ("blocks", 0), ("blocks", 96), ("blocks", -64)]
)
def test_blocks_that_make_up_no_patch_are_refused(layout: schema.Layout, block_size: int | None) -> None:
    with pytest.raises(ValueError, match="expected"):
        FileSettings(14.77, 24.54, 256, 128, 0.9, "vv", "palette", layout, block_size=block_size)


def test_a_patch_knows_how_many_blocks_make_up_a_side() -> None:
    assert FileSettings(0, 1, 256, 64, 0, "vv", "palette", "blocks", block_size=64).blocks_per_side == 4
    assert SETTINGS.blocks_per_side == 1


def test_attributes_are_those_that_the_format_names() -> None:
    assert tuple(SETTINGS.to_attrs()) == (*schema.PATCH_ATTRIBUTES, "invalid_code")
    assert SETTINGS.to_attrs()["vmin"].dtype == np.float64  # type: ignore[attr-defined]
    assert SETTINGS.to_attrs()["patch_size"].dtype == np.int64  # type: ignore[attr-defined]


def test_files_without_an_invalid_code_have_no_such_attribute() -> None:
    settings = FileSettings(1, 2, 256, -1, 0, "vh", "float32")
    assert tuple(settings.to_attrs()) == schema.PATCH_ATTRIBUTES
    assert FileSettings.from_attrs(settings.to_attrs()).invalid_code is None


@pytest.mark.parametrize("name", schema.PATCH_ATTRIBUTES)
def test_a_missing_attribute_is_named(name: str) -> None:
    attrs = SETTINGS.to_attrs()
    del attrs[name]
    with pytest.raises(KeyError, match=name):
        FileSettings.from_attrs(attrs)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("encoding", "jpeg", ValueError, "unknown encoding 'jpeg' or layout 'patches'"),
        ("encoding", 7, ValueError, "unknown encoding '7'"),
        ("layout", "tiles", ValueError, "unknown encoding 'palette' or layout 'tiles'"),
        ("vmin", "14.77", TypeError, "expected a number, found str"),
        ("vmax", np.array([24.54]), TypeError, "expected a number, found ndarray"),
        ("min_valid", None, TypeError, "expected a number, found NoneType"),
        ("patch_size", 256.0, TypeError, "expected an integer, found float"),
        ("patch_size", np.float64(np.inf), TypeError, "expected an integer, found float64"),
        ("stride", np.array([1, 2]), TypeError, "expected an integer, found ndarray"),
        ("stride", h5py.Empty("i8"), TypeError, "expected an integer, found Empty"),
        ("invalid_code", "0", TypeError, "expected an integer, found str"),
        ("polarization", b"vv", TypeError, "expected text, found bytes"),
        ("polarization", 3, TypeError, "expected text, found int"),
    ],
)
def test_attributes_with_values_that_they_cannot_have_are_refused(
    name: str, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        FileSettings.from_attrs(SETTINGS.to_attrs() | {name: value})


@pytest.mark.parametrize("dtype", ["i4", "u2", ">i8"])
def test_integers_of_any_width_are_read(dtype: str) -> None:
    attrs = SETTINGS.to_attrs() | {"patch_size": np.array(256, dtype)[()], "vmin": np.float32(1.5)}
    assert FileSettings.from_attrs(attrs).patch_size == 256
    assert FileSettings.from_attrs(attrs).vmin == 1.5


# Columns

COLUMNS = (
    *schema.INDEX_COLUMNS,
    *schema.SCENE_COLUMNS,
    schema.GCP_TABLE,
    schema.LUT_COLUMN,
    schema.HISTOGRAM_COLUMN,
)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_columns_are_little_endian_text_or_numbers_that_h5py_writes(column: Column) -> None:
    assert column.dtype == "utf-8" or re.fullmatch(r"<[iuf][1248]", column.dtype)
    with h5py.File(io.BytesIO(), "w") as file:
        if column.dtype == "utf-8":
            texts = ["Orbitrichtung \u2197", "", "x" * 300]
            dataset = file.create_dataset(column.name, data=column.to_array(texts))
            assert h5py.check_string_dtype(dataset.dtype).encoding == "utf-8"
            assert dataset.asstr()[:].tolist() == texts
        else:
            values = np.arange(3 * max(column.width, 1)).reshape(3, -1) if column.width else np.arange(3)
            dataset = file.create_dataset(column.name, data=column.to_array(values))
            assert dataset.dtype.str == np.dtype(column.dtype).str
            np.testing.assert_array_equal(dataset[:], values)
    assert column.long_name
    assert (column.units == "") >= (column.dtype == "utf-8")  # text has no unit


def test_text_that_utf_8_cannot_hold_is_escaped_and_no_text_is_a_column_too() -> None:
    column = schema.SCENE_COLUMNS[0]
    assert column.to_array(["a\udcff", ""]).tolist() == [b"a\\udcff", b""]
    assert column.to_array(["", ""]).tolist() == [b"", b""]
    assert column.to_array([]).shape == (0,)


def test_the_index_and_the_scenes_have_the_columns_of_the_format() -> None:
    assert [column.name for column in schema.INDEX_COLUMNS] == ["scene", "row", "col", "valid_fraction", "checksum"]
    assert [column.dtype for column in schema.INDEX_COLUMNS] == ["<i4", "<i4", "<i4", "<f4", "<u4"]
    names = [column.name for column in schema.SCENE_COLUMNS]
    assert len(set(names)) == len(names)
    assert {"name", "source_path", "patch_start", "patch_count", "transform", "gcp_start", "gcp_count"} <= set(names)
    assert (schema.LUT_COLUMN.dtype, schema.HISTOGRAM_COLUMN.dtype) == ("<f4", "<u8")
    assert next(column.width for column in schema.SCENE_COLUMNS if column.name == "transform") == 6


def test_attributes_are_named_once() -> None:
    names = (*schema.PATCH_ATTRIBUTES, *schema.ROOT_ATTRIBUTES)
    assert len(set(names)) == len(names)


def test_the_format_is_version_1_0_with_the_blosc_filter() -> None:
    assert (schema.FORMAT, schema.FORMAT_VERSION) == ("sar-h5", "1.0")
    assert hdf5plugin.Blosc.filter_id == schema.BLOSC_FILTER
    assert set(get_args(schema.Encoding)) == set(schema.ENCODINGS) == set(schema.PATCHES_LONG_NAME)
    assert set(get_args(schema.Layout)) == set(schema.LAYOUTS)
    assert set(schema.SPLIT_CODES.values()) == {1, 2, 3}
