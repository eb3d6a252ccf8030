from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from sar_h5.sources.checksums import checksum_file
from sar_h5.sources.scene import SourceFile


@pytest.mark.parametrize("nbytes", [0, 1, (1 << 20) - 1, 1 << 20, (2 << 20) + 3])
def test_size_and_crc_are_those_of_all_bytes(tmp_path: Path, nbytes: int) -> None:
    data = np.random.default_rng(nbytes).bytes(nbytes)
    path = tmp_path / "file"
    path.write_bytes(data)
    assert checksum_file(path) == SourceFile(nbytes, zlib.crc32(data))


def test_a_flipped_bit_changes_the_crc(tmp_path: Path) -> None:
    data = bytearray(np.random.default_rng(0).bytes(3 << 20))
    path = tmp_path / "file"
    path.write_bytes(data)
    before = checksum_file(path)
    data[-1] ^= 1
    path.write_bytes(data)
    after = checksum_file(path)
    assert after.nbytes == before.nbytes
    assert after.crc32 != before.crc32


def test_a_file_that_has_gone_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        checksum_file(tmp_path / "gone")
