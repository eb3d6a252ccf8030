"""The weight of each scene, in any of the ways in which users write it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError

SceneWeights = Literal["equal"] | Mapping[Any, float] | Sequence[float] | npt.NDArray[Any]


def weights_by_scene(weights: SceneWeights, scenes: npt.NDArray[Any], names: Sequence[str] | None) -> list[Fraction]:
    """Return the weights of the scenes that have samples.

    Args:
        weights: "equal"; a mapping from names to weights (from numbers, where there are no names), which may also hold
            scenes without samples; or one weight per scene number.
        scenes: integers (n,), the scene of each sample.
        names: names by scene number, if there are any.

    Returns:
        In ascending order of scene number. Exact, so that shares are the same on every machine.

    Raises:
        SettingError: where a weight is missing or makes no sense, or where a mapping has a scene that does not exist.
    """
    numbers = np.unique(scenes).tolist()
    if isinstance(weights, str):
        if weights != "equal":
            raise SettingError(f'expected weights "equal", a mapping or a list; found {weights!r}')
        return [Fraction(1)] * len(numbers)
    found = _of_mapping(weights, numbers, names) if isinstance(weights, Mapping) else _of_list(weights, numbers)
    checked = [_exact(weight) for weight in found]
    if checked and not any(checked):
        raise SettingError("expected a weight above 0 for at least one scene that has samples; all are 0")
    return checked


def _of_mapping(weights: Mapping[Any, Any], numbers: list[int], names: Sequence[str] | None) -> list[Any]:
    keys: list[Any] = numbers if names is None else [names[number] for number in numbers]
    known = set(keys if names is None else names)
    unknown = [key for key in weights if key not in known]
    missing = [key for key in keys if key not in weights]
    if unknown or missing:
        problem = f"unknown are {unknown[:3]}" if unknown else f"missing are {missing[:3]}"
        raise SettingError(
            f"expected a weight for each of the {len(keys)} scenes that have samples, such as {keys[:3]}; {problem}. "
            "Weight 0 leaves a scene out"
        )
    return [weights[key] for key in keys]


def _of_list(weights: Any, numbers: list[int]) -> list[Any]:
    array = np.asarray(weights)
    if array.ndim != 1 or array.dtype.kind not in "uif":
        raise SettingError(f"expected one weight per scene number; found {array.dtype} of shape {array.shape}")
    if numbers and not (numbers[0] >= 0 and numbers[-1] < len(array)):
        raise SettingError(
            f"expected one weight per scene number, which are {numbers[0]} to {numbers[-1]}; found {len(array)} weights"
        )
    return [array[number].item() for number in numbers]


def _exact(weight: Any) -> Fraction:
    try:
        number = float(weight)
    except (TypeError, ValueError) as error:
        raise SettingError(f"expected weights as numbers; found {weight!r}") from error
    if not (math.isfinite(number) and number >= 0):
        raise SettingError(f"expected finite weights, 0 or more; found {weight}")
    return Fraction(number)
