"""Work in a child process that may crash, hang or leave, with what it said."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sar_h5.cli import main

SECONDS = 60
FAILED = 70
"""Exit code of work that raised what it should not."""


@dataclass(frozen=True)
class Outcome:
    """How a child ended.

    Attributes:
        code: its exit code; negative for a signal, as -14 where it took too long.
        out, err: what it said.
    """

    code: int
    out: str
    err: str


def in_child(work: Callable[[], object], seconds: int = SECONDS) -> Outcome:
    """Run work in a forked process that a signal ends after so many seconds; what it returns is printed as JSON."""
    with tempfile.TemporaryDirectory() as directory:
        said = [Path(directory, name) for name in ("out", "err")]
        child = os.fork()
        if child == 0:
            code = FAILED
            try:
                signal.alarm(seconds)
                for stream, path in enumerate(said, 1):
                    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
                code = _run(work)
            finally:  # whatever is raised, by a signal's handler perhaps, must not go on with the parent's work
                os._exit(code)
        _, status = os.waitpid(child, 0)
        out, err = (path.read_text(errors="replace") if path.exists() else "" for path in said)
        return Outcome(os.waitstatus_to_exitcode(status), out, err)


def run_command(*arguments: object, seconds: int = SECONDS) -> Outcome:
    """Run ``sar-h5`` with arguments."""

    def work() -> object:
        sys.argv = ["sar-h5", *map(str, arguments)]
        return main()

    return in_child(work, seconds)


def refusal(outcome: Outcome) -> str | None:
    """Return what is wrong with how a command refused: it must exit with 1 and one message."""
    if outcome.code != 1:
        return f"exit code {outcome.code}: {outcome.err[-500:]}"
    lines = [line for line in outcome.err.splitlines() if line.startswith("sar-h5: ")]
    if len(lines) != 1 or "Traceback" in outcome.err:
        return f"not one message: {outcome.err[-500:]}"
    return None


def _run(work: Callable[[], object]) -> int:
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    faulthandler.register(signal.SIGALRM, chain=True)  # where it was when its time was up
    code: Any = 0
    try:
        result = work()
        if result is not None:
            sys.stdout.write(json.dumps(result))
    except SystemExit as error:
        code = error.code or 0
    except BaseException:  # noqa: BLE001 - told by the exit code
        sys.stderr.write(traceback.format_exc())
        code = FAILED
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code)
