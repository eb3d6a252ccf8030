"""Files open beside writers as far as HDF5 allows, and say why not elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from sar_h5 import SARH5Dataset, convert, verify
from sar_h5.errors import FormatError, SettingError
from sar_h5.opening import name_damage, open_file
from tests.conftest import make_shards

WRITER = """
import sys, h5py, hdf5plugin
file = h5py.File(sys.argv[1], "r+", libver=("v110", "v110"))
if sys.argv[2] == "swmr":
    file.swmr_mode = True
patches = file["patches"]
count = len(patches)
patches.resize(count + 3, axis=0)
patches[count:] = patches[:3]
patches.flush()
print("written", flush=True)
sys.stdin.read()
file.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_shards(tmp_path)
    convert(tmp_path, tmp_path / "h5")
    return tmp_path / "h5" / "vv.h5"


@contextmanager
def appending(path: Path, mode: str) -> Iterator[None]:
    """Append three patches in another process, which keeps the file open meanwhile."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "written\n"
        yield
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.parametrize("mode", ["plain", "swmr"])
def test_a_dataset_that_is_open_goes_on_while_another_process_appends(path: Path, mode: str) -> None:
    dataset = SARH5Dataset(path)
    count = len(dataset)
    before = [dataset[number] for number in range(count)]
    untouched = SARH5Dataset(path)
    with appending(path, mode):
        for one in (dataset, untouched):
            assert len(one) == count
            assert all(np.array_equal(one[number], before[number]) for number in range(count))
    assert len(SARH5Dataset(path)) == count + 3


def test_a_file_in_swmr_mode_opens_beside_its_writer(path: Path) -> None:
    count = len(SARH5Dataset(path))
    with appending(path, "swmr"):
        dataset = SARH5Dataset(path)
        assert len(dataset) == count + 3
        assert np.array_equal(dataset[count + 2], dataset[2])


def test_a_file_open_for_writing_otherwise_is_refused_with_what_to_do(path: Path) -> None:
    with appending(path, "plain"), pytest.raises(FormatError, match=r"open for writing: wait until .*`h5clear -s`"):
        open_file(path)


def test_a_file_whose_writer_was_killed_says_so(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), "plain"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    with pytest.raises(FormatError, match="Where there is none, it was killed: make the file again"):
        SARH5Dataset(path)


@pytest.mark.parametrize(
    "error",
    [OSError("disk"), RuntimeError("link"), ValueError("x"), KeyError("y"), AttributeError("z"), TypeError("w")],
)
def test_whatever_h5py_raises_of_a_damaged_file_is_one_error_with_what_to_do(error: Exception) -> None:
    expected = rf"a\.h5: expected a sound index, found damage: .*{error.args[0]}.*; run `sar-h5 verify a\.h5`"
    with pytest.raises(FormatError, match=expected) as caught, name_damage("a.h5", "a sound index"):
        raise error
    assert caught.value.__cause__ is error


def test_errors_of_the_package_and_interruptions_pass_as_they_are() -> None:
    for error in (SettingError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, name_damage("a.h5"):
            raise error
        assert caught.value is error


def test_what_hdf5_cannot_open_is_told_in_plain_words(path: Path) -> None:
    content = path.read_bytes()
    cut = f"one that is cut short: the file should have {len(content):,} bytes, it has {len(content) - 100:,}; copy it"
    # Of a file whose account of its end is damaged itself, only HDF5's own words are true.
    flipped = content[:30] + bytes([content[30] ^ 1]) + content[31:]
    for damaged, expected in (
        (b"", "an empty file (0 bytes)"),
        (b"PK\x03\x04 and so on", "a file that is not an HDF5 file (it begins with b'PK\\x03\\x04 and')"),
        (content[:-100], cut),
        (flipped, "one that HDF5 cannot open: "),
    ):
        path.write_bytes(damaged)
        with pytest.raises(FormatError) as caught:
            open_file(path)
        assert f"{path}: expected an HDF5 file, found {expected}" in str(caught.value)
        (problem,) = verify(path).problems
        assert expected in problem.message
        assert ("HDF5" in problem.message.partition(expected)[0].replace("an HDF5 file", "")) is (
            damaged[1:4] == b"HDF"
        )
