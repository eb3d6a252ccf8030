from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sar_h5.errors import BoundsError, SourceError
from sar_h5.sources import walk as walk_module
from sar_h5.sources.discovery import Inventory, discover, find_all_sar_files
from sar_h5.sources.simulator import SimulatedScene, simulate_product
from tests.conftest import REAL_SCENE, make_shards
from tests.raster_files import write_raster

NAME = "S1A_IW_GRDH_1SDV_20210119T031653_20210119T031718_036201_043ED0_8255"


def save_shard(path: Path, count: int = 2, size: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(count).random((count, size, size), dtype=np.float32))
    return path


def save_metadata(directory: Path, **data: Any) -> None:
    np.save(directory / "metadata.npy", np.array(data, dtype=object), allow_pickle=True)


def raster_names(inventory: Inventory, polarization: str = "vv") -> list[str]:
    return [scene.info.name for scene in inventory.rasters.get(polarization, [])]


def shard_names(inventory: Inventory, polarization: str = "vv") -> list[str]:
    return [shard.info.name for shard in inventory.shards.get(polarization, [])]


def broken_names(inventory: Inventory) -> list[str]:
    return sorted(Path(source.path).name for source in inventory.broken)


def small_product(directory: Path, seed: int = 1, *, zipped: bool = False) -> Path:
    scene = SimulatedScene(height=60, width=80, border_px=4, seed=seed, orbit=36200 + seed)
    return simulate_product(directory, scene, zipped=zipped)


# Trees


def test_a_messy_tree_gives_all_its_scenes_and_names_all_that_is_broken(tmp_path: Path, real_data: Path) -> None:
    safe = small_product(tmp_path / "2021" / "jan", 1)
    small_product(tmp_path / "2021" / "feb", 2, zipped=True)
    shutil.copytree(real_data / REAL_SCENE, tmp_path / "cloud" / REAL_SCENE)
    write_raster(tmp_path / "loose" / "field-vv.TIF")
    (tmp_path / "loose" / "broken-vh.tif").write_bytes(b"II*\0")
    (tmp_path / "bad.zip").write_bytes(b"PK")
    for name in ("readme.txt", "Thumbs.db", ".DS_Store", "notes.pdf", "x-vv.tif.aux.xml", "quick-look.png"):
        (tmp_path / "loose" / name).write_bytes(b"x")
    write_raster(tmp_path / ".trash" / "old-vv.tif")
    write_raster(tmp_path / "__MACOSX" / "fork-vv.tif")
    (tmp_path / "loose" / "._field-vv.tif").write_bytes(b"resource fork")
    inventory = discover([tmp_path])
    assert inventory.polarizations == ["vv", "vh"]
    assert len(raster_names(inventory)) == 4
    assert {safe.stem, REAL_SCENE, "field"} < set(raster_names(inventory))
    assert raster_names(inventory) == sorted(raster_names(inventory))
    assert set(raster_names(inventory)) - {"field"} == set(raster_names(inventory, "vh"))
    assert broken_names(inventory) == ["bad.zip", "broken-vh.tif"]
    assert inventory.shards == {}


@pytest.mark.parametrize("where", ["tree", "product", "measurement", "rasters"])
def test_a_product_gives_the_same_scenes_however_it_is_named(tmp_path: Path, where: str) -> None:
    product = small_product(tmp_path)
    sources = {
        "tree": [tmp_path],
        "product": [product],
        "measurement": [product / "measurement"],
        "rasters": sorted((product / "measurement").iterdir()),
    }[where]
    inventory = discover(sources)
    assert raster_names(inventory) == raster_names(inventory, "vh") == [product.stem]
    info = inventory.rasters["vv"][0].info
    assert (info.orbit, info.orbit_pass, inventory.broken) == (36201, "DESCENDING", [])


def test_the_same_thing_named_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    product = small_product(tmp_path / "data")
    write_raster(tmp_path / "data" / "field-vv.tif")
    archive = small_product(tmp_path / "data", 2, zipped=True)
    (tmp_path / "alias").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "link-vv.tif").symlink_to(tmp_path / "data" / "field-vv.tif")
    (tmp_path / "data" / "again.SAFE").symlink_to(product)
    (tmp_path / "data" / "again.zip").symlink_to(archive)
    monkeypatch.chdir(tmp_path)
    sources = ["data", tmp_path / "data", "alias", product, *(product / "measurement").iterdir(), archive, "./data/.."]
    inventory = discover(sources)
    assert len(raster_names(inventory)) == 3
    assert len(raster_names(inventory, "vh")) == 2
    assert inventory.broken == []


def test_link_loops_end(tmp_path: Path) -> None:
    write_raster(tmp_path / "a" / "field-vv.tif")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    (tmp_path / "a" / "self-vv.npy").symlink_to(tmp_path / "a" / "self-vv.npy")
    (tmp_path / "a" / "gone-vv.tif").symlink_to(tmp_path / "nowhere.tif")
    inventory = discover([tmp_path])
    assert raster_names(inventory) == ["field"]
    assert broken_names(inventory) == ["gone-vv.tif", "self-vv.npy"]


def test_a_folder_that_a_link_leads_to_is_searched(tmp_path: Path) -> None:
    write_raster(tmp_path / "elsewhere" / "field-vv.tif")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    assert raster_names(discover([tmp_path / "data"])) == ["field"]


def test_a_hidden_folder_that_is_named_is_searched(tmp_path: Path) -> None:
    write_raster(tmp_path / ".cache" / "field-vv.tif")
    assert raster_names(discover([tmp_path / ".cache"])) == ["field"]
    with pytest.raises(SourceError, match="found no scene"):
        discover([tmp_path])


def test_a_product_unpacked_into_a_folder_of_its_own_name_is_found(tmp_path: Path) -> None:
    product = small_product(tmp_path / f"{NAME}.SAFE")
    for source in (tmp_path, product.parent, product):
        inventory = discover([source])
        assert (raster_names(inventory), inventory.broken) == ([product.stem], [])


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_raster(tmp_path / "field-vv.tif")
    (tmp_path / "locked").mkdir()
    plain_scandir = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return plain_scandir(path)

    monkeypatch.setattr(os, "scandir", scandir)
    inventory = discover([tmp_path])
    assert raster_names(inventory) == ["field"]
    (broken,) = inventory.broken
    assert str(broken) == f"{tmp_path / 'locked'}: expected a directory that can be listed: Permission denied"


def test_a_folder_that_may_not_be_entered_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_raster(tmp_path / "field-vv.tif")
    (tmp_path / "locked").mkdir()
    plain = walk_module.is_product_directory

    def is_product_directory(path: Path) -> bool:
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(walk_module, "is_product_directory", is_product_directory)
    assert raster_names(discover([tmp_path])) == ["field"]


# Nothing, or not what was expected


@pytest.mark.parametrize("name", ["gone", "gone.SAFE", "gone-vv.tif", "gone/there"])
def test_a_source_that_does_not_exist_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=f"{name}: no such file or directory"):
        discover([tmp_path, tmp_path / name])


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    for name in ("a.txt", "a.h5", "metadata.npy", "a.tif.gz"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(SourceError, match=rf"{name}: expected a \.SAFE directory, a zipped \.SAFE, a GeoTIFF"):
            discover([tmp_path / name])


def test_an_empty_directory_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(SourceError, match=r": found no scene; expected \.SAFE products \(directories or \.zip\)"):
        discover([tmp_path])


def test_a_polarization_that_is_not_there_says_so(tmp_path: Path) -> None:
    write_raster(tmp_path / "a-vv.tif")
    with pytest.raises(SourceError, match="found no scene of polarization hh, hv; expected"):
        discover([tmp_path], ["hh", "hv"])
    assert discover([tmp_path], ["vv", "vh"]).notes == [f"{tmp_path}: found no scene of polarization vh"]


def test_where_all_shards_are_left_out_the_error_says_why(tmp_path: Path) -> None:
    save_shard(tmp_path / "a-vv-1.npy")
    save_metadata(tmp_path, file_index=[])
    with pytest.raises(SourceError, match=r"found no scene; .*\n.*not in file_index and left out: a-vv-1\.npy"):
        discover([tmp_path])


def test_where_all_is_broken_it_is_named_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "a-vv.tif").write_bytes(b"")
    (tmp_path / "b-vv.npy").write_bytes(b"")
    inventory = discover([tmp_path])
    assert inventory.polarizations == []
    assert broken_names(inventory) == ["a-vv.tif", "b-vv.npy"]


def test_the_real_archive_without_measurement_is_named(real_data: Path) -> None:
    inventory = discover([real_data / "pyrosar"])
    assert len(raster_names(inventory)) == 1
    assert "found no raster there: the product is incomplete" in inventory.broken[0].reason


def test_all_real_data_are_told_apart(real_data: Path) -> None:
    inventory = discover([real_data])
    assert len(raster_names(inventory)) == 1 + 1 + 6
    assert len(raster_names(inventory, "vh")) == 1 + 2 + 6
    assert len(inventory.broken) == 2
    assert "complex" in " ".join(source.reason for source in inventory.broken)


# Polarizations


def test_one_polarization_is_not_troubled_by_what_is_broken_in_others(tmp_path: Path) -> None:
    product = small_product(tmp_path)
    (document,) = (product / "annotation").glob("s1a-iw-grd-vh-*.xml")
    document.write_text("<broken")
    (tmp_path / "x-vh.tif").write_bytes(b"")
    (tmp_path / "x-hv.npy").write_bytes(b"")
    assert len(discover([tmp_path]).broken) == 3
    inventory = discover([tmp_path], ["vv"])
    assert (raster_names(inventory), inventory.broken) == ([product.stem], [])
    assert len(discover([tmp_path], ["vh"]).broken) == 2


def test_a_single_polarization_is_given_to_files_that_tell_none(tmp_path: Path) -> None:
    write_raster(tmp_path / "field.tif")
    save_shard(tmp_path / "more" / "patches.npy")
    assert len(discover([tmp_path]).broken) == 2
    assert raster_names(discover([tmp_path / "field.tif"], ["hv"]), "hv") == ["field"]
    assert shard_names(discover([tmp_path / "more"], ["vh"]), "vh") == ["patches"]
    assert len(discover([tmp_path], ["vv", "vh"]).broken) == 2


def test_bands_are_chosen_by_polarization(tmp_path: Path) -> None:
    write_raster(tmp_path / "field.tif", np.ones((2, 40, 50), np.uint16), ("VV", "VH"))
    assert discover([tmp_path]).polarizations == ["vv", "vh"]
    assert discover([tmp_path], ["vh"]).polarizations == ["vh"]


# Namesakes


def test_loose_rasters_of_one_name_get_their_folders_in_all_polarizations(tmp_path: Path) -> None:
    for name in ("2020/tile-vv.tif", "2021/tile-vv.tif", "2021/tile-vh.tif", "2021/other-vv.tif"):
        write_raster(tmp_path / name)
    inventory = discover([tmp_path])
    assert raster_names(inventory) == ["2020/tile", "2021/tile", "other"]
    assert raster_names(inventory, "vh") == ["2021/tile"]


def test_namesakes_that_folders_do_not_tell_apart_are_refused(tmp_path: Path) -> None:
    for name in ("a/2020/tile-vv.tif", "b/2020/tile-vv.tif"):
        write_raster(tmp_path / name)
    with pytest.raises(
        SourceError, match=r"scene 2020/tile is there 2 times: .*a/2020.*b/2020.*; name each scene once"
    ):
        discover([tmp_path])


def test_one_product_in_two_places_is_refused(tmp_path: Path) -> None:
    product = small_product(tmp_path)
    shutil.copytree(product, tmp_path / "copy" / product.name)
    with pytest.raises(SourceError, match=f"scene {product.stem} is there 2 times"):
        discover([tmp_path])


def test_shards_of_one_name_get_their_folders(tmp_path: Path) -> None:
    for name in ("2020/tile-vv.npy", "2021/tile-vv.npy", "2021/tile-vh.npy", "2021/other-vv.npy"):
        save_shard(tmp_path / name)
    inventory = discover([tmp_path])
    assert shard_names(inventory) == ["2020/tile", "other", "2021/tile"]
    assert shard_names(inventory, "vh") == ["2021/tile"]


# Shards


def test_a_directory_of_shards_keeps_order_bounds_and_stride(tmp_path: Path) -> None:
    arrays = make_shards(tmp_path)
    inventory = discover([tmp_path])
    assert inventory.polarizations == ["vv"]
    assert [shard.count for shard in inventory.shards["vv"]] == [len(array) for array in arrays]
    assert (inventory.bounds["vv"].vmin, inventory.bounds["vv"].vmax) == (14.77, 24.54)
    assert (inventory.stride, inventory.notes, inventory.broken) == (-1, [], [])


def test_metadata_above_the_shards_order_them(tmp_path: Path) -> None:
    for number in range(3):
        save_shard(tmp_path / "run" / "shards" / f"a-vv-{number}.npy", number + 1)
    index = [("shards/a-vv-2.npy", 3), ("E:\\old\\shards\\a-vv-0.npy", 1), (Path("/x/shards/a-vv-1.npy"), 2)]
    save_metadata(tmp_path / "run", file_index=index, vmin=1.0, vmax=2.0, stride=16)
    for source in (tmp_path, tmp_path / "run"):
        inventory = discover([source])
        assert [shard.count for shard in inventory.shards["vv"]] == [3, 1, 2]
        assert inventory.bounds["vv"].vmax == 2
        assert (inventory.stride, inventory.notes, inventory.broken) == (16, [], [])


def test_metadata_above_do_not_claim_shards_that_they_do_not_list(tmp_path: Path) -> None:
    make_shards(tmp_path)
    save_shard(tmp_path / "other" / "b-vv-1.npy", size=32)
    inventory = discover([tmp_path])
    assert len(inventory.shards["vv"]) == 3
    assert inventory.notes == [
        f"{tmp_path / 'other'}: nothing tells the bounds of its vv shards; taken from {tmp_path / 'metadata.npy'}"
    ]
    assert discover([tmp_path], with_bounds=False).notes == []


def test_metadata_above_what_was_named_are_not_looked_at(tmp_path: Path) -> None:
    save_shard(tmp_path / "shards" / "a-vv-1.npy")
    save_metadata(tmp_path, file_index=[("shards/a-vv-1.npy", 2)], vmin=1.0, vmax=2.0)
    for source in ("shards", "shards/a-vv-1.npy"):
        assert discover([tmp_path / source]).bounds == {}


def test_shards_of_a_directory_can_be_named_by_themselves(tmp_path: Path) -> None:
    make_shards(tmp_path)
    first, second = sorted(tmp_path.glob("s1a*.npy"))
    inventory = discover([second, first, tmp_path / second.name])
    assert [shard.info.path for shard in inventory.shards["vv"]] == [str(first), str(second)]
    assert [shard.info.path for shard in discover([second]).shards["vv"]] == [str(second)]


def test_directories_with_different_bounds_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        save_shard(tmp_path / str(number) / f"a-vv-{number}.npy")
        save_metadata(tmp_path / str(number), vmin=float(number), vmax=3.0)
    with pytest.raises(BoundsError, match=r"0/metadata\.npy and .*1/metadata\.npy give vv different bounds"):
        discover([tmp_path])
    assert discover([tmp_path], with_bounds=False).bounds == {}


def test_directories_with_equal_bounds_in_two_precisions_agree(tmp_path: Path) -> None:
    for number, kind in enumerate((np.float32, np.float64)):
        save_shard(tmp_path / str(number) / f"a-vv-{number}.npy")
        save_metadata(tmp_path / str(number), vmin=kind(14.77), vmax=kind(24.54))
    assert len(discover([tmp_path]).shards["vv"]) == 2


@pytest.mark.parametrize(("strides", "stride"), [((128, 128), 128), ((128, None), 128), ((128, 64), -1)])
def test_strides_that_disagree_are_unknown(tmp_path: Path, strides: tuple[int | None, ...], stride: int) -> None:
    for number, stated in enumerate(strides):
        save_shard(tmp_path / str(number) / f"a-vv-{number}.npy")
        save_metadata(tmp_path / str(number), stride=stated)
    assert discover([tmp_path]).stride == stride


def test_shards_of_another_patch_size_than_most_are_named(tmp_path: Path) -> None:
    for number, size in enumerate((8, 16, 8)):
        save_shard(tmp_path / f"a-vv-{number}.npy", size=size)
    inventory = discover([tmp_path])
    assert shard_names(inventory) == ["a-0", "a-2"]
    (broken,) = inventory.broken
    assert str(broken) == (
        f"{tmp_path / 'a-vv-1.npy'}: expected shape (n, 8, 8) as most shards have, found (n, 16, 16)"
    )


def test_rasters_and_shards_of_one_polarization_are_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "a-vv.tif")
    save_shard(tmp_path / "b-vv.npy")
    with pytest.raises(SourceError, match="found both rasters and shards of vv; convert them one at a time"):
        discover([tmp_path])
    (tmp_path / "b-vv.npy").rename(tmp_path / "b-vh.npy")
    assert discover([tmp_path]).polarizations == ["vv", "vh"]


def test_looking_twice_finds_the_same_in_the_same_order(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in generator.permutation(12):
        save_shard(tmp_path / "s" / f"d{number % 3}" / f"patch-vv-{number}.npy")
        write_raster(tmp_path / "r" / f"d{number % 3}" / f"field{number}-vh.tif")
    first, second = discover([tmp_path]), discover([str(tmp_path)])
    assert [shard.info for shard in first.shards["vv"]] == [shard.info for shard in second.shards["vv"]]
    assert raster_names(first, "vh") == raster_names(second, "vh") == sorted(raster_names(first, "vh"))
    places = [shard.info.path for shard in first.shards["vv"]]
    assert places == sorted(places)


# Public look-up


def test_all_sar_files_are_listed_once_and_sorted(tmp_path: Path) -> None:
    product = small_product(tmp_path / "b")
    small_product(tmp_path / "c", 2, zipped=True)
    write_raster(tmp_path / "a" / "field-vv.tif")
    save_shard(tmp_path / "a" / "field-vv.npy")
    expected = [tmp_path / "a" / "field-vv.tif", *sorted((product / "measurement").iterdir())]
    assert find_all_sar_files(tmp_path) == find_all_sar_files(str(tmp_path)) == expected
    with pytest.raises(SourceError, match="gone: no such file or directory"):
        find_all_sar_files(tmp_path / "gone")


def test_an_archive_of_something_else_is_left_out_with_a_note_unless_it_was_named(tmp_path: Path) -> None:
    small_product(tmp_path)
    with zipfile.ZipFile(tmp_path / "papers.zip", "w") as archive:
        archive.writestr("paper.pdf", b"x")
    inventory = discover([tmp_path])
    assert inventory.broken == []
    assert inventory.notes == [f"{tmp_path / 'papers.zip'}: a ZIP archive without a .SAFE product, left out"]
    assert broken_names(discover([tmp_path, tmp_path / "papers.zip"])) == ["papers.zip"]
