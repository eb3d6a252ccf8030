"""The ways of splitting patches into train, val and test, as settings that are checked when made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sar_h5.errors import SettingError

DEFAULT_FRACTIONS = (0.8, 0.1, 0.1)
_MOST = (1 << 63) - 1


@dataclass(frozen=True)
class _Split:
    """What all ways of splitting have in common; each subclass names itself in ``by``."""

    fractions: tuple[float, ...] = DEFAULT_FRACTIONS
    seed: int = 0

    by: ClassVar[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "fractions", tuple(float(fraction) for fraction in self.fractions))
        found = ", ".join(f"{fraction:g}" for fraction in self.fractions)
        if len(self.fractions) not in (2, 3):
            raise SettingError(f"expected 2 or 3 fractions, for train, val and test; found {found or 'none'}")
        if not all(0 <= fraction <= 1 for fraction in self.fractions):  # NaN fails as well
            raise SettingError(f"expected fractions from 0 to 1, for train, val and test; found {found}")
        if not math.isclose(sum(self.fractions), 1, abs_tol=1e-6):
            total = f"{sum(self.fractions):g}"
            raise SettingError(f"expected fractions that sum to 1, for train, val and test; {found} sum to {total}")
        _check_integer("seed", self.seed, 0)

    @property
    def wanted(self) -> dict[int, float]:
        """The fraction of each split that is to hold patches, by its code."""
        return {code: fraction for code, fraction in enumerate(self.fractions, start=1) if fraction > 0}

    def to_attrs(self) -> dict[str, object]:
        """Return the attributes as they are written; :func:`method_from_attrs` is the inverse."""
        return {"by": self.by, "fractions": np.array(self.fractions, dtype=np.float64), "seed": np.int64(self.seed)}

    def __str__(self) -> str:
        fractions = " ".join(f"{fraction:g}" for fraction in self.fractions)
        return f"by {self.by}, fractions {fractions}, seed {self.seed}"


@dataclass(frozen=True)
class SceneSplit(_Split):
    """All patches of a scene go to one split.

    Attributes:
        fractions: of train, val and test (or train and val) in the area of the scenes; 0 for a split to leave out.
        seed: another one gives another draw.

    Raises:
        SettingError: where a value is not one of these.
    """

    by: ClassVar[str] = "scene"


@dataclass(frozen=True)
class DateSplit(_Split):
    """All scenes of one day (UTC) go to one split.

    Attributes:
        fractions: of train, val and test (or train and val) in the area of the scenes; 0 for a split to leave out.
        seed: another one gives another draw.

    Raises:
        SettingError: where a value is not one of these.
    """

    by: ClassVar[str] = "date"


@dataclass(frozen=True)
class BlockSplit(_Split):
    """Scenes are divided into blocks; patches in a guard band between blocks of different splits belong to none.

    Attributes:
        fractions: of train, val and test (or train and val) in the area of the blocks; 0 for a split to leave out.
        seed: another one gives another draw.
        block_px: about how long a block's sides are, in pixels; None chooses by the scenes.
        guard_px: least distance of patches of different splits, in pixels; None for a quarter of a patch.

    Raises:
        SettingError: where a value is not one of these.
    """

    block_px: int | None = None
    guard_px: int | None = None

    by: ClassVar[str] = "block"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block_px is not None:
            _check_integer("block", self.block_px, 1)
        if self.guard_px is not None:
            _check_integer("guard", self.guard_px, 0)

    def to_attrs(self) -> dict[str, object]:
        """Return the attributes as they are written; :func:`method_from_attrs` is the inverse."""
        sizes = {"block_px": self.block_px, "guard_px": self.guard_px}
        return {**super().to_attrs(), **{name: np.int64(size) for name, size in sizes.items() if size is not None}}

    def __str__(self) -> str:
        sizes = [
            f"{what} {size} px"
            for what, size in (("blocks", self.block_px), ("guard", self.guard_px))
            if size is not None
        ]
        return ", ".join([super().__str__(), *sizes])


@dataclass(frozen=True)
class PatchSplit(_Split):
    """Each patch goes to a split on its own: only for patches that share no pixel, unless forced.

    Attributes:
        fractions: of train, val and test (or train and val) in the patches; 0 for a split to leave out.
        seed: another one gives another draw.
        forced: whether patches that overlap are split as well, which leaks pixels between splits.

    Raises:
        SettingError: where a value is not one of these.
    """

    forced: bool = False

    by: ClassVar[str] = "patch"

    def to_attrs(self) -> dict[str, object]:
        """Return the attributes as they are written; :func:`method_from_attrs` is the inverse."""
        return {**super().to_attrs(), "forced": np.int64(self.forced)}

    def __str__(self) -> str:
        return super().__str__() + (", forced" if self.forced else "")


SplitMethod = SceneSplit | DateSplit | BlockSplit | PatchSplit

METHODS: Mapping[str, type[SplitMethod]] = {kind.by: kind for kind in (SceneSplit, DateSplit, BlockSplit, PatchSplit)}


def method_from_attrs(attrs: Mapping[str, Any]) -> SplitMethod:
    """Read how a split was made from its attributes.

    Raises:
        KeyError: where one is missing.
        TypeError, ValueError: where one has a value that it cannot have.
    """
    kind = METHODS[str(attrs["by"])]
    options: dict[str, Any] = {name: int(attrs[name]) for name in ("block_px", "guard_px") if name in attrs}
    if "forced" in attrs:
        options["forced"] = bool(attrs["forced"])
    return kind(fractions=tuple(attrs["fractions"]), seed=int(attrs["seed"]), **options)


def _check_integer(what: str, value: object, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not least <= value <= _MOST:
        raise SettingError(f"expected a {what} that is an integer of at least {least}; found {value!r}")
