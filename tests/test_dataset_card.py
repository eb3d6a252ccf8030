"""A data set in a notebook: facts, a few patches, escaped, bounded, and never an error."""

from __future__ import annotations

import base64
import io
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.image import imread

from sar_h5.contents import find_patches
from sar_h5.dataset_card import read_card
from sar_h5.html_card import HtmlCard, Thumbnail
from sar_h5.opening import open_file
from sar_h5.png import encode_png
from tests.patch_files import chunk_place, make_codes, make_lut, overwrite, read_plain, write_file
from tests.scene_files import Place, write_scenes


def card(path: Path, patches: np.ndarray | None = None, title: str = "title") -> HtmlCard:
    with open_file(path) as file:
        source = find_patches(file, None)
    return read_card(title, str(path), source, patches)


def decoded(thumbnail: Thumbnail) -> np.ndarray:
    return np.round(imread(io.BytesIO(thumbnail.png), format="png") * 255).astype(np.uint8)


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_a_png_holds_the_pixels(pixels: np.ndarray) -> None:
    assert np.array_equal(decoded(Thumbnail(encode_png(pixels), "")), pixels)


def test_a_card_tells_what_the_file_holds_and_shows_patches(tmp_path: Path) -> None:
    places = [Place(), *(Place(orbit=number, start_time=f"2021-02-{number:02}T00:00:00") for number in range(1, 9))]
    path = write_scenes(tmp_path / "vv.h5", places, np.arange(9 * 35) % 4, "by_block")
    shown = card(path)
    facts = dict(shown.facts)
    assert facts["patches"] == "315 x 16 x 16, stride 8 px, uint8"
    assert facts["bounds"] == "14.7700 to 24.5400 dB = 0 to 1"
    assert facts["encoding"] == "palette, 100 codes; Blosc lz4 level 5, byte shuffle"
    assert facts["scenes"].splitlines()[0] == "S1A 2021-01-19 orbit 36201: 35 patches"
    assert facts["scenes"].splitlines()[3] == "and 6 more, 2021-01-19 to 2021-02-08"
    assert facts["splits"] == "by_block: 79 train, 79 val, 78 test, 79 unused"
    numbers = [int(thumbnail.caption.removeprefix("patch ")) for thumbnail in shown.thumbnails]
    assert len(numbers) == 6
    expected = np.round(read_plain(path, numbers)[:, 0] * 255)
    assert np.array_equal([decoded(thumbnail) for thumbnail in shown.thumbnails], expected)
    assert (shown.notes, dict(card(path, np.array([5, 7])).facts)["patches"][:8]) == ((), "2 of 315")


def test_large_patches_are_averaged_and_those_of_others_stretched(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(-12, 4, (2, 200, 300)).astype(np.float32)
    values[1, 0, 0] = np.nan
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["data"] = values
    shown = card(tmp_path / "a.h5")
    assert shown.facts == (("patches", "2 x 200 x 300, float32"),)
    means = values[:, :200, :300].reshape(2, 50, 4, 75, 4).mean(axis=(2, 4))
    low, high = np.nanpercentile(means, [1, 99])
    expected = np.round(np.nan_to_num((np.clip(means, low, high) - low) / (high - low)) * 255)
    assert np.abs(np.array([decoded(one) for one in shown.thumbnails], float) - expected).max() <= 1


def test_a_card_stands_for_itself_and_lets_nothing_in() -> None:
    evil = "</div><script>alert('1')</script>&\"'"
    card = HtmlCard(evil, ((evil, evil),), (Thumbnail(b"png", evil),), (evil,))
    html, open_tags = card.to_html(), []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            assert tag in {"div", "table", "tr", "th", "td", "span", "img"}
            assert {name for name, _ in attributes} <= {"style", "scope", "src", "alt", "title"}
            if tag != "img":
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Reader().feed(html)
    assert open_tags == []
    assert base64.b64decode(re.findall(r"base64,([^\"]*)", html)[0]) == b"png"
    assert re.search(r"https?:|url\(|(?<!-)(?:color|background):(?!inherit|none)", html) is None


def test_scene_names_from_outside_are_shown_as_text(tmp_path: Path) -> None:
    path = write_scenes(tmp_path / "a.h5", [Place(name="<img src=x onerror=y>", platform="")])
    html = card(path, title="<b>").to_html()
    assert "<img src=x" not in html
    assert "&lt;img src=x onerror=y&gt;" in html


def test_damaged_patches_are_counted_and_the_others_shown(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.h5", make_codes((4, 32, 32), 100, "u1"), make_lut(100))
    offset, size = chunk_place(path, 2)
    overwrite(path, offset, b"\xff" * size)
    with h5py.File(path, "r+") as file:
        file["patches"][3] = 200  # a code without a value
    shown = card(path)
    assert [thumbnail.caption for thumbnail in shown.thumbnails] == ["patch 0", "patch 1"]
    assert shown.notes == (f"2 of the patches to show here cannot be read: run `sar-h5 verify {path}`",)


@pytest.mark.parametrize("damage", ["gone", "no HDF5", "scenes", "lut", "splits"])
def test_a_card_of_a_damaged_file_shows_what_is_left(tmp_path: Path, damage: str) -> None:
    path = write_scenes(tmp_path / "a.h5", [Place()], np.zeros(35))
    with open_file(path) as file:
        source = find_patches(file, None)
    if damage == "gone":
        path.unlink()
    elif damage == "no HDF5":
        path.write_text("hello")
    else:
        with h5py.File(path, "r+") as file:
            name = {"scenes": "scenes/name", "lut": "lut", "splits": "splits/default"}[damage]
            del file[name]
            file[name] = np.array([np.nan])
    shown = read_card("title", str(path), source)
    assert shown.facts[0] == ("patches", "35 x 16 x 16, stride 8 px, uint8")
    assert shown.notes
    assert "<div" in shown.to_html()


def test_a_card_of_many_patches_takes_no_longer_and_is_no_larger(tmp_path: Path) -> None:
    codes = np.zeros((720_953, 1, 1), dtype=np.uint8)
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f.create_dataset("patches", data=codes, chunks=(4096, 1, 1))
    with open_file(tmp_path / "a.h5") as file:
        source = find_patches(file, None)
    started = time.perf_counter()
    html = read_card("title", str(tmp_path / "a.h5"), source).to_html()
    assert time.perf_counter() - started < 1
    assert len(html) < 100_000
    assert "720,953 x 1 x 1" in html


def test_a_card_of_no_patches_has_no_pictures(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f.create_dataset("data", (0, 8, 8), "f4")
    assert (card(tmp_path / "a.h5").thumbnails, card(tmp_path / "a.h5").notes) == ((), ())
