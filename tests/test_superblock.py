"""The first bytes of HDF5 files, and of others."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from sar_h5.superblock import Superblock, read_superblock


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
