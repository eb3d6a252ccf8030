"""The first bytes of HDF5 files, and of others."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from sar_h5.superblock import Superblock, read_superblock, tell_cut, tell_foreign


@pytest.mark.parametrize("version", ["v108", "v110"])
def test_the_end_of_a_file_is_found_and_nobody_writes_to_it(tmp_path: Path, version: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=(version, version)) as file:
        file["a"] = 1
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"left by a killed run")
    with path.open("rb") as file:
        assert read_superblock(file) == Superblock(size, in_use=False)


def test_a_file_whose_writer_was_killed_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    writer = "import h5py, os, sys; f = h5py.File(sys.argv[1], 'w', libver='v110'); f.flush(); os._exit(0)"
    subprocess.run([sys.executable, "-c", writer, str(path)], check=True)
    with path.open("rb") as file:
        assert read_superblock(file).in_use


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\x89HDF\r\n\x1a\n", b"x" * 100, b"\x89HDF\r\n\x1a\n\x00" + b"\xff" * 50]
)
def test_of_others_nothing_is_known(content: bytes) -> None:
    assert read_superblock(io.BytesIO(content)) == Superblock(None, in_use=False)


def test_files_of_others_and_cut_ones_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    for content, expected in (
        (b"", "an empty file (0 bytes)"),
        (b"x" * 5000, "a file that is not an HDF5 file (it begins with b'xxxxxxxx')"),
        (b"\x89HD", "a file that is not an HDF5 file (it begins with b'\\x89HD')"),
    ):
        path.write_bytes(content)
        assert (tell_foreign(path), tell_cut(path)) == (expected, None)
    for block_nbytes in (0, 2048):
        with h5py.File(path, "w", libver="v110", userblock_size=block_nbytes) as file:
            file["a"] = 1
        assert (tell_foreign(path), tell_cut(path)) == (None, None)
    with h5py.File(path, "w", libver="v110") as file:
        file["a"] = range(1000)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    assert tell_foreign(path) is None
    assert (
        tell_cut(path) == f"the file should have {size:,} bytes, it has {size - 1:,}; copy it again, or convert again"
    )
