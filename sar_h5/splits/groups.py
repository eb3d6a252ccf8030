"""Which group of patches goes to which split: a draw by hash, the same on every machine and for every polarization."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sar_h5.errors import SettingError
from sar_h5.schema import SPLIT_NAMES


def draw_number(seed: int, key: str) -> int:
    """Draw a number of 64 bits for a key, a pure function of the arguments.

    By SHA-256, since the streams of NumPy's generators may change with their version.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}\0{key}".encode(errors="backslashreplace")).digest()[:8], "big")


def allocate_groups(weights: Mapping[str, int], wanted: Mapping[int, float], seed: int, what: str) -> dict[str, int]:
    """Give each group to a split.

    In an order drawn by ``seed``, each group goes to the split that lacks most of its share; the last groups go to
    splits that have none yet.

    Args:
        weights: how much each group counts; those of weight 0 fill no split that is empty.
        wanted: the share of each split, by its code; all above 0, together 1.
        seed: of the order.
        what: what the groups are, in the plural, for the message.

    Returns:
        The code of the split of each group.

    Raises:
        SettingError: where there are fewer groups than splits.
    """
    order = sorted(weights, key=lambda key: (weights[key] == 0, draw_number(seed, key), key))
    usable = sum(weight > 0 for weight in weights.values())
    if usable < len(wanted):
        names = ", ".join(SPLIT_NAMES[code] for code in wanted)
        finer = "make blocks smaller" if "blocks" in what else "split by something finer (--by block divides scenes)"
        raise SettingError(
            f"expected at least {len(wanted)} {what}, one for each of {names}; found {usable}; {finer}, or give one of "
            "the splits the fraction 0"
        )
    total = sum(weights.values())
    lacking = {code: fraction * total for code, fraction in wanted.items()}
    empty = set(wanted)
    codes: dict[str, int] = {}
    for number, key in enumerate(order):
        candidates = empty if 0 < usable - number <= len(empty) else set(wanted)
        code = max(candidates, key=lambda code: (lacking[code], -code))
        codes[key] = code
        lacking[code] -= weights[key]
        empty.discard(code)
    return codes
