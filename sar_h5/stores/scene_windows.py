"""Windows of whole scenes, read on demand and scaled as a conversion does it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sar_h5.contents import Columns
from sar_h5.decode_threads import DecodeThreads
from sar_h5.errors import CorruptPatchError, SettingError, SourceError
from sar_h5.radiometry import Bounds
from sar_h5.sources.rasters import GeoTiffScene, OpenScene
from sar_h5.stores.handle_pool import HandlePool
from sar_h5.stores.pixel_values import PixelValues
from sar_h5.stores.scene_cells import CellCache, CellGrid, CellKey, Pixels, cut_window
from sar_h5.stores.scene_columns import scene_columns
from sar_h5.tiling import EDGES, Edge, PatchGrid, window_starts
from sar_h5.units import Units

Places = npt.NDArray[np.int64]

MOST_OPEN = 16
"""How many rasters are open at once in a process, unless told otherwise."""

CACHE_NBYTES = 64 << 20
"""How many bytes of decoded pixels a process keeps: two rows of 256-pixel windows of an IW scene take 27 MB."""

_OF_PROCESS = ("_pixels", "_rasters", "_threads", "_cache", "_index")
"""Attributes that are not pickled, but made again."""

_ADVICE = "download or make the raster again; `sar-h5 scan` lists every broken one"


class SceneWindows:
    """Windows of scenes, row by row, scene after scene; see :class:`sar_h5.stores.patch_store.PatchStore`.

    Args:
        path: where the scenes are, as the user knows it.
        scenes: the rasters.
        units: what their pixels are.
        bounds: the dB range that becomes [0, 1].
        grid: size and stride of the windows.
        edge: what to do at the right and the bottom; see :func:`sar_h5.tiling.window_starts`.
        most_open: how many rasters are open at once in a process, at least 1.
        cache_nbytes: how many bytes of decoded pixels a process keeps.

    Raises:
        SettingError: where a setting is not one of these, or no window fits.
    """

    def __init__(
        self,
        path: str,
        scenes: Sequence[GeoTiffScene],
        units: Units,
        bounds: Bounds,
        grid: PatchGrid,
        edge: Edge = "shift",
        *,
        most_open: int = MOST_OPEN,
        cache_nbytes: int = CACHE_NBYTES,
    ) -> None:
        if edge not in EDGES:
            raise SettingError(f"expected edge {', '.join(EDGES)}; found {edge!r}")
        if cache_nbytes < 0:
            raise SettingError(f"expected cache_nbytes of 0 or more bytes; found {cache_nbytes}")
        self.path, self._sources = path, list(scenes)
        self._size = grid.patch_size
        self._units, self._bounds = units, bounds
        self._settings = repr((units, bounds.vmin, bounds.vmax, grid, edge))
        self._scenes = scene_columns([scene.info for scene in scenes])
        self._cells = [CellGrid.of(scene.info.height, scene.info.width, scene.block_shape) for scene in scenes]
        self._rows = [window_starts(grid, cells.height, edge) for cells in self._cells]
        self._cols = [window_starts(grid, cells.width, edge) for cells in self._cells]
        counts = [len(rows) * len(cols) for rows, cols in zip(self._rows, self._cols, strict=True)]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._most_open, self._cache_nbytes = most_open, cache_nbytes
        self._start()
        if not self._starts[-1]:
            raise SettingError(
                f'{path}: no window of {self._size} x {self._size} pixels fits into any scene; edge="pad" or "shift" '
                "fills what is missing with 0"
            )
        self._pixels.lookup.compile_loop(self._pixels.dtype)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name not in _OF_PROCESS}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        self.__dict__.update(state)
        self._start()

    def _start(self) -> None:
        scenes = self._sources
        self._pixels = PixelValues(self._units, self._bounds)
        self._rasters = HandlePool(lambda number: scenes[number].open(), OpenScene.close, self._most_open)
        self._cache = CellCache(self._cache_nbytes)
        self._threads = DecodeThreads()
        self._index: Columns | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 1, P, P)."""
        return int(self._starts[-1]), 1, self._size, self._size

    def values(
        self,
        numbers: npt.NDArray[np.int64],
        out: npt.NDArray[np.float32],
        symmetries: npt.NDArray[np.uint8] | None = None,
        threads: int = 1,
    ) -> None:
        """Read windows; arguments and errors as :meth:`sar_h5.stores.patch_store.PatchStore.values`."""
        turns = np.zeros(len(numbers), dtype=np.uint8) if symmetries is None else symmetries
        places = self._find(numbers)

        def run(task: Callable[[int, int], None], count: int) -> None:
            self._threads.run(task, count, threads)

        for group, keys in self._groups(np.argsort(numbers, kind="stable"), places):
            cells = self._cache.collect(keys, self._read_cell, run)
            run(self._filler(cells, group, numbers, places, turns, out), len(group))

    def index(self) -> Columns:
        """Return ``scene``, ``row`` and ``col`` of each window."""
        if self._index is None:
            scene, row, col = self._find(np.arange(self.shape[0])).T.astype(np.int32)
            self._index = {"scene": scene, "row": row, "col": col}
        return self._index

    def scenes(self) -> Columns:
        """Return what products and rasters tell of the scenes."""
        return self._scenes

    def identity(self) -> str:
        """Return a digest of the scenes' names and sizes and of the settings, not of the pixels."""
        sizes = [
            (str(name), cells.height, cells.width)
            for name, cells in zip(self._scenes["name"], self._cells, strict=True)
        ]
        return hashlib.sha256(f"{sizes} {self._settings}".encode()).hexdigest()

    def close(self) -> None:
        """Close the rasters that this process has open, and let go of their pixels; the next read opens them again."""
        self._rasters.close()
        self._cache.clear()

    def _find(self, numbers: npt.NDArray[np.int64]) -> Places:
        """Return (scene, row, column) of each window, int64 (n, 3), in O(log S) each."""
        scenes = np.searchsorted(self._starts, numbers, side="right") - 1
        places = np.empty((len(numbers), 3), dtype=np.int64)
        for scene in np.unique(scenes):
            mine = scenes == scene
            rows, cols = divmod(numbers[mine] - self._starts[scene], len(self._cols[scene]))
            places[mine] = np.stack(
                [np.full(len(rows), scene), self._rows[scene][rows], self._cols[scene][cols]], axis=1
            )
        return places

    def _groups(self, turn: npt.NDArray[np.int64], places: Places) -> Iterator[tuple[list[int], list[CellKey]]]:
        """Split a batch into runs of windows whose cells take no more memory together than the cache, or just one."""
        group: list[int] = []
        keys: dict[CellKey, None] = {}
        nbytes = 0
        for item in turn.tolist():
            scene, row, col = places[item].tolist()
            grid = self._cells[scene]
            more = [(scene, *cell) for cell in grid.covering(row, col, self._size)]
            more = [key for key in more if key not in keys]
            more_nbytes = len(more) * grid.pixels * self._pixels.dtype.itemsize
            if group and more and nbytes + more_nbytes > self._cache_nbytes:
                yield group, list(keys)
                group, keys, nbytes = [], {}, 0
                more = [(scene, *cell) for cell in grid.covering(row, col, self._size)]
                more_nbytes = len(more) * grid.pixels * self._pixels.dtype.itemsize
            group.append(item)
            keys |= dict.fromkeys(more)
            nbytes += more_nbytes
        if group:
            yield group, list(keys)

    def _read_cell(self, key: CellKey) -> Pixels:
        scene, cell_row, cell_col = key
        with self._rasters.lend(scene) as raster:
            pixels = raster.read(*self._cells[scene].place(cell_row, cell_col))
        return self._pixels.prepare(pixels, self._sources[scene].nodata)

    def _filler(
        self,
        cells: Mapping[CellKey, Pixels | SourceError],
        group: Sequence[int],
        numbers: npt.NDArray[np.int64],
        places: Places,
        turns: npt.NDArray[np.uint8],
        out: npt.NDArray[np.float32],
    ) -> Callable[[int, int], None]:
        """Return the task that fills the places of a group in a batch."""

        def fill(start: int, stop: int) -> None:
            window = np.empty((self._size, self._size), dtype=self._pixels.dtype)
            for item in group[start:stop]:
                scene, row, col = places[item].tolist()
                try:
                    cut_window(cells, self._cells[scene], scene, row, col, window)
                except SourceError as error:
                    reason = f"{self._scenes['source_path'][scene]}: {error}"
                    raise CorruptPatchError.at(self.path, int(numbers[item]), reason, advice=_ADVICE) from error
                self._pixels.lookup.place(window, int(turns[item]), out[item, 0])

        return fill
