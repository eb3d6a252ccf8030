"""Compiled loops where their code cannot be kept, and in processes forked while another thread compiles."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.compiler_lock import global_compiler_lock

from sar_h5.compiled import compiled
from tests.patch_files import make_codes, make_lut, read_plain, write_file

WITHOUT_CACHE = """
import sys
import numpy as np
from sar_h5.reader import PatchReader
from sar_h5 import kernels
assert type(kernels.place._cache).__name__ == "NullCache"
reader = PatchReader(sys.argv[1])
out = np.zeros((3, *reader.source.shape[1:]), np.float32)
reader.values(np.array([2, 0, 1]), out, np.array([5, 0, 2], np.uint8))
sys.stdout.buffer.write(out.tobytes())
"""


def test_a_loop_that_cannot_be_kept_on_the_disk_is_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    njit, asked = numba.njit, []

    def refuse(**options: Any) -> Callable[..., Any]:
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'double': no locator available for file '<string>'")
        return njit(**options)  # type: ignore[no-any-return]

    monkeypatch.setattr(numba, "njit", refuse)
    double = compiled(lambda number: 2 * number)
    assert double(21) == 42
    assert asked == [{"nogil": True, "cache": True}, {"nogil": True}]


def test_a_process_without_a_place_for_compiled_code_reads_the_same(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", make_codes((3, 9, 9), 200, "u1"), make_lut(200))
    # Zip files are the only place where numba may keep code then, and the package is none; root can write anywhere else.
    environment = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "ZipCacheLocator"}
    command = [sys.executable, "-c", WITHOUT_CACHE, str(path)]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    plain = read_plain(path)[:, 0]
    wanted = [plain[2], plain[0], np.rot90(plain[1], 2)]
    wanted[0] = np.fliplr(np.rot90(plain[2]))
    assert done.stdout == b"".join(np.ascontiguousarray(patch).tobytes() for patch in wanted)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_waits_for_another_thread_to_end_compiling() -> None:
    compiling, go_on = threading.Event(), threading.Event()

    def compile_for_long() -> None:
        with global_compiler_lock:
            compiling.set()
            go_on.wait(timeout=0.3)

    thread = threading.Thread(target=compile_for_long)
    thread.start()
    compiling.wait()
    child = os.fork()
    if child == 0:  # without pytest around it
        os._exit(0 if global_compiler_lock._lock.acquire(timeout=5) else 1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with global_compiler_lock:  # given back here
        pass
    assert not global_compiler_lock.is_locked()
