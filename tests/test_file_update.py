"""Changes to HDF5 files in place: what a kill, a full disk, other writers and readers see."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import SARH5Dataset, verify
from sar_h5.errors import FormatError, OutputError, SourceError
from sar_h5.file_update import FileUpdate
from sar_h5.opening import open_as_it_is, open_file
from tests.test_pending import names, posix

GOLDEN = Path(__file__).parent / "golden" / "v1.0.h5"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(GOLDEN, tmp_path / "vv.h5"))


def add(update: FileUpdate, name: str = "more", count: int = 5000) -> None:
    """Add a dataset that does not compress, and a line of history."""
    update.file[name] = np.random.default_rng(0).integers(0, 256, count, dtype=np.uint8)
    update.file.attrs["history"] = f"{update.file.attrs['history']}\n{name}"


def change(path: Path, name: str = "more") -> None:
    with FileUpdate(path) as update:
        add(update, name)
        update.stage()
        update.commit()


def test_a_change_is_there_on_commit_and_the_file_is_sound(path: Path) -> None:
    before = path.read_bytes()
    with FileUpdate(path) as update:
        add(update)
        assert path.read_bytes() == before
        update.stage()
        assert path.read_bytes()[: len(before)] == before
        assert verify(path).ok
        update.commit()
    assert names(path.parent) == ["vv.h5"]
    assert verify(path).ok
    with h5py.File(path) as f:
        assert len(f["more"]) == 5000
        assert f.attrs["history"].endswith("\nmore")
    change(path, "another")
    assert verify(path).ok
    if shutil.which("h5ls"):
        listing = subprocess.run(["h5ls", "-r", str(path)], capture_output=True, text=True, check=True).stdout
        assert "/another" in listing
        assert "/more" in listing


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_leaving_without_commit_leaves_the_file_as_it_was(path: Path, error: type[BaseException], staged: bool) -> None:
    before = path.read_bytes()
    with pytest.raises(error), FileUpdate(path) as update:  # noqa: PT012
        add(update)
        if staged:
            update.stage()
        raise error
    assert path.read_bytes() == before
    assert names(path.parent) == ["vv.h5"]


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("good_writes", [0, 1, 2, 3])
def test_a_full_disk_at_any_write_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch, good_writes: int
) -> None:
    before = path.read_bytes()
    write: Callable[[FileUpdate, int, bytes], None] = FileUpdate._write
    calls: list[int] = []

    def write_until_full(self: FileUpdate, place: int, data: bytes) -> None:
        calls.append(place)
        if len(calls) == good_writes + 1:
            write(self, place, data[: len(data) // 2])
            raise FULL
        write(self, place, data)

    monkeypatch.setattr(FileUpdate, "_write", write_until_full)
    with pytest.raises(OutputError, match=r"vv\.h5: cannot be changed \(disk full\?\): .*No space left.*as it was"):
        change(path)
    assert path.read_bytes() == before
    assert names(path.parent) == ["vv.h5"]


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from sar_h5.file_update import FileUpdate
with FileUpdate(Path(sys.argv[1])) as update:
    update.file["more"] = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)
    if sys.argv[2] == "staged":
        update.stage()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
@pytest.mark.parametrize("when", ["written", "staged"])
def test_a_kill_before_the_last_bytes_leaves_a_sound_file_that_can_be_changed(path: Path, when: str) -> None:
    before = path.read_bytes()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), when], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes()[: len(before)] == before
    assert len(path.read_bytes()) > len(before) or when == "written"
    assert verify(path).ok
    change(path)
    assert verify(path).ok
    assert names(path.parent) == ["vv.h5"]


def test_no_patch_is_lost_in_any_state_between_the_last_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(path, "first")
    expected = [SARH5Dataset(path)[number] for number in range(12)]
    states: list[Path] = []
    write: Callable[[FileUpdate, int, bytes], None] = FileUpdate._write

    def write_and_copy(self: FileUpdate, place: int, data: bytes) -> None:
        write(self, place, data)
        states.append(Path(shutil.copy(path, path.with_name(f"{len(states)}.h5"))))

    monkeypatch.setattr(FileUpdate, "_write", write_and_copy)
    change(path, "second")
    assert len(states) > 2
    for state in states:
        dataset = SARH5Dataset(state)
        assert all(np.array_equal(dataset[number], expected[number]) for number in range(12))
    assert verify(states[0]).ok
    assert verify(states[-1]).ok


def test_readers_go_on_and_new_ones_see_the_change(path: Path) -> None:
    dataset = SARH5Dataset(path)
    expected = [dataset[number] for number in range(12)]
    with h5py.File(path) as held:
        patches, lut = held["patches"], held["lut"]
        change(path)
        for one in (dataset, SARH5Dataset(path), pickle.loads(pickle.dumps(dataset))):
            assert all(np.array_equal(one[number], expected[number]) for number in range(12))
        assert np.array_equal(lut[:][patches[3]], expected[3][0])
        assert "more" not in held  # HDF5 looks once
        with open_as_it_is(path) as now:
            assert "more" in now
    with open_file(path) as opened:
        assert "more" in opened


def test_a_second_change_at_the_same_time_is_refused(path: Path) -> None:
    with FileUpdate(path) as update:
        add(update)
        with pytest.raises(OutputError, match="another run is writing this file"), FileUpdate(path):
            pass
        update.stage()
        update.commit()
    assert verify(path).ok


@posix
def test_a_file_that_is_open_for_writing_is_refused(path: Path) -> None:
    with (
        h5py.File(path, "r+"),
        pytest.raises(OutputError, match="open for writing; wait until it is done"),
        FileUpdate(path),
    ):
        pass
    writer = "import h5py, os, sys; f = h5py.File(sys.argv[1], 'r+', locking=False); f['x'] = 1; f.flush(); os._exit(0)"
    subprocess.run([sys.executable, "-c", writer, str(path)], check=True)
    with (
        pytest.raises(OutputError, match=r"open for writing: wait .* Where there is none, it was killed"),
        FileUpdate(path),
    ):
        pass
    assert names(path.parent) == ["vv.h5"]


def test_what_is_no_file_to_change_is_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent\.h5: .*no such file"), FileUpdate(tmp_path / "absent.h5"):
        pass
    with pytest.raises(SourceError, match="found a directory"), FileUpdate(tmp_path):
        pass
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(FormatError, match="HDF5 cannot open"), FileUpdate(tmp_path / "text.h5"):
        pass
    if os.name == "posix" and os.geteuid() != 0:
        path.chmod(0o444)
        with pytest.raises(OutputError, match="expected a file to change"), FileUpdate(path):
            pass
    assert names(tmp_path) == ["text.h5", "vv.h5"]
