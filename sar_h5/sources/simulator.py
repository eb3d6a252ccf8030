"""Simulated Sentinel-1 IW GRDH products: SAFE directories or archives that are read as real ones are.

Settings (`simulated_scene`) -> pixels (`simulated_pixels`), documents (`safe_xml`) and manifest
(`safe_manifest`) -> one product on the disk, here.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import rasterio
from rasterio.control import GroundControlPoint
from rasterio.windows import Window

from sar_h5.errors import OutputError, OutputExistsError
from sar_h5.sources.safe_manifest import SOFTWARE, ProductFile, manifest_xml
from sar_h5.sources.safe_xml import calibration_xml, noise_xml, product_xml
from sar_h5.sources.simulated_pixels import backscatter_rows, simulate_rows
from sar_h5.sources.simulated_scene import SimulatedScene, geolocation_grid

__all__ = ["SimulatedScene", "backscatter_rows", "simulate_product", "simulate_rows"]

BAND_ROWS = 64
"""Rows that are simulated and written at a time; it changes nothing in the product."""


def simulate_product(directory: Path, scene: SimulatedScene, *, zipped: bool = False) -> Path:
    """Write one simulated product.

    Args:
        directory: where it goes; made where it is missing.
        scene: what to simulate.
        zipped: write ``<product name>.zip``, which holds the SAFE directory, instead of that directory.

    Returns:
        The product's path.

    Raises:
        OutputExistsError: where that path exists.
        OutputError: where it cannot be written. Nothing half-made is left behind.
    """
    product = directory / f"{scene.product_name}{'.zip' if zipped else '.SAFE'}"
    if product.exists():
        raise OutputExistsError(f"{product} exists already: remove it, or simulate with other settings or elsewhere")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{product.name}.", suffix=".partial", dir=directory) as partial:
            safe = Path(partial, f"{scene.product_name}.SAFE")
            _write_safe(safe, scene)
            complete = _zip(safe) if zipped else safe
            complete.rename(product)
    except OSError as error:
        raise OutputError(f"{product} cannot be written: {error}; nothing of it was left behind") from error
    return product


def _write_safe(safe: Path, scene: SimulatedScene) -> None:
    (safe / "annotation" / "calibration").mkdir(parents=True)
    (safe / "measurement").mkdir()
    files = [file for polarization in scene.polarizations for file in _write_image(safe, scene, polarization)]
    (safe / "manifest.safe").write_text(manifest_xml(scene, files), encoding="utf-8")


def _write_image(safe: Path, scene: SimulatedScene, polarization: str) -> Iterator[ProductFile]:
    """Write what belongs to one polarization, and list it."""
    name = scene.image_name(polarization)
    documents = (
        (f"annotation/{name}.xml", "s1Level1ProductSchema", product_xml),
        (f"annotation/calibration/calibration-{name}.xml", "s1Level1CalibrationSchema", calibration_xml),
        (f"annotation/calibration/noise-{name}.xml", "s1Level1NoiseSchema", noise_xml),
    )
    for place, schema, compose in documents:
        (safe / place).write_text(compose(scene, polarization), encoding="utf-8")
        yield _list_file(safe, place, schema)
    place = f"measurement/{name}.tiff"
    _write_measurement(safe / place, scene, polarization)
    yield _list_file(safe, place, "s1Level1MeasurementSchema")


def _write_measurement(path: Path, scene: SimulatedScene, polarization: str) -> None:
    gcps = [
        GroundControlPoint(
            row=point.row,
            col=point.col,
            x=point.longitude,
            y=point.latitude,
            z=point.height_m,
            id=str(number),
        )
        for number, point in enumerate(geolocation_grid(scene), start=1)
    ]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=scene.height,
        width=scene.width,
        count=1,
        dtype="uint16",
        crs="EPSG:4326",  # of the ground control points: the raster itself has no transform
        gcps=gcps,
        blockysize=1,
        compress="deflate",
        predictor=2,
        bigtiff="IF_SAFER",
    ) as measurement:
        measurement.update_tags(
            TIFFTAG_IMAGEDESCRIPTION=f"Sentinel-{scene.platform[1:]} IW GRD HR L1",
            TIFFTAG_SOFTWARE=SOFTWARE,
            TIFFTAG_DATETIME=f"{scene.stop:%Y:%m:%d %H:%M:%S}",
        )
        for start in range(0, scene.height, BAND_ROWS):
            stop = min(start + BAND_ROWS, scene.height)
            pixels = simulate_rows(scene, polarization, start, stop)
            measurement.write(pixels, 1, window=Window(0, start, scene.width, stop - start))


def _list_file(safe: Path, place: str, schema: str) -> ProductFile:
    path = safe / place
    with path.open("rb") as file:
        # The manifest's checksums are MD5; they guard against damage, not against anybody.
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return ProductFile(place, schema, path.stat().st_size, md5)


def _zip(safe: Path) -> Path:
    """Pack a SAFE directory beside itself; rasters are stored as they are, being compressed already."""
    path = safe.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for place in (safe, *sorted(safe.rglob("*"))):
            method = zipfile.ZIP_STORED if place.suffix == ".tiff" else zipfile.ZIP_DEFLATED
            archive.write(place, str(place.relative_to(safe.parent)), compress_type=method)
    return path
