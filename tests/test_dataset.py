"""``SARH5Dataset``: the same samples in every process and thread, and what it refuses."""

from __future__ import annotations

import gc
import itertools
import os
import pickle
import re
import threading
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
import rasterio
import torch
from torch.utils.data import DataLoader, default_collate

from sar_h5 import SARH5Dataset, convert
from sar_h5.errors import CorruptPatchError, FormatError, PatchIndexError, SettingError, SourceError
from sar_h5.symmetry import apply_symmetry, draw_symmetry
from tests.conftest import make_dn, make_shards
from tests.patch_files import make_codes, make_lut, write_file

START_METHODS = ["fork", "spawn", "forkserver"] if os.name == "posix" else ["spawn"]


@pytest.fixture(scope="module")
def file(products: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted file of small patches."""
    out = tmp_path_factory.mktemp("h5")
    convert(products, out, patch_size=64, stride=48, min_valid=0.5, polarization="vv")
    return out / "vv.h5"


@pytest.fixture(scope="module")
def expected(file: Path) -> np.ndarray:
    """All its values, read as the README shows it with plain h5py."""
    with h5py.File(file) as handle:
        return handle["lut"][:][handle["patches"][:]]


def read_all(dataset: SARH5Dataset, workers: int = 0, method: str | None = None) -> torch.Tensor:
    loader = DataLoader(dataset, batch_size=7, num_workers=workers, multiprocessing_context=method if workers else None)
    return torch.cat(list(loader))


def test_a_sample_is_what_plain_h5py_reads_as_float32_with_one_channel(file: Path, expected: np.ndarray) -> None:
    dataset = SARH5Dataset(file)
    assert len(dataset) == len(expected) > 20
    sample = dataset[3]
    assert sample.dtype == torch.float32
    assert sample.shape == (1, 64, 64)
    assert sample.is_contiguous()
    np.testing.assert_array_equal(np.stack([dataset[i][0].numpy() for i in range(len(dataset))]), expected)


def test_a_sample_is_memory_of_its_own(file: Path, expected: np.ndarray) -> None:
    dataset = SARH5Dataset(file)
    dataset[0].zero_()
    np.testing.assert_array_equal(dataset[0][0].numpy(), expected[0])


def test_settings_of_the_file_are_attributes(file: Path) -> None:
    dataset = SARH5Dataset(file)
    with h5py.File(file) as handle:
        assert (dataset.vmin, dataset.vmax) == (handle.attrs["vmin"], handle.attrs["vmax"])
    assert (dataset.polarization, dataset.patch_size, dataset.stride) == ("vv", 64, 48)
    assert dataset.path == str(file)
    assert "64 x 64" in repr(dataset)


def test_index_and_scenes_are_arrays_aligned_with_the_samples(file: Path) -> None:
    dataset = SARH5Dataset(file, indices=[5, -1])
    with h5py.File(file) as handle:
        rows, names, count = handle["index/row"][:], handle["scenes/name"].asstr()[:], len(handle["patches"])
    assert dataset.index["patch"].tolist() == [5, count - 1]
    assert dataset.index["row"].tolist() == [rows[5], rows[-1]]
    assert dataset.scenes["name"].tolist() == names.tolist()


@pytest.mark.parametrize("index", [np.int32(2), np.uint8(2), np.int64(-5), torch.tensor(2), True, -1])
def test_any_kind_of_integer_is_an_index(file: Path, expected: np.ndarray, index: int) -> None:
    np.testing.assert_array_equal(SARH5Dataset(file)[index][0].numpy(), expected[int(index)])


@pytest.mark.parametrize("index", [1.0, "0", None])
def test_what_is_no_integer_is_a_type_error(file: Path, index: object) -> None:
    with pytest.raises(TypeError):
        SARH5Dataset(file)[index]  # type: ignore[index]


@pytest.mark.parametrize("beyond", [0, 5, 10**12])
def test_an_index_out_of_range_names_the_range(file: Path, beyond: int) -> None:
    dataset = SARH5Dataset(file, indices=range(5))
    with pytest.raises(IndexError, match="out of range for 5 patches: valid are -5 to 4"):
        dataset[5 + beyond]
    with pytest.raises(PatchIndexError):
        dataset[-6 - beyond]


def test_iteration_ends_after_the_last_sample(file: Path) -> None:
    dataset = SARH5Dataset(file, indices=range(4))
    assert len(list(dataset)) == 4


@pytest.mark.parametrize(
    ("indices", "numbers"),
    [
        (slice(2, 8, 3), [2, 5]),
        (range(3), [0, 1, 2]),
        ([4, 4, 0], [4, 4, 0]),
        (np.array([1, -1]), [1, -1]),
        ([], []),
        (slice(None, None, -1), None),
    ],
)
def test_indices_choose_patches_in_their_order(
    file: Path, expected: np.ndarray, indices: object, numbers: list[int] | None
) -> None:
    dataset = SARH5Dataset(file, indices=indices)  # type: ignore[arg-type]
    wanted = expected[::-1] if numbers is None else expected[numbers]
    assert len(dataset) == len(wanted)
    for sample, values in zip(dataset, wanted, strict=True):
        np.testing.assert_array_equal(sample[0].numpy(), values)


def test_a_mask_chooses_patches(file: Path, expected: np.ndarray) -> None:
    mask = np.arange(len(expected)) % 3 == 0
    np.testing.assert_array_equal(read_all(SARH5Dataset(file, indices=mask))[:, 0].numpy(), expected[mask])


@pytest.mark.parametrize(
    ("indices", "message"),
    [([1.5], "integers"), ([[1, 2]], "one row"), ([True, False], "mask over all"), ("abc", "integers")],
)
def test_indices_of_another_kind_are_refused(file: Path, indices: object, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SARH5Dataset(file, indices=indices)  # type: ignore[arg-type]


def test_indices_outside_the_file_are_refused(file: Path) -> None:
    with pytest.raises(IndexError, match="out of range"):
        SARH5Dataset(file, indices=[0, 10_000])


# --- processes and threads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("used_before", [False, True])
def test_workers_give_the_same_samples_however_they_start(
    file: Path, expected: np.ndarray, method: str, used_before: bool
) -> None:
    dataset = SARH5Dataset(file, indices=range(20))
    if used_before:
        dataset[0]
    np.testing.assert_array_equal(read_all(dataset, workers=2, method=method)[:, 0].numpy(), expected[:20])
    np.testing.assert_array_equal(dataset[1][0].numpy(), expected[1])


@pytest.mark.parametrize("method", START_METHODS)
def test_workers_augment_as_the_main_process_does(file: Path, method: str) -> None:
    dataset = SARH5Dataset(file, indices=range(20), augment=True, seed=3)
    dataset.set_epoch(2)
    assert torch.equal(read_all(dataset), read_all(dataset, workers=2, method=method))


def test_two_datasets_on_one_file_do_not_disturb_each_other(file: Path, expected: np.ndarray) -> None:
    first, second = SARH5Dataset(file), SARH5Dataset(file)
    first[0], second[0]
    first.close()
    np.testing.assert_array_equal(second[1][0].numpy(), expected[1])
    np.testing.assert_array_equal(first[1][0].numpy(), expected[1])  # closed handles open again
    both = zip(DataLoader(first, num_workers=1), DataLoader(second, num_workers=1), strict=True)
    for number, (one, other) in enumerate(itertools.islice(both, 5)):
        assert torch.equal(one, other)
        np.testing.assert_array_equal(one[0, 0].numpy(), expected[number])


def test_threads_may_share_a_dataset(file: Path, expected: np.ndarray) -> None:
    dataset = SARH5Dataset(file)
    wrong: list[int] = []

    def work(offset: int) -> None:
        mine = range(offset, len(expected), 4)
        wrong.extend(i for i in mine if not np.array_equal(dataset[i][0].numpy(), expected[i]))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_forking_while_threads_read_does_not_hang(file: Path, expected: np.ndarray) -> None:
    dataset = SARH5Dataset(file)
    stop = threading.Event()
    thread = threading.Thread(
        target=lambda: [dataset[i % 20] for i in itertools.takewhile(lambda _: not stop.is_set(), itertools.count())]
    )
    thread.start()
    try:
        for _ in range(3):
            loader = DataLoader(dataset, batch_size=10, num_workers=2, timeout=60)
            np.testing.assert_array_equal(next(iter(loader))[:, 0].numpy(), expected[:10])
    finally:
        stop.set()
        thread.join()


def test_a_pickled_dataset_is_small_and_gives_the_same_samples(file: Path) -> None:
    dataset = SARH5Dataset(file, indices=range(5), augment=True)
    dataset[0], dataset.index, dataset.scenes  # fills the caches, which must not travel
    data = pickle.dumps(dataset)
    assert len(data) < 5000
    copy = pickle.loads(data)
    assert torch.equal(read_all(copy), read_all(dataset))
    copy.set_epoch(1)
    assert not torch.equal(read_all(copy), read_all(dataset))


def test_a_file_replaced_by_another_kind_is_noticed(tmp_path: Path) -> None:
    for name, size in (("a", 32), ("b", 16)):
        (tmp_path / name).mkdir()
        make_shards(tmp_path / name, size=size)
        convert(tmp_path / name, tmp_path / f"{name}-h5")
    dataset = SARH5Dataset(tmp_path / "a-h5" / "vv.h5")
    (tmp_path / "b-h5" / "vv.h5").replace(tmp_path / "a-h5" / "vv.h5")
    with pytest.raises(FormatError, match="replaced"):
        dataset[0]


def test_a_spawned_or_copied_dataset_keeps_what_it_was_made_with(file: Path, expected: np.ndarray) -> None:
    dataset = SARH5Dataset(file, indices=[5, 2], augment=True, seed=9, threads=2)
    dataset.set_epoch(4)
    for copied in (deepcopy(dataset), pickle.loads(pickle.dumps(dataset))):
        assert len(copied) == 2
        assert copied.index["patch"].tolist() == [5, 2]
        wanted = apply_symmetry(expected[5], draw_symmetry(9, 4, 5))
        np.testing.assert_array_equal(copied[0][0].numpy(), wanted)
        copied.set_epoch(5)
        np.testing.assert_array_equal(dataset[0][0].numpy(), wanted)  # each has an epoch of its own


# --- whole batches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "indices",
    [
        [3, 1, -1],
        (3, 1, -1),
        np.array([3, 1, -1]),
        np.array([3, 1, 19], dtype=np.uint8),
        range(3, 10, 2),
        [np.int32(3), torch.tensor(1)],
        torch.tensor([3, 1, 19]),
        [True, False],
    ],
    ids=repr,
)
def test_a_batch_takes_any_integers(file: Path, expected: np.ndarray, indices: Any) -> None:
    dataset = SARH5Dataset(file, indices=range(20))
    wanted = [expected[:20][int(index)] for index in indices]
    assert [sample[0].tolist() for sample in dataset.__getitems__(indices)] == [patch.tolist() for patch in wanted]
    backwards = SARH5Dataset(file, indices=range(19, -1, -1))
    wanted = [expected[:20][::-1][int(index)] for index in indices]
    assert [sample[0].tolist() for sample in backwards.__getitems__(indices)] == [patch.tolist() for patch in wanted]


def test_a_batch_refuses_what_a_sample_refuses(file: Path) -> None:
    dataset = SARH5Dataset(file, indices=range(20))
    assert len(dataset.__getitems__([])) == 0
    for beyond in (20, -21, 10**12, 2**64):
        with pytest.raises(PatchIndexError, match=f"patch index {beyond} is out of range for 20 patches"):
            dataset.__getitems__([0, beyond, 1])
    for wrong in ([0, 1.0], [[0, 1], [2, 3]], [None], ["a"]):
        with pytest.raises(TypeError):
            dataset.__getitems__(wrong)  # type: ignore[arg-type]


def test_numbers_that_a_batch_was_asked_for_with_are_left_alone(file: Path) -> None:
    indices = np.array([4, 2])
    batch = default_collate(SARH5Dataset(file, sample="dict").__getitems__(indices))
    indices[:] = 0
    assert batch["index"].tolist() == [4, 2]
    batch["index"].zero_()
    assert indices.tolist() == [0, 0]


def test_batches_that_are_held_stay_as_they_are(file: Path, expected: np.ndarray) -> None:
    dataset = SARH5Dataset(file, threads=2)
    held = list(DataLoader(dataset, batch_size=3))
    rows = [batch[0].numpy() for batch in DataLoader(dataset, batch_size=3)]
    np.testing.assert_array_equal(torch.cat(held)[:, 0].numpy(), expected)
    np.testing.assert_array_equal(np.stack(rows)[:, 0], expected[::3])
    places = {batch.data_ptr() for _ in range(3) for batch in DataLoader(dataset, batch_size=3)}
    assert len(places) <= 9  # the last ones that came back, used again and again


class Halved(SARH5Dataset):
    """Makes its samples in a way of its own, as users do."""

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index) / 2, int(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_subclass_that_makes_samples_of_its_own_is_asked_for_them(
    file: Path, expected: np.ndarray, workers: int
) -> None:
    loader = DataLoader(Halved(file, indices=range(10)), 4, num_workers=workers)
    batches = list(loader)
    np.testing.assert_array_equal(torch.cat([batch for batch, _ in batches])[:, 0].numpy(), expected[:10] / 2)
    assert torch.cat([numbers for _, numbers in batches]).tolist() == list(range(10))


def test_a_transform_of_a_batch_gets_plain_samples(file: Path) -> None:
    kinds = SARH5Dataset(file, transform=type).__getitems__([0, 1])
    assert list(kinds) == [torch.Tensor] * 2
    (sample,) = SARH5Dataset(file, transform=lambda sample: sample, sample="dict").__getitems__([0])
    assert type(sample) is dict
    assert {type(value) for value in sample.values()} == {torch.Tensor}
    assert type(SARH5Dataset(file)[0]) is torch.Tensor


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_threads_than_one_are_refused(file: Path, threads: int) -> None:
    with pytest.raises(SettingError, match=f"at least 1 thread; found threads={threads}"):
        SARH5Dataset(file, threads=threads)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to count open files")
def test_handles_are_closed_with_the_dataset(file: Path) -> None:
    def open_handles() -> int:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
        return sum(link.readlink() == file.resolve() for link in links)

    gc.collect()
    before = open_handles()
    dataset = SARH5Dataset(file)
    assert open_handles() == before  # opened late
    dataset[0]
    assert open_handles() == before + 1
    del dataset
    gc.collect()
    assert open_handles() == before


# --- augmentation --------------------------------------------------------------------------------------------------


def test_augmentation_draws_a_symmetry_from_seed_epoch_and_patch(file: Path, expected: np.ndarray) -> None:
    dataset = SARH5Dataset(file, augment=True, seed=11, indices=slice(4, 12))
    for epoch in range(3):
        dataset.set_epoch(epoch)
        for i, patch in enumerate(range(4, 12)):
            wanted = apply_symmetry(expected[patch], draw_symmetry(11, epoch, patch))
            sample = dataset[i]
            assert sample.is_contiguous()
            np.testing.assert_array_equal(sample[0].numpy(), wanted)


def test_every_symmetry_is_equally_likely(file: Path, expected: np.ndarray) -> None:
    dataset = SARH5Dataset(file, augment=True, indices=[0])
    forms = {apply_symmetry(expected[0], number).tobytes(): number for number in range(8)}
    assert len(forms) == 8
    drawn: Counter[int] = Counter()
    for epoch in range(1600):
        dataset.set_epoch(epoch)
        drawn[forms[dataset[0][0].numpy().tobytes()]] += 1
    chi_square = sum((drawn[number] - 200) ** 2 / 200 for number in range(8))
    assert chi_square < 24.3  # 0.1 % of fair draws exceed it, with 7 degrees of freedom; the draw is fixed by the seed


def test_persistent_workers_see_a_new_epoch(file: Path) -> None:
    for method in START_METHODS:
        dataset = SARH5Dataset(file, augment=True, indices=range(16))
        loader = DataLoader(
            dataset, batch_size=8, num_workers=2, persistent_workers=True, multiprocessing_context=method
        )
        epochs = []
        for epoch in range(3):
            dataset.set_epoch(epoch)
            epochs.append(torch.cat(list(loader)))
            assert torch.equal(epochs[-1], read_all(dataset))
        assert not torch.equal(epochs[0], epochs[1])


# --- dict samples ----------------------------------------------------------------------------------------------------


def test_a_dict_sample_says_where_it_comes_from_and_collates(file: Path, expected: np.ndarray) -> None:
    dataset = SARH5Dataset(file, sample="dict")
    batch = next(iter(DataLoader(dataset, batch_size=4)))
    assert set(batch) == {"image", "bounds", "transform", "index", "scene", "row", "col"}
    assert batch["image"].shape == (4, 1, 64, 64)
    np.testing.assert_array_equal(batch["image"][:, 0].numpy(), expected[:4])
    assert batch["index"].tolist() == [0, 1, 2, 3]
    row, col = batch["row"][1].item(), batch["col"][1].item()
    # Simulated products have ground control points only, so places are scene pixels.
    assert batch["transform"][1].tolist() == [1, 0, col, 0, 1, row]
    assert batch["bounds"][1].tolist() == [col, row, col + 64, row + 64]


def test_a_dict_sample_of_a_geocoded_scene_lies_on_the_map(real_data: Path, tmp_path: Path) -> None:
    raster = next((real_data / "opera_rtc_nan").glob("*20240123*.tif"))
    convert(raster, tmp_path, patch_size=64, stride=64, min_valid=0.2)
    sample = SARH5Dataset(tmp_path / "vh.h5", sample="dict")[0]
    with rasterio.open(raster) as scene:
        left, top = scene.xy(int(sample["row"]), int(sample["col"]), offset="ul")
    assert sample["transform"].tolist() == [30, 0, left, 0, -30, top]
    assert sample["bounds"].tolist() == [left, top - 64 * 30, left + 64 * 30, top]


def test_places_of_shards_are_unknown(tmp_path: Path) -> None:
    make_shards(tmp_path)
    convert(tmp_path, tmp_path / "h5")
    sample = SARH5Dataset(tmp_path / "h5" / "vv.h5", sample="dict")[0]
    assert (sample["row"].item(), sample["col"].item()) == (-1, -1)
    assert torch.isnan(sample["transform"]).all()
    assert torch.isnan(sample["bounds"]).all()


def test_a_transform_gets_the_sample(file: Path) -> None:
    assert SARH5Dataset(file, transform=lambda image: image.shape)[0] == (1, 64, 64)
    assert SARH5Dataset(file, sample="dict", transform=lambda sample: sorted(sample))[0][0] == "bounds"


# --- splits ----------------------------------------------------------------------------------------------------------


def test_a_split_of_the_file_chooses_its_patches(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "vv.h5"
    copy.write_bytes(file.read_bytes())
    with h5py.File(copy, "r+") as handle:
        members = np.arange(len(handle["patches"])) % 4
        members[members == 3] = 0
        handle["splits/default"] = members.astype(np.uint8)
    assert SARH5Dataset(copy, split="train").index["patch"].tolist() == np.flatnonzero(members == 1).tolist()
    assert SARH5Dataset(copy, split="val").index["patch"].tolist() == np.flatnonzero(members == 2).tolist()
    with pytest.raises(FormatError, match="split test of 'default' is empty"):
        SARH5Dataset(copy, split="test")
    with pytest.raises(FormatError, match="expected split train, val or test; found 'training'"):
        SARH5Dataset(copy, split="training")
    with pytest.raises(SettingError, match="not both"):
        SARH5Dataset(copy, split="train", indices=[0])


def test_a_split_that_the_file_has_not_is_refused(file: Path) -> None:
    with pytest.raises(FormatError, match="expected splits called 'default' for split='train'; the file holds none"):
        SARH5Dataset(file, split="train")


# --- files of others -------------------------------------------------------------------------------------------------

LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (1, 24, 24)},
    "gzip": {"chunks": (2, 24, 24), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"chunks": (1, 12, 24), "compression": "lzf"},
    "blosc": {"chunks": (1, 24, 24), **hdf5plugin.Blosc("zstd", 3, 2)},
    "blosc2": {"chunks": (3, 24, 24), **hdf5plugin.Blosc2("lz4")},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int16", ">u2"])
def test_any_dataset_of_numbers_opens(tmp_path: Path, layout: str, dtype: str) -> None:
    data = make_dn(0, (5, 24, 24)).astype(dtype)
    with h5py.File(tmp_path / "other.h5", "w") as handle:
        handle.create_dataset("some/where", data=data, **LAYOUTS[layout])
        handle["labels"] = np.arange(5)
    for dataset in (SARH5Dataset(tmp_path / "other.h5", dataset="/some/where"), SARH5Dataset(tmp_path / "other.h5")):
        np.testing.assert_array_equal(read_all(dataset)[:, 0].numpy(), data.astype(np.float32))
        assert (dataset.vmin, dataset.polarization, dataset.patch_size) == (None, None, None)


def test_patches_that_are_not_square_cannot_be_augmented(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as handle:
        handle["x"] = np.zeros((2, 8, 16), dtype=np.float32)
    assert SARH5Dataset(tmp_path / "other.h5")[1].shape == (1, 8, 16)
    with pytest.raises(SettingError, match="needs square patches"):
        SARH5Dataset(tmp_path / "other.h5", augment=True)
    with pytest.raises(SettingError, match="needs the index"):
        SARH5Dataset(tmp_path / "other.h5", sample="dict")


def test_several_candidates_have_to_be_told_apart(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as handle:
        handle["a"] = handle["b"] = np.zeros((2, 8, 8))
        handle["c"] = np.zeros((2, 8, 8), dtype=complex)
        handle["d"] = np.zeros(3)
    with pytest.raises(FormatError, match=r'found /a, /b; name one with dataset="/path"'):
        SARH5Dataset(tmp_path / "other.h5")
    with pytest.raises(FormatError, match=r"as \(N, H, W\) of integers or floats, found \(3,\)"):
        SARH5Dataset(tmp_path / "other.h5", dataset="d")
    with pytest.raises(FormatError, match="complex128"):
        SARH5Dataset(tmp_path / "other.h5", dataset="c")
    with pytest.raises(FormatError, match="expected a dataset nowhere, found /a, /b"):
        SARH5Dataset(tmp_path / "other.h5", dataset="nowhere")


# --- what cannot be opened or read -----------------------------------------------------------------------------------


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        SARH5Dataset(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(FormatError, match="expected an HDF5 file"):
        SARH5Dataset(tmp_path / "text.h5")
    with pytest.raises(SourceError, match=r"vv\.h5: expected an HDF5 file, found no such file"):
        SARH5Dataset([tmp_path / "vv.h5", tmp_path / "vh.h5"])
    with pytest.raises(SettingError, match="empty list"):
        SARH5Dataset([])


def test_a_newer_format_is_refused(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "vv.h5"
    copy.write_bytes(file.read_bytes())
    with h5py.File(copy, "r+") as handle:
        handle.attrs["format_version"] = "2.0"
    with pytest.raises(FormatError, match=r"format version 1\.0, found 2\.0; update sar_h5"):
        SARH5Dataset(copy)


def test_an_unknown_kind_of_sample_is_refused(file: Path) -> None:
    with pytest.raises(SettingError, match='"tensor" or "dict"; found \'numpy\''):
        SARH5Dataset(file, sample="numpy")  # type: ignore[arg-type]


def test_a_damaged_patch_names_file_and_number_in_any_worker(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "vv.h5"
    data = bytearray(file.read_bytes())
    with h5py.File(file) as handle:
        place = handle["patches"].id.get_chunk_info(3).byte_offset
    data[place : place + 16] = b"\xff" * 16  # the frame's header
    copy.write_bytes(data)
    dataset = SARH5Dataset(copy)
    with pytest.raises(CorruptPatchError, match=r"patch 3 cannot be read.*sar-h5 verify"):
        dataset[3]
    assert dataset[2].shape == (1, 64, 64)
    with pytest.raises(FormatError, match="patch 3"):
        read_all(dataset, workers=1)


def test_a_code_beyond_the_table_names_file_and_number(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "vv.h5"
    copy.write_bytes(file.read_bytes())
    with h5py.File(copy, "r+") as handle:
        handle["patches"][1] = np.iinfo(handle["patches"].dtype).max
    with pytest.raises(CorruptPatchError, match="patch 1 cannot be read: a code lies outside the table"):
        SARH5Dataset(copy)[1]
    for workers in (0, 1):
        with pytest.raises(CorruptPatchError, match="patch 1 cannot be read: a code lies outside the table"):
            read_all(SARH5Dataset(copy, threads=2), workers=workers)
    assert SARH5Dataset(copy, output="codes")[1]["codes"].numpy().min() > 300  # as stored; the decoder refuses it


def test_a_file_cut_short_is_the_same_error_in_any_worker(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "vv.h5"
    copy.write_bytes(file.read_bytes())
    dataset = SARH5Dataset(copy)
    dataset[0]
    os.truncate(copy, 4096)
    for workers in (0, 1):
        with pytest.raises(CorruptPatchError, match=r"patch \d+ cannot be read: the file ends \d+ bytes early"):
            read_all(dataset, workers=workers)


def test_a_data_set_shows_itself_in_notebooks(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", make_codes((9, 16, 16), 100, "u1"), make_lut(100))
    html = SARH5Dataset(path, indices=[2, 5])._repr_html_()
    assert "2 patches of 16 x 16" in html
    assert re.findall(r'title="(patch \d)"', html) == ["patch 2", "patch 5"]


def test_a_data_set_plots_its_samples(tmp_path: Path) -> None:
    dataset = SARH5Dataset(write_file(tmp_path / "a.h5", make_codes((9, 16, 16), 100, "u1"), make_lut(100)))
    figure = dataset.plot(dataset[3], show_titles=False, suptitle="third")
    assert np.array_equal(figure.axes[0].images[0].get_array(), dataset[3][0].numpy())
    assert (figure.axes[0].get_title(), figure.get_suptitle()) == ("", "third")


def test_a_data_set_of_the_same_files_shares_what_was_found_out(file: Path, expected: np.ndarray) -> None:
    whole = SARH5Dataset(file)
    some = SARH5Dataset(whole, indices=[3, 1], sample="dict")
    assert some._store is whole._store
    assert torch.equal(some[0]["image"], torch.from_numpy(expected[3])[None])
    assert len(whole) == len(expected)
    with pytest.raises(SettingError, match="open the files anew"):
        SARH5Dataset(whole, cache_nbytes=5)
