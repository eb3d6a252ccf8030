"""How many places of a file's patches were recovered, for people and for programs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sar_h5.schema import UNKNOWN


@dataclass(frozen=True)
class RecoveredCount:
    """Of how many patches the place was recovered from the pixels that they share with others.

    Attributes:
        known: of how many.
        patches: how many there are.
        parts: how many components they make up; places in different ones are not comparable.
    """

    known: int
    patches: int
    parts: int

    @classmethod
    def count(cls, component: npt.NDArray[np.integer]) -> RecoveredCount:
        """Count a column ``/index/component``, integers (N,)."""
        known = component[component > UNKNOWN]
        return cls(len(known), len(component), len(np.unique(known)))

    def to_dict(self) -> dict[str, int]:
        """Return all values as plain data for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        parts = f"{self.parts:,} part{'s' if self.parts != 1 else ''}"
        return f"recovered for {self.known:,} of {self.patches:,} patches, in {parts}"
