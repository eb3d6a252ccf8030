"""What one measurement is asked for and what it gives, as it goes to the measuring process and into the results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["check", "prepare", "warm", "cold", "limited"]


@dataclass(frozen=True)
class Order:
    """One thing to do in a fresh process.

    Attributes:
        home: directory of the data.
        head: directory of the small source, which start-up is measured with.
        row: name of the row.
        state: "prepare" makes the row's files; "check" compares two epochs with the source; the others measure.
        workers: processes or threads.
        batch_size: patches in a batch.
        seed: of order and symmetries.
        seconds: least time to measure when warm or limited.
        group: directory of the control group, for "limited".
    """

    home: str
    head: str
    row: str
    state: State
    workers: int = 0
    batch_size: int = 64
    seed: int = 0
    seconds: float = 2.0
    group: str = ""


@dataclass(frozen=True)
class Speed:
    """What a measurement gives.

    Attributes:
        patches: served while the clock ran.
        seconds: how long that took.
        cpu_seconds: of the whole process tree meanwhile.
        start_s: start-up that is not in ``seconds``; cold only.
        peak_total_nbytes: PSS of the process tree at its peak, with pages of mapped files.
        peak_own_nbytes: the same without pages of files.
        cached_before: part of the row's files in the page cache before the clock ran.
        note: how the page cache was emptied, and the like.
    """

    patches: int
    seconds: float
    cpu_seconds: float
    start_s: float
    peak_total_nbytes: int
    peak_own_nbytes: int
    cached_before: float
    note: str = ""

    @property
    def patches_per_s(self) -> float:
        """Patches per second."""
        return self.patches / self.seconds

    @property
    def cpu_us_per_patch(self) -> float:
        """CPU time of the whole process tree per patch, in microseconds."""
        return self.cpu_seconds / self.patches * 1e6
