"""The results of a run as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.summary import Cell, Line, summarize

_STATES = {
    "warm": "Warm: files in the page cache",
    "cold": "Cold: page cache dropped before, one epoch, start-up taken off",
    "limited": "Limited: memory for a quarter of the float32 size, page cache included",
}
_LONGEST_REASON = 120


def markdown(results: Mapping[str, Any]) -> str:
    """Return a table for each state, with what was measured and on what."""
    measured = [state for state in _STATES if state in {entry["state"] for entry in results["measurements"]}]
    parts = [_introduction(results)]
    parts += [f"### {_STATES[state]}\n\n{_table(summarize(results, state))}" for state in measured]
    parts += [f"Not measured: {entry['state']}: {entry['reason']}." for entry in results["skipped"]]
    return "\n\n".join(parts) + "\n"


def _introduction(results: Mapping[str, Any]) -> str:
    data, machine, settings = results["data"], results["machine"], results["settings"]
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items() if number)
    return (
        f"{data['patches']} simulated {data['polarization'].upper()} patches of 256 x 256 pixels "
        f"({data['levels']} distinct values, {data['float32_nbytes'] / 1e6:.0f} MB as float32), batches of "
        f"{settings['batch_size']}, shuffled, each patch with a random symmetry of the square. Patches per second: "
        f"median of {settings['rounds']} rounds (least to most). "
        f'"Ours / it": how many times as fast sar_h5 is, each at its best setting, median within rounds. '
        f"CPU and memory at the best setting; memory of the whole process tree, pages of files left out.\n\n"
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory']}, {machine['kernel']}, "
        f"Python {machine['python']}; {versions}."
    )


def _table(lines: Sequence[Line]) -> str:
    workers = sorted({number for line in lines for number in line.cells})
    head = [
        "loader",
        *(f"{number} workers" for number in workers),
        "ours / it",
        "CPU, µs per patch",
        "memory, MB",
        "disk, MB",
    ]
    rows = [head, ["---", *["--:"] * (len(head) - 1)]]
    reasons = []
    for line in lines:
        best, disk = line.best, "" if line.nbytes is None else f"{line.nbytes / 1e6:.0f}"
        if best is None:
            reasons.append(f"Not measured: {line.title}: {line.reason[:_LONGEST_REASON]}.")
            rows.append([line.title, *["not measured"] * len(workers), "", "", "", disk])
            continue
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
        cells = [_speed(line.cells.get(number)) for number in workers]
        rows.append(
            [line.title, *cells, ratio, f"{best.cpu_us_per_patch:.0f}", f"{best.peak_own_nbytes / 1e6:.0f}", disk]
        )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n\n".join([table, *reasons])


def _speed(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.median:,.0f} ({cell.least:,.0f} to {cell.most:,.0f})"
