"""Several files as channels: every pixel is that of plain h5py, and what cannot be joined is an error that says why."""

from __future__ import annotations

import os
import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sar_h5 import BackgroundLoader, SARH5Dataset, convert
from sar_h5.errors import CorruptPatchError, FormatError, SettingError
from sar_h5.sources.simulator import SimulatedScene, simulate_product
from sar_h5.stores.joined_files import JoinedFiles
from sar_h5.symmetry import apply_symmetry, draw_symmetry
from tests.conftest import make_shards
from tests.patch_files import Place, make_codes, make_lut, set_places, write_file

SIZE = 8
FILLS = [0.0, float("nan"), -1.0]


# --- real conversions ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def conversions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of the same simulated scenes from runs that differ in everything that may differ."""
    directory = tmp_path_factory.mktemp("conversions")
    products = [
        Path(simulate_product(directory / "p", SimulatedScene(300, 400, border_px=20, seed=seed, orbit=36200 + seed)))
        for seed in (1, 2, 3)
    ]

    def run(name: str, sources: list[Path], polarization: str, **options: Any) -> Path:
        convert(sources, directory / name, polarization=polarization, patch_size=64, **{"stride": 48} | options)
        return directory / name / f"{polarization}.h5"

    backwards = products[::-1]
    return {
        "vv": run("vv", products, "vv", min_valid=0.95, encoding="palette"),
        "vh": run("vh", backwards[:2], "vh", min_valid=0.5, encoding="palette"),
        "vv values": run("vv values", backwards, "vv", min_valid=0.5, encoding="float32"),
        "vh values": run("vh values", products[1:], "vh", min_valid=0.9, encoding="float32"),
        "vv dn": run("vv dn", backwards[1:], "vv", min_valid=0.0, encoding="dn"),
        "vh dn": run("vh dn", products, "vh", min_valid=0.99, encoding="dn"),
        "vh sparse": run("vh sparse", products, "vh", min_valid=0.5, stride=96),
        "vv other places": run("vv other places", products[:1], "vv", min_valid=0.9, vmin=10.0, vmax=30.0),
    }


def read_by_place(path: Path) -> dict[Place, np.ndarray]:
    """Values by scene, row and column, with plain h5py."""
    with h5py.File(path) as file:
        patches = file["patches"][:]
        values = file["lut"][:][patches] if "lut" in file else patches
        scene, row, col = (file["index"][name][:].tolist() for name in ("scene", "row", "col"))
        names = file["scenes/name"].asstr()[:]
    return {(names[number], *place): patch for number, *place, patch in zip(scene, row, col, values, strict=True)}


def places_of(dataset: SARH5Dataset) -> list[Place]:
    index, names = dataset.index, dataset.scenes["name"]
    return [
        (names[scene], row, col)
        for scene, row, col in zip(*(index[name].tolist() for name in ("scene", "row", "col")), strict=True)
    ]


def expected_values(paths: list[Path], places: list[Place], fill: float = 0.0) -> np.ndarray:
    known = [read_by_place(path) for path in paths]
    empty = np.full(next(iter(known[0].values())).shape, fill, dtype=np.float32)
    return np.array([[each.get(place, empty) for each in known] for place in places])


def read_all(dataset: SARH5Dataset, **options: Any) -> Any:
    return torch.cat(list(DataLoader(dataset, batch_size=13, **options)))


PAIRS = [
    ("vv", "vh"),
    ("vh", "vv"),
    ("vv values", "vh"),
    ("vv dn", "vh values"),
    ("vh dn", "vv dn"),
    ("vv", "vh sparse"),
    ("vv", "vv other places"),
    ("vv", "vh", "vv dn"),
    ("vh values", "vh values"),
]


@pytest.mark.parametrize("cache_nbytes", [0, 150_000])
@pytest.mark.parametrize("names", PAIRS, ids=" + ".join)
def test_every_channel_of_different_runs_is_what_plain_h5py_reads(
    conversions: dict[str, Path], names: tuple[str, ...], cache_nbytes: int
) -> None:
    paths = [conversions[name] for name in names]
    common = set.intersection(*(set(read_by_place(path)) for path in paths))
    dataset = SARH5Dataset(paths, cache_nbytes=cache_nbytes)
    assert set(places_of(dataset)) == common
    assert len(dataset) == len(common) > 10
    for _ in range(2):
        found = read_all(dataset)
        assert found.shape == (len(common), len(names), 64, 64)
        assert found.is_contiguous()
        assert found.numpy().tobytes() == expected_values(paths, places_of(dataset)).tobytes()


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("names", [("vv", "vh"), ("vv dn", "vh values"), ("vh", "vv dn", "vh sparse")], ids=" + ".join)
def test_an_outer_join_has_every_place_and_fills_what_is_missing(
    conversions: dict[str, Path], names: tuple[str, ...], fill: float
) -> None:
    paths = [conversions[name] for name in names]
    everywhere = set.union(*(set(read_by_place(path)) for path in set(paths)))
    dataset = SARH5Dataset(paths, how="outer", fill=fill)
    assert set(places_of(dataset)) == everywhere
    found = read_all(dataset).numpy()
    assert found.tobytes() == expected_values(paths, places_of(dataset), fill).tobytes()


def test_the_index_tells_which_patches_are_missing(conversions: dict[str, Path]) -> None:
    paths = {name: conversions[name] for name in ("vv", "vh values")}
    dataset = SARH5Dataset(list(paths.values()), how="outer")
    index, places = dataset.index, places_of(dataset)
    for suffix, path in zip(("vv", "vh"), paths.values(), strict=True):
        known = list(read_by_place(path))
        assert index[f"patch_{suffix}"].tolist() == [known.index(place) if place in known else -1 for place in places]
        with h5py.File(path) as file:
            fractions, checksums = file["index/valid_fraction"][:], file["index/checksum"][:]
        there = index[f"patch_{suffix}"] != -1
        assert not there.all()
        np.testing.assert_array_equal(
            index[f"valid_fraction_{suffix}"][there], fractions[index[f"patch_{suffix}"][there]]
        )
        np.testing.assert_array_equal(index[f"checksum_{suffix}"][there], checksums[index[f"patch_{suffix}"][there]])
        assert np.isnan(index[f"valid_fraction_{suffix}"][~there]).all()
        assert not index[f"checksum_{suffix}"][~there].any()


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("how", ["inner", "outer"])
@pytest.mark.parametrize("cache_nbytes", [0, 10**8])
def test_codes_of_both_channels_decode_to_the_values(
    conversions: dict[str, Path], how: Any, fill: float, cache_nbytes: int
) -> None:
    options: dict[str, Any] = {"how": how, "fill": fill, "augment": True, "seed": 3}
    paths = [conversions["vv"], conversions["vh"]]
    values, codes = (
        SARH5Dataset(paths, **options),
        SARH5Dataset(paths, output="codes", cache_nbytes=cache_nbytes, **options),
    )
    decoder = codes.decoder()
    for _ in range(2):
        for batch, wanted in zip(DataLoader(codes, batch_size=16), DataLoader(values, batch_size=16), strict=True):
            assert batch["codes"].dtype == torch.uint16
            assert decoder(batch).numpy().tobytes() == wanted.numpy().tobytes()
    assert (sum(cache.hits for cache in codes.caches) > 0) == (cache_nbytes > 0)


def test_both_channels_get_the_same_symmetry_drawn_for_the_joined_patch(conversions: dict[str, Path]) -> None:
    paths = [conversions["vv"], conversions["vh"]]
    plain, turned = SARH5Dataset(paths), SARH5Dataset(paths, augment=True, seed=8)
    turned.set_epoch(4)
    for number in range(20):
        wanted = np.stack([apply_symmetry(channel, draw_symmetry(8, 4, number)) for channel in plain[number].numpy()])
        np.testing.assert_array_equal(turned[number].numpy(), wanted)


def test_indices_are_numbers_of_joined_patches(conversions: dict[str, Path]) -> None:
    paths = [conversions["vv"], conversions["vh"]]
    everything, some = SARH5Dataset(paths), SARH5Dataset(paths, indices=[7, -1, 7], sample="dict")
    last = len(everything) - 1
    batch = next(iter(DataLoader(some, batch_size=3)))
    assert batch["index"].tolist() == some.index["patch"].tolist() == [7, last, 7]
    assert torch.equal(batch["image"], torch.stack([everything[7], everything[-1], everything[7]]))
    for name in ("scene", "row", "col"):
        assert batch[name].tolist() == everything.index[name][[7, last, 7]].tolist()
    assert batch["bounds"][0].tolist() == [batch["col"][0], batch["row"][0], batch["col"][0] + 64, batch["row"][0] + 64]


def test_attributes_have_an_entry_for_each_channel(conversions: dict[str, Path]) -> None:
    vv, vh, sparse = conversions["vv"], conversions["vh"], conversions["vh sparse"]
    dataset = SARH5Dataset([vv, vh])
    single = [SARH5Dataset(path) for path in (vv, vh)]
    assert dataset.polarization == ("vv", "vh")
    assert dataset.vmin == tuple(each.vmin for each in single)
    assert dataset.vmax == tuple(each.vmax for each in single)
    assert (dataset.path, dataset.patch_size, dataset.stride) == ((str(vv), str(vh)), 64, 48)
    assert SARH5Dataset([vv, sparse]).stride == -1  # they differ
    assert "2 x 64 x 64" in repr(dataset)


def test_a_list_of_one_file_is_that_file(conversions: dict[str, Path]) -> None:
    single, listed = SARH5Dataset(conversions["vh"]), SARH5Dataset([conversions["vh"]])
    assert torch.equal(read_all(single), read_all(listed))
    assert (listed.path, listed.polarization, listed.fingerprint) == (single.path, "vh", single.fingerprint)


# --- processes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn"] if os.name == "posix" else ["spawn"])
def test_workers_and_copies_join_as_the_main_process_does(conversions: dict[str, Path], method: str) -> None:
    options: dict[str, Any] = {"how": "outer", "fill": float("nan"), "augment": True, "cache_nbytes": 400_000}
    dataset = SARH5Dataset([conversions["vv"], conversions["vh values"]], **options)
    wanted = read_all(dataset)
    for found in (
        read_all(dataset, num_workers=2, multiprocessing_context=method, timeout=60),
        read_all(deepcopy(dataset)),
        torch.cat(list(BackgroundLoader(DataLoader(dataset, batch_size=9)))),
    ):
        assert found.numpy().tobytes() == wanted.numpy().tobytes()


def test_a_pickled_dataset_leaves_columns_and_patches_behind(conversions: dict[str, Path]) -> None:
    dataset = SARH5Dataset([conversions["vv"], conversions["vh"]], cache_nbytes=10**8, sample="dict")
    first = dataset.__getitems__(range(len(dataset)))[0]
    data = pickle.dumps(dataset)
    assert len(data) < 20_000 + 16 * len(dataset)
    copy = pickle.loads(data)
    found = copy[0]
    assert all(torch.equal(found[name], first[name]) for name in ("image", "row", "col", "scene"))
    assert [(cache.hits, cache.misses) for cache in copy.caches] == [(0, 1), (0, 1)]


# --- tables ----------------------------------------------------------------------------------------------------------

PLACES: list[Place] = [("a", 0, 0), ("a", 0, 8), ("b", 0, 0), ("b", 8, 8)]


def write_pair(directory: Path, levels: tuple[int, int], dtypes: tuple[str, str]) -> list[Path]:
    """Two files whose first and last patch have no counterpart."""
    paths = []
    for number, (count, dtype) in enumerate(zip(levels, dtypes, strict=True)):
        codes = make_codes((3, SIZE, SIZE), count, dtype, seed=number)
        path = write_file(directory / f"{number}.h5", codes, make_lut(count))
        paths.append(set_places(path, PLACES[number:][:3][:: 1 - 2 * number], ["vv", "vh"][number], scenes=["a", "b"]))
    return paths


@pytest.mark.parametrize(
    ("levels", "dtypes", "fill", "dtype"),
    [
        ((256, 256), ("u1", "u1"), 0.0, torch.uint8),  # the tables have a code for 0.0
        ((256, 256), ("u1", "u1"), -1.0, torch.uint16),
        ((255, 255), ("u1", "u1"), float("nan"), torch.uint8),
        ((256, 65536), ("u1", "<u2"), 1.0, torch.uint16),
        ((65536, 65536), ("<u2", "<u2"), 0.0, torch.uint16),
        ((200, 65535), ("<u2", "<u2"), float("nan"), torch.uint16),
    ],
)
def test_a_table_that_is_full_makes_codes_wider(
    tmp_path: Path, levels: tuple[int, int], dtypes: tuple[str, str], fill: float, dtype: torch.dtype
) -> None:
    paths = write_pair(tmp_path, levels, dtypes)
    dataset = SARH5Dataset(paths, how="outer", fill=fill, output="codes")
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    assert batch["codes"].dtype == dtype
    decoded = dataset.decoder()(batch)
    assert decoded.numpy().tobytes() == expected_values(paths, places_of(dataset), fill).tobytes()
    assert decoded[0, 1].numpy().tobytes() == np.full((SIZE, SIZE), fill, np.float32).tobytes()


@pytest.mark.parametrize("fill", [-1.0, float("nan"), -0.0])
def test_codes_of_full_tables_of_two_bytes_have_none_left_for_missing_patches(tmp_path: Path, fill: float) -> None:
    paths = write_pair(tmp_path, (256, 65536), ("u1", "<u2"))
    with pytest.raises(SettingError, match=r"no code left for the patches missing in one of .*1\.h5: .* such as 0\.0"):
        SARH5Dataset(paths, how="outer", fill=fill, output="codes")
    assert SARH5Dataset(paths, how="outer", fill=fill)[0].shape == (2, SIZE, SIZE)
    assert SARH5Dataset(paths, fill=fill, output="codes")[0]["codes"].dtype == torch.uint16  # none is missing


def test_a_code_outside_its_table_does_not_lead_to_the_table_of_another_channel(tmp_path: Path) -> None:
    paths = write_pair(tmp_path, (100, 200), ("<u2", "u1"))
    with h5py.File(paths[0], "r+") as file:
        file["patches"][1, 0, 0] = 300  # as uint8, of the joined codes, it would be 44
    message = (
        r"0\.h5: patch 1 cannot be read: a code lies outside the table of 100 \(sample 0, scene a, row 0, column 8\)"
    )
    for output in ("values", "codes"):
        with pytest.raises(CorruptPatchError, match=message):
            SARH5Dataset(paths, output=output)[0]  # type: ignore[arg-type]


def test_codes_need_tables_in_all_files(conversions: dict[str, Path]) -> None:
    with pytest.raises(SettingError, match=r'output="codes" needs codes .* in one of them values'):
        SARH5Dataset([conversions["vv"], conversions["vh values"]], output="codes")
    with pytest.raises(SettingError, match="nothing to decode"):
        SARH5Dataset([conversions["vv"], conversions["vh values"]]).decoder()


# --- what cannot be joined -------------------------------------------------------------------------------------------


def write_places(path: Path, places: list[Place], size: int = SIZE, **options: Any) -> Path:
    return set_places(
        write_file(path, make_codes((len(places), size, size), 50, "u1"), make_lut(50)), places, **options
    )


def change(path: Path, name: str, values: Any) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        if values is not None:
            file[name] = values


def test_files_without_scenes_and_positions_are_refused(tmp_path: Path) -> None:
    ours = write_places(tmp_path / "vv.h5", PLACES)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros((4, SIZE, SIZE), np.float32)
    with pytest.raises(SettingError, match=r"other\.h5 tells no scenes and positions to join by"):
        SARH5Dataset([ours, tmp_path / "other.h5"])
    with pytest.raises(SettingError, match="dataset='x' is for a single file"):
        SARH5Dataset([ours, tmp_path / "other.h5"], dataset="x")


def test_patches_of_shards_know_no_positions_to_join_by(tmp_path: Path) -> None:
    make_shards(tmp_path)
    convert(tmp_path, tmp_path / "h5")
    with pytest.raises(
        SettingError, match="8 of its 8 patches do not know their row and column, as those made from shards"
    ):
        SARH5Dataset([tmp_path / "h5" / "vv.h5"] * 2)


def test_patches_of_different_sizes_are_refused(tmp_path: Path) -> None:
    paths = [write_places(tmp_path / "vv.h5", PLACES), write_places(tmp_path / "vh.h5", PLACES, size=16)]
    with pytest.raises(SettingError, match=r"one size, found .*vv\.h5 8 x 8 and .*vh\.h5 16 x 16; .*same --patch-size"):
        SARH5Dataset(paths)


def test_files_with_nothing_in_common_say_what_they_hold(tmp_path: Path) -> None:
    here = write_places(tmp_path / "vv.h5", PLACES)
    elsewhere = write_places(tmp_path / "vh.h5", [(name, 0, 0) for name in "vwxyz"])
    shifted = write_places(tmp_path / "hh.h5", [(name, row + 1, col) for name, row, col in PLACES])
    with pytest.raises(SettingError, match=r"none in common: .*vv\.h5 holds a, b; .*vh\.h5 holds v, w, x and 2 more"):
        SARH5Dataset([here, elsewhere])
    with pytest.raises(SettingError, match=r'2 scenes in common, but no patch at the same row and column.*how="outer"'):
        SARH5Dataset([here, shifted])
    assert len(SARH5Dataset([here, elsewhere, shifted], how="outer")) == 13


def test_an_empty_file_joins_outside_only(tmp_path: Path) -> None:
    full, empty = write_places(tmp_path / "vv.h5", PLACES), tmp_path / "vh.h5"
    empty.write_bytes(full.read_bytes())
    with h5py.File(empty, "r+") as file:
        file["patches"].resize(0, axis=0)
    for name in ("scene", "row", "col", "valid_fraction", "checksum"):
        change(empty, f"index/{name}", np.empty(0, np.int32))
    with pytest.raises(SettingError, match=r"vh\.h5 holds no patch; there is nothing to join"):
        SARH5Dataset([full, empty])
    with pytest.raises(SettingError, match=r"vh\.h5 holds no patch; there is nothing to join"):
        SARH5Dataset([empty, empty], how="outer")
    dataset = SARH5Dataset([full, empty], how="outer", fill=7.0)
    assert (read_all(dataset)[:, 1] == 7).all()
    assert dataset.index["patch_1"].tolist() == [-1] * 4  # both say that they are vv, so numbers tell them apart


HOSTILE = {
    "scene beyond the table": ("index/scene", [0, 0, 1, 2], r"integers from 0 to 1 in /index/scene, found 0 to 2"),
    "scene below the table": ("index/scene", [0, 0, 1, -1], r"/index/scene, found -1 to 1"),
    "negative row": ("index/row", [0, 0, 0, -2], r"/index/row, found -2 to 0"),
    "row too large": ("index/row", [0, 0, 0, 2**40], r"/index/row, found 0 to 1099511627776"),
    "float column": ("index/col", [0.0, 8.0, 0.0, np.nan], r"/index/col, found float64 of shape \(4,\)"),
    "column of pairs": ("index/col", np.zeros((4, 2), int), r"/index/col, found int64 of shape \(4, 2\)"),
    "short column": ("index/row", [0, 0], r"expected 4 entries in /index/row, found 2"),
    "no column": ("index/row", None, r"expected sound columns in /index, found damage"),
    "a number": ("index/row", 5, r"expected sound columns in /index, found damage"),
    "names of numbers": ("scenes/name", [1, 2], r"expected sound columns in /scenes, found damage"),
    "no names": ("scenes/name", None, r"expected sound columns in /scenes, found damage"),
    "short scenes": ("scenes/height", [1], r"expected 2 entries in /scenes/height, found 1"),
    "no index": ("index", None, r"expected a group /index"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_damaged_columns_are_refused(tmp_path: Path, what: str) -> None:
    paths = [write_places(tmp_path / f"{pol}.h5", PLACES, polarization=pol) for pol in ("vv", "vh")]
    name, values, message = HOSTILE[what]
    change(paths[1], name, values)
    with pytest.raises(FormatError, match=rf"vh\.h5: .*{message}"):
        JoinedFiles(paths)


def test_columns_longer_than_the_patches_do_not_lead_outside_the_file(tmp_path: Path) -> None:
    paths = [write_places(tmp_path / f"{pol}.h5", PLACES, polarization=pol) for pol in ("vv", "vh")]
    for path in paths:
        with h5py.File(path, "r+") as file:
            file["patches"].resize(3, axis=0)
    dataset = SARH5Dataset(paths)
    assert len(dataset) == 3
    assert read_all(dataset).shape == (3, 2, SIZE, SIZE)


@pytest.mark.parametrize("fill", ["no number", None, 1e300, [0.0]])
def test_a_fill_that_is_no_float32_is_refused(tmp_path: Path, fill: Any) -> None:
    paths = [write_places(tmp_path / f"{pol}.h5", PLACES, polarization=pol) for pol in ("vv", "vh")]
    with pytest.raises(SettingError, match="expected fill as a number"):
        SARH5Dataset(paths, how="outer", fill=fill)


def test_an_unknown_way_to_join_and_a_negative_cache_are_refused(tmp_path: Path) -> None:
    paths = [write_places(tmp_path / f"{pol}.h5", PLACES, polarization=pol) for pol in ("vv", "vh")]
    with pytest.raises(SettingError, match='expected how "inner" or "outer"; found \'left\''):
        SARH5Dataset(paths, how="left")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="0 or more bytes; found -3"):
        SARH5Dataset(paths, cache_nbytes=-3)
