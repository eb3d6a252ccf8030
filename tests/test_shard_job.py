"""``convert`` from shards: every value comes back bit for bit, in the order of ``file_index``, whatever made it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sar_h5 import convert, verify
from sar_h5.errors import BadSourceError, BoundsError, SettingError, SourceError
from sar_h5.radiometry import Bounds, scale_all_dn
from tests import reference
from tests.conftest import make_dn, make_shards

VMIN, VMAX = 14.77, 24.54


def assert_holds(path: Path, shards: list[np.ndarray]) -> None:
    values = reference.read_plain(path)
    expected = np.concatenate(shards)
    assert values.shape == expected.shape
    np.testing.assert_array_equal(values.view(np.uint32), expected.view(np.uint32))
    with h5py.File(path) as f:
        assert f["index/scene"][:].tolist() == [n for n, shard in enumerate(shards) for _ in shard]
        assert set(f["index/row"][:].tolist()) == set(f["index/col"][:].tolist()) == {-1}
        inside = (expected > 0.01) & (expected < 0.99)
        np.testing.assert_array_equal(f["index/valid_fraction"][:], inside.mean(axis=(1, 2)).astype(np.float32))
    assert verify(path).problems == ()


def save(directory: Path, shards: list[np.ndarray], polarization: str = "vv") -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for number, shard in enumerate(shards):
        np.save(directory / f"p-{polarization}-{number}.npy", shard)


def float32_pipeline(dn: np.ndarray) -> np.ndarray:
    return reference.scale(reference.to_db(dn)[0], VMIN, VMAX)


def float64_pipeline(dn: np.ndarray) -> np.ndarray:
    db = 10 * np.log10(dn.astype(np.float64))
    return ((np.clip(db, VMIN, VMAX) - VMIN) / (VMAX - VMIN)).astype(np.float32)


def mixed_pipeline(dn: np.ndarray) -> np.ndarray:
    db = 10 * np.log10(dn.astype(np.float32))
    return ((np.clip(db, VMIN, VMAX).astype(np.float64) - VMIN) / (VMAX - VMIN)).astype(np.float32)


@pytest.mark.parametrize("pipeline", [float32_pipeline, float64_pipeline, mixed_pipeline])
def test_shards_of_every_reference_arithmetic_come_back_by_a_predicted_palette(
    tmp_path: Path, pipeline: Callable[[np.ndarray], np.ndarray]
) -> None:
    shards = [pipeline(make_dn(seed, (count, 40, 40))) for seed, count in enumerate((7, 1, 4))]
    save(tmp_path / "in", shards)
    (summary,) = convert(tmp_path / "in", tmp_path / "h5", vmin=VMIN, vmax=VMAX)
    assert (summary.encoding, summary.notes) == ("palette", ())
    # The palette follows from the bounds alone, so it has levels that these few pixels do not.
    assert summary.levels > len(np.unique(np.concatenate(shards)))
    assert_holds(tmp_path / "h5" / "vv.h5", shards)


def test_patches_keep_the_order_of_file_index_and_take_bounds_and_stride_from_the_metadata(tmp_path: Path) -> None:
    shards = make_shards(tmp_path, counts=(3, 2, 4))
    metadata = np.load(tmp_path / "metadata.npy", allow_pickle=True).item()
    metadata["file_index"] = [metadata["file_index"][number] for number in (2, 0, 1)]
    metadata["stride"] = 16
    np.save(tmp_path / "metadata.npy", np.array(metadata, dtype=object), allow_pickle=True)
    (summary,) = convert(tmp_path, tmp_path / "h5")
    assert_holds(tmp_path / "h5" / "vv.h5", [shards[number] for number in (2, 0, 1)])
    assert (summary.vmin, summary.vmax, summary.stride) == (VMIN, VMAX, 16)
    assert summary.bounds_origin == str(tmp_path / "metadata.npy")
    assert summary.dropped == 0


@pytest.mark.parametrize("index", ["C:\\data\\patches\\{}", "/elsewhere/patches/{}", "./{}"])
def test_paths_in_file_index_resolve_against_the_directory_given(tmp_path: Path, index: str) -> None:
    shards = make_shards(tmp_path)
    metadata = np.load(tmp_path / "metadata.npy", allow_pickle=True).item()
    metadata["file_index"] = [(index.format(name), count) for name, count in reversed(metadata["file_index"])]
    np.save(tmp_path / "metadata.npy", np.array(metadata, dtype=object), allow_pickle=True)
    convert(tmp_path, tmp_path / "h5")
    assert_holds(tmp_path / "h5" / "vv.h5", shards[::-1])


def test_both_polarizations_are_told_apart_by_name(tmp_path: Path) -> None:
    vv, vh = make_shards(tmp_path, "vv"), make_shards(tmp_path, "vh", counts=(2, 2), seed=40)
    (tmp_path / "metadata.npy").unlink()
    np.save(tmp_path / "global_bounds.npy", np.array([VMIN, VMAX]))
    np.save(tmp_path / "shuffle_idx.npy", np.arange(12))
    summary = convert(tmp_path, tmp_path / "h5")
    assert_holds(tmp_path / "h5" / "vv.h5", vv)
    assert_holds(tmp_path / "h5" / "vh.h5", vh)
    assert any("shuffle_idx.npy is not applied" in note for note in summary["vv"].notes)


@pytest.mark.parametrize("kind", ["json", "pickled dict", "array"])
def test_bounds_come_from_a_file_beside_the_shards_or_given(tmp_path: Path, kind: str) -> None:
    shards = make_shards(tmp_path / "in" if (tmp_path / "in").mkdir() is None else tmp_path)
    (tmp_path / "in" / "metadata.npy").unlink()
    path = tmp_path / "in" / "global_bounds.npy" if kind != "json" else tmp_path / "bounds.json"
    if kind == "json":
        path.write_text(json.dumps({"vmin": VMIN, "vmax": VMAX}))
    elif kind == "array":
        np.save(path, np.array([VMIN, VMAX]))
    else:
        np.save(path, np.array({"vmin": VMIN, "vmax": VMAX}, dtype=object), allow_pickle=True)
    (summary,) = convert(tmp_path / "in", tmp_path / "h5", bounds=path if kind == "json" else None)
    assert (summary.vmin, summary.vmax, summary.bounds_origin) == (VMIN, VMAX, str(path))
    assert_holds(tmp_path / "h5" / "vv.h5", shards)


def test_without_bounds_the_error_says_how_to_give_them(tmp_path: Path) -> None:
    make_shards(tmp_path)
    (tmp_path / "metadata.npy").unlink()
    expected = (
        r"nothing tells with which bounds in dB.*metadata.npy or global_bounds.npy.*--vmin and --vmax, or --bounds"
    )
    with pytest.raises(BoundsError, match=expected):
        convert(tmp_path, tmp_path / "h5")
    assert not (tmp_path / "h5").exists()


def test_arbitrary_values_are_stored_as_float32_with_the_reason(tmp_path: Path) -> None:
    shards = [np.random.default_rng(seed).random((5, 128, 128), dtype=np.float32) for seed in range(2)]
    save(tmp_path / "in", shards)
    (summary,) = convert(tmp_path / "in", tmp_path / "h5", vmin=VMIN, vmax=VMAX)
    assert (summary.encoding, summary.levels) == ("float32", 0)
    assert "stored as float32: more than 65,536 distinct values" in summary.to_text()
    assert_holds(tmp_path / "h5" / "vv.h5", shards)
    with pytest.raises(SettingError, match="palette cannot hold these values"):
        convert(tmp_path / "in", tmp_path / "p", vmin=VMIN, vmax=VMAX, encoding="palette")
    assert not (tmp_path / "p").exists()


def test_few_arbitrary_values_get_a_searched_palette(tmp_path: Path) -> None:
    levels = np.sort(np.random.default_rng(0).random(3000, dtype=np.float32))
    shards = [np.random.default_rng(seed).choice(levels, (6, 64, 64)) for seed in range(3)]
    save(tmp_path / "in", shards)
    (summary,) = convert(tmp_path / "in", tmp_path / "h5", vmin=VMIN, vmax=VMAX)
    assert (summary.encoding, summary.levels) == ("palette", len(np.unique(np.concatenate(shards))))
    assert_holds(tmp_path / "h5" / "vv.h5", shards)


def test_a_value_outside_the_predicted_palette_in_the_very_last_pixel_starts_a_search(tmp_path: Path) -> None:
    table = scale_all_dn(Bounds(VMIN, VMAX))
    shards = [table[make_dn(seed, (5, 32, 32))] for seed in range(3)]
    shards[-1][-1, -1, -1] = np.nextafter(table[120], np.float32(1))
    save(tmp_path / "in", shards)
    (summary,) = convert(tmp_path / "in", tmp_path / "h5", vmin=VMIN, vmax=VMAX)
    distinct = np.unique(np.concatenate(shards))
    assert (summary.encoding, summary.levels) == ("palette", len(distinct))
    assert (summary.patches, summary.scenes) == (15, 3)
    assert_holds(tmp_path / "h5" / "vv.h5", shards)


def test_negative_zeros_are_kept_as_float32(tmp_path: Path) -> None:
    shard = scale_all_dn(Bounds(VMIN, VMAX))[make_dn(0, (3, 32, 32))]
    shard[2, 5, 5] = -0.0
    save(tmp_path / "in", [shard])
    (summary,) = convert(tmp_path / "in", tmp_path / "h5", vmin=VMIN, vmax=VMAX)
    assert summary.encoding == "float32"
    assert "negative zero" in summary.notes[0]
    assert_holds(tmp_path / "h5" / "vv.h5", [shard])


def test_shards_keep_all_patches_unless_a_least_valid_fraction_is_given(tmp_path: Path) -> None:
    table = scale_all_dn(Bounds(VMIN, VMAX))
    shard = table[make_dn(0, (6, 32, 32))]
    shard[[1, 4], :16] = 0
    save(tmp_path / "in", [shard])
    (everything,) = convert(tmp_path / "in", tmp_path / "all", vmin=VMIN, vmax=VMAX)
    (filtered,) = convert(tmp_path / "in", tmp_path / "some", vmin=VMIN, vmax=VMAX, min_valid=0.6)
    assert (everything.patches, everything.dropped) == (6, 0)
    assert (filtered.patches, filtered.dropped) == (4, 2)
    assert_holds(tmp_path / "some" / "vv.h5", [shard[[0, 2, 3, 5]]])


def test_the_digest_does_not_depend_on_palette_or_codec(tmp_path: Path) -> None:
    make_shards(tmp_path)
    digests = {
        convert(tmp_path, tmp_path / f"{encoding}-{codec}", encoding=encoding, codec=codec)["vv"].content_digest
        for encoding in ("palette", "float32")
        for codec in ("fast", "small", "zlib")
    }
    assert len(digests) == 1


def test_options_that_shards_cannot_honour_are_refused(tmp_path: Path) -> None:
    make_shards(tmp_path)
    with pytest.raises(SettingError, match="--encoding dn needs the products"):
        convert(tmp_path, tmp_path / "h5", encoding="dn")
    with pytest.raises(
        SettingError, match=r"--patch-size 64 does not fit the shards of vv.*32 pixels a side; leave it out"
    ):
        convert(tmp_path, tmp_path / "h5", patch_size=64)
    convert(tmp_path, tmp_path / "h5", patch_size=32, stride=16)
    with h5py.File(tmp_path / "h5" / "vv.h5") as f:
        assert f.attrs["stride"] == 16


def test_every_broken_shard_is_named_over_both_polarizations(tmp_path: Path) -> None:
    for polarization in ("vv", "vh"):
        shards = make_shards(tmp_path, polarization, counts=(2, 3, 4, 5))
        shards[0][1, 3, 3] = np.nan
        shards[2][0, 0, 0] = 1.5
        for number in (0, 2):
            np.save(next(tmp_path.glob(f"*-{polarization}-2021011{number}*")), shards[number])
        path = next(tmp_path.glob(f"*-{polarization}-20210113*"))
        path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "metadata.npy").unlink()
    with pytest.raises(BadSourceError, match="6 sources are broken; nothing was written") as caught:
        convert(tmp_path, tmp_path / "h5", vmin=VMIN, vmax=VMAX)
    reasons = {Path(bad.path).name[11:22]: bad.reason for bad in caught.value.sources}
    assert len(reasons) == 6
    for polarization in ("vv", "vh"):
        assert "patch 1 holds NaN (1 of 1024 pixels)" in reasons[f"{polarization}-20210110"]
        assert "patch 0 holds values outside [0, 1] such as 1.5" in reasons[f"{polarization}-20210112"]
        assert "truncated: the header promises 5 patches" in reasons[f"{polarization}-20210113"]
    assert not (tmp_path / "h5").exists()

    summary = convert(tmp_path, tmp_path / "h5", vmin=VMIN, vmax=VMAX, on_bad_source="skip")
    assert [(file.patches, file.scenes) for file in summary] == [(3, 1), (3, 1)]
    assert len(summary.skipped) == 6
    assert_holds(tmp_path / "h5" / "vh.h5", [np.load(next(tmp_path.glob("*-vh-20210111*")))])


def test_a_polarization_whose_shards_are_all_broken_is_skipped_and_listed(tmp_path: Path) -> None:
    good, bad = make_shards(tmp_path, "vh", counts=(2,), seed=4), make_shards(tmp_path, "vv", counts=(2,))
    bad[0][:] = 2
    np.save(next(tmp_path.glob("*-vv-*")), bad[0])
    (tmp_path / "metadata.npy").unlink()
    summary = convert(tmp_path, tmp_path / "h5", vmin=VMIN, vmax=VMAX, on_bad_source="skip")
    assert [file.polarization for file in summary] == ["vh"]
    assert [path.name for path in (tmp_path / "h5").iterdir()] == ["vh.h5"]
    assert "values outside [0, 1] such as 2" in summary.to_text()
    assert_holds(tmp_path / "h5" / "vh.h5", good)
    with pytest.raises(BadSourceError, match="1 source is broken"):
        convert(tmp_path, tmp_path / "none", vmin=VMIN, vmax=VMAX, on_bad_source="skip", polarization="vv")
    assert not (tmp_path / "none").exists()


def test_shards_without_patches_are_no_error_unless_nothing_else_is_there(tmp_path: Path) -> None:
    shards = [np.zeros((0, 32, 32), dtype=np.float32), *[scale_all_dn(Bounds(VMIN, VMAX))[make_dn(0, (2, 32, 32))]]]
    shards = [shards[0], scale_all_dn(Bounds(VMIN, VMAX))[make_dn(0, (2, 32, 32))], shards[0]]
    save(tmp_path / "in", shards)
    convert(tmp_path / "in", tmp_path / "h5", vmin=VMIN, vmax=VMAX)
    assert_holds(tmp_path / "h5" / "vv.h5", shards)
    with pytest.raises(SourceError, match="expected at least one vv patch, found none"):
        convert(tmp_path / "in" / "p-vv-0.npy", tmp_path / "none", vmin=VMIN, vmax=VMAX)
    assert not (tmp_path / "none").exists()
