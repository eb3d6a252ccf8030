"""Scenes in a few words: short, printable, no two the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.scene_labels import LONGEST, scene_labels, shorten


def columns(*rows: tuple[str, str, str, int]) -> dict[str, np.ndarray]:
    names = ("name", "platform", "start_time", "orbit")
    return {name: np.array(values, dtype=object) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def test_a_scene_is_named_by_platform_date_and_orbit() -> None:
    labels = scene_labels(columns(("x", "S1A", "2018-07-16T00:40:42", 22812), ("y", "S1B", "2018-07-17", -1)))
    assert labels == ["S1A 2018-07-16 orbit 22812", "S1B 2018-07-17"]


def test_slices_of_a_data_take_differ_by_their_time_and_equal_ones_by_their_number() -> None:
    first = ("a", "S1A", "2018-07-16T00:40:42.123", 22812)
    assert scene_labels(columns(first, ("b", "S1A", "2018-07-16T00:41:07", 22812))) == [
        "S1A 2018-07-16 00:40:42 orbit 22812",
        "S1A 2018-07-16 00:41:07 orbit 22812",
    ]
    assert scene_labels(columns(first, first)) == ["#0 S1A 2018-07-16 orbit 22812", "#1 S1A 2018-07-16 orbit 22812"]


def test_a_scene_of_unknown_date_has_its_name_cut_in_the_middle() -> None:
    (label,) = scene_labels(columns(("mosaic_of_the_whole_country_in_2020_version_3", "", "", -1)))
    assert label == "mosaic_of_the_w…2020_version_3"


@given(st.lists(st.tuples(st.text(), st.sampled_from(["", "S1A"]), st.text(), st.integers(-1, 9)), max_size=6))
def test_labels_are_short_and_printable_whatever_the_names(rows: list[tuple[str, str, str, int]]) -> None:
    labels = scene_labels(columns(*rows)) if rows else []
    assert len(labels) == len(rows)
    assert all(len(label) <= LONGEST and label.isprintable() for label in labels)


@given(st.text(), st.integers(3, 40))
def test_a_short_text_stays_and_a_long_one_keeps_both_ends(text: str, longest: int) -> None:
    shown = shorten(text, longest)
    assert len(shown) == min(len(text), longest)
    if text.isprintable():
        assert shown == text if len(text) <= longest else shown[0] == text[0] and shown[-1] == text[-1]
