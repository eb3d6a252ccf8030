"""Flip single bits of a file and verify each result; print what came of it as JSON.

Run as ``python -m tests.fuzz_verify FILE SCRATCH OFFSET...``. HDF5 itself can loop without end over a damaged global
heap, and holds the interpreter meanwhile, so that only a signal ends it: ``verify`` must come back nevertheless, while
``info`` and plain h5py run in a process that is ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import h5py

from sar_h5 import structure_process
from sar_h5.errors import SarH5Error
from sar_h5.info import read_info
from sar_h5.verification import verify
from sar_h5.verify_report import ProblemKind

SECONDS = 3


def contents(path: Path) -> dict[str, str]:
    """Return everything that a reader sees in a file, as text: attributes and data of all objects."""
    found: dict[str, str] = {}

    def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
        for key, value in item.attrs.items():
            found[f"{name}@{key}"] = repr(value if not hasattr(value, "tolist") else value.tolist())
        if isinstance(item, h5py.Dataset) and name != "patches":
            found[name] = repr(item[()].tolist())

    with h5py.File(path, locking=False) as file:
        note("/", file)
        file.visititems(note)
    return found


def judge(path: Path, original: Path, *, is_found: bool) -> dict[str, object]:
    """Say what ``info`` makes of a file, and, where ``verify`` finds nothing, what a reader sees of the damage."""
    try:
        read_info(path).to_text()
    except SarH5Error:
        pass
    except Exception as error:  # noqa: BLE001 - as above
        return {"result": "crash", "error": "".join(traceback.format_exception(error))}
    if is_found:
        return {"result": "found"}
    try:
        before, after = contents(original), contents(path)
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        return {"result": "missed", "changed": [f"cannot be read: {error}"]}
    changed = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    return {"result": "missed" if changed else "padding", "changed": changed}


def main() -> None:
    """Judge every offset named on the command line."""
    original, scratch = Path(sys.argv[1]), Path(sys.argv[2])
    content = original.read_bytes()
    structure_process.LIMIT_S = SECONDS
    results = []
    for offset in map(int, sys.argv[3:]):
        flipped = bytearray(content)
        flipped[offset] ^= 1 << (offset * 7 % 8)
        scratch.write_bytes(flipped)
        try:
            problems = verify(scratch).problems
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test is about
            crash = "".join(traceback.format_exception(error))
            results.append({"offset": offset, "result": "crash", "error": crash})
            continue
        if any(problem.kind == ProblemKind.UNRESPONSIVE for problem in problems):
            results.append({"offset": offset, "result": "unresponsive"})
            continue
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS)
            os.write(writer, json.dumps(judge(scratch, original, is_found=bool(problems))).encode()[:60_000])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        result = json.loads(told) if status == 0 else {"result": "killed", "error": f"status {status}"}
        results.append({"offset": offset, **result})
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
