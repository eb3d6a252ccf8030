"""``repack``: the other layout, or another codec, and the same patches, bit for bit; all else comes along."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio

from sar_h5 import (
    SARH5Dataset,
    SceneSplit,
    export_geotiffs,
    export_index,
    export_shards,
    extract,
    merge,
    repack,
    split_file,
    verify,
)  # fmt: skip
from sar_h5.columns import write_column
from sar_h5.derivation import block_pixels, patch_chunks
from sar_h5.derivation.pieces import open_piece
from sar_h5.errors import CorruptPatchError, FormatError, OutputError, OutputExistsError, SettingError, SourceError
from sar_h5.schema import COMPONENT_COLUMN
from sar_h5.shared_blocks import held_blocks
from sar_h5.text_checksum import seal_texts
from tests.block_files import break_block, make_overlapping_shards, set_blocks
from tests.command_line import CommandLine, snapshot
from tests.conftest import make_shards
from tests.damage import break_patch
from tests.derived_files import RECOVERED, assert_same, attribute, columns, make_file, values
from tests.raster_files import write_raster
from tests.written_blocks import check_blocks

OPTIONS = {"patch_size": 64, "stride": 32}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Overlapping patches whose places and stride nothing tells."""
    directory = tmp_path_factory.mktemp("shards")
    make_overlapping_shards(directory)
    return directory


@pytest.fixture(scope="module")
def of_shards(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same shards, converted into either layout."""
    return {
        layout: make_file(shards, tmp_path_factory.mktemp(layout), layout=layout, name=f"{layout}.h5", split=False)
        for layout in ("patches", "blocks")
    }


@pytest.mark.parametrize("encoding", ["palette", "dn", "float32"])
def test_either_layout_becomes_what_a_conversion_to_the_other_makes(
    products: Path, tmp_path: Path, encoding: str
) -> None:
    files = {
        layout: make_file(products, tmp_path / layout, encoding=encoding, layout=layout, split=False, **OPTIONS)
        for layout in ("patches", "blocks")
    }
    for layout, other in (("patches", "blocks"), ("blocks", "patches")):
        new = tmp_path / f"{other}.h5"
        before = files[layout].read_bytes()
        summary = repack(files[layout], new, layout=other, jobs=1 if layout == "patches" else 3)
        assert files[layout].read_bytes() == before
        assert summary.content_digest == attribute(files[other], "content_digest")
        assert (summary.layout, summary.notes) == (other, ())
        assert_same(files[other], new)
        assert verify(new, source=products).problems == ()
        line = str(attribute(new, "history")).splitlines()[-1]
        assert f" repack {files[layout]} to {new} in layout {other}" in line
    check_blocks(tmp_path / "blocks.h5")


def test_patches_without_places_share_what_a_look_at_them_finds(
    of_shards: dict[str, Path], shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_blocks, "RECENT_NBYTES", 5_000)  # most blocks are read back
    summary = repack(of_shards["patches"], tmp_path / "blocks.h5", layout="blocks")
    assert summary.blocks is not None
    assert (summary.blocks.block_size, summary.blocks.sharing_patches) == (16, summary.patches)
    assert_same(of_shards["blocks"], tmp_path / "blocks.h5", without=RECOVERED)
    assert verify(tmp_path / "blocks.h5", source=shards).problems == ()
    repack(tmp_path / "blocks.h5", tmp_path / "patches.h5", layout="patches")
    assert_same(of_shards["patches"], tmp_path / "patches.h5")


@pytest.mark.parametrize("layout", ["patches", "blocks"])
def test_another_codec_is_another_file_of_the_same_content(
    of_shards: dict[str, Path], tmp_path: Path, layout: str
) -> None:
    old, small, again, level = of_shards[layout], tmp_path / "small.h5", tmp_path / "again.h5", tmp_path / "level.h5"
    with open_piece(old) as piece:
        codec = piece.codec
    summary = repack(old, small, codec="small")
    assert summary.codec.startswith("zstd level 3")
    assert summary.compressed == summary.patches
    assert verify(small).problems == ()
    np.testing.assert_array_equal(values(small), values(old))
    repack(small, again, codec=codec.name, clevel=codec.clevel, shuffle=codec.shuffle)
    assert_same(old, again)
    repack(old, level, clevel=9, shuffle="bit")
    with open_piece(level) as piece:
        assert piece.codec == replace(codec, clevel=9, shuffle="bit")
    assert verify(level).problems == ()
    assert repack(old, tmp_path / "copy.h5", layout=layout).compressed == 0
    assert_same(old, tmp_path / "copy.h5")


def test_parts_and_tables_of_users_come_along(of_shards: dict[str, Path], shards: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copy(of_shards["patches"], tmp_path / "whole.h5"))
    split_file(whole, SceneSplit((0.5, 0.5, 0)))
    count = len(values(whole))
    with h5py.File(whole, "r+") as f:
        f["index/feature"] = np.arange(2 * count).reshape(count, 2)
        f["embedding"] = np.arange(count)
        f["notes/text"] = np.bytes_("hello")
    parts = []
    for number in range(2):
        extract(whole, tmp_path / f"part{number}.h5", indices=slice(number, None, 2))
        parts.append(tmp_path / f"blocks{number}.h5")
        repack(tmp_path / f"part{number}.h5", parts[-1], layout="blocks")
        assert verify(parts[-1], source=shards).problems == ()
        assert attribute(parts[-1], "extracted_from") == attribute(whole, "content_digest")
        with h5py.File(parts[-1]) as f:
            assert f["embedding"][:].tolist() == list(range(number, count, 2))
            assert f["notes/text"][()] == b"hello"
    merge(parts, tmp_path / "merged.h5")
    repack(whole, tmp_path / "blocks.h5", layout="blocks")
    assert_same(tmp_path / "blocks.h5", tmp_path / "merged.h5")
    assert len(SARH5Dataset(tmp_path / "merged.h5", split="train", verify="always")) > 0


def add_components(path: Path, component: list[int]) -> Path:
    """Give each patch a place that was recovered, and so no place that counts for the digest; none overlaps another."""
    with h5py.File(path, "r+") as f:
        write_column(f["index"], COMPONENT_COLUMN, component)
        f["index/row"][:] = np.where(np.array(component) < 0, -1, np.arange(len(component)) * 64)
        f["index/col"][:] = np.where(np.array(component) < 0, -1, 0)
        seal_texts(f)
    return path


def test_recovered_places_come_along_and_have_no_say(of_shards: dict[str, Path], tmp_path: Path) -> None:
    whole = of_shards["blocks"]
    digest, component = attribute(whole, "content_digest"), columns(whole)["index/component"].tolist()
    assert max(component) >= 0
    repack(whole, tmp_path / "patches.h5", layout="patches")
    repack(tmp_path / "patches.h5", tmp_path / "blocks.h5", layout="blocks")
    assert_same(whole, tmp_path / "blocks.h5")
    parts = [tmp_path / f"part{number}.h5" for number in range(2)]
    for number, part in enumerate(parts):
        extract(whole, part, indices=slice(number, None, 2))
    assert merge(parts[::-1], tmp_path / "merged.h5").content_digest == digest
    assert_same(whole, tmp_path / "merged.h5")
    (tmp_path / "others").mkdir()
    make_shards(tmp_path / "others", counts=(4,), seed=8)
    other = make_file(tmp_path / "others", tmp_path / "h5", split=False, layout="blocks", stride=16)
    with h5py.File(other, "r+") as f:
        f["scenes/name"][0] = b"another"
        f.attrs["stride"] = f["blocks"].attrs["stride"] = attribute(whole, "stride")
    merge([whole, other], tmp_path / "half.h5")
    assert columns(tmp_path / "half.h5")["index/component"].tolist() == [*component, -1, -1, -1, -1]
    merge([whole, add_components(other, [0, 0, -1, 1])], tmp_path / "all.h5")
    following = max(component) + 1
    expected = [*component, following, following, -1, following + 1]
    assert columns(tmp_path / "all.h5")["index/component"].tolist() == expected
    with h5py.File(other, "r+") as f:
        del f["index/component"]
        f["scenes/height"][:] = f["scenes/width"][:] = 1000
        seal_texts(f)
    with pytest.raises(FormatError, match=r"places is recovered in .*blocks.h5 and known in .*vv.h5"):
        merge([whole, other], tmp_path / "never.h5")


def test_one_patch_empty_scenes_and_patches_that_share_nothing(tmp_path: Path) -> None:
    for name, pixels in (("a", 5 + np.arange(96) % 32 // 2), ("b", 1 + np.arange(96) % 2)):  # b is below all bounds
        write_raster(tmp_path / f"{name}-vv.tif", np.tile(pixels.astype(np.uint16), (64, 1)))
    options = {"patch_size": 32, "stride": 32, "vmin": 10.0, "vmax": 30.0, "min_valid": 0.5, "encoding": "float32"}
    sources = [tmp_path / f"{name}-vv.tif" for name in "ab"]
    whole = make_file(sources, tmp_path / "h5", split=False, **options)
    summary = repack(whole, tmp_path / "blocks.h5", layout="blocks")
    assert summary.blocks is not None
    assert (summary.patches, summary.blocks.count) == (6, 6)  # equal pixels, but other places
    assert "with a stride of 32 px patches of 32 px do not overlap" in " ".join(summary.notes)
    extract(tmp_path / "blocks.h5", tmp_path / "one.h5", indices=[3])
    assert attribute(tmp_path / "one.h5", "layout") == "blocks"
    repack(tmp_path / "one.h5", tmp_path / "other.h5", layout="patches")
    for path in ("blocks.h5", "one.h5", "other.h5"):
        assert verify(tmp_path / path, source=sources).problems == ()
        assert columns(tmp_path / path)["scenes/patch_count"].tolist()[1:] in ([], [0])
    np.testing.assert_array_equal(values(tmp_path / "other.h5"), values(whole)[3:4])


def test_what_cannot_be_is_refused_with_the_reason(of_shards: dict[str, Path], tmp_path: Path) -> None:
    patches, blocks = (Path(shutil.copy(path, tmp_path / path.name)) for path in of_shards.values())

    def refuse(match: str, path: Path, error: type[Exception] = SettingError, **options: object) -> None:
        before = snapshot(tmp_path)
        with pytest.raises(error, match=match):
            repack(path, **({"out": tmp_path / "new.h5"} | options))  # type: ignore[arg-type]
        assert snapshot(tmp_path) == before

    refuse("nothing says how to store", patches)
    refuse("expected layout patches, blocks; found 'rows'", patches, layout="rows")
    refuse("expected codec fast, small, .*; found 'gzip'", patches, codec="gzip")
    refuse("expected shuffle none, byte, bit; found 'best'", patches, shuffle="best")
    refuse("level from 0 to 9; found 10", patches, clevel=10)
    refuse("jobs of at least 1", patches, layout="blocks", jobs=0)
    refuse("must be another file", patches, layout="blocks", out=patches, overwrite=True)
    refuse("is there already", patches, OutputExistsError, layout="blocks", out=blocks)
    refuse("no such file", tmp_path / "absent.h5", SourceError, layout="blocks")
    refuse("expected a directory for the result", patches, layout="blocks", out=tmp_path / "a" / "b.h5")
    (tmp_path / "text.h5").write_text("hello")
    refuse("text.h5: its structure is damaged", tmp_path / "text.h5", FormatError, layout="blocks")
    with h5py.File(shutil.copy(patches, tmp_path / "a.h5"), "r+") as f:
        f["scenes/name"][0] = b"other"
    refuse("but not the file's content_digest", tmp_path / "a.h5", FormatError, layout="blocks")
    other = Path(shutil.copy(patches, tmp_path / "odd.h5"))
    content = other.read_bytes()
    other.write_bytes(content.replace(b"Sentinel-1 VV patches of", b"Sentinel-1 V\xba patches of"))
    with h5py.File(other, "r+") as f:
        seal_texts(f)
    refuse("odd.h5: expected attributes in UTF-8", other, FormatError, layout="blocks")
    with h5py.File(shutil.copy(patches, tmp_path / "b.h5"), "r+") as f:
        f.attrs["stride"] = f["patches"].attrs["stride"] = 3
    assert repack(tmp_path / "b.h5", tmp_path / "fine.h5", layout="blocks").notes[0].startswith("--layout patches may")
    break_patch(Path(shutil.copy(patches, tmp_path / "c.h5")), 30)
    refuse("c.h5: patch 30 cannot be read.*repair .*c.h5", tmp_path / "c.h5", CorruptPatchError, layout="blocks")
    break_block(Path(shutil.copy(blocks, tmp_path / "d.h5")), 4)
    refuse("d.h5: patch .* block 4: .*repair .*d.h5", tmp_path / "d.h5", CorruptPatchError, layout="patches")
    refuse("d.h5: patch .* block 4: ", tmp_path / "d.h5", CorruptPatchError, codec="small")
    set_blocks(Path(shutil.copy(blocks, tmp_path / "e.h5")), 7, [0, 1, 2, 3])
    refuse(r"/index/blocks\[7\].*are not those that its", tmp_path / "e.h5", FormatError, layout="patches")


@pytest.mark.parametrize("layout", ["patches", "blocks"])
def test_a_full_disk_and_ctrl_c_leave_nothing(
    of_shards: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    old = of_shards["patches" if layout == "blocks" else "blocks"]
    for error, raised in ((OSError(28, "No space left"), OutputError), (KeyboardInterrupt(), KeyboardInterrupt)):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        for module in (patch_chunks, block_pixels):
            monkeypatch.setattr(module, "write_chunk", fail)
        with pytest.raises(raised):
            repack(old, tmp_path / "new.h5", layout=layout)
        assert list(tmp_path.iterdir()) == []


def test_chunks_left_unfiltered_are_taken(of_shards: dict[str, Path], tmp_path: Path) -> None:
    """Bytes that HDF5 has left as they were are copied so, and compressed where the layout changes."""
    path = Path(shutil.copy(of_shards["blocks"], tmp_path / "a.h5"))
    with h5py.File(path, "r+") as f:
        block = f["blocks"][3]
        f["blocks"].id.write_direct_chunk((3, 0, 0), block.tobytes(), filter_mask=1)
        checksums = f["block_checksum"][:]
        checksums[3] = zlib.crc32(block.tobytes())
        f["block_checksum"][3] = checksums[3]
        f["index/checksum"][:] = [zlib.crc32(checksums[grid].tobytes()) for grid in f["index/blocks"][:]]
    extract(path, tmp_path / "part.h5", indices=slice(0, 6))
    with h5py.File(path) as old, h5py.File(tmp_path / "part.h5") as new:
        chunks = [file["blocks"].id.read_direct_chunk((3, 0, 0)) for file in (old, new)]
        assert chunks[0] == chunks[1] == (1, block.tobytes())
    repack(path, tmp_path / "patches.h5", layout="patches")
    assert_same(of_shards["patches"], tmp_path / "patches.h5", without=RECOVERED)


def test_the_command_repacks(
    of_shards: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = CommandLine(monkeypatch, capsys)
    out, back = tmp_path / "new.h5", tmp_path / "back.h5"
    outcome = line.run("repack", of_shards["patches"], "--out", out, "--layout", "blocks", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    told = json.loads(outcome.out)
    assert (told["layout"], told["blocks"]["block_size"]) == ("blocks", 16)
    assert told["content_digest"] == attribute(of_shards["patches"], "content_digest")
    outcome = line.run("repack", out, "--out", back, "--layout", "patches", "--codec", "zstd", "--clevel", 1)
    assert "zstd level 1" in outcome.out
    assert line.run("verify", back).code == 0
    assert "is there already" in line.refuse("repack", out, "--out", back, "--layout", "patches", untouched=tmp_path)
    assert "nothing says how" in line.refuse("repack", out, "--out", tmp_path / "c.h5", untouched=tmp_path)
    assert line.run("repack", out, "--out", back, "--layout", "rows").code == 2
    assert "sar-h5 repack vv.h5 --out vv-blocks.h5 --layout blocks" in line.run("repack", "--help").out


def test_either_layout_is_exported_alike(products: Path, tmp_path: Path) -> None:
    exports = {}
    for layout in ("patches", "blocks"):
        path = make_file(products, tmp_path / layout, layout=layout, split=False, patch_size=128, stride=64)
        out = tmp_path / f"{layout} exported"
        out.mkdir()
        export_shards(path, out / "shards", jobs=1, progress=False)
        export_geotiffs(path, out / "geotiff", jobs=1, progress=False)
        export_index(path, out / "index.csv")
        exports[layout] = snapshot(out) or {}
    assert len(exports["patches"]) > 20
    for (name, content), (other, same) in zip(*(some.items() for some in exports.values()), strict=True):
        assert Path(name).name == Path(other).name
        if name.endswith(".npy") and not name.endswith("metadata.npy"):
            assert content == same, name
    names = [[name for name in some if name.endswith(".tif")] for some in exports.values()]
    for name, other in zip(*names, strict=True):
        with rasterio.open(name) as one, rasterio.open(other) as two:
            np.testing.assert_array_equal(one.read(), two.read())
            assert (one.transform, one.crs) == (two.transform, two.crs)
    tables = [np.genfromtxt(tmp_path / f"{layout} exported" / "index.csv", str, delimiter=",") for layout in exports]
    differing = {tables[0][0, column] for column in np.flatnonzero((tables[0] != tables[1]).any(axis=0))}
    assert differing <= {"checksum"}


@pytest.mark.skipif(sys.platform == "win32", reason="kills")
def test_a_kill_leaves_nothing_that_counts_and_the_next_run_clears_up(
    of_shards: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "new.h5"
    code = (
        "import os, signal, sys\n"
        "from sar_h5 import repack\n"
        "from sar_h5.derivation import block_pixels\n"
        "block_pixels.BlockPixels.finish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "repack(sys.argv[1], sys.argv[2], layout='blocks')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, of_shards["patches"], out], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert {path.name for path in tmp_path.iterdir()} <= {"new.h5.partial", "new.h5.lock"}
    repack(of_shards["patches"], out, layout="blocks")
    assert_same(of_shards["blocks"], out, without=RECOVERED)
    assert [path.name for path in tmp_path.iterdir()] == ["new.h5"]
