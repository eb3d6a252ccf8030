"""Pickled metadata read as plain data: nothing that a pickle names is imported or called.

`pickle.Unpickler` with a strict `find_class` is not enough. It hashes whatever key a pickle builds, and the
hash of a tuple nested a million deep overflows the C stack, which ends the process; and `__setstate__` of
NumPy's arrays trusts its input. So the steps that `pickletools.genops` lists are carried out here, only those
that plain data needs, and what they build is checked as it grows.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from sar_h5.errors import PickleRefusedError
from sar_h5.plain_arrays import HOSTILE, count_items, describe_hostile, to_array, to_dtype

_ALLOWED = (
    "Allowed are dicts, lists, tuples, strings, bytes, numbers, NumPy arrays and scalars of plain dtypes, "
    "and pathlib paths. Copy the file again if it is damaged; if you trust its author, ask for one of these."
)

# Far beyond any real metadata; they bound what a hostile file can take in time and memory.
_MAX_STEPS = 5_000_000
_MAX_HEIGHT = 100
_SLACK_NBYTES = 64 * 2**20

_KEY_TYPES = (str, bytes, int, float, type(None), np.generic, PurePath)


def loads_plain(data: bytes, origin: str) -> object:
    """Build the plain data that a pickle describes, without running any of it.

    Allowed are dicts, lists, tuples, strings, bytes, numbers, None, NumPy arrays and scalars of plain dtypes
    as NumPy 1 and 2 write them, and pathlib paths. A bytearray becomes bytes; a path becomes a
    `PureWindowsPath` where it was one of Windows', a `PurePosixPath` otherwise.

    Args:
        data: the pickle, of any protocol from 0 to 5, as Python 3 writes it.
        origin: where it comes from, for the message.

    Returns:
        What the pickle holds; what is shared in it stays shared.

    Raises:
        PickleRefusedError: when the pickle names anything else, holds itself, nests too deep, or is damaged.
    """
    try:
        return _Machine(len(data)).run(data)
    except HOSTILE as error:
        raise PickleRefusedError(
            f"{origin}: refused, and nothing of it was run: {describe_hostile(error)}. {_ALLOWED}"
        ) from error


@dataclass(slots=True, eq=False)
class _Part:
    """What a pickle builds in several steps, or cannot hold as data.

    A pickler finishes a container before it puts it into another one, unless the data contains itself. With
    this order enforced (`closed`), nothing can contain itself, and every height is known without recursion.
    """

    value: Any
    height: int = 1
    tool: str = ""  # the name of a global or dtype in it: something to build with, no data
    closed: bool = False


@dataclass(frozen=True, slots=True)
class _Global:
    name: str


@dataclass(frozen=True, slots=True)
class _Unbuilt:
    finish: Callable[..., Any]  # makes the array or dtype of its state


class _Machine:
    """The pickle machine, reduced to the steps that plain data needs."""

    def __init__(self, nbytes: int) -> None:
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below the open marks
        self.memo: dict[int, Any] = {}  # a list, as in C, would grow to whatever index a pickle names
        self.allowance_nbytes = _SLACK_NBYTES + 4 * nbytes

    def run(self, data: bytes) -> object:
        stream = io.BytesIO(data)
        for count, (step, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= _MAX_STEPS:
                raise ValueError(f"it takes more than {_MAX_STEPS:,} steps")
            if step.name not in _STEPS:
                detail = ascii(argument)[:100] if isinstance(argument, str) else ""
                raise ValueError(f"it uses the pickle step {step.name} {detail}".rstrip())
            _STEPS[step.name](self, argument)
        if stream.read(1) or self.outer or len(self.stack) != 1:
            raise ValueError("it does not end with its one value")
        return self.close_data(self.stack)[0][0]

    def spend(self, nbytes: int) -> None:
        # A few bytes can name one large value again and again; each use that copies it counts.
        self.allowance_nbytes -= nbytes
        if self.allowance_nbytes < 0:
            raise ValueError("it repeats its values into far more memory than its own size")

    def close(self, items: Sequence[Any]) -> tuple[list[Any], int, str]:
        """Take items as the contents of something: their values, its height, and a tool among them."""
        values, height, tool = list(items), 0, ""
        for index, item in enumerate(items):
            if isinstance(item, _Part):
                item.closed = True
                values[index] = item.value
                height, tool = max(height, item.height), tool or item.tool
        if height >= _MAX_HEIGHT:
            raise ValueError(f"it nests deeper than {_MAX_HEIGHT} levels")
        return values, height + 1, tool

    def close_data(self, items: Sequence[Any]) -> tuple[list[Any], int]:
        values, height, tool = self.close(items)
        if tool:
            raise ValueError(f"it holds {tool} itself as a value")
        return values, height

    def top(self, kind: type) -> _Part:
        part = self.stack[-1]
        if not isinstance(part, _Part) or part.closed or type(part.value) is not kind:
            raise ValueError("it fills what is finished already, as data that contains itself would")
        return part

    def pop(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]

    def pop_to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.outer.pop()
        return items

    def pop_arguments(self) -> tuple[tuple[Any, ...], int]:
        part = self.stack.pop()
        if not isinstance(part, _Part) or type(part.value) is not tuple:
            raise ValueError("it gives arguments that are no tuple")
        return part.value, part.height

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def put(self, index: int) -> None:
        if index > _MAX_STEPS:
            raise ValueError("it remembers a value under a number that no pickle of this size needs")
        self.memo[index] = self.stack[-1]

    def push_tuple(self, items: Sequence[Any]) -> None:
        values, height, tool = self.close(items)
        self.stack.append(_Part(tuple(values), height, tool))

    def push_list(self, items: Sequence[Any]) -> None:
        self.stack.append(_Part([]))
        self.extend(items)

    def push_dict(self, items: Sequence[Any]) -> None:
        self.stack.append(_Part({}))
        self.update(items)

    def extend(self, items: Sequence[Any]) -> None:
        values, height = self.close_data(items)
        target = self.top(list)
        target.value.extend(values)
        target.height = max(target.height, height)

    def update(self, items: Sequence[Any]) -> None:
        values, height = self.close_data(items)
        target = self.top(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            self.check_key(key)
            target.value[key] = value
        target.height = max(target.height, height)

    def check_key(self, key: object) -> None:
        # A hash descends into tuples without limit, into shared ones every time: one level is enough here.
        atoms = key if isinstance(key, tuple) else (key,)
        self.spend(8 * len(atoms))
        if not all(isinstance(atom, _KEY_TYPES) for atom in atoms):
            raise ValueError("it uses a container as the key of a dict")

    def push_global(self, module: object, name: object) -> None:
        full_name = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "no name"
        if full_name not in _CALLS:
            raise ValueError(f"it asks for {ascii(full_name)[:100]}")  # ascii: it may hold control codes
        self.stack.append(_Part(_Global(full_name), tool=full_name))

    def reduce(self) -> None:
        arguments, _ = self.pop_arguments()
        called = self.stack.pop()
        name = called.value.name if isinstance(called, _Part) and isinstance(called.value, _Global) else ""
        if not name:
            raise ValueError("it calls something that is no function")
        self.stack.append(_CALLS[name](self, *arguments))

    def build(self) -> None:
        state, height = self.pop_arguments()
        target = self.top(_Unbuilt)
        target.value, target.height = target.value.finish(*state), height
        target.tool = target.tool if isinstance(target.value, np.dtype) else ""

    def make_bytes(self, text: str = "", encoding: str = "latin1") -> bytes:
        # Protocols 0 to 2 have no bytes of their own: they write them as text, and the empty ones as bytes().
        if type(text) is not str or encoding not in ("latin1", "latin-1"):
            raise ValueError("it encodes something other than text, or not as latin1")
        self.spend(len(text))
        return text.encode("latin-1")

    def make_path(self, flavour: type[PurePath], parts: tuple[str, ...]) -> PurePath:
        self.spend(sum(map(len, parts)))
        return flavour(*parts)

    def make_dtype(self, code: str, *_: object) -> _Part:
        return _Part(_Unbuilt(partial(to_dtype, code)), tool="numpy.dtype")

    def make_unbuilt_array(self, *_: object) -> _Part:
        return _Part(_Unbuilt(self.make_array_of_state), tool="an unfinished array")

    def make_array_of_state(self, _version: Any, shape: Any, dtype: Any, fortran: Any, contents: Any) -> Any:
        if type(contents) is not list:
            return self.make_array(contents, dtype, shape, "F" if fortran is True else "C")
        if not isinstance(dtype, np.dtype) or not dtype.hasobject or count_items(shape) != len(contents):
            raise ValueError(f"an array comes with {len(contents)} objects, which is not what it promises")
        self.spend(8 * len(contents))
        return np.fromiter(contents, dtype=object, count=len(contents)).reshape(shape)

    def make_array(self, raw: Any, dtype: Any, shape: Any, order: Any) -> Any:
        if type(raw) is not bytes or not isinstance(dtype, np.dtype) or order not in ("C", "F"):
            raise ValueError("an array has contents, a dtype or an order that NumPy does not write")
        self.spend(len(raw))
        return to_array(raw, dtype, shape, order)

    def make_array_of_buffer(self, raw: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> _Part:
        if order == "K" and type(axes) is tuple:  # recent NumPy 2 writes a transposed array so
            return _Part(self.make_array(raw, dtype, shape, "C").transpose(axes))
        return _Part(self.make_array(raw, dtype, shape, order))

    def make_scalar(self, dtype: Any, raw: Any) -> Any:
        if isinstance(dtype, np.dtype) and dtype.str[1:] in ("U0", "S0"):  # an array cannot have these
            return dtype.type()
        return self.make_array(raw, dtype, (), "C")[()]


_CALLS: dict[str, Callable[..., Any]] = {
    "_codecs.encode": _Machine.make_bytes,
    "builtins.bytes": _Machine.make_bytes,
    "__builtin__.bytes": _Machine.make_bytes,
    "numpy.ndarray": _Machine.make_unbuilt_array,  # in a real pickle only an argument of _reconstruct
    "numpy.dtype": _Machine.make_dtype,
}
for _core in ("numpy.core", "numpy._core"):
    _CALLS[f"{_core}.multiarray._reconstruct"] = _Machine.make_unbuilt_array
    _CALLS[f"{_core}.multiarray.scalar"] = _Machine.make_scalar
    _CALLS[f"{_core}.numeric._frombuffer"] = _Machine.make_array_of_buffer
for _module in ("pathlib", "pathlib._local"):  # the second is Python 3.13's
    for _name in ("Path", "PosixPath", "PurePath", "PurePosixPath"):
        _CALLS[f"{_module}.{_name}"] = lambda machine, *parts: machine.make_path(PurePosixPath, parts)
    for _name in ("WindowsPath", "PureWindowsPath"):
        _CALLS[f"{_module}.{_name}"] = lambda machine, *parts: machine.make_path(PureWindowsPath, parts)

_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "BYTEARRAY8": lambda machine, value: machine.stack.append(bytes(value)),
    "MARK": lambda machine, _: machine.mark(),
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "EMPTY_TUPLE": lambda machine, _: machine.push_tuple(()),
    "TUPLE1": lambda machine, _: machine.push_tuple(machine.pop(1)),
    "TUPLE2": lambda machine, _: machine.push_tuple(machine.pop(2)),
    "TUPLE3": lambda machine, _: machine.push_tuple(machine.pop(3)),
    "TUPLE": lambda machine, _: machine.push_tuple(machine.pop_to_mark()),
    "EMPTY_LIST": lambda machine, _: machine.push_list(()),
    "LIST": lambda machine, _: machine.push_list(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.extend(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push_dict(()),
    "DICT": lambda machine, _: machine.push_dict(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.pop_to_mark()),
    "GLOBAL": lambda machine, name: machine.push_global(*name.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.push_global(*machine.pop(2)),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}
for _name in ("PROTO", "FRAME", "STOP"):
    _STEPS[_name] = lambda _machine, _: None
for _name in ("GET", "BINGET", "LONG_BINGET"):
    _STEPS[_name] = lambda machine, index: machine.stack.append(machine.memo[index])
for _name in ("PUT", "BINPUT", "LONG_BINPUT"):
    _STEPS[_name] = lambda machine, index: machine.put(index)
# LONG4, an integer of more than 255 bytes, is not among them: arithmetic on it can take for ever.
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT")
_TEXTS = ("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
for _name in (*_NUMBERS, *_TEXTS, "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"):
    _STEPS[_name] = lambda machine, value: machine.stack.append(value)
