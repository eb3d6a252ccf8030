"""The process in which inputs run: libFuzzer mutates them, guided by the branches of ``sar_h5`` that they reach."""

from __future__ import annotations

import hashlib
import importlib
import random
import resource
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import atheris

MEMORY_NBYTES = 6 << 30
"""Address space: Python and its libraries take 3 GB of it."""

SECONDS = 30
"""How long one input may take before it counts as a hang."""

# Their functions are compiled by Numba, which knows no instrumented bytecode.
COMPILED = [
    *("sar_h5.compiled", "sar_h5.conversion_kernels", "sar_h5.kernels", "sar_h5.native", "sar_h5.patch_kernels"),
    "sar_h5.stores.shard_kernels",
]


def main() -> None:
    """Run one target until its time is over, or an input brings the process down."""
    name, corpus, seconds, seed, guided = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:6]
    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=["sar_h5"], exclude=COMPILED):
        targets = importlib.import_module("tests.fuzz.targets")
    mutators = importlib.import_module("tests.fuzz.mutators")
    refused = importlib.import_module("sar_h5.errors").SarH5Error
    target = targets.TARGETS[name]
    seeds = [path.read_bytes() for path in sorted((corpus / "grown").glob("seed-*"))]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_NBYTES, MEMORY_NBYTES))

    def run(data: bytes) -> None:
        try:
            target(data, scratch)
        except refused:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the fuzzer is for
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "sar_h5" in frame.filename]
            place = f"{type(error).__name__} {frames[-1].filename}:{frames[-1].lineno}" if frames else repr(error)
            key = f"error-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
            if not (corpus / "found" / key).exists():
                (corpus / "found" / key).write_bytes(data)
                (corpus / "found" / f"{key}.txt").write_text("".join(traceback.format_exception(error)))

    def mutate(data: bytes, most_nbytes: int, number: int) -> bytes:
        generator = random.Random(number)  # noqa: S311 - to repeat a run
        base = data if int(guided) else generator.choice(seeds)
        return mutators.mutate(name, base, most_nbytes, generator, atheris.Mutate)

    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        options = [
            f"-max_total_time={seconds}",
            f"-seed={seed}",
            f"-timeout={SECONDS}",
            f"-dict={corpus / 'tokens.txt'}",
            f"-artifact_prefix={corpus / 'found'}/",
            f"-max_len={1 << 17}",
            f"-report_slow_units={2 * SECONDS}",
            "-rss_limit_mb=4000",
            "-len_control=0",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus / "grown")], run, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
