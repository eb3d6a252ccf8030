"""Arrays of plain dtypes made of bytes from anywhere: every size and dtype is checked before NumPy sees it."""

from __future__ import annotations

import math
import re
import tokenize
from typing import Any

import numpy as np

MAX_DIMENSIONS = 64
"""NumPy's own limit."""

# Hostile bytes put values of any type into the code below, and through it into text decoders, NumPy's
# constructors and its header parser. These are all that they raise; the last line is that parser's (SystemError:
# from the tokenizer of Python 3.13 at a NUL), and what decoders only warn of where warnings are errors.
_BAD_VALUES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_TOO_MUCH = (MemoryError, RecursionError)
_BAD_HEADER = (SyntaxError, SystemError, tokenize.TokenError, Warning)
HOSTILE = (*_BAD_VALUES, *_TOO_MUCH, *_BAD_HEADER)

_PLAIN_DTYPE = re.compile(
    r"[<>|](b1|[iu][1248]|f[248]|c8|c16|[SU][0-9]{1,8}|O8?"
    r"|[mM]8(\[([1-9][0-9]{0,8})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)"
)


def plain_dtype(text: str) -> np.dtype[Any]:
    """Make a dtype of its text form, or raise ValueError where it is not plain (structured, long double...)."""
    if not _PLAIN_DTYPE.fullmatch(text):
        raise ValueError(f"an array has the dtype {ascii(text)[:100]}, which is not plain")
    return np.dtype(text)


def to_dtype(code: str, *state: Any) -> np.dtype[Any]:
    """Make a dtype of its code and NumPy's state: version, byte order, three Nones, three numbers, unit."""
    if state[2:5] != (None, None, None):
        raise ValueError("an array has a structured dtype, which is not plain")
    suffix = ""
    if len(state) > 8:  # metadata, which only times have: (None, (unit, count, 1, 1))
        unit, count = state[8][1][:2]
        if type(count) is not int:  # its text could be endless
            raise ValueError("an array has a dtype with metadata, which is not plain")
        suffix = "" if unit == b"generic" else f"[{count}{unit.decode('ascii')}]"
    return plain_dtype(state[1] + code + suffix)


def to_array(raw: bytes, dtype: np.dtype[Any], shape: Any, order: Any) -> Any:
    """Copy bytes into an array once they fill its shape exactly and mean something in its dtype."""
    nbytes = count_items(shape) * dtype.itemsize
    if dtype.hasobject or not dtype.itemsize or nbytes != len(raw):
        raise ValueError(f"an array of shape {shape} and dtype {dtype} takes {nbytes} bytes, not {len(raw)}")
    array: Any = np.ndarray(shape, dtype, buffer=raw, order=order).copy(order="K")
    if dtype.kind == "b":  # any other byte in a bool array is undefined behaviour
        np.not_equal(array.view(np.uint8), 0, out=array)
    if dtype.kind == "U" and np.any(np.ndarray(len(raw) // 4, f"{dtype.str[0]}u4", buffer=raw) > 0x10FFFF):
        raise ValueError("an array of strings holds something that is no character")
    return array


def count_items(shape: Any) -> int:
    """Count the items of an array of this shape, or raise ValueError where it is no shape."""
    if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS:
        raise ValueError("an array has a shape that is no short tuple")
    if not all(type(extent) is int and extent >= 0 for extent in shape):
        raise ValueError("an array has a shape of something other than sizes")
    return math.prod(shape)


def describe_hostile(error: BaseException) -> str:
    """Say in words what one of :data:`HOSTILE` means for the user."""
    if type(error) is ValueError:
        return str(error)[:300]
    return f"it is damaged, cut short or not what it seems ({type(error).__name__}: {str(error)[:200]})"
