"""Cut files off at each boundary of their structure, and read what is left with everything that reads."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import torch

from sar_h5 import SARH5Dataset, verify
from sar_h5.errors import SarH5Error
from tests.fault_child import in_child, refusal, run_command

_SIGNATURES = rb"OHDR|OCHK|GCOL|FRHP|FHDB|FHIB|BTHD|BTLF|BTIN|FAHD|FADB|EAHD|EAIB|EASB|EADB|FSHD|SNOD|TREE|HEAP"
"""Of the objects of an HDF5 file: HDF5 File Format Specification 3.0."""
_SUPERBLOCK_NBYTES = 48
_SECONDS = 30


def boundaries(path: Path, most_chunks: int = 12) -> list[int]:
    """Return where parts of a file start or end: superblock, objects, and the chunks of all data sets."""
    content = path.read_bytes()
    found = {0, 8, _SUPERBLOCK_NBYTES, *(match.start() for match in re.finditer(_SIGNATURES, content))}

    def note(_: str, item: h5py.HLObject) -> None:
        found.add(h5py.h5o.get_info(item.id).addr)
        if not isinstance(item, h5py.Dataset):
            return
        if item.chunks is None:
            found.update([item.id.get_offset() or 0])
            return
        for number in range(min(item.id.get_num_chunks(), most_chunks)):
            chunk = item.id.get_chunk_info(number)
            found.update([chunk.byte_offset, chunk.byte_offset + chunk.size])

    with h5py.File(path) as file:
        file.visititems(note)
    found.add(len(content) - 1)
    around = {place + step for place in found for step in (-1, 0, 1)}
    return sorted(place for place in around if 0 <= place < len(content))


def cut(original: Path, home: Path) -> dict[str, Any]:
    """Cut a file off at each boundary and a byte before and after it.

    Returns:
        ``outcomes``: by reader, how often it refused; ``wrong``: where one did not, or not as it should.
    """
    outcomes, wrong = Counter[str](), []
    path, content, places = home / "cut.h5", original.read_bytes(), boundaries(original)
    readers: dict[str, list[object]] = {
        "info": ["info", path],
        "export": ["export", path, "--index", home / "index.csv"],
        "preview": ["preview", path, "--out", home / "preview.png"],
        "split": ["split", path],
        "repair": ["repair", path, "--out", home / "sound.h5", "--drop"],
    }
    for place in places:
        path.write_bytes(content[:place])
        report = verify(path)
        outcomes["verify"] += not report.ok
        wrong += [] if not report.ok else [f"cut at {place}: verify found nothing"]
        served = in_child(lambda: _refuses(path), _SECONDS)
        outcomes["SARH5Dataset"] += served.out == "true"
        wrong += [] if served.out == "true" else [f"cut at {place}: served, {served}"]
        for name, arguments in readers.items():
            reason = refusal(run_command(*arguments, seconds=_SECONDS))
            outcomes[name] += reason is None
            wrong += [f"cut at {place}: {name}: {reason}"] if reason else []
        left = {found.name for found in home.glob("*") if found.is_file()} - {path.name, original.name}
        wrong += [f"cut at {place}: left {sorted(left)}"] if any(not name.endswith(".lock") for name in left) else []
        if path.read_bytes() != content[:place]:
            wrong.append(f"cut at {place}: changed by a reader")
    return {"tried": len(places), "outcomes": dict(outcomes), "wrong": wrong}


def _refuses(path: Path) -> bool:
    try:
        torch.stack(list(SARH5Dataset(path, threads=1)))
    except SarH5Error:
        return True
    return False
