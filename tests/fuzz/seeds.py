"""Where each target starts: small sound inputs, and words that their formats know."""

from __future__ import annotations

import io
import json
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import rasterio

from sar_h5 import schema
from sar_h5.sources.simulator import SimulatedScene, simulate_product
from tests.hostile_files import make_sound
from tests.raster_files import GCPS, write_raster

METADATA = {
    "file_index": [("a-vv-1.npy", 2), ("C:\\x\\b-vv-2.npy", 1), ("../../c-vv.npy", 3)],
    "vmin": 14.77,
    "vmax": np.float32(24.54),
    "stride": np.int64(128),
    "bounds": {"vv": (1.0, 2.0), "vh": np.array([1.0, 2.0])},
    "path": Path("x/y"),
    "times": np.array(["2021-01-01"], dtype="M8[D]"),
    "none": [None, True, b"x", "\u00e9"],
}


def npy_seeds() -> list[bytes]:
    """Arrays of every kind, as NumPy saves them."""
    arrays = [
        np.zeros((2, 4, 4), np.float32),
        np.asfortranarray(np.zeros((2, 4, 4), ">f4")),
        np.array([14.77, 24.54]),
        np.zeros(2, [("a", "f4"), ("b", "S3")]),
        np.array(["x", "yy"]),
        np.array(METADATA, dtype=object),
        np.zeros(3, "M8[ns]"),
        np.array([True, False]),
    ]
    return [_saved(array, version) for array in arrays for version in ((1, 0), (2, 0), (3, 0))]


def _saved(array: np.ndarray, version: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    return stream.getvalue()


def metadata_seeds() -> list[bytes]:
    """Pickles of every protocol."""
    return [pickle.dumps(METADATA, protocol) for protocol in range(6)]


def hdf5_seeds() -> list[bytes]:
    """Files of this package, and of others."""
    with tempfile.TemporaryDirectory() as directory:
        ours, other = Path(directory) / "a.h5", Path(directory) / "b.h5"
        make_sound(ours)
        with h5py.File(other, "w", libver=schema.LIBVER) as file:
            file["images"] = np.zeros((3, 4, 4), np.float32)
            file["images"].attrs["units"] = "dB"
        return [ours.read_bytes(), other.read_bytes()]


def geotiff_seeds() -> list[bytes]:
    """Rasters with a place, with control points, tiled, of floats, with metadata."""
    profiles: list[dict[str, object]] = [
        {"compress": "deflate"},
        {"gcps": GCPS, "crs": "EPSG:4326"},
        {"tiled": True, "blockxsize": 16, "blockysize": 16, "nodata": 0},
        {"bigtiff": "YES"},
    ]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.tif"
        contents = []
        for profile in profiles:
            write_raster(path, None, ("VV",), **profile)
            contents.append(path.read_bytes())
            path.unlink()
        write_raster(path, np.ones((20, 20), np.float32))
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(OVERVIEW_FILE="/vsicurl/http://127.0.0.1:1/x.tif", TIFFTAG_IMAGEDESCRIPTION="S1 IW GRD")
        return [*contents, path.read_bytes()]


def manifest_seeds() -> list[bytes]:
    """Tables in every dialect."""
    return [
        b"scene,orbit,ok\na,1,true\nb,2,false\n",
        b'\xef\xbb\xbfname;x\r\n"a";1.5\r\nb;\r\n',
        b'scene_name\tt\na\t"x""y\nz"\nb\t007\n',
    ]


def safe_seeds() -> list[bytes]:
    """Documents of a product and names, as the target takes them apart, and a whole archive."""
    with tempfile.TemporaryDirectory() as directory:
        simulate_product(Path(directory), SimulatedScene(height=40, width=60, border_px=2, seed=1, orbit=36201))
        (product,) = Path(directory).glob("*.SAFE")
        parts = []
        for path in sorted(product.rglob("*")):
            if path.is_file() and path.stat().st_size < 60_000 and "calibration" not in str(path):
                parts += [f"{product.name}/{path.relative_to(product)}".encode(), path.read_bytes()[:4000]]
        parts += [f"{product.name}/measurement/s1a-iw-grd-vv-x.tiff".encode(), b"II*\0"]
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(f"{product.name}/manifest.safe", (product / "manifest.safe").read_bytes())
            archive.writestr(f"{product.name}/measurement/s1a-iw-grd-vv-x.tiff", b"II*\0")
    return [b"\0\0\0\0".join(parts), b"\0\0\0\0".join(parts[-4:]), stream.getvalue()]


def bounds_seeds() -> list[bytes]:
    """Bounds in JSON, as an array, as a pickle."""
    pair = {"vmin": 14.77, "vmax": 24.54}
    return [
        json.dumps(pair).encode(),
        json.dumps({"bounds": {"vv": [1, 2]}}).encode(),
        pickle.dumps({"global_bounds": pair}),
        _saved(np.array([1.0, 2.0]), (1, 0)),
        _saved(np.array({"VV": pair}, dtype=object), (1, 0)),
    ]


_OPCODES = [
    bytes([code])
    for code in b"(.012FIJKLMNPQRSTUVXabcdeghijlopqrstu}]\x80\x81\x82\x85\x86\x87\x88\x8a\x8b\x93\x94\x95\x96\x97\x98"
]
_GLOBALS = [b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"cos\nsystem\n"]

TOKENS: dict[str, list[bytes]] = {
    "npy": [
        b"'descr': ",
        b"'<f4'",
        b"'|O'",
        b"'shape': ",
        b"(1099511627776, 1)",
        b"(-1, 4, 4)",
        b"True",
        b"\x93NUMPY\x03\0",
    ],
    "metadata": [
        *_OPCODES,
        *_GLOBALS,
        b"cpathlib\nPosixPath\n",
        b"c_codecs\nencode\n",
        b"\x96" + b"\xff" * 7 + b"\x7f",
    ],
    "hdf5": [
        b"OHDR\x02",
        b"OCHK",
        b"GCOL\1\0\0\0",
        b"FRHP",
        b"FHDB",
        b"BTHD",
        b"FAHD",
        b"EAHD",
        b"SNOD",
        b"TREE",
        b"\xff" * 8,
    ],
    "geotiff": [
        b"II*\0",
        b"II+\0",
        b"\x00\x87",
        b"\xaf\x87",
        b"\x82\x84",
        b"\x80\xa4",
        b"\x81\xa4",
        b"\x42\x01",
        b"\x44\x01",
    ],
    "manifest": [
        b"scene",
        b'"',
        b'""',
        b";",
        b"\t",
        b"\0",
        b"\r",
        b"\xff\xfe",
        b"inf",
        b"nan",
        b"-0",
        b"1e999",
        b"9" * 400,
    ],
    "safe": [
        b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>",
        b"&a;",
        b"../",
        b"/",
        b"\0\0\0\0",
        b"measurement/",
    ],
    "bounds": [
        b'"vmin"',
        b"NaN",
        b"Infinity",
        b"1e400",
        b"9" * 5000,
        b"[" * 2000,
        b"null",
        b"\xff\xfe",
        b"\x93NUMPY\1\0",
    ],
}
"""What libFuzzer's dictionary and the mutators put into inputs."""

SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "npy": npy_seeds,
    "metadata": metadata_seeds,
    "hdf5": hdf5_seeds,
    "geotiff": geotiff_seeds,
    "manifest": manifest_seeds,
    "safe": safe_seeds,
    "bounds": bounds_seeds,
}
"""The sound inputs of each target."""
