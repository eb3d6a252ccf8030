"""Convert, break off at random moments, go on, and compare with a conversion that nothing disturbed; print JSON.

Run as ``python -m tests.interrupted_conversion SOURCE SCRATCH FAULT COUNT SEED [OPTIONS]``, where OPTIONS is a JSON object
of arguments of ``convert``. FAULT is one of

    kill    SIGKILL after a random time
    write   SIGKILL in the midst of a random write, or before a random truncation, sync or renaming
    power   the same, after which what had not been synced is there in part: any sectors of it, of any length
    full    from a random write on the disk is full

COUNT is how many times a conversion is broken off; the last one of several hundred takes minutes.
"""

from __future__ import annotations

import errno
import io
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sar_h5 import convert, verify
from sar_h5.errors import OutputError
from sar_h5.journal import Journal

SECTOR = 512
LEAST = 2
"""How many entries there are in a journal before the first scene is finished."""

FULL = 3
"""Exit code of a conversion that met a full disk and said so."""


@dataclass
class Faults:
    """Counts what is done to the disk, and does something about one of them.

    Attributes:
        place: the number of the operation that fails.
        full: whether the disk is full from there on; else the process is killed.
        durable: where to keep a copy of each file as it was last synced, by inode.
        count: how many operations there have been.
    """

    place: int
    full: bool
    durable: Path | None = None
    count: int = field(default=0)

    def step(self, halfway: Callable[[], object] = lambda: None) -> None:
        """Note an operation; on the last one do half of it first."""
        self.count += 1
        if self.count < self.place:
            return
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        halfway()
        os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """See all that this process does to the disk in earnest: not what it reads, or makes empty."""
        self._see_files()
        self._see_syncs()

    def _see_files(self) -> None:
        faults, opened = self, Path.open

        class File(io.FileIO):
            def write(self, data: Any, /) -> int:
                faults.step(lambda: io.FileIO.write(self, bytes(data)[: len(data) // 2]))
                return super().write(data)

            def truncate(self, size: int | None = None, /) -> int:
                if size is not None and size < os.fstat(self.fileno()).st_size:
                    faults.step()
                return super().truncate(size)

        def open_path(path: Path, mode: str = "r", buffering: int = -1, *rest: Any, **options: Any) -> Any:
            if mode == "r+b" and buffering == 0:
                return File(path, mode)
            return opened(path, mode, buffering, *rest, **options)

        Path.open = open_path  # type: ignore[method-assign, assignment]

    def _see_syncs(self) -> None:
        faults, sync, replace = self, os.fsync, Path.replace

        def sync_and_keep(descriptor: int) -> None:
            if not faults.full:
                faults.step()
            sync(descriptor)
            status = os.fstat(descriptor)
            if faults.durable is not None and not os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
                shutil.copyfile(f"/proc/self/fd/{descriptor}", faults.durable / str(status.st_ino))

        def replace_path(path: Path, target: Path) -> Path:
            if not faults.full:
                faults.step()
            return replace(path, target)

        os.fsync = sync_and_keep  # type: ignore[assignment]
        Path.replace = replace_path  # type: ignore[method-assign, assignment]


def in_child(work: Callable[[], object], deadline: float | None = None) -> int:
    """Run in a child process, killed after so many seconds; return its status as ``waitpid`` does."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except OutputError as error:
            said = str(error) + "".join(getattr(error, "__notes__", []))
            os._exit(FULL if "disk full" in said and "the same command goes on" in said else 4)
        except BaseException as error:  # noqa: BLE001 - told by the exit code
            sys.stderr.write(f"{error!r}\n")
            os._exit(5)
        os._exit(0)
    if deadline is not None:
        time.sleep(deadline)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def lose_power(out: Path, durable: Path, chance: random.Random) -> None:
    """Leave of what was not synced only some sectors."""
    for path in sorted(out.glob("*")):
        if path.suffix == ".lock":
            continue
        now, kept = path.read_bytes(), durable / str(path.stat().st_ino)
        before = kept.read_bytes() if kept.exists() else b""
        length = chance.choice([len(before), len(now), chance.randint(*sorted([len(before), len(now)]))])
        content = bytearray(before[:length].ljust(length, b"\0"))
        survives = chance.random()
        for start in range(0, length, SECTOR):
            if chance.random() < survives:
                content[start : start + SECTOR] = now[start : min(start + SECTOR, length)].ljust(
                    min(SECTOR, length - start), b"\0"
                )
        path.write_bytes(content)


@dataclass
class Trial:
    """One source, broken off again and again.

    Attributes:
        source, out, durable: where it is, where it goes, and what of that was synced.
        fault: see the module.
        options: of ``convert``.
    """

    source: Path
    out: Path
    durable: Path
    fault: str
    options: dict[str, Any]

    def convert(self, place: int | None, tell: Path | None = None) -> None:
        """Convert, with a fault at an operation."""
        faults = Faults(sys.maxsize if place is None else place, self.fault == "full")
        faults.durable = self.durable if self.fault == "power" else None
        if place is not None or tell is not None:
            faults.install()
        committed = [len(Journal(path)) > LEAST for path in self.out.glob("*.journal")]
        summary = convert(self.source, self.out, resume=True, progress=False, **self.options)
        for note in [note for file in summary for note in file.notes]:
            if any(committed) and ("of no use" in note or "is damaged" in note):
                raise RuntimeError(f"what was finished is lost: {note}")
        if tell is not None:
            tell.write_text(str(faults.count))

    def break_off(self, operations: int, seconds: float, chance: random.Random) -> int:
        """Convert until the fault, or to the end where that comes first."""
        if self.fault == "kill":
            return in_child(lambda: self.convert(None), chance.random() * seconds)
        place = chance.randint(1, operations)
        status = in_child(lambda: self.convert(place))
        if self.fault == "power" and status:
            lose_power(self.out, self.durable, chance)
        return status

    def digests(self) -> dict[str, str]:
        """Return the content digests of the result, which must be sound."""
        import h5py

        found = {}
        for path in sorted(self.out.glob("*.h5")):
            assert verify(path).problems == (), verify(path).problems
            with h5py.File(path) as file:
                found[path.stem] = str(file.attrs["content_digest"])
        return found


def main() -> None:
    """Break off as often as the command line says."""
    source, scratch, fault = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    count, chance = int(sys.argv[4]), random.Random(int(sys.argv[5]))  # noqa: S311 - not for secrets
    options = json.loads(sys.argv[6]) if len(sys.argv) > 6 else {}
    trial = Trial(source, scratch / "out", scratch / "durable", fault, options)
    trial.durable.mkdir(parents=True)
    told, digests = scratch / "told", scratch / "digests"
    assert in_child(lambda: trial.convert(None, told)) == 0  # once to load and compile, once to time
    shutil.rmtree(trial.out)
    started = time.perf_counter()
    assert in_child(lambda: trial.convert(None, told)) == 0
    seconds = time.perf_counter() - started
    operations = int(told.read_text())
    result_nbytes = sum(path.stat().st_size for path in trial.out.glob("*.h5"))
    assert in_child(lambda: digests.write_text(json.dumps(trial.digests()))) == 0
    expected = json.loads(digests.read_text())

    faults, rounds, most_nbytes, wrong = 0, 0, 0, []
    while faults < count:
        shutil.rmtree(trial.out)
        trial.out.mkdir()
        for _ in range(chance.randint(1, 4)):
            status = trial.break_off(operations, seconds, chance)
            most_nbytes = max(most_nbytes, sum(path.stat().st_size for path in trial.out.glob("*")))
            faults += status != 0
            if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL, FULL):
                wrong.append({"seed": sys.argv[5], "round": rounds, "status": status})
        status = in_child(lambda: trial.convert(None))
        status = status or in_child(lambda: digests.write_text(json.dumps(trial.digests())))
        found = json.loads(digests.read_text()) if status == 0 else None
        left = sorted(path.name for path in trial.out.glob("*") if path.name not in {f"{name}.h5" for name in expected})
        if found != expected or left:
            wrong.append({"round": rounds, "status": status, "found": found, "left": left})
        rounds += 1
    sys.stdout.write(
        json.dumps(
            {
                "faults": faults,
                "rounds": rounds,
                "operations": operations,
                "result_nbytes": result_nbytes,
                "most_nbytes": most_nbytes,
                "wrong": wrong,
            }
        )
    )


if __name__ == "__main__":
    main()
