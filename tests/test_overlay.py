"""Changes kept in memory behave as if they were made."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.overlay import Overlay


@given(
    old=st.binary(max_size=20_000),
    steps=st.lists(st.tuples(st.integers(0, 25_000), st.binary(max_size=9000) | st.none()), max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_an_overlay_behaves_as_the_file_would_and_tells_every_change(
    tmp_path_factory: pytest.TempPathFactory, old: bytes, steps: list[tuple[int, bytes | None]]
) -> None:
    path = tmp_path_factory.mktemp("overlay") / "a"
    path.write_bytes(old)
    twin = path.with_name("b")
    twin.write_bytes(old)
    with path.open("rb", buffering=0) as raw, twin.open("r+b") as real:
        overlay = Overlay(raw)
        for place, data in steps:
            if data is None:
                assert overlay.truncate(max(place, overlay.nbytes)) == real.truncate(max(place, overlay.nbytes))
                continue
            assert overlay.seek(place) == real.seek(place)
            if data:
                assert overlay.write(data) == real.write(data)
                assert overlay.tell() == real.tell()
        real.flush()
        size = overlay.seek(0, os.SEEK_END)
        assert size == real.seek(0, os.SEEK_END)
        overlay.seek(0)
        content = twin.read_bytes()
        assert overlay.read() == content
        assert overlay.content(size // 3, size // 3) == content[size // 3 : size // 3 + size // 3]
        rebuilt = bytearray(old)
        for place, before, after in overlay.changes(len(old)):
            assert rebuilt[place : place + len(before)] == before
            rebuilt[place : place + len(after)] = after
        assert rebuilt == content[: len(old)]
    assert path.read_bytes() == old


@given(
    before=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3000), max_size=4),
    after=st.dictionaries(st.sampled_from("defghi"), st.integers(0, 3000), max_size=4),
)
@settings(max_examples=20, deadline=None)
def test_hdf5_finds_what_it_has_put_there(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, int], after: dict[str, int]
) -> None:
    path = tmp_path_factory.mktemp("overlay") / "a.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for name, length in before.items():
            file[name] = np.arange(length)
    old = path.read_bytes()
    with path.open("rb", buffering=0) as raw:
        overlay = Overlay(raw)
        with h5py.File(overlay, "r+", libver=("v110", "v110")) as file:
            for name, length in after.items():
                if name in file:
                    del file[name]
                file.create_dataset(name, data=-np.arange(length), chunks=(100,) if length >= 100 else None)
        with h5py.File(overlay, "r") as file:
            assert {name: len(column) for name, column in file.items()} == before | after
            for name, length in (before | after).items():
                expected = -np.arange(length) if name in after else np.arange(length)
                assert np.array_equal(file[name][:], expected)
    assert path.read_bytes() == old


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 9000),
    st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 5000), st.booleans()), max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_what_lies_beyond_a_boundary_goes_to_the_file_and_nothing_else(
    boundary: int, writes: list[tuple[int, int, bool]], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    before = generator.bytes(9000)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "f"
        path.write_bytes(before)
        expected = bytearray(before)
        with path.open("r+b", buffering=0) as raw:
            overlay = Overlay(raw, boundary)
            for place, count, read in writes:
                data = generator.bytes(count)
                overlay.seek(place)
                assert overlay.write(data) == count
                if count:
                    expected += bytes(max(place + count - len(expected), 0))
                    expected[place : place + count] = data
                if read:
                    assert overlay.content(0, overlay.nbytes) == expected
            overlay.flush()
            overlay.check()
            assert overlay.content(0, len(expected)) == expected
            assert path.read_bytes()[:boundary] == before[:boundary]
            assert path.read_bytes()[boundary:] == expected[boundary:]
            applied = bytearray(path.read_bytes())
            for start, old, new in overlay.changes(boundary):
                assert applied[start : start + len(old)] == old
                applied[start : start + len(new)] = new
    assert applied == expected


def test_a_failure_to_write_is_told_when_asked_for_and_not_to_hdf5(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with (tmp_path / "f").open("rb", buffering=0) as raw:
        overlay = Overlay(raw, 3)
        overlay.seek(3)
        assert overlay.write(b"new") == 3
        overlay.check()
        overlay.flush()
        with pytest.raises(OSError, match=r"not open for writing|Bad file descriptor"):
            overlay.check()
        overlay.seek(0)
        assert overlay.write(b"more") == 4
        assert overlay.content(0, 3) == b"old"
