"""Run the command line, in this process or in another one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sar_h5.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str


class CommandLine:
    """Runs commands in this process, which takes no time to start."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def run(self, *arguments: object) -> Outcome:
        """Run ``sar-h5`` with arguments."""
        self._monkeypatch.setattr(sys, "argv", ["sar-h5", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as error:
            code = error.code
        out, err = self._capsys.readouterr()
        assert isinstance(code, int)
        return Outcome(code, out, err)

    def refuse(self, *arguments: object, untouched: Path) -> str:
        """Run a command that must refuse: exit code 1, one message, no traceback, nothing left; return the message."""
        before = snapshot(untouched)
        outcome = self.run(*arguments)
        assert outcome.code == 1
        assert outcome.out == ""
        assert outcome.err.startswith("sar-h5: ")
        assert outcome.err.count("sar-h5: ") == 1
        assert "Traceback" not in outcome.err
        assert snapshot(untouched) == before
        return outcome.err


def snapshot(directory: Path) -> dict[str, bytes | None] | None:
    """Return the contents of all files below a directory; None where there is none."""
    if not directory.exists():
        return None
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(directory.rglob("*"))}


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """Start ``sar-h5`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "sar_h5", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,  # type: ignore[call-overload]
    )  # fmt: skip
