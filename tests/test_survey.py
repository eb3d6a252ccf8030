from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sar_h5 import bands as bands_module
from sar_h5.bands import band_height, raster_nbytes, read_bands
from sar_h5.errors import BoundsError, RadiometryError, SourceError
from sar_h5.progress import Progress
from sar_h5.quantiles import Counts
from sar_h5.raster_units import resolve_units
from sar_h5.sources.discovery import discover
from sar_h5.sources.scene import RasterScene, SceneInfo, SourceFile
from sar_h5.survey import (
    Survey,
    Units,
    check_size,
    count_scene_db,
    count_scene_dn,
    dn_bounds,
    float_bounds,
    sort_by_use,
    survey_scenes,
    valid_db,
)
from sar_h5.tiling import PatchGrid
from tests.conftest import make_dn

QUIET = Progress(shown=False)


class ArrayScene:
    """A scene whose pixels are an array; reading stops with an error at a row, where one is given."""

    def __init__(
        self, pixels: np.ndarray, nodata: float | None = None, name: str = "scene", broken_at: int | None = None
    ) -> None:
        self.pixels, self.nodata, self.broken_at = pixels, nodata, broken_at
        self.info = SceneInfo(name, f"{name}-vv.tif", "vv", *pixels.shape)
        self.dtype = pixels.dtype
        self.read_rows = 0

    def rows(self, start: int, stop: int) -> np.ndarray:
        if self.broken_at is not None and stop > self.broken_at:
            raise SourceError("expected a readable GeoTIFF; GDAL says: broken")
        self.read_rows += stop - start
        return self.pixels[start:stop].copy()

    @contextlib.contextmanager
    def bands(self, height: int) -> Iterator[Iterator[np.ndarray]]:
        total = len(self.pixels)
        yield (self.rows(start, min(start + height, total)) for start in range(0, total, height))

    def identify(self) -> SourceFile:
        return SourceFile(0, 0)


@pytest.fixture(autouse=True)
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of a few rows, so that small scenes have many."""
    monkeypatch.setattr(bands_module, "BAND_NBYTES", 1 << 10)


def dn_scenes() -> list[ArrayScene]:
    scenes = [ArrayScene(make_dn(seed, (40 + seed, 70), 80 * (1 + seed)), name=f"scene{seed}") for seed in range(3)]
    for scene in scenes:
        scene.pixels[:, :5] = 0
    return scenes


def backscatter(seed: int, shape: tuple[int, int] = (60, 70)) -> np.ndarray:
    """Linear gamma0 with a NaN border, zeros and a few negative values, as thermal noise removal leaves them."""
    pixels = np.random.default_rng(seed).gamma(4.4, 0.05 / 4.4, shape).astype(np.float32)
    pixels[:, :9] = np.nan
    pixels[3, 20:25] = 0
    pixels[4, 20:25] = np.inf
    return pixels


def valid(pixels: np.ndarray) -> np.ndarray:
    return pixels[np.isfinite(pixels) & (pixels > 0)]


# Bands and sizes


def test_bands_cover_a_scene_with_progress() -> None:
    scene = ArrayScene(make_dn(0, (41, 70)))
    told: list[int] = []

    class Listener(Progress):
        def advance(self, nbytes: int, patches: int = 0) -> None:
            told.append(nbytes + patches)

    assert band_height(scene) == 1024 // 140
    bands = list(read_bands(scene, Listener(shown=False)))
    assert np.array_equal(np.concatenate(bands), scene.pixels)
    assert sum(told) == scene.pixels.nbytes == raster_nbytes([scene])
    assert len(told) == len(bands) == 6


def test_a_scene_wider_than_a_band_is_read_row_by_row() -> None:
    assert band_height(ArrayScene(np.zeros((3, 5000), np.float64))) == 1


@pytest.mark.parametrize(
    ("shape", "fits"), [((32, 32), True), ((31, 900), False), ((900, 31), False), ((33, 40), True)]
)
def test_a_scene_smaller_than_a_patch_is_set_aside(shape: tuple[int, int], fits: bool) -> None:
    scene = ArrayScene(np.ones(shape, np.uint16))
    sorted_scenes = sort_by_use([scene], PatchGrid(32, 16))
    assert sorted_scenes.scenes == ([scene] if fits else [])
    assert scene.read_rows == 0
    if fits:
        check_size(scene, PatchGrid(32, 16))
        assert sorted_scenes.broken == []
    else:
        (broken,) = sorted_scenes.broken
        assert str(broken) == (
            f"scene-vv.tif: the scene has {shape[0]} x {shape[1]} pixels, less than one patch of 32 x 32; "
            "choose a smaller --patch-size"
        )


# Digital numbers


def test_the_histogram_counts_every_valid_pixel_of_every_scene() -> None:
    scenes = dn_scenes()
    survey = survey_scenes(scenes, lambda scene: count_scene_dn(scene, QUIET), QUIET)
    pixels = np.concatenate([scene.pixels.ravel() for scene in scenes])
    expected = np.bincount(pixels, minlength=65536)
    expected[0] = 0
    assert survey.counts.dtype == np.uint64
    assert np.array_equal(survey.counts, expected)
    assert (survey.scenes, survey.broken) == (scenes, [])


def test_declared_nodata_is_not_counted() -> None:
    scene = ArrayScene(make_dn(0, (40, 70)), nodata=120.0)
    counts = count_scene_dn(scene, QUIET)
    assert counts[120] == 0
    assert np.any(scene.pixels == 120)
    assert counts.sum() == np.sum(scene.pixels != 120)


@pytest.mark.parametrize("percentiles", [(1, 99), (0, 100), (2.5, 97.25), (0.001, 50), (40, 60.5)])
def test_bounds_of_digital_numbers_are_the_percentiles_of_all_pixels(percentiles: tuple[float, float]) -> None:
    scenes = dn_scenes()
    survey = survey_scenes(scenes, lambda scene: count_scene_dn(scene, QUIET), QUIET)
    pixels = np.concatenate([scene.pixels[scene.pixels > 0] for scene in scenes]).astype(np.float32)
    db = (np.float32(10) * np.log10(pixels)).astype(np.float64)
    bounds = dn_bounds(survey.counts, percentiles)
    assert [bounds.vmin, bounds.vmax] == pytest.approx(np.percentile(db, percentiles), rel=1e-7)
    assert bounds.origin == f"percentiles {percentiles[0]:g} and {percentiles[1]:g} of all valid pixels of all scenes"


def test_bounds_of_the_real_scene_are_numpy_s(real_data: Path) -> None:
    inventory = discover([next(real_data.glob("S1A_IW_GRDH*"))])
    for polarization in ("vv", "vh"):
        (scene,) = inventory.rasters[polarization]
        bounds = dn_bounds(count_scene_dn(scene, QUIET), (1, 99))
        pixels = scene.rows(0, scene.info.height)
        expected = np.percentile(10 * np.log10(pixels[pixels > 0].astype(np.float64)), [1, 99])
        assert [bounds.vmin, bounds.vmax] == pytest.approx(expected, rel=1e-6)


def test_the_histogram_does_not_depend_on_the_order_of_scenes() -> None:
    scenes = dn_scenes()
    one = survey_scenes(scenes, lambda scene: count_scene_dn(scene, QUIET), QUIET)
    other = survey_scenes(scenes[::-1], lambda scene: count_scene_dn(scene, QUIET), QUIET)
    assert np.array_equal(one.counts, other.counts)


@pytest.mark.parametrize(
    ("pixels", "nodata", "reason"),
    [
        (np.zeros((40, 70), np.uint16), None, "holds no valid pixel: all are zero or nodata"),
        (np.full((40, 70), 9, np.uint16), 9.0, "holds no valid pixel: all are zero or nodata"),
        (
            np.full((40, 70), 9, np.uint16),
            None,
            "is constant: every valid pixel is DN 9, which leaves nothing to scale",
        ),
        (np.pad(np.full((4, 4), 7, np.uint16), 20), None, "is constant: every valid pixel is DN 7"),
    ],
)
def test_a_scene_of_nothing_is_set_aside_and_counts_for_nothing(
    pixels: np.ndarray, nodata: float | None, reason: str
) -> None:
    good, bad = ArrayScene(make_dn(0, (40, 70)), name="good"), ArrayScene(pixels, nodata, "bad")
    survey = survey_scenes([bad, good], lambda scene: count_scene_dn(scene, QUIET), QUIET)
    assert survey.scenes == [good]
    assert np.array_equal(survey.counts, count_scene_dn(good, QUIET))
    (broken,) = survey.broken
    assert str(broken).startswith(f"bad-vv.tif: {reason}")


def test_a_scene_that_breaks_halfway_counts_for_nothing() -> None:
    good, bad = ArrayScene(make_dn(0, (40, 70))), ArrayScene(make_dn(1, (40, 70)), name="bad", broken_at=33)
    survey = survey_scenes([good, bad], lambda scene: count_scene_dn(scene, QUIET), QUIET)
    assert np.array_equal(survey.counts, count_scene_dn(good, QUIET))
    assert [source.path for source in survey.broken] == ["bad-vv.tif"]
    assert bad.read_rows > 0


def test_percentiles_that_coincide_are_refused() -> None:
    counts = np.zeros(65536, np.uint64)
    counts[[100, 200]] = [1_000_000, 1]
    with pytest.raises(
        BoundsError, match=r"vmin must be below vmax; found vmin=20\.0.* dB, vmax=20\.0.* dB \(percentiles 1"
    ):
        dn_bounds(counts, (1, 99))


# Floats


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("percentiles", [(1, 99), (0, 100), (0.3, 60.7)])
def test_bounds_of_linear_floats_are_the_percentiles_of_all_pixels(
    dtype: type[np.generic], percentiles: tuple[float, float]
) -> None:
    scenes = [ArrayScene(backscatter(seed).astype(dtype)) for seed in range(3)]
    survey = survey_scenes(scenes, lambda scene: count_scene_db(scene, Units.LINEAR, QUIET), QUIET)
    pixels = np.concatenate([valid(scene.pixels) for scene in scenes]).astype(np.float32)
    db = np.float32(10) * np.log10(pixels)
    assert survey.counts.sum() == db.size
    bounds = float_bounds(survey, Units.LINEAR, percentiles, QUIET)
    assert [bounds.vmin, bounds.vmax] == pytest.approx(np.percentile(db.astype(np.float64), percentiles), rel=1e-9)


def test_bounds_of_db_floats_are_taken_without_a_logarithm() -> None:
    db = (10 * np.log10(np.abs(backscatter(0)) + 1e-3)).astype(np.float32)
    db[5, 30:40] = -99
    scene = ArrayScene(db, nodata=-99.0)
    survey = survey_scenes([scene], lambda scene: count_scene_db(scene, Units.DB, QUIET), QUIET)
    kept = db[np.isfinite(db) & (db != -99)]
    assert np.array_equal(np.concatenate(list(valid_db(scene, Units.DB, QUIET))), kept)
    bounds = float_bounds(survey, Units.DB, (1, 99), QUIET)
    assert [bounds.vmin, bounds.vmax] == pytest.approx(np.percentile(kept.astype(np.float64), [1, 99]), rel=1e-9)


@pytest.mark.parametrize(
    ("fill", "units", "reason"),
    [
        (np.nan, Units.LINEAR, "holds no valid pixel: all are NaN, nodata or not positive"),
        (-3.0, Units.LINEAR, "holds no valid pixel"),
        (0.0, Units.LINEAR, "holds no valid pixel"),
        (np.inf, Units.DB, "holds no valid pixel"),
        (-99.0, Units.DB, "holds no valid pixel"),
        (0.1, Units.LINEAR, "is constant: every valid pixel is -10 dB"),
        (-12.5, Units.DB, "is constant: every valid pixel is -12.5 dB"),
    ],
)
def test_a_float_scene_of_nothing_is_refused(fill: float, units: Units, reason: str) -> None:
    scene = ArrayScene(np.full((40, 70), fill, np.float32), nodata=-99.0)
    with pytest.raises(SourceError, match=f"^{reason}"):
        count_scene_db(scene, units, QUIET)


# Units


def resolved(*scenes: ArrayScene, asked: str = "auto") -> Units:
    return resolve_units(list[RasterScene](scenes), asked)


def db_scene(seed: int = 0) -> ArrayScene:
    return ArrayScene((10 * np.log10(valid(backscatter(seed))[:2800]).reshape(40, 70)).astype(np.float32), name="db")


def linear_scene(seed: int = 0) -> ArrayScene:
    return ArrayScene(backscatter(seed), name="linear")


def test_integers_are_digital_numbers_and_are_not_read() -> None:
    scene = ArrayScene(make_dn(0, (40, 70)))
    assert resolved(scene) == resolved(scene, asked="dn") == Units.DN
    assert scene.read_rows == 0


def test_floats_are_guessed_where_there_is_no_doubt() -> None:
    assert resolved(linear_scene(0), linear_scene(1)) == Units.LINEAR
    assert resolved(db_scene(0), db_scene(1)) == Units.DB


def test_what_the_user_says_counts_and_nothing_is_read() -> None:
    scene = linear_scene()
    assert resolved(scene, asked="db") == Units.DB
    assert resolved(scene, asked="linear") == Units.LINEAR
    assert scene.read_rows == 0


@pytest.mark.parametrize(
    ("make", "asked", "message"),
    [
        (lambda: [ArrayScene(make_dn(0, (40, 70)), name="dn")], "db", "dn-vv.tif: uint16 .* --units db is for floats"),
        (lambda: [linear_scene()], "dn", "expected uint16 digital numbers, found float32; pass --units linear or"),
        (lambda: [ArrayScene(make_dn(0, (40, 70)), name="dn"), linear_scene()], "auto", r"\(dn-vv.tif\) and floats"),
        (lambda: [linear_scene(), db_scene()], "auto", "linear-vv.tif looks like linear, db-vv.tif like db; convert"),
        (
            lambda: [ArrayScene(make_dn(0, (40, 70)).astype(np.float32), name="amplitude")],
            "auto",
            r"amplitude-vv.tif: cannot tell whether .* \(values from \d+ to \d+\); pass --units linear or --units db",
        ),
    ],
)
def test_units_in_doubt_or_contradiction_are_refused(
    make: Callable[[], list[ArrayScene]], asked: str, message: str
) -> None:
    with pytest.raises(RadiometryError, match=message):
        resolved(*make(), asked=asked)


def test_real_rasters_are_told_apart(real_data: Path) -> None:
    for folder, units in (("pyrosar", Units.DB), ("opera_rtc_nan", Units.LINEAR), ("BigEarthNet-S1-Example", Units.DB)):
        for scenes in discover([real_data / folder]).rasters.values():
            assert resolve_units(scenes, "auto") == units


def test_declared_nodata_does_not_mislead_the_guess() -> None:
    pixels = backscatter(0)
    pixels[10:50] = -9999
    assert resolved(ArrayScene(pixels, nodata=-9999.0)) == Units.LINEAR


def test_valid_pixels_in_a_corner_that_no_sample_meets_are_found() -> None:
    pixels = np.full((3000, 70), np.nan, np.float32)
    pixels[2990:, 60:] = db_scene().pixels[:10, :10]
    assert resolved(ArrayScene(pixels)) == Units.DB


def test_an_empty_or_unreadable_scene_has_no_say() -> None:
    empty = ArrayScene(np.full((40, 70), np.nan, np.float32), name="empty")
    broken = ArrayScene(backscatter(0), name="broken", broken_at=0)
    assert resolved(empty, broken, db_scene()) == Units.DB
    survey = survey_scenes([empty, broken], lambda scene: count_scene_db(scene, resolved(empty, broken), QUIET), QUIET)
    assert [source.path for source in survey.broken] == ["empty-vv.tif", "broken-vv.tif"]


def test_values_beyond_float32_give_no_warning() -> None:
    pixels = backscatter(0).astype(np.float64)
    pixels[0, 30] = 1e300
    assert resolved(ArrayScene(pixels)) == Units.LINEAR


def test_the_guess_reads_little_of_a_large_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands_module, "BAND_NBYTES", 1 << 16)
    scene = ArrayScene(np.tile(linear_scene().pixels, (100, 1)))
    assert resolved(scene) == Units.LINEAR
    assert scene.read_rows == 8 * 64
    wide = ArrayScene(np.tile(linear_scene().pixels, (20, 40)))
    assert resolved(wide) == Units.LINEAR
    assert wide.read_rows * wide.pixels.itemsize * wide.info.width <= 8 * (1 << 16)


def test_an_empty_survey_counts_nothing() -> None:
    survey = survey_scenes([], lambda _: _never(), QUIET)
    assert (survey.scenes, survey.broken) == ([], [])
    assert survey.counts.sum() == Survey().counts.sum() == 0


def _never() -> Counts:
    raise AssertionError("there is no scene to count")


def test_array_scenes_keep_the_protocol_of_rasters() -> None:
    scene: Any = ArrayScene(np.ones((2, 2), np.uint16))
    assert isinstance(scene, RasterScene)


@pytest.mark.parametrize("units", [Units.LINEAR, Units.DB])
def test_bounds_of_floats_are_the_same_for_any_number_of_threads(units: Units) -> None:
    scenes = [db_scene(seed) if units == Units.DB else linear_scene(seed) for seed in range(3)]
    bounds = []
    for jobs in (1, 2, 5):
        survey = survey_scenes(scenes, lambda scene, jobs=jobs: count_scene_db(scene, units, QUIET, jobs), QUIET)
        bounds.append(float_bounds(survey, units, (1, 99), QUIET, jobs))
    assert bounds[1:] == bounds[:1] * 2
