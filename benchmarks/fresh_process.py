"""Things done in a process of their own, with their result or the reason why there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measurement import Order

ROOT = Path(__file__).resolve().parents[1]
MOST_SECONDS = 1800


class FailedError(RuntimeError):
    """The process ended without a result; the message is the last that it said."""


def carry_out(order: Order, most_seconds: float = MOST_SECONDS) -> dict[str, Any]:
    """Carry out an order in a fresh process.

    Raises:
        FailedError: where it fails or takes too long.
    """
    return run_module("benchmarks.measure", [json.dumps(asdict(order))], most_seconds)


def run_module(module: str, arguments: list[str], most_seconds: float = MOST_SECONDS) -> dict[str, Any]:
    """Run a module that takes a file for its result, JSON, as the last argument.

    Raises:
        FailedError: where it fails or takes too long.
    """
    with TemporaryDirectory(prefix="sar_h5-benchmark-") as temporary:
        result = Path(temporary, "result.json")
        command = [sys.executable, "-m", module, *arguments, str(result)]
        try:
            done = subprocess.run(  # noqa: S603 - starts the benchmarks' own modules
                command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=most_seconds, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise FailedError(f"took more than {most_seconds:.0f} s") from error
        if done.returncode == 0 and result.is_file():
            found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
            return found
    said = [line for line in done.stderr.splitlines() if line.strip()]
    raise FailedError(said[-1].strip() if said else f"ended with exit code {done.returncode}")
