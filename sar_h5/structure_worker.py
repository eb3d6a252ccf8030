"""The process in which the structure of files is checked: answers requests on standard input until it is closed.

Damaged metadata can make HDF5 loop without end, in C and with the interpreter's lock held, so that nothing in the same
process can stop it; see ``structure_process`` for the other side.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading

from sar_h5.structure_checks import check_structure

IDLE_S = 10.0
"""How long to wait for the next file before the process ends."""


def main() -> None:
    """Check file after file: read pickled paths, write pickled reports."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    requests, reports = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no report
    while True:
        idle = threading.Timer(IDLE_S, os._exit, (0,))
        idle.daemon = True
        idle.start()
        try:
            path = pickle.load(requests)  # noqa: S301 - from the parent
        except EOFError:
            return
        finally:
            idle.cancel()
        pickle.dump(check_structure(path), reports, pickle.HIGHEST_PROTOCOL)
        reports.flush()
