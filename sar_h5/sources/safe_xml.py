"""The documents beside each image of a simulated product: annotation, calibration and noise, as XML text.

Element names and their order are those of real products (IPF 3.31); what would say nothing about a simulated
scene (downlink, orbit state, attitude, Doppler, antenna) is left out. Every value is checked by the settings
or computed here, so none needs escaping.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import numpy as np
import numpy.typing as npt

from sar_h5.sources.simulated_scene import (
    LINE_INTERVAL_S,
    PIXEL_SPACING_M,
    SUBSWATH_STOPS,
    GridPoint,
    SimulatedScene,
    elevation_deg,
    geolocation_grid,
    incidence_deg,
    noise_azimuth_factor,
    noise_range_dn2,
    slant_range_s,
)

_BETA_NOUGHT = 474.0
"""The same all over real products; the other calibration vectors follow from it and the incidence angle."""

_VECTOR_STEP_PX = 40
_VECTOR_STEP_ROWS = 674
_AZIMUTH_STEP_ROWS = 10

_HEADER = """  <adsHeader>
    <missionId>{scene.platform}</missionId>
    <productType>GRD</productType>
    <polarisation>{polarization}</polarisation>
    <mode>IW</mode>
    <swath>IW</swath>
    <startTime>{start}</startTime>
    <stopTime>{stop}</stopTime>
    <absoluteOrbitNumber>{scene.orbit}</absoluteOrbitNumber>
    <missionDataTakeId>{scene.data_take}</missionDataTakeId>
    <imageNumber>{image_number:03d}</imageNumber>
  </adsHeader>"""

_PRODUCT = """  <generalAnnotation>
    <productInformation>
      <pass>{orbit_pass}</pass>
      <projection>Ground Range</projection>
      <radarFrequency>5.405000454334350e+09</radarFrequency>
    </productInformation>
  </generalAnnotation>
  <imageAnnotation>
    <imageInformation>
      <productFirstLineUtcTime>{start}</productFirstLineUtcTime>
      <productLastLineUtcTime>{stop}</productLastLineUtcTime>
      <slantRangeTime>{slant_range_s:.15e}</slantRangeTime>
      <pixelValue>Detected</pixelValue>
      <outputPixels>16 bit Unsigned Integer</outputPixels>
      <rangePixelSpacing>{spacing_m:.6e}</rangePixelSpacing>
      <azimuthPixelSpacing>{spacing_m:.6e}</azimuthPixelSpacing>
      <azimuthTimeInterval>{interval_s:.15e}</azimuthTimeInterval>
      <numberOfSamples>{scene.width}</numberOfSamples>
      <numberOfLines>{scene.height}</numberOfLines>
      <incidenceAngleMidSwath>{incidence_deg:.15e}</incidenceAngleMidSwath>
    </imageInformation>
  </imageAnnotation>
  <geolocationGrid>
{points}
  </geolocationGrid>"""


def product_xml(scene: SimulatedScene, polarization: str) -> str:
    """Write the annotation of one image: header, pass, image size and spacing, geolocation grid."""
    body = _PRODUCT.format(
        scene=scene,
        orbit_pass=scene.orbit_pass.capitalize(),
        start=_iso(scene.start),
        stop=_iso(scene.stop),
        spacing_m=PIXEL_SPACING_M,
        interval_s=LINE_INTERVAL_S,
        slant_range_s=float(slant_range_s(scene.swath_positions(0))),
        incidence_deg=float(incidence_deg(scene.swath_positions(scene.width // 2))),
        points=_list_xml("geolocationGridPoint", (_point_xml(scene, point) for point in geolocation_grid(scene))),
    )
    return _document_xml("product", scene, polarization, body)


def calibration_xml(scene: SimulatedScene, polarization: str) -> str:
    """Write the calibration vectors of one image: sigma0 is (DN / sigmaNought)**2, and so on."""
    cols = _knots(scene.width, _VECTOR_STEP_PX)
    incidence = np.radians(incidence_deg(scene.swath_positions(cols)))
    beta = np.full(cols.shape, _BETA_NOUGHT)
    luts = {
        "sigmaNought": beta / np.sqrt(np.sin(incidence)),
        "betaNought": beta,
        "gamma": beta / np.sqrt(np.tan(incidence)),
        "dn": beta,
    }
    constant = _leaf_xml("absoluteCalibrationConstant", "1.000000e+00")
    body = f"<calibrationInformation>{constant}</calibrationInformation>\n"
    body += _list_xml("calibrationVector", _vectors_xml(scene, cols, luts))
    return _document_xml("calibration", scene, polarization, body)


def noise_xml(scene: SimulatedScene, polarization: str) -> str:
    """Write the noise vectors of one image; range times azimuth is the noise in its pixels, DN squared."""
    cols = _knots(scene.width, _VECTOR_STEP_PX)
    luts = {"noiseRangeLut": noise_range_dn2(polarization, scene.swath_positions(cols))}
    body = _list_xml("noiseRangeVector", _vectors_xml(scene, cols, luts)) + "\n"
    body += _list_xml("noiseAzimuthVector", _azimuth_vectors_xml(scene))
    return _document_xml("noise", scene, polarization, body)


def _document_xml(tag: str, scene: SimulatedScene, polarization: str, body: str) -> str:
    header = _HEADER.format(
        scene=scene,
        polarization=polarization,
        start=_iso(scene.start),
        stop=_iso(scene.stop),
        image_number=scene.image_number(polarization),
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{tag}>\n{header}\n{body}\n</{tag}>\n'


def _point_xml(scene: SimulatedScene, point: GridPoint) -> str:
    position = scene.swath_positions(point.col)
    leaves = (
        _leaf_xml("azimuthTime", _iso(scene.time_of(point.row))),
        _leaf_xml("slantRangeTime", f"{slant_range_s(position):.15e}"),
        _leaf_xml("line", point.row),
        _leaf_xml("pixel", point.col),
        _leaf_xml("latitude", f"{point.latitude:.15e}"),
        _leaf_xml("longitude", f"{point.longitude:.15e}"),
        _leaf_xml("height", f"{point.height_m:.15e}"),
        _leaf_xml("incidenceAngle", f"{incidence_deg(position):.15e}"),
        _leaf_xml("elevationAngle", f"{elevation_deg(position):.15e}"),
    )
    return "".join(leaves)


def _vectors_xml(
    scene: SimulatedScene, cols: npt.NDArray[np.int64], luts: dict[str, npt.NDArray[np.float64]]
) -> Iterable[str]:
    """Write the same tables once a second, as in real products: their line, time, columns and values."""
    tables = "\n".join((_array_xml("pixel", cols), *(_array_xml(tag, values) for tag, values in luts.items())))
    for row in _knots(scene.height, _VECTOR_STEP_ROWS).tolist():
        time = _leaf_xml("azimuthTime", _iso(scene.time_of(row)))
        yield f"{time}{_leaf_xml('line', row)}\n{tables}"


def _azimuth_vectors_xml(scene: SimulatedScene) -> Iterable[str]:
    """Write one vector for every subswath that the scene reaches."""
    rows = _knots(scene.height, _AZIMUTH_STEP_ROWS)
    tables = f"{_array_xml('line', rows)}\n{_array_xml('noiseAzimuthLut', noise_azimuth_factor(rows))}"
    subswaths = np.searchsorted(SUBSWATH_STOPS, scene.swath_positions(np.arange(scene.width)))
    for index in np.unique(subswaths).tolist():
        cols = np.flatnonzero(subswaths == index)
        bounds = {
            "swath": f"IW{index + 1}",
            "firstAzimuthLine": 0,
            "firstRangeSample": cols[0],
            "lastAzimuthLine": scene.height - 1,
            "lastRangeSample": cols[-1],
        }
        yield "".join(_leaf_xml(tag, value) for tag, value in bounds.items()) + tables


def _list_xml(tag: str, items: Iterable[str]) -> str:
    elements = [f"<{tag}>\n{item}\n</{tag}>" for item in items]
    return "\n".join((f'<{tag}List count="{len(elements)}">', *elements, f"</{tag}List>"))


def _array_xml(tag: str, values: npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> str:
    form = "d" if values.dtype.kind == "i" else ".6e"
    return f'<{tag} count="{values.size}">{" ".join(format(value, form) for value in values.tolist())}</{tag}>'


def _leaf_xml(tag: str, value: object) -> str:
    return f"<{tag}>{value}</{tag}>"


def _knots(length: int, step: int) -> npt.NDArray[np.int64]:
    """Return every ``step``-th index and the last one."""
    return np.unique(np.append(np.arange(0, length, step), length - 1))


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")
