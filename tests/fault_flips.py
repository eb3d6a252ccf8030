"""Change single bytes all over files: found by verify or harmless, and never a wrong sample."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sar_h5 import SARH5Dataset, convert, structure_process, verify
from sar_h5.errors import SarH5Error
from sar_h5.verify_report import ProblemKind
from tests.conftest import make_shards
from tests.fault_child import in_child
from tests.fuzz_verify import contents

KINDS: dict[str, dict[str, Any]] = {
    "shards, palette, uint8": {},
    "products, palette, uint16": {"encoding": "palette"},
    "products, dn, uint16": {"encoding": "dn"},
    "products, float32": {"encoding": "float32"},
}
LIMIT_S = 10


def make_file(kind: str, products: Path, home: Path) -> Path:
    """Convert a file of about a hundred kilobytes of a kind."""
    out = home / kind.replace(", ", "-")
    if "shards" in kind:
        source = home / "shards"
        source.mkdir()
        make_shards(source, counts=(20, 20), size=64)
        for path in source.glob("*-vv-*.npy"):
            _coarsen(path)
        convert(source, out)
    else:
        convert(products, out, patch_size=64, stride=128, polarization="vv", **KINDS[kind])
    return out / "vv.h5"


def flip(products: Path, home: Path, count: int, seed: int) -> dict[str, Any]:
    """Change one byte at so many places, shared out to files of all kinds, and judge each result.

    Returns:
        ``outcomes``: found; harmless (nothing that can be read has changed).
        ``served``: exact, or refused with an error of the package. ``wrong``: everything else.
    """
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    outcomes, served, wrong = Counter[str](), Counter[str](), []
    by_kind: dict[str, dict[str, int]] = {}
    for number, kind in enumerate(KINDS):
        original, changed = make_file(kind, products, home), home / "changed.h5"
        content = original.read_bytes()
        samples = torch.stack(list(SARH5Dataset(original, threads=1)))
        before = contents(original)
        counts = Counter[str]()
        for _ in range(count // len(KINDS) + (number < count % len(KINDS))):
            place, change = chance.randrange(len(content)), chance.randint(1, 255)
            damaged = bytearray(content)
            damaged[place] ^= change
            changed.write_bytes(damaged)
            result, sample, reason = _judge(changed, samples, before)
            counts[result] += 1
            served[sample] += 1
            if reason:
                wrong.append({"kind": kind, "place": place, "change": change, "reason": reason})
        by_kind[kind] = dict(counts)
        outcomes += counts
    return {"tried": count, "outcomes": dict(outcomes), "by_kind": by_kind, "served": dict(served), "wrong": wrong}


def _judge(path: Path, samples: torch.Tensor, before: dict[str, str]) -> tuple[str, str, str]:
    """Return how ``verify`` and a data set take a file, and what is wrong with that."""
    usual_s, structure_process.LIMIT_S = structure_process.LIMIT_S, LIMIT_S
    try:
        problems = verify(path, jobs=1).problems
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        return "crash", "", f"verify: {error!r}"
    finally:
        structure_process.LIMIT_S = usual_s
    if any(problem.kind == ProblemKind.UNRESPONSIVE for problem in problems):
        return "hang", "", "HDF5 never came back"
    serving = in_child(lambda: _serve(path, samples))
    sample = json.loads(serving.out) if serving.code == 0 else f"code {serving.code}"
    reason = "" if sample in ("exact", "refused") else f"served: {sample} {serving.err[-3000:]}"
    if problems:
        return "found", sample, reason
    reading = in_child(lambda: _differences(path, before))
    if reading.code:
        return "unreadable", sample, f"not found, and cannot be read: {reading.err[-500:]}"
    different = json.loads(reading.out)
    if not different:
        return "harmless", sample, reason
    return "missed", sample, f"not found: {different}"


def _serve(path: Path, samples: torch.Tensor) -> str:
    """Serve all patches that can be served."""
    try:
        patches = SARH5Dataset(path, verify="always", threads=1)
    except SarH5Error:
        return "refused"
    refused = False
    for number in range(len(samples)):
        try:
            if not torch.equal(patches[number], samples[number]):
                return f"patch {number} wrong"
        except SarH5Error:
            refused = True
    return "refused" if refused else "exact"


def _differences(path: Path, before: dict[str, str]) -> list[str]:
    """Name all attributes and datasets that differ for whoever reads the file with h5py."""
    after = contents(path)
    return [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]


def _coarsen(path: Path) -> None:
    """Leave a shard fewer than 256 values, so that its codes take one byte."""
    np.save(path, (np.round(np.load(path) * 100) / 100).astype(np.float32))
