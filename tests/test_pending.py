"""``PendingFile`` and what it is for: killed, interrupted and concurrent runs, and full disks, leave no half-made result."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from sar_h5 import convert, verify
from sar_h5.errors import OutputError, OutputExistsError
from sar_h5.pending import PendingFile, journal_path
from tests.command_line import start
from tests.conftest import make_dn
from tests.raster_files import write_raster

posix = pytest.mark.skipif(os.name != "posix", reason="signals, limits and mounts as POSIX has them")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_final_name_appears_on_commit_and_nothing_else_stays(tmp_path: Path) -> None:
    with PendingFile(tmp_path / "vv.h5", overwrite=False) as pending:
        pending.partial.write_bytes(b"result")
        assert not (tmp_path / "vv.h5").exists()
        pending.commit()
        assert (tmp_path / "vv.h5").read_bytes() == b"result"
    assert names(tmp_path) == ["vv.h5"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_leaving_without_commit_removes_everything(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), PendingFile(tmp_path / "vv.h5", overwrite=False) as pending:  # noqa: PT012
        pending.partial.write_bytes(b"half")
        raise error
    assert names(tmp_path) == []


def test_an_existing_file_is_replaced_only_when_asked_and_only_on_commit(tmp_path: Path) -> None:
    final = tmp_path / "vv.h5"
    final.write_bytes(b"old")
    with (
        pytest.raises(OutputExistsError, match="is there already; pass --overwrite"),
        PendingFile(final, overwrite=False),
    ):
        pass
    with PendingFile(final, overwrite=True) as pending:
        pending.partial.write_bytes(b"half")
    assert final.read_bytes() == b"old"
    with PendingFile(final, overwrite=True) as pending:
        pending.partial.write_bytes(b"new")
        pending.commit()
    assert final.read_bytes() == b"new"
    assert names(tmp_path) == ["vv.h5"]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with PendingFile(tmp_path / "vv.h5", overwrite=False) as pending:
        pending.partial.write_bytes(b"ours")
        (tmp_path / "vv.h5").write_bytes(b"theirs")
        with pytest.raises(OutputExistsError, match="is there already"):
            pending.commit()
    assert (tmp_path / "vv.h5").read_bytes() == b"theirs"


def test_a_second_run_at_the_same_time_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with PendingFile(tmp_path / "vv.h5", overwrite=False) as pending:
        pending.partial.write_bytes(b"ours")
        with (
            pytest.raises(OutputError, match=r"vv\.h5: another run is writing this file; wait for it"),
            PendingFile(tmp_path / "vv.h5", overwrite=True),
        ):
            pass
        assert pending.partial.read_bytes() == b"ours"
        pending.commit()
    with PendingFile(tmp_path / "vv.h5", overwrite=True) as pending:
        pending.partial.write_bytes(b"next")
        pending.commit()
    assert (tmp_path / "vv.h5").read_bytes() == b"next"


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "vv.h5.partial").write_bytes(b"left")
    (tmp_path / "vv.h5.lock").write_bytes(b"")
    with PendingFile(tmp_path / "vv.h5", overwrite=False) as pending:
        assert not pending.partial.exists()
    assert names(tmp_path) == []


def test_a_result_that_cannot_get_its_name_is_an_error_that_says_so(tmp_path: Path) -> None:
    with PendingFile(tmp_path / "vv.h5", overwrite=False) as pending:
        with pytest.raises(OutputError, match=r"vv\.h5: the result is complete, but cannot be given this name"):
            pending.commit()
        pending.partial.write_bytes(b"result")
        (tmp_path / "vv.h5").mkdir()
        with pytest.raises(OutputExistsError, match="is there already"):
            pending.commit()


@pytest.mark.parametrize("committed", [False, True])
def test_what_can_be_gone_on_with_stays_until_the_file_is_there(tmp_path: Path, committed: bool) -> None:
    for _ in range(2):
        with PendingFile(tmp_path / "vv.h5", overwrite=False, resume=True) as pending:
            pending.partial.write_bytes(b"half")
            journal_path(pending.partial).write_bytes(b"journal")
        assert names(tmp_path) == ["vv.h5.partial", "vv.h5.partial.journal"]
    with PendingFile(tmp_path / "vv.h5", overwrite=False, resume=committed) as pending:
        assert pending.unfinished == committed
        assert pending.replaced_nbytes == (0 if committed else 4)
        if committed:
            pending.commit()
    assert names(tmp_path) == ["vv.h5"] * committed


# Whole runs


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rasters that take a while to convert with a slow codec."""
    directory = tmp_path_factory.mktemp("large")
    for number in range(3):
        write_raster(directory / f"s{number}_vv.tif", make_dn(number, (800, 2000)))
    return directory


def slow_run(
    source: Path, out: Path, size: int = 100_000, stride: int = 32, more: tuple[object, ...] = ()
) -> subprocess.Popen[str]:
    """Start a conversion and wait until it is in the middle of writing."""
    arguments = (*more, "--patch-size", 128, "--stride", stride, "--codec", "zstd", "--clevel", 9, "--shuffle", "bit")
    process = start("convert", source, "--out", out, *arguments)
    partial = out / "vv.h5.partial"
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size > size):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interruption_says_so_and_leaves_nothing(large: Path, tmp_path: Path, name: str) -> None:
    process = slow_run(large, tmp_path / "a" / "h5")
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert out == ""
    # click begins a new line after the terminal's ^C
    assert err.lstrip("\n") == "sar-h5: interrupted; unfinished results were removed, nothing half-made is left\n"
    assert names(tmp_path) == []


@posix
def test_an_interruption_with_resume_says_how_to_go_on_and_keeps_what_is_finished(large: Path, tmp_path: Path) -> None:
    process = slow_run(large, tmp_path, size=4_000_000, more=("--resume",))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert out == ""
    kept = "what is finished so far is kept: the same command goes on from there."
    assert err.lstrip("\n") == f"sar-h5: interrupted; {kept}\n"
    assert names(tmp_path) == ["vv.h5.partial", "vv.h5.partial.journal"]


@posix
def test_a_killed_run_leaves_no_final_file_and_the_next_one_works(large: Path, tmp_path: Path) -> None:
    process = slow_run(large, tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert "vv.h5.partial" in names(tmp_path)
    assert "vv.h5" not in names(tmp_path)
    convert(large, tmp_path, patch_size=256, stride=256)
    assert names(tmp_path) == ["vv.h5"]
    assert verify(tmp_path / "vv.h5").ok


@posix
def test_a_run_beside_a_running_one_is_refused_and_the_first_goes_on(large: Path, tmp_path: Path) -> None:
    process = slow_run(large, tmp_path, size=1, stride=96)
    process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(OutputError, match="another run is writing this file"):
            convert(large, tmp_path, patch_size=256, overwrite=True)
    finally:
        process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert names(tmp_path) == ["vv.h5"]
    with h5py.File(tmp_path / "vv.h5") as f:
        assert f"{len(f['patches']):,} of 128 x 128 px" in out
    assert verify(tmp_path / "vv.h5").ok


def assert_says_full_and_leaves(process: subprocess.Popen[str], directory: Path, left: list[str]) -> None:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert out == ""
    assert err.startswith("sar-h5: ")
    assert "vv.h5.partial: cannot be written (disk full" in err
    assert "Traceback" not in err
    assert names(directory) == left


@posix
@pytest.mark.parametrize("limit", [1_000, 100_000, 1_500_000])
def test_a_limit_on_file_size_is_an_error_and_leaves_nothing(large: Path, tmp_path: Path, limit: int) -> None:
    def lower_limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = start(
        "convert",
        large,
        "--out",
        tmp_path / "h5",
        preexec_fn=lower_limit,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert_says_full_and_leaves(process, tmp_path, [])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, where mounting is permitted."""
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("a small file system is mounted as Linux does")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not permitted: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_an_error_and_leaves_nothing(
    large: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match=r"of free disk for the result, found 0.001 GB"):
        convert(large, small_disk / "h5")
    assert names(small_disk) == []
    # It may also fill up on the way, after the check.
    usage = shutil.disk_usage(small_disk)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 40))
    (small_disk / "vv.h5").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"vv\.h5\.partial: cannot be written \(disk full"):
        convert(large, small_disk, overwrite=True)
    assert names(small_disk) == ["vv.h5"]
    assert (small_disk / "vv.h5").read_bytes() == b"precious"


def test_the_lock_is_free_again_after_every_kind_of_end(tmp_path: Path) -> None:
    for error in (None, ValueError, KeyboardInterrupt):
        with (
            contextlib.suppress(ValueError, KeyboardInterrupt),
            PendingFile(tmp_path / "vv.h5", overwrite=True) as pending,
        ):
            pending.partial.write_bytes(b"x")
            if error is not None:
                raise error
            pending.commit()
    assert names(tmp_path) == ["vv.h5"]
