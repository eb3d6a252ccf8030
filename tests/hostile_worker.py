"""Give a file to everything that reads files of this package, in a process of its own, and say what came of it.

Run as ``python -m tests.hostile_worker SCRATCH WAYS PATH...`` with some of the ways below, or all: prints a JSON object for
each path as soon as it is known, so that whoever started it knows which one brought the process down. Memory is limited,
and what Python opens in a directory named "outside" is told; what libraries open has to be watched from outside.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from sar_h5 import SARH5Dataset, export_index, repair, split_file, split_overlap, verify
from sar_h5.errors import SarH5Error
from sar_h5.info import read_info
from sar_h5.splits.methods import SceneSplit

ADDRESS_NBYTES = 6 << 30
"""Address space for Python, its libraries (about 3 GB) and what is read."""


def read_all(path: Path, output: str, **settings: object) -> None:
    """Read every patch of a file, its index too."""
    dataset = SARH5Dataset(path, output=output, threads=1, **settings)
    _ = (repr(dataset), dataset.index if dataset.vmin is not None else None)
    for number in range(min(len(dataset), 8)):
        dataset[number]
    dataset.__getitems__(list(range(min(len(dataset), 8))))


def readers(scratch: Path) -> dict[str, Callable[[Path], object]]:
    """Every way to read a file, by name."""
    return {
        "info": lambda path: read_info(path).to_text() + json.dumps(read_info(path).to_dict()),
        "values": lambda path: read_all(path, "values"),
        "dict": lambda path: read_all(path, "values", sample="dict"),
        "codes": lambda path: read_all(path, "codes"),
        "checked": lambda path: read_all(path, "values", verify="always", on_bad_sample="substitute"),
        "split": lambda path: read_all(path, "values", split="train"),
        "where": lambda path: read_all(path, "values", where="valid_fraction >= 0"),
        "card": lambda path: SARH5Dataset(path)._repr_html_(),
        "overlap": split_overlap,
        "export": lambda path: export_index(path, scratch / "index.csv", overwrite=True),
        "verify": lambda path: json.dumps(verify(path, jobs=1).to_dict()),
        "repair": lambda path: repair(path, scratch / "sound.h5", drop=True, overwrite=True, jobs=1),
        "splitting": lambda path: split_file(path, SceneSplit(), name="again", overwrite=True),
    }


def judge(path: Path, chosen: dict[str, Callable[[Path], object]]) -> dict[str, str]:
    """Say for each way of reading whether it worked, was refused, or failed as it must not."""
    found = {}
    for name, read in chosen.items():
        started = time.monotonic()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                read(path)
            found[name] = "done"
        except SarH5Error as error:
            found[name] = f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test is about
            found[name] = "FAILED: " + "".join(traceback.format_exception(error))[-1500:]
        if time.monotonic() - started > 10:
            found[name] += f" FAILED: took {time.monotonic() - started:.0f} s"
    return found


def main() -> None:
    """Judge each file named on the command line."""
    allowed, ways, paths = sys.argv[1], sys.argv[2].split(), [Path(name) for name in sys.argv[3:]]
    warnings.simplefilter("error")
    opened: list[str] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and "/outside/" in str(arguments[0]):
            opened.append(str(arguments[0]))

    with tempfile.TemporaryDirectory(dir=allowed) as scratch:
        known = readers(Path(scratch))
        chosen = known if ways == ["all"] else {way: known[way] for way in ways}
        sys.addaudithook(watch)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_NBYTES, ADDRESS_NBYTES))
        for path in paths:
            found = judge(path, chosen)
            sys.stdout.write(json.dumps({"path": str(path), "found": found, "opened": opened}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
