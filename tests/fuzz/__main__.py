"""Fuzz one target for a while and print what came of it as JSON.

Run as ``python -m tests.fuzz TARGET --seconds N --seed S [--corpus DIR] [--unguided]``; needs atheris (libFuzzer for
Python: the extra ``fuzz``). The inputs run in a process of their own with limited memory, which is started again
where one brings it down. Exit code 1 where anything but a ``SarH5Error`` came out; the inputs lie in DIR/found then.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.seeds import SEEDS, TOKENS

_STATUS = re.compile(r"#(\d+)\s.*cov: (\d+) ft: (\d+) corp: (\d+)/")
_DONE = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


def fuzz(target: str, seconds: float, seed: int, corpus: Path, *, guided: bool) -> dict[str, object]:
    """Run the target's process, again after each time that it is brought down, until the time is over."""
    grown, found = corpus / "grown", corpus / "found"
    for directory in (grown, found):
        directory.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(SEEDS[target]()):
        (grown / f"seed-{number}").write_bytes(content)
    tokens = "".join('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n' for token in TOKENS[target])
    (corpus / "tokens.txt").write_text(tokens)
    end = time.monotonic() + seconds
    total = {"target": target, "guided": guided, "executions": 0, "edges": 0, "features": 0, "brought_down": 0}
    while (left := end - time.monotonic()) > 1:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.loop",
            target,
            str(corpus),
            str(int(left)),
            str(seed),
            str(int(guided)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        lines = _STATUS.findall(done.stderr)
        counts = [int(number) for number in _DONE.findall(done.stderr)] or [int(line[0]) for line in lines[-1:]]
        if not lines:
            raise SystemExit(f"{target} cannot be fuzzed:\n{done.stderr[-3000:]}")
        total["executions"] += sum(counts)
        total["edges"] = max([total["edges"], *(int(line[1]) for line in lines)])
        total["features"] = max([total["features"], *(int(line[2]) for line in lines)])
        total["brought_down"] += done.returncode != 0
        seed += 1
    failures = sorted(path.name for path in found.iterdir() if path.suffix != ".txt")
    return {**total, "corpus": len(list(grown.iterdir())), "failures": failures, "seconds": seconds}


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=sorted(SEEDS))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="where inputs are kept that reach new code  [default: nowhere]")
    parser.add_argument("--unguided", action="store_true", help="mutate only the seeds, to compare")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        corpus = chosen.corpus or Path(scratch)
        result = fuzz(chosen.target, chosen.seconds, chosen.seed, corpus, guided=not chosen.unguided)
        for name in result["failures"]:
            note = corpus / "found" / f"{name}.txt"
            sys.stderr.write(f"{name}: {note.read_text()[-1200:] if note.exists() else 'no traceback'}\n")
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
