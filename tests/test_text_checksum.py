"""Texts of attributes: any change of one is told, by place, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import SceneSplit, convert, extract, schema, split_file, verify
from sar_h5.text_checksum import find_changed_texts, sum_texts
from tests.conftest import make_shards


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_shards(tmp_path, counts=(3, 3, 3))
    convert(tmp_path, tmp_path / "h5")
    split_file(tmp_path / "h5" / "vv.h5", SceneSplit((0.4, 0.3, 0.3)))
    return tmp_path / "h5" / "vv.h5"


def texts(path: Path) -> list[tuple[str, str]]:
    """Return where texts of any length lie in a file, as h5py sees it."""
    found: list[tuple[str, str]] = []

    def note(name: str, item: h5py.HLObject) -> None:
        for key in item.attrs:
            kind = h5py.check_string_dtype(item.attrs.get_id(key).dtype)
            if kind is not None and kind.length is None:
                found.append((f"/{name}", key))

    with h5py.File(path) as file:
        note("", file)
        file.visititems(note)
    return found


def test_every_text_of_a_file_counts(path: Path) -> None:
    places = texts(path)
    assert {key for _, key in places} <= schema.TEXT_ATTRIBUTES
    assert ("/splits/default", "by") in places
    with h5py.File(path, "r+") as file:
        assert list(find_changed_texts(file)) == []
        for name, key in places:
            said = file[name].attrs[key]
            file[name].attrs[key] = "x" if isinstance(said, str) else np.array(["x"], h5py.string_dtype())
            (changed,) = find_changed_texts(file)
            assert changed[0] == ("/splits/default" if name == "/splits/default" else "/")
            file[name].attrs[key] = said
        assert list(find_changed_texts(file)) == []


def test_verify_tells_a_changed_letter(path: Path) -> None:
    assert verify(path).problems == ()
    with h5py.File(path, "r+") as file:
        file.attrs["history"] = file.attrs["history"].replace("convert", "konvert")
        file["splits/default"].attrs["by"] = "magic"
    problems = [str(problem) for problem in verify(path).problems]
    assert [problem.split(":")[0] for problem in problems] == ["/@", "/splits/default@"]
    assert "one has changed since" in problems[0]


def test_parts_and_splits_of_others_are_not_reported(path: Path, tmp_path: Path) -> None:
    extract(path, tmp_path / "part.h5", split="train")
    assert verify(tmp_path / "part.h5").problems == ()
    with h5py.File(path, "r+") as file:
        file.attrs["note"] = "mine"
        file["index/row"].attrs["remark"] = "mine"
        file["splits/own"] = np.zeros(len(file["patches"]), np.uint8)
        file["splits/own"].attrs["by"] = "hand"
        file["notes"] = ["a", "text"]
    assert verify(path).problems == ()


def test_a_file_without_the_checksum_is_taken_as_it_is(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs[schema.TEXTS_CHECKSUM]
        file.attrs["title"] = "another"
        assert list(find_changed_texts(file)) == []
        before = sum_texts(file)
        file.attrs["title"] = "a third"
        assert sum_texts(file) != before
