"""The structure of a file is checked in another process: nothing that HDF5 does there stops this one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import convert, structure_process, structure_worker, verify
from sar_h5.structure_checks import check_structure
from sar_h5.structure_process import check_structure_apart
from tests.conftest import make_shards
from tests.damage import loop_heap


@pytest.fixture
def file(tmp_path: Path) -> Path:
    make_shards(tmp_path, size=16)
    convert(tmp_path, tmp_path / "h5")
    return tmp_path / "h5" / "vv.h5"


def test_the_report_is_that_of_a_check_in_this_process(file: Path) -> None:
    apart, here = check_structure_apart(file).structure, check_structure(file).structure
    assert apart is not None
    assert here is not None
    assert apart.settings == here.settings
    assert apart.attributes == here.attributes
    assert (apart.count, apart.shape, apart.patch_nbytes, apart.dtype) == (8, (16, 16), 512, np.dtype("<u2"))
    for name, values in here.index.items():
        np.testing.assert_array_equal(apart.index[name], values)
    np.testing.assert_array_equal(apart.table.offsets, here.table.offsets)
    np.testing.assert_array_equal(apart.table.checksums, here.index["checksum"])


def test_hdf5_that_never_comes_back_is_a_problem_of_its_own_kind(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looping = Path(shutil.copy(file, tmp_path / "looping.h5"))
    loop_heap(looping)
    unguarded = "import sar_h5.opening; sar_h5.opening.find_heap_damage = lambda path: None; from sar_h5.structure_"
    monkeypatch.setattr(
        structure_process, "_CODE", structure_process._CODE.replace("from sar_h5.structure_", unguarded)
    )
    monkeypatch.setattr(structure_process, "_workers", {})
    assert verify(file).ok  # which starts the process
    monkeypatch.setattr(structure_process, "LIMIT_S", 1.0)
    started = time.monotonic()
    (problem,) = verify(looping).problems
    assert (problem.place, str(problem.kind)) == ("/", "unresponsive")
    assert "HDF5 did not come back within 1 s" in problem.message
    assert time.monotonic() - started < 5
    monkeypatch.undo()
    assert verify(file).ok  # by another process


@pytest.mark.skipif(os.name != "posix", reason="processes are ended with signals here")
def test_a_process_that_has_ended_is_replaced_and_one_that_dies_again_is_a_problem(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worker() -> subprocess.Popen[bytes]:
        check_structure_apart(file)
        process = structure_process._workers[os.getpid()]._process
        assert process is not None
        return process

    first = worker()
    assert worker() is first  # one serves many files
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = worker()
    assert second is not first
    monkeypatch.setattr(structure_process, "_CODE", "import os; os._exit(7)")
    second.send_signal(signal.SIGKILL)
    second.wait()
    (problem,) = check_structure_apart(file).problems
    assert (problem.place, str(problem.kind)) == ("/", "corrupt")
    assert "brought the process down that read it (exit status 7)" in problem.message


def test_a_process_that_is_idle_ends() -> None:
    code = "from sar_h5 import structure_worker as w; w.IDLE_S = 0.1; w.main()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert process.wait(timeout=30) == 0
    assert process.stdin is not None
    process.stdin.close()
    assert structure_worker.IDLE_S < structure_process.LIMIT_S


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_and_threads_ask_without_mixing_answers(file: Path, tmp_path: Path) -> None:
    others = [Path(shutil.copy(file, tmp_path / f"{number}.h5")) for number in range(4)]
    for number, other in enumerate(others):
        with h5py.File(other, "r+") as f:
            f.attrs["title"] = f"number {number}"
    titles: dict[int, str] = {}

    def ask(number: int) -> None:
        structure = check_structure_apart(others[number]).structure
        titles[number] = "" if structure is None else structure.attributes["title"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert titles == {number: f"number {number}" for number in range(4)}
    code = f"""
import os
from sar_h5 import verify
assert verify({str(file)!r}).ok
child = os.fork()
assert verify({str(file)!r}).ok
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_script_without_a_main_guard_can_verify(file: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import sar_h5\nprint(sar_h5.verify({str(file)!r}).ok)\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, env=environment)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_link_to_another_file_is_found_and_not_followed(file: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(file, tmp_path / "other.h5"))
    for name in ("patches", "index/row", "extra"):
        changed = Path(shutil.copy(file, tmp_path / "changed.h5"))
        with h5py.File(changed, "r+") as f:
            if name in f:
                del f[name]
            f[name] = h5py.ExternalLink(str(other), f"/{name}")
        (problem,) = verify(changed).problems
        assert (problem.place, str(problem.kind)) == (f"/{name}", "wrong type")
        assert "found a link to" in problem.message
