"""Rasters read through rasterio: checked when found, then streamed in full-width row bands."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
import zipfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Interleaving
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from sar_h5.buffers import BufferPool
from sar_h5.errors import BadSource, SourceError
from sar_h5.radiometry import Floats
from sar_h5.sources.archives import ZIP_ERRORS
from sar_h5.sources.checksums import checksum_file, checksum_stream
from sar_h5.sources.naming import POLARIZATIONS
from sar_h5.sources.products import RasterFile, loose_raster
from sar_h5.sources.scene import Georeference, SceneInfo, SourceFile
from sar_h5.workers import in_order

GDAL_CACHE_NBYTES = 64 << 20
"""GDAL's block cache takes 5 % of the machine's memory unless told otherwise. 64 MB hold a row of 512-pixel tiles of
an IW scene."""

MOST_READERS = 8
"""How many threads read one raster at most, each with a data set of its own, since GDAL's take one thread at a time."""

READ_AHEAD_NBYTES = 12 << 20
"""How many bytes of pixels are read ahead at most."""

MOST_BLOCK_NBYTES = 128 << 20
"""GDAL decodes whole blocks. A compressed raster stored as one huge block would be held in memory as a whole."""

MOST_SIDE_PX = 1 << 18
"""How many rows or columns a raster may have: ten times those of an IW scene. A sparse file of kilobytes can announce a
row of gigabytes, and rows are read whole."""

_DTYPES = ("uint16", "float32", "float64")

_SATELLITE = re.compile("Sentinel-1[A-D]")


@contextmanager
def open_raster(gdal_path: str, jobs: int = 1) -> Iterator[rasterio.DatasetReader]:
    """Open a raster with a bounded block cache.

    Args:
        gdal_path: what GDAL opens.
        jobs: number of threads that decode the blocks of one read.

    Raises:
        SourceError: where it cannot be opened, or fails while it is read.
    """
    with gdal_errors(), _gdal_environment(), _open_dataset(gdal_path, jobs) as dataset:
        yield dataset


def _gdal_environment() -> rasterio.Env:
    # A side file x.tif.aux.xml may name any file, or an address, as a reference system, which GDAL then opens.
    return rasterio.Env(GDAL_CACHEMAX=GDAL_CACHE_NBYTES, GDAL_PAM_ENABLED=False)


def _open_dataset(gdal_path: str, jobs: int) -> rasterio.DatasetReader:
    with warnings.catch_warnings():
        # Measurement rasters carry ground control points or nothing; neither concerns the pixels.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        # Absolute, so that "s3:vv.tif" is a name and not an address. Only this driver: others follow what a file
        # says to other files, and to the network.
        place = gdal_path if gdal_path.startswith("/vsizip/") else Path(gdal_path).absolute()
        return rasterio.open(place, driver="GTiff", NUM_THREADS=jobs)


@contextmanager
def gdal_errors() -> Iterator[None]:
    """Turn GDAL's errors into SourceError."""
    try:
        yield
    except RasterioError as error:
        cause = error.__cause__ or error
        raise SourceError(f"expected a readable GeoTIFF; GDAL says: {cause}") from error


class GeoTiffScene:
    """One band of a raster file.

    Args:
        info: what is known of the scene.
        file: where it lies.
        band: number of the band, from 1.
        dtype: of its pixels.
        nodata: declared value of pixels without data, or None.
        block_shape: rows and columns of the strips or tiles that GDAL decodes as one.
    """

    def __init__(
        self,
        info: SceneInfo,
        file: RasterFile,
        band: int,
        dtype: np.dtype[np.generic],
        nodata: float | None,
        block_shape: tuple[int, int],
    ) -> None:
        self.info = info
        self.dtype = dtype
        self.nodata = nodata
        self.block_shape = block_shape
        self._file = file
        self._band = band
        self._identity: SourceFile | None = None

    @contextmanager
    def bands(self, height: int, jobs: int = 1) -> Iterator[Iterator[npt.NDArray[np.generic]]]:
        """Open the raster and yield consecutive arrays (<= ``height``, W) from top to bottom.

        Args:
            height: of most of them.
            jobs: number of threads to read and decode with, ahead of whoever takes the arrays.
        """
        self.check_archive()
        readers = self._count_readers(height, jobs)
        with ExitStack() as stack:
            threads = 1 if readers > 1 else jobs
            datasets = [stack.enter_context(open_raster(self._file.gdal_path, threads)) for _ in range(readers)]
            height -= height % datasets[0].block_shapes[0][0] if readers > 1 else 0
            windows = [(start, min(start + height, self.info.height)) for start in range(0, self.info.height, height)]
            # Closed before the data sets are, which threads may still be reading.
            yield stack.enter_context(closing(self._read_ahead(windows, datasets)))

    def rows(self, start: int, stop: int) -> npt.NDArray[np.generic]:
        """Read rows ``start`` to ``stop`` (exclusive), shape (stop - start, W)."""
        with open_raster(self._file.gdal_path) as dataset:
            return self._read(dataset, (start, stop), BufferPool())

    def open(self) -> OpenScene:
        """Open the raster for reading windows of it, one after the other.

        Raises:
            SourceError: where it cannot be opened any more, or its archive is damaged.
        """
        self.check_archive()
        with gdal_errors(), _gdal_environment():
            return OpenScene(_open_dataset(self._file.gdal_path, 1), self._band)

    def check_archive(self) -> None:
        """Read the raster once if it lies in an archive, unless that was done: GDAL does not look at the checksums.

        Raises:
            SourceError: where the archive is damaged, so that the pixels would be others.
        """
        if self._file.archive is not None:
            self.identify()

    def identify(self) -> SourceFile:
        """Read size and checksum of the file; of the member, where it lies in an archive.

        Raises:
            SourceError: where it cannot be read any more, or is not what its archive says.
        """
        try:
            if self._file.archive is None:
                return checksum_file(Path(self._file.gdal_path))
            if self._identity is None:
                with zipfile.ZipFile(self._file.archive) as archive, archive.open(self._file.member) as member:
                    self._identity = checksum_stream(member)
        except zipfile.BadZipFile as error:
            raise SourceError(f"the archive is damaged: {error}; download it again") from error
        except ZIP_ERRORS as error:
            raise SourceError(f"cannot be read any more: {error}; was it moved or changed meanwhile?") from error
        return self._identity

    def _count_readers(self, height: int, jobs: int) -> int:
        """Return how many data sets to read bands with; one where several would decode the same data."""
        if jobs == 1 or self._file.archive is not None:  # a member of an archive is inflated from its beginning
            return 1
        with open_raster(self._file.gdal_path) as dataset:
            return min(jobs, MOST_READERS) if dataset.block_shapes[0][0] <= height else 1

    def _read_ahead(
        self, windows: Sequence[tuple[int, int]], datasets: Sequence[rasterio.DatasetReader]
    ) -> Generator[npt.NDArray[np.generic]]:
        """Read windows in order, each data set in one thread at a time."""
        buffers = BufferPool()
        free = SimpleQueue[rasterio.DatasetReader]()
        for dataset in datasets:
            free.put(dataset)

        def read(window: tuple[int, int]) -> npt.NDArray[np.generic]:
            dataset = free.get()
            try:
                with _gdal_environment():  # takes over what GDAL says in this thread
                    return self._read(dataset, window, buffers)
            finally:
                free.put(dataset)

        row_nbytes = self.info.width * self.dtype.itemsize
        yield from in_order(
            read, windows, lambda window: (window[1] - window[0]) * row_nbytes, len(datasets), READ_AHEAD_NBYTES
        )

    def _read(
        self, dataset: rasterio.DatasetReader, window: tuple[int, int], buffers: BufferPool
    ) -> npt.NDArray[np.generic]:
        start, stop = window
        pixels = buffers.take((stop - start, self.info.width), self.dtype)
        dataset.read(self._band, window=Window(0, start, self.info.width, stop - start), out=pixels)
        return pixels


class OpenScene:
    """A scene's open raster, for one thread at a time.

    Args:
        dataset: the raster; closed with this object.
        band: number of the band, from 1.
    """

    def __init__(self, dataset: rasterio.DatasetReader, band: int) -> None:
        self._dataset, self._band = dataset, band

    def read(self, row: int, col: int, height: int, width: int) -> npt.NDArray[np.generic]:
        """Read pixels (height, width) from a place on; all of them lie in the scene.

        Raises:
            SourceError: where they cannot be read.
        """
        with gdal_errors(), _gdal_environment():  # takes over what GDAL says in this thread
            pixels: npt.NDArray[np.generic] = self._dataset.read(self._band, window=Window(col, row, width, height))
            return pixels

    def close(self) -> None:
        """Close the raster."""
        self._dataset.close()


def open_scenes(file: RasterFile, assigned: str | None) -> tuple[list[GeoTiffScene], list[BadSource]]:
    """Look at a raster file and make a scene of each of its polarizations.

    Args:
        file: the raster.
        assigned: the polarization that the user gives to rasters that tell none, or None.

    Returns:
        The scenes, and the file as broken with the reason where it cannot be used.
    """
    try:
        if file.info.product_type in ("SLC", "RAW", "OCN"):
            raise SourceError(f"expected a detected product (GRD), found {file.info.product_type}: {_DETECT}")
        with open_raster(file.gdal_path) as dataset:
            return [
                _make_scene(file, dataset, band, name) for band, name in _polarized_bands(file, dataset, assigned)
            ], []
    except SourceError as error:
        return [], [BadSource(file.info.path, str(error))]


_DETECT = "detect it first (multilook the squared magnitude), for example with SNAP, pyroSAR or ISCE"


def _polarized_bands(file: RasterFile, dataset: rasterio.DatasetReader, assigned: str | None) -> list[tuple[int, str]]:
    """Return (band number, polarization) of each band in use, or raise SourceError with the reason for none."""
    _check_layout(dataset)
    described = _describe_bands(dataset)
    if dataset.count == 1:
        polarization = (
            file.info.polarization or next((text for text in described if text in POLARIZATIONS), "") or assigned
        )
        if not polarization:
            raise SourceError(
                "nothing tells its polarization: name it like scene-vv.tif, or pass --polarization vv (vh, hh, hv)"
            )
        return [(1, polarization)]
    named = [(band, text) for band, text in enumerate(described, start=1) if text in POLARIZATIONS]
    if not named or len({text for _, text in named}) < len(named):
        raise SourceError(
            f"found {dataset.count} bands described as {described}; expected one band, or bands described VV, VH, "
            "HH or HV, each once, to tell them apart (set that with rasterio's set_band_description, or split the file "
            "with gdal_translate -b)"
        )
    return named


def _describe_bands(dataset: rasterio.DatasetReader) -> list[str]:
    try:
        return [(text or "").strip().lower() for text in dataset.descriptions]
    except UnicodeDecodeError:  # rasterio takes them for UTF-8; what is not names no polarization
        return [""] * dataset.count


def _check_layout(dataset: rasterio.DatasetReader) -> None:
    dtype = dataset.dtypes[0]
    if dtype.startswith("complex"):
        raise SourceError(f"expected detected amplitude or intensity, found complex pixels ({dtype}, SLC): {_DETECT}")
    if dtype in ("uint8", "int8"):
        raise SourceError(
            f"expected uint16 DN or float backscatter, found {dtype}: an 8-bit display image has lost its radiometry"
        )
    if dtype not in _DTYPES:
        raise SourceError(f"expected dtype {', '.join(_DTYPES)}, found {dtype}")
    if max(dataset.shape) > MOST_SIDE_PX:
        raise SourceError(
            f"expected at most {MOST_SIDE_PX:,} rows and columns, found {dataset.height:,} x {dataset.width:,}; cut it "
            "into pieces with gdal_translate -srcwin"
        )
    rows, cols = dataset.block_shapes[0]
    bands = dataset.count if dataset.interleaving == Interleaving.pixel else 1
    nbytes = rows * cols * bands * np.dtype(dtype).itemsize
    if nbytes > MOST_BLOCK_NBYTES:
        raise SourceError(
            f"expected strips or tiles, found one block of {rows} x {cols} pixels ({nbytes >> 20} MB), which would "
            "have to be held in memory whole; rewrite it with gdal_translate -co TILED=YES"
        )
    if any(scale != 1 for scale in dataset.scales) or any(offset != 0 for offset in dataset.offsets):
        raise SourceError(
            f"expected pixels that are the values themselves, found scale {dataset.scales[0]:g} and offset "
            f"{dataset.offsets[0]:g} to apply; unpack it with gdal_translate -unscale -ot Float32"
        )


def _make_scene(file: RasterFile, dataset: rasterio.DatasetReader, band: int, polarization: str) -> GeoTiffScene:
    info = dataclasses.replace(
        file.info,
        polarization=polarization,
        height=dataset.height,
        width=dataset.width,
        georeference=_georeference(dataset),
    )
    info = _with_tag_facts(info, dataset.tags().get("TIFFTAG_IMAGEDESCRIPTION", ""))
    dtype = np.dtype(dataset.dtypes[band - 1])
    nodata = _possible_nodata(dataset.nodatavals[band - 1], dtype)
    return GeoTiffScene(info, file, band, dtype, nodata, dataset.block_shapes[band - 1])


def _possible_nodata(nodata: float | None, dtype: np.dtype[np.generic]) -> float | None:
    """Return the declared value where a pixel can hold it: 0.5 among integers means none, and must not become 0."""
    if nodata is None or math.isnan(nodata):
        return nodata
    if dtype.kind == "u":
        return nodata if nodata.is_integer() and 0 <= nodata <= np.iinfo(np.uint16).max else None
    return nodata if math.isinf(nodata) or abs(nodata) <= float(np.finfo(dtype.name).max) else None


def _with_tag_facts(info: SceneInfo, description: str) -> SceneInfo:
    """Read "Sentinel-1A IW GRD HR L1", the tag of ESA's rasters, where neither names nor documents told as much."""
    words = description.split()
    if len(words) < 3 or not _SATELLITE.fullmatch(words[0]) or info.platform:
        return info
    return dataclasses.replace(info, platform=f"S1{words[0][-1]}", mode=words[1], product_type=words[2])


def _georeference(dataset: rasterio.DatasetReader) -> Georeference:
    points, gcp_crs = dataset.gcps
    transform = dataset.transform
    placed = dataset.crs is not None or not transform.is_identity
    return Georeference(
        crs=dataset.crs.to_wkt() if dataset.crs else "",
        transform=tuple(transform)[:6] if placed else Georeference.transform,
        gcps=tuple((point.row, point.col, point.x, point.y, point.z or 0.0) for point in points),
        gcp_crs=gcp_crs.to_wkt() if points and gcp_crs else "",
    )


def load_sar_image(path: str | Path) -> Floats:
    """Read one raster whole, for a look at a single image; ``convert`` streams instead.

    Args:
        path: a GeoTIFF with one real band.

    Returns:
        float32 of shape (H, W); NaN where the raster declares no data.

    Raises:
        SourceError: where it cannot be read, is complex, 8-bit or has several bands that nothing tells apart.
    """
    scenes, broken = open_scenes(loose_raster(Path(path)), assigned="vv")
    if broken:
        raise SourceError(str(broken[0]))
    if len(scenes) > 1:
        raise SourceError(f"{path}: expected one band, found {len(scenes)}; read them with rasterio")
    scene = scenes[0]
    pixels = scene.rows(0, scene.info.height)
    image = pixels.astype(np.float32)
    if scene.nodata is not None:
        image[pixels == np.dtype(scene.dtype).type(scene.nodata)] = np.nan
    return image
