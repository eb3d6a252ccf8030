"""The content digest: the same for the same content, another for anything else."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.digest import ContentDigest, hash_patches, patch_content
from sar_h5.palette import dn_palette
from sar_h5.radiometry import Bounds, Floats, scale_all_dn
from sar_h5.schema import FileSettings
from tests.conftest import make_dn

Array = npt.NDArray[Any]

SETTINGS = FileSettings(14.77, 24.54, 8, 4, 0.9, "vv", "palette", invalid_code=0)
SCENES = {"A": [(0, 0), (0, 4), (4, 0)], "B": [(0, 0), (8, 4)]}


def make_patches(seed: int = 0, count: int = 5) -> Array:
    return dn_palette(Bounds(14.77, 24.54))[1][make_dn(seed, (count, 8, 8))]


def digest(
    patches: Array,
    scenes: dict[str, list[tuple[int, int]]] = SCENES,
    settings: FileSettings = SETTINGS,
    *,
    from_dn: bool = True,
    lut: Floats | None = None,
) -> str:
    result = ContentDigest(settings, from_dn=from_dn)
    contents = iter(hash_patches([patch_content(patch, lut, from_dn=from_dn) for patch in patches]))
    for name, places in scenes.items():
        result.start_scene(name)
        for row, col in places:
            result.add(row, col, next(contents))
    return result.hexdigest()


def test_the_digest_is_a_sha256_that_stays_the_same_for_ever() -> None:
    result = ContentDigest(SETTINGS, from_dn=True)
    result.start_scene("scene")
    result.add(3, -1, hashlib.sha256(b"\x01\x02").digest())
    written = b"sar-h5\0vv\x008\0palette\x0014.770 24.540" + b"scene\0scene\0"
    written += b"\x03\0\0\0\xff\xff\xff\xff" + hashlib.sha256(b"\x01\x02").digest()
    assert result.hexdigest() == hashlib.sha256(written).hexdigest()


def test_the_same_content_gives_the_same_digest() -> None:
    assert digest(make_patches()) == digest(make_patches().copy())


@settings(deadline=None)
@given(number=st.integers(0, 4), row=st.integers(0, 7), col=st.integers(0, 7), change=st.integers(1, 255))
def test_any_other_code_changes_the_digest(number: int, row: int, col: int, change: int) -> None:
    patches = make_patches()
    patches[number, row, col] ^= change
    assert digest(patches) != digest(make_patches())


@pytest.mark.parametrize(
    "scenes",
    [
        {"A": [(0, 0), (0, 4), (4, 1)], "B": [(0, 0), (8, 4)]},
        {"A": [(0, 0), (0, 4), (4, 0)], "B": [(0, 0), (4, 8)]},
        {"A": [(0, 0), (0, 4), (4, 0)], "C": [(0, 0), (8, 4)]},
        {"A": [(0, 0), (0, 4), (4, 0), (0, 0)], "B": [(8, 4)]},
        {"A": [(0, 0), (0, 4), (4, 0)], "B": [(0, 0), (8, 4)], "C": []},
        {"A": [(0, 0), (0, 4), (4, 0)], "": [], "B": [(0, 0), (8, 4)]},
        {"AB": [(0, 0), (0, 4), (4, 0), (0, 0), (8, 4)]},
        {"A": [(-1, -1)] * 3, "B": [(-1, -1)] * 2},
    ],
)
def test_another_place_or_scene_changes_the_digest(scenes: dict[str, list[tuple[int, int]]]) -> None:
    assert digest(make_patches(), scenes) != digest(make_patches())


def test_the_order_of_patches_counts() -> None:
    scenes = {"A": [(-1, -1)] * 5}
    assert digest(make_patches(), scenes) != digest(make_patches()[::-1], scenes)


@pytest.mark.parametrize(
    "change", [{"vmin": 14.771}, {"vmax": 24.541}, {"polarization": "vh"}, {"patch_size": 80}, {"encoding": "dn"}]
)
def test_another_setting_changes_the_digest(change: dict[str, Any]) -> None:
    assert digest(make_patches(), settings=replace(SETTINGS, **change)) != digest(make_patches())


@pytest.mark.parametrize("change", [{"vmin": 14.7700001}, {"stride": 8}, {"min_valid": 0.5}])
def test_the_last_bits_of_bounds_and_the_filter_do_not_count(change: dict[str, Any]) -> None:
    assert digest(make_patches(), settings=replace(SETTINGS, **change)) == digest(make_patches())


@pytest.mark.parametrize("stop", range(6))
def test_a_copy_goes_its_own_way(stop: int) -> None:
    contents = hash_patches(make_patches())
    digest, other = ContentDigest(SETTINGS, from_dn=True), ContentDigest(SETTINGS, from_dn=True)
    for content in contents[:stop]:
        digest.add(0, 0, content)
        other.add(0, 0, content)
    twin = digest.copy()
    assert twin.hexdigest() == digest.hexdigest()
    twin.start_scene("broken")
    twin.add(1, 1, contents[0])
    for content in contents[stop:]:
        digest.add(0, 0, content)
        other.add(0, 0, content)
    assert digest.hexdigest() == other.hexdigest() != twin.hexdigest()


def test_asking_for_the_digest_does_not_end_it() -> None:
    result = ContentDigest(SETTINGS, from_dn=True)
    first = result.hexdigest()
    assert result.hexdigest() == first
    result.start_scene("A")
    assert result.hexdigest() != first


# Content


def test_digital_numbers_count_by_code_and_scaled_values_by_value() -> None:
    codes = make_patches()
    lut = dn_palette(Bounds(14.77, 24.54))[0].lut
    last_bit = np.nextafter(lut, np.float32(2))
    assert digest(codes, lut=lut) == digest(codes, lut=last_bit)
    assert digest(codes, lut=lut, from_dn=False) != digest(codes, lut=last_bit, from_dn=False)


def test_scaled_values_count_the_same_whatever_the_palette() -> None:
    values = scale_all_dn(Bounds(14.77, 24.54))[make_dn(3, (5, 8, 8))]
    levels, codes = np.unique(values, return_inverse=True)
    codes = codes.reshape(values.shape)
    sparse = np.zeros(2 * len(levels), dtype=np.float32)
    sparse[::2] = levels
    as_floats = replace(SETTINGS, encoding="float32")
    expected = digest(values, settings=as_floats, from_dn=False)
    assert digest(codes.astype(np.uint16), from_dn=False, lut=levels) == expected
    assert digest((2 * codes).astype(np.uint16), from_dn=False, lut=sparse) == expected


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_content_does_not_depend_on_byte_order_or_memory_layout(dtype: str) -> None:
    patch = make_dn(4, (8, 8)).astype("<" + dtype)
    (expected,) = hash_patches([patch_content(patch, None, from_dn=True)])
    assert expected == hashlib.sha256(patch.tobytes()).digest()
    for other in (patch.astype(">" + dtype), np.asfortranarray(patch), np.repeat(patch, 2, axis=1)[:, ::2]):
        content = patch_content(other, None, from_dn=True)
        assert hash_patches([content]) == [expected]
