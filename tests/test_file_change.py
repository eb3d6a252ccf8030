"""Files that change under those who read them: noticed where patches could be others, and only there."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sar_h5 import BackgroundLoader, SARH5Dataset, SceneSplit, convert, split_file, verify
from sar_h5.errors import FormatError, SourceError
from sar_h5.file_change import ChangeWatch, FileState
from tests.conftest import make_shards

COUNT = 8
METHODS = ["fork", "spawn"] if os.name == "posix" else ["spawn"]


def make(directory: Path, seed: int) -> Path:
    """Convert eight patches; those of another seed have the same shape, scenes and settings."""
    source = directory / f"in{seed}"
    source.mkdir()
    make_shards(source, seed=seed)
    convert(source, directory / f"out{seed}")
    return directory / f"out{seed}" / "vv.h5"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make(tmp_path, 0)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return make(tmp_path, 50)


def rewrite(path: Path, other: Path) -> None:
    """Write over a file in place: the same inode with another content."""
    before = path.stat().st_ino
    shutil.copyfile(other, path)
    assert path.stat().st_ino == before


def keep_times(path: Path, other: Path) -> None:
    times = path.stat()
    rewrite(path, other)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("change", [rewrite, keep_times])
@pytest.mark.parametrize("policy", ["raise", "skip", "substitute"])
def test_a_file_rewritten_in_place_is_noticed_whatever_is_done_about_bad_samples(
    path: Path, other: Path, change: Callable[[Path, Path], None], policy: str
) -> None:
    patches = SARH5Dataset(path, on_bad_sample=policy)  # type: ignore[arg-type]
    patches[0]
    change(path, other)
    for _ in range(2):
        with pytest.raises(FormatError, match="replaced by a different one since it was opened"):
            patches.__getitems__(list(range(COUNT)))
    with pytest.raises(FormatError, match="replaced by a different one"):
        patches[1]
    assert len(SARH5Dataset(path).__getitems__(list(range(COUNT)))) == COUNT


@pytest.mark.parametrize("method", METHODS)
def test_workers_notice_it_too(path: Path, other: Path, method: str) -> None:
    loader = DataLoader(
        SARH5Dataset(path), 2, num_workers=1, multiprocessing_context=method, persistent_workers=True, timeout=60
    )
    assert sum(map(len, loader)) == COUNT
    rewrite(path, other)
    with pytest.raises(FormatError, match="replaced by a different one"):
        list(loader)
    with pytest.raises(FormatError, match="replaced by a different one"):  # a fresh worker of the same dataset
        list(DataLoader(loader.dataset, 2, num_workers=1, multiprocessing_context=method, timeout=60))


def test_a_loader_in_the_background_notices_it_too(path: Path, other: Path) -> None:
    loader = BackgroundLoader(DataLoader(SARH5Dataset(path), 2))
    assert sum(map(len, loader)) == COUNT
    rewrite(path, other)
    with pytest.raises(FormatError, match="replaced by a different one"):
        list(loader)


def add_split(path: Path) -> None:
    split_file(path, SceneSplit(fractions=(0.5, 0.5)))


def append(path: Path) -> None:
    with h5py.File(path, "r+", locking=False) as file:
        file["patches"].resize(COUNT + 1, axis=0)
        file["patches"][COUNT] = 0


def note(path: Path) -> None:
    with h5py.File(path, "r+", locking=False) as file:
        file.attrs["note"] = "mine"


def same_again(path: Path) -> None:
    rewrite(path, Path(shutil.copy(path, path.with_suffix(".copy"))))


def rename_over(path: Path) -> None:
    (path.parent / "new.h5").write_bytes(b"another one, to be opened by those who come later")
    (path.parent / "new.h5").replace(path)


@pytest.mark.parametrize("change", [add_split, append, note, same_again, rename_over, Path.unlink, Path.touch])
def test_changes_that_leave_the_patches_alone_are_allowed(path: Path, change: Callable[[Path], None]) -> None:
    patches = SARH5Dataset(path)
    before = torch.stack(list(patches.__getitems__(list(range(COUNT)))))
    change(path)
    started = time.perf_counter()
    for _ in range(3):
        assert torch.equal(torch.stack(list(patches.__getitems__(list(range(COUNT))))), before)
    assert time.perf_counter() - started < 1.0  # not waiting for it to become the same


def test_a_file_in_the_midst_of_a_change_is_given_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patches, content = SARH5Dataset(path), path.read_bytes()
    patches[0]
    with path.open("r+b") as file:
        file.write(bytes(8))  # HDF5's signature
    monkeypatch.setattr("sar_h5.file_change.time.sleep", lambda _: path.write_bytes(content))
    assert patches[1].shape == (1, 32, 32)
    monkeypatch.undo()
    monkeypatch.setattr("sar_h5.file_change.PATIENCE_S", 0.01)
    path.write_bytes(bytes(len(content)))
    with pytest.raises(FormatError, match="is no sound HDF5 file any more"):
        ChangeWatch(str(path), FileState(1, 1, 1, 1, in_use=False), lambda *_: True).check()


def test_files_of_others_may_grow_and_not_be_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    data = np.random.default_rng(0).random((COUNT, 16, 16), np.float32)
    for options in ({}, {"chunks": (1, 16, 16), "maxshape": (None, 16, 16)}, {"compression": "gzip"}):
        for grow in (False, True) if "maxshape" in options else (False,):
            with h5py.File(path, "w") as file:
                file.create_dataset("x", data=data, **options)
            patches = SARH5Dataset(path)
            assert patches[3].numpy().tobytes() == data[3].tobytes()
            with h5py.File(tmp_path / "b.h5", "w") as file:
                file.create_dataset("x", data=np.concatenate([data, data]) if grow else data[::-1], **options)
            if grow:
                append_to = h5py.File(path, "r+", locking=False)
                with append_to as file:
                    file["x"].resize(2 * COUNT, axis=0)
                    file["x"][COUNT:] = data
                assert patches[3].numpy().tobytes() == data[3].tobytes()
                continue
            shutil.copyfile(tmp_path / "b.h5", path)
            with pytest.raises(FormatError, match="replaced by a different one"):
                patches[4]


def test_a_file_that_is_gone_before_a_worker_opens_it_is_named(path: Path) -> None:
    patches = SARH5Dataset(path)
    path.unlink()
    with pytest.raises(SourceError, match=r"vv\.h5: cannot be opened any more: No such file"):
        patches[0]
    assert not path.exists()


def test_the_file_is_as_sound_as_before(path: Path) -> None:
    patches = SARH5Dataset(path)
    patches[0]
    add_split(path)
    patches[1]
    assert verify(path).ok
