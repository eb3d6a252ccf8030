"""What windows of scenes are scaled by: bounds as numbers, from a file of bounds, or those of a converted file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sar_h5.contents import find_patches
from sar_h5.errors import BoundsError, FormatError, SettingError
from sar_h5.opening import open_file
from sar_h5.radiometry import Bounds
from sar_h5.schema import UNKNOWN
from sar_h5.sources.bounds_file import read_bounds_file
from sar_h5.tiling import PatchGrid
from sar_h5.units import QUANTITIES, Units


@dataclass(frozen=True)
class Reference:
    """What a converted file says about how its patches were made.

    Attributes:
        bounds: in dB.
        grid: size and stride of its patches.
        polarization: theirs.
        units: what the pixels were; None where they were shards, which do not tell.
    """

    bounds: Bounds
    grid: PatchGrid
    polarization: str
    units: Units | None


def read_reference(path: str | Path) -> Reference:
    """Read how the patches of a file were made.

    Raises:
        SourceError: where it is not there.
        FormatError: where it is none of this package's.
    """
    with open_file(path) as file:
        settings = find_patches(file, None).settings
        if settings is None:
            raise FormatError(
                f"{path}: expected a file that sar-h5 convert has made, with its bounds; found another one"
            )
        said = str(file.attrs.get("quantity", "")), str(file.attrs.get("units", ""))
    units = next((units for units, quantity in QUANTITIES.items() if quantity == said), None)
    stride = settings.patch_size // 2 or 1 if settings.stride == UNKNOWN else settings.stride
    bounds = Bounds(settings.vmin, settings.vmax, f"of {path}")
    return Reference(bounds, PatchGrid(settings.patch_size, stride), settings.polarization, units)


def window_bounds(
    vmin: float | None, vmax: float | None, bounds: str | Path | None, reference: Reference | None, polarization: str
) -> Bounds:
    """Take the bounds from where the user says.

    Args:
        vmin: in dB, or None.
        vmax: in dB; both or neither.
        bounds: a file of bounds, or None.
        reference: a converted file, or None.
        polarization: whose bounds, where a file holds several.

    Raises:
        BoundsError: where nothing gives them, or they leave no range.
        SettingError: where more than one thing does.
    """
    if (vmin is None) != (vmax is None):
        raise SettingError("vmin and vmax belong together; only one of them was given")
    if (vmin is not None) + (bounds is not None) + (reference is not None) > 1:
        raise SettingError("give vmin and vmax, or bounds, or like; found more than one of them")
    if vmin is not None and vmax is not None:
        return Bounds(vmin, vmax, "given as vmin and vmax")
    if bounds is not None:
        return read_bounds_file(Path(bounds), polarization)
    if reference is not None:
        return reference.bounds
    raise BoundsError(
        'expected bounds in dB: like="vv.h5" takes those of the file that a model was trained on, vmin= and vmax= are '
        "numbers, bounds= is a file of them. They are never taken from the image itself: the same backscatter would "
        "have another value in every scene"
    )
