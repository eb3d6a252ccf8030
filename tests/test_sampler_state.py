"""The state of a sampler: plain data there and back, and nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sar_h5.errors import SettingError
from sar_h5.samplers.state import SamplerState

STATE = SamplerState("subset", {"shuffle": True}, 0, "ab", length=10, epoch=2, consumed=4, world_size=2)


@given(
    st.text(),
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()),
    st.integers(),
    st.integers(),
    st.integers(0, 10),
)
def test_a_state_comes_back_from_json(
    kind: str, settings: dict[str, Any], seed: int, epoch: int, consumed: int
) -> None:
    state = SamplerState(kind, settings, seed, "ab", length=10, epoch=epoch, consumed=consumed, world_size=3)
    assert SamplerState.from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_a_state_is_a_copy() -> None:
    made: dict[str, Any] = STATE.to_dict()
    made["settings"]["shuffle"] = False
    assert STATE.settings == {"shuffle": True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "expected version 1, found 2; update sar_h5"),
        ({"consumed": 11}, "expected 0 to 10 samples consumed, found 11"),
        ({"consumed": -1}, "expected 0 to 10 samples consumed, found -1"),
        ({"consumed": 1.5}, "expected consumed as int, found 1.5"),
        ({"epoch": None}, "expected epoch as int, found None"),
        ({"seed": True}, "expected seed as int, found True"),
        ({"kind": 3}, "expected kind as str, found 3"),
        ({"settings": [1]}, r"expected settings as Mapping, found \[1\]"),
        ({"yielded": 3}, "expected what state_dict.. of a sampler returned, with consumed, .*; found .*yielded"),
    ],
)
def test_damaged_states_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SamplerState.from_dict(STATE.to_dict() | change)


@pytest.mark.parametrize(("state", "found"), [({}, ""), ({"yielded": 3}, "yielded"), (None, "NoneType"), ([1], "list")])
def test_what_is_no_state_is_refused(state: Any, found: str) -> None:
    with pytest.raises(SettingError, match=f"expected what state_dict.. of a sampler returned.*; found {found}$"):
        SamplerState.from_dict(state)


def test_every_difference_is_named() -> None:
    other = SamplerState("subset", {"n": 3}, 5, "cd", length=10, epoch=0, consumed=0, world_size=1)
    with pytest.raises(SettingError) as caught:
        STATE.check_fits(other)
    for difference in (
        "seed: the state has 0, this sampler has 5",
        "shuffle: the state has True, this sampler has none",
        "n: the state has none, this sampler has 3",
        "fingerprint of the dataset: the state has ab, this sampler has cd",
    ):
        assert difference in str(caught.value)
    assert "samples in an epoch" not in str(caught.value)
