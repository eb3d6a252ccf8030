"""``info``: what a file holds, in a screenful, as text and as JSON; and damaged files said to be so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import convert
from sar_h5.errors import FormatError, SourceError
from sar_h5.info import read_info
from tests.conftest import make_shards


@pytest.fixture(scope="module")
def file(products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("h5")
    convert(products, out, patch_size=128, polarization="vv")
    return out / "vv.h5"


def test_the_text_shows_what_the_file_holds_in_a_screenful(file: Path) -> None:
    text = read_info(file).to_text()
    with h5py.File(file) as f:
        count, levels, digest = len(f["patches"]), len(f["lut"]), f.attrs["content_digest"]
        bounds = f"{f.attrs['vmin']:.4f} to {f.attrs['vmax']:.4f} dB = 0 to 1 (percentiles 1 and 99"
        names = f["scenes/name"].asstr()[:].tolist()
    expected = (
        str(file), "Sentinel-1 VV patches of 128 x 128 pixels", "(format 1.0)", f"{count} x 128 x 128, uint16, stride 128 px",
        f"palette, {levels} codes in /lut; Blosc lz4 level 5, bitshuffle", bounds, "least valid fraction 0.9, measured by range",
        f"{file.stat().st_size / 1e6:,.2f} MB", digest, "digital number of the detected amplitude", "h5py", "convert ",
        "splits     none", "scenes     2", *names, "400 x 600 px", "2021-01-19T03:16:53",
    )  # fmt: skip
    assert [piece for piece in expected if piece not in text] == []
    assert len(text.splitlines()) <= 24


def test_the_json_form_is_plain_data_with_all_scenes(file: Path) -> None:
    data = json.loads(json.dumps(read_info(file).to_dict()))
    with h5py.File(file) as f:
        assert data["patches"] == len(f["patches"])
        assert data["vmin"] == f.attrs["vmin"]
        assert data["valid_pixels"] == int(f["histogram"][:].sum())
        assert [scene["patch_count"] for scene in data["scenes"]] == f["scenes/patch_count"][:].tolist()
    assert data["nbytes"] == file.stat().st_size
    assert data["splits"] == []
    assert data["ratio"] == pytest.approx(data["patches"] * 128 * 128 * 4 / data["nbytes"])


def test_files_from_shards_and_of_many_scenes(tmp_path: Path) -> None:
    make_shards(tmp_path, counts=(1,) * 10, size=16)
    (summary,) = convert(tmp_path, tmp_path / "few", encoding="float32", codec="small")
    text = read_info(summary.path).to_text()
    assert "stride unknown" in text
    assert "encoding   float32; Blosc zstd level 3, " in text
    assert "size unknown: 1 patches, 0 dropped" in text
    assert "more (--json lists all)" not in text
    for number in range(15):
        np.save(tmp_path / f"extra{number:02}-vv.npy", np.zeros((1, 16, 16), dtype=np.float32))
    (tmp_path / "metadata.npy").unlink()
    (summary,) = convert(tmp_path, tmp_path / "many", vmin=1, vmax=2)
    assert "... and 13 more (--json lists all)" in read_info(summary.path).to_text()


def test_splits_are_listed(file: Path, tmp_path: Path) -> None:
    shutil.copy(file, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as f:
        for name in ("by_scene", "another"):
            f[f"splits/{name}"] = np.ones(len(f["patches"]), dtype=np.uint8)
    assert "splits     another, by_scene" in read_info(tmp_path / "a.h5").to_text()
    quick = read_info(tmp_path / "a.h5", splits=False)
    assert (quick.splits, quick.bounds_outside_train, quick.ratio) == ((), {}, read_info(tmp_path / "a.h5").ratio)


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent\.h5: .*no such file"):
        read_info(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(FormatError, match=r"text\.h5: expected an HDF5 file"):
        read_info(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["data"] = np.zeros((2, 3, 3))
    with pytest.raises(FormatError, match=r"other\.h5: expected a file made by sar-h5 convert"):
        read_info(tmp_path / "other.h5")


@pytest.mark.parametrize("name", ["scenes/orbit", "scenes", "lut", "patches"])
def test_a_damaged_file_is_said_to_be_damaged(file: Path, tmp_path: Path, name: str) -> None:
    with h5py.File(file) as f:
        header = h5py.h5o.get_info(f[name].id).addr
    content = bytearray(file.read_bytes())
    content[header + 12] ^= 0xFF
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(FormatError, match=r"a\.h5: "):
        read_info(tmp_path / "a.h5")
