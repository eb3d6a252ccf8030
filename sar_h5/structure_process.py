"""The structure of a file, checked in another process with a time limit: HDF5 may never come back from a damaged one.

One process serves many files, since starting it takes longer than most files; it ends when it has been idle for a
while, and with this process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

from sar_h5.file_structure import StructureReport
from sar_h5.pending import tell_unfinished
from sar_h5.superblock import tell_foreign
from sar_h5.verify_report import Problem, ProblemKind

LIMIT_S = 60.0
"""How long the structure of a small file may take; 720,953 patches take 3 s from memory."""
LIMIT_NBYTES_PER_S = 500_000_000
"""Files may take longer by a second for each so many bytes."""

_CODE = "import sys; sys.path[:] = {path!r}; from sar_h5.structure_worker import main; main()"


def check_structure_apart(path: str | Path) -> StructureReport:
    """Check the structure of a file; see :func:`sar_h5.structure_checks.check_structure`.

    Returns:
        The report; where HDF5 does not come back in time, or brings its process down, that is its one problem. So it is
        where the file is not for HDF5, or not finished.
    """
    if problem := _find_early_problem(Path(path)):
        return StructureReport(None, (problem,))
    full = os.path.abspath(path)  # noqa: PTH100 - as it is, links and all
    limit_s = LIMIT_S + Path(path).stat().st_size / LIMIT_NBYTES_PER_S
    worker = _worker()
    with worker.lock:
        return worker.check(full, limit_s)


def _find_early_problem(path: Path) -> Problem | None:
    with contextlib.suppress(OSError):  # what cannot be read HDF5 refuses, too
        if foreign := tell_foreign(path):
            return Problem("/", ProblemKind.CORRUPT, f"expected an HDF5 file, found {foreign}")
        if unfinished := tell_unfinished(path):
            return Problem("/", ProblemKind.MISSING, f"expected a finished file, found {unfinished}")
    return None


class _Worker:
    """One process that checks, for one thread at a time; started when needed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def check(self, path: str, limit_s: float) -> StructureReport:
        for _ in range(2):  # the first may end just now, having been idle
            process = self._process = self._process or self._start()
            late = threading.Event()
            report = self._ask(process, path, limit_s, late)
            if report is not None:
                return report
            status = self.stop()
            if late.is_set():
                reason = f"HDF5 did not come back within {limit_s:.0f} s; it loops over damaged metadata, most likely"
                return StructureReport(None, (Problem("/", ProblemKind.UNRESPONSIVE, reason),))
        reason = f"HDF5 brought the process down that read it (exit status {status}): its metadata are damaged"
        return StructureReport(None, (Problem("/", ProblemKind.CORRUPT, reason),))

    def stop(self) -> int:
        """End the process and return its exit status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            return process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        code = _CODE.format(path=sys.path)
        command = [sys.executable, "-c", code]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - this package
        # Once it has ended it must be gone: Jupyter kills kernels that have children left, be they zombies.
        threading.Thread(target=_reap, args=(process,), name="structure-process", daemon=True).start()
        return process

    def _ask(
        self, process: subprocess.Popen[bytes], path: str, limit_s: float, late: threading.Event
    ) -> StructureReport | None:
        """Return the report, or None where the process ended instead."""
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process was started without pipes")

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limit_s, end)
        timer.daemon = True
        timer.start()
        try:
            pickle.dump(path, process.stdin)
            process.stdin.flush()
            report: StructureReport = pickle.load(process.stdout)  # noqa: S301 - from this package's own code
        except (OSError, EOFError, pickle.UnpicklingError):
            return None
        except BaseException:
            process.kill()  # interrupted: its answer must not be taken for the next one's
            self.stop()
            raise
        finally:
            timer.cancel()
        return report


def _reap(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:  # not wait(), which holds a lock that a fork would copy
        time.sleep(0.1)


_workers: dict[int, _Worker] = {}


def _worker() -> _Worker:
    """Return this process's worker; one inherited over a fork belongs to the parent, and so does its lock."""
    process = os.getpid()
    if process not in _workers:
        _workers.setdefault(process, _Worker())
        atexit.register(_stop_own)
    return _workers[process]


def _stop_own() -> None:
    worker = _workers.get(os.getpid())  # after a fork the others' are not ours to stop
    if worker is not None:
        worker.stop()
