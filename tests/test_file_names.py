"""Names for texts from anywhere: one part of a path, ordinary on every system, each given once."""

from __future__ import annotations

import ntpath
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.exports.file_names import LONGEST_NBYTES, FileNames, safe_name
from sar_h5.sources.walk import FoundFiles, find_files

HOSTILE = [
    "../../x", "/etc/passwd", "..", ".", "", " ", "a\0b", "x" * 300, "é" * 300, "C:\\x", "\\\\host\\share", "con", "NUL.tif",
    "com1", "a:b", "a|b?*<>\"", "name.", "name ", ".hidden", "-rf", "~root", "\ud800", "\u202egpj", "a\nb", "X.SAFE", "x.safe.",
    "measurement", "Annotation", "manifest.safe", "__MACOSX", "aux .txt", "ﬁ", "\U0010ffff",
]  # fmt: skip


is_reserved = getattr(ntpath, "isreserved", None) or (lambda name: PureWindowsPath(name).is_reserved())


def assert_ordinary(name: str) -> None:
    assert name not in ("", ".", "..")
    assert len(name.encode()) <= LONGEST_NBYTES + 2
    assert PurePosixPath(name).parts == PureWindowsPath(name).parts == (name,)
    assert not is_reserved(name)
    assert name.isprintable()
    assert name == name.rstrip(". ")
    assert name[0] not in ".-~"
    assert not name.upper().endswith(".SAFE")
    assert safe_name(name) == name


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_become_ordinary_names(tmp_path: Path, text: str) -> None:
    name = safe_name(text)
    assert_ordinary(name)
    (tmp_path / "top" / name).mkdir(parents=True)
    (tmp_path / "top" / name / "p-vv.npy").write_bytes(b"")
    found = FoundFiles()
    find_files(tmp_path / "top", found)  # neither hidden nor taken for a product
    assert [path.parent.name for path in found.shards.values()] == [name]


@given(st.text(max_size=400))
def test_any_text_becomes_an_ordinary_name(text: str) -> None:
    assert_ordinary(safe_name(text))


@given(st.lists(st.sampled_from([*HOSTILE, "a", "A", "a_2", "é", "e\u0301", "straße", "STRASSE"]), max_size=40))
def test_names_are_given_once_whatever_the_file_system_takes_for_the_same(texts: list[str]) -> None:
    names = FileNames(["metadata.npy"])
    given_names = [names.give(text, ".npy") for text in texts] + [names.give("Metadata", ".npy")]
    keys = [unicodedata.normalize("NFC", name).casefold() for name in [*given_names, "metadata.npy"]]
    assert len(set(keys)) == len(keys)
    assert all(name.endswith(".npy") for name in given_names)


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("S1A_IW_GRDH_1SDV_20210119T031653", "s1a-iw-grd-vv-20210110t031653-001", "2020 tile (1)", "größe"):
        assert FileNames().give(name, ".npy") == f"{name}.npy"
