"""Commands that write, on a small file system with room for almost nothing up to just enough."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sar_h5 import convert
from tests.damage import break_patch
from tests.fault_child import refusal, run_command

NBYTES = 16 << 20


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path | None]:
    """Mount a file system of 16 MB, in memory; None where that is not allowed."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={NBYTES}", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


@dataclass(frozen=True)
class Command:
    """A command that writes to the small disk.

    Attributes:
        arguments: given the folder on the disk.
        prepare: puts there what it needs.
        resumes: whether it goes on where it was stopped.
    """

    arguments: Callable[[Path], list[object]]
    prepare: Callable[[Path], object] = lambda _: None
    resumes: bool = False


def commands(source: Path, home: Path) -> dict[str, Command]:
    """Return all commands that write, with products to work on."""
    convert(source, home, patch_size=64, stride=64, polarization="vv", encoding="dn")
    file, broken = home / "vv.h5", home / "broken.h5"
    shutil.copy(file, broken)
    break_patch(broken, 3)
    options = ["--patch-size", 64, "--stride", 64]
    return {
        "convert": Command(lambda out: ["convert", source, "--out", out / "h5", *options]),
        "convert --resume": Command(
            lambda out: ["convert", source, "--out", out / "h5", *options, "--resume"], resumes=True
        ),
        "split": Command(
            lambda out: ["split", out / "vv.h5", "--fractions", 0.5, 0.5, 0],
            lambda out: shutil.copy(file, out / "vv.h5"),
        ),
        "repair": Command(lambda out: ["repair", broken, "--out", out / "sound.h5", "--drop"]),
        "repack": Command(lambda out: ["repack", file, "--out", out / "blocks.h5", "--layout", "blocks"]),
        "export": Command(lambda out: ["export", file, "--index", out / "index.csv"]),
        "preview": Command(lambda out: ["preview", file, "--out", out / "preview.png"]),
    }


def fill(disk: Path, source: Path, home: Path, points: int, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run each command with so many sizes of room, then again with enough.

    Returns:
        ``outcomes`` by command: how many were refused and how many had room; ``wrong``: what did not end as it should.
    """
    outcomes: dict[str, dict[str, int]] = {}
    wrong: list[str] = []
    for name, command in commands(source, home).items():
        if only and name not in only:
            continue
        counts = Counter[str]()
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        command.prepare(disk)
        used = _used(disk)
        ended = run_command(*command.arguments(disk))
        if ended.code:
            wrong.append(f"{name}, on an empty disk: {ended.err}")
            continue
        needed, expected = _used(disk) - used, _digests(disk)
        for room in np.unique(np.linspace(0, 1.15 * needed, points).astype(int) // 4096 * 4096).tolist():
            reasons, result = _try(disk, command, room, expected)
            counts[result] += 1
            wrong += [f"{name}, room for {room} of {needed}: {reason}" for reason in reasons]
        outcomes[name] = dict(counts)
    tried = sum(sum(counts.values()) for counts in outcomes.values())
    return {"tried": tried, "outcomes": outcomes, "wrong": wrong}


def _try(disk: Path, command: Command, room: int, expected: dict[str, str]) -> tuple[list[str], str]:
    """Run a command with so many bytes of room, then with enough; return what is wrong, and how the first one ended."""
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    command.prepare(disk)
    before = _files(disk)
    filler, free = disk / "filler", os.statvfs(disk)
    with filler.open("wb") as file:
        if free.f_bavail * free.f_frsize > room:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - room)
    ended = run_command(*command.arguments(disk))
    filler.unlink()
    reasons = []
    if ended.code:
        fault = refusal(ended)
        reasons += [fault] if fault else []
        if not command.resumes and _files(disk) != before:
            reasons.append(f"left: {sorted(set(_files(disk)) - set(before))}")
        again = run_command(*command.arguments(disk))
        if again.code:
            reasons.append(f"again with enough room: {again.err}")
    if _digests(disk) != expected:
        reasons.append(f"another result: {_digests(disk)}")
    return reasons, "refused" if ended.code else "done"


def _files(disk: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(disk)): path.read_bytes()
        for path in sorted(disk.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def _digests(disk: Path) -> dict[str, str]:
    """Return what tells results apart: of files of patches their digest, and which splits they have."""
    found = {}
    for path in sorted(disk.rglob("*")):
        name = str(path.relative_to(disk))
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                splits = {split: values[:].tobytes().hex() for split, values in file.get("splits", {}).items()}
                found[name] = f"{file.attrs['content_digest']} {splits}"
        elif path.is_file() and path.suffix != ".lock":
            found[name] = "" if path.suffix in (".npy", ".xml", ".tiff") else str(path.stat().st_size)
    return found


def _used(disk: Path) -> int:
    status = os.statvfs(disk)
    return (status.f_blocks - status.f_bfree) * status.f_frsize
