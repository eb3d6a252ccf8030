"""What a file says about how it was converted, as the settings to convert other scenes alike."""

from __future__ import annotations

from sar_h5.file_structure import Structure
from sar_h5.schema import UNKNOWN
from sar_h5.settings import AUTO, ConvertSettings
from sar_h5.units import QUANTITIES


def conversion_settings(found: Structure, jobs: int) -> ConvertSettings:
    """Return what scenes have to be converted with to get patches like those of a file.

    Args:
        found: its structure.
        jobs: number of threads.
    """
    settings, said = found.settings, (found.attributes.get("quantity"), found.attributes.get("units"))
    return ConvertSettings(
        patch_size=settings.patch_size,
        stride=None if settings.stride == UNKNOWN else settings.stride,
        min_valid=settings.min_valid,
        valid_measure="pixels" if found.attributes.get("valid_measure") == "pixels" else "range",
        vmin=settings.vmin,
        vmax=settings.vmax,
        polarizations=(settings.polarization,),
        units=next((str(units) for units, quantity in QUANTITIES.items() if quantity == said), AUTO),
        jobs=jobs,
        cache_nbytes=0,
    )
