"""Pickled metadata: what plain data comes back as, and that nothing else is read or run."""

from __future__ import annotations

import copyreg
import functools
import io
import os
import pickle
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sar_h5.errors import PickleRefusedError, SourceError
from sar_h5.plain_data import read_plain_data
from sar_h5.unpickle import loads_plain

PROTOCOLS = range(6)
METADATA: dict[str, Any] = {
    "file_index": [("shards/a.npy", 16_000), ("C:\\shards\\b.npy", 12), (Path("shards") / "c.npy", 0)],
    "vmin": np.float32(14.77),
    "vmax": np.float64(24.54),
    "patch_size": np.int64(256),
    "valid": np.bool_(True),
    "polarization": np.str_("VV"),
    "start": np.datetime64("2021-05-04T06:07:08", "ns"),
    "counts": np.arange(6, dtype=">u2").reshape(2, 3).T,
    "flags": np.array([True, False]),
    "names": np.array([["VV", "VH"], ["é", ""]]),
    "empty": np.zeros((0, 3), np.complex64),
    "nested": {
        "list": [1, -(2**70), 2.5, None, True, b"\xff\x00", b"", "ünï", ""],
        (1, "b"): {},
        np.int8(3): (),
    },
    "objects": np.array([[{"a": 1}, None], [[1, 2], "x"]], dtype=object),
}


def assert_same(found: object, expected: object) -> None:
    if isinstance(expected, Path):
        expected = PurePosixPath(expected)
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert_same(list(found.items()), list(expected.items()))
    elif isinstance(expected, list | tuple):
        assert isinstance(found, list | tuple)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray):
        assert isinstance(found, np.ndarray)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.flags.writeable
        assert_same(found.tolist(), expected.tolist())
    elif isinstance(expected, np.generic):
        assert isinstance(found, np.generic)
        assert (found.dtype, found.tobytes()) == (expected.dtype, expected.tobytes())
    else:
        assert found == expected or (found != found and expected != expected)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def call(module: str, name: str, *arguments: bytes) -> bytes:
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


def raw(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def dtype(code: str, *state: bytes) -> bytes:
    state = state or (text("<"), b"NNN", integer(-1) * 2, integer(0))
    return call("numpy", "dtype", text(code), b"\x89\x88") + b"(" + integer(3) + b"".join(state) + b"tb"


def array(shape: bytes, dtype_: bytes, contents: bytes) -> bytes:
    made = call("numpy._core.multiarray", "_reconstruct", named("numpy", "ndarray"), integer(0) + b"\x85", raw(b"b"))
    return made + b"(" + integer(1) + shape + dtype_ + b"\x89" + contents + b"tb"


PLAIN_OBJECT = dtype("O8", text("|"), b"NNN", integer(-1) * 2, integer(63))


def as_numpy_1_writes(pickled: bytes) -> bytes:
    for module in (b"multiarray", b"numeric"):
        new, old = b"numpy._core." + module, b"numpy.core." + module
        pickled = pickled.replace(b"\x8c" + bytes([len(new)]) + new, b"\x8c" + bytes([len(old)]) + old)
        pickled = pickled.replace(b"c" + new + b"\n", b"c" + old + b"\n")
    if pickled[2:3] == b"\x95":  # the length of the one frame that a small pickle has
        pickled = pickled[:3] + struct.pack("<Q", len(pickled) - 11) + pickled[11:]
    return pickled


class Surprise:
    """Runs a function of choice when an ordinary unpickler reads it."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


class Child(dict):  # type: ignore[type-arg]
    pass


# Plain data comes back.


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_allowed_kind_comes_back_from_every_protocol(protocol: int) -> None:
    assert_same(loads_plain(pickle.dumps(METADATA, protocol=protocol), "metadata"), METADATA)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_numpy_1_wrote_comes_back(protocol: int) -> None:
    pickled = as_numpy_1_writes(pickle.dumps(METADATA, protocol=protocol))
    assert b"numpy.core" in pickled
    assert b"numpy._core" not in pickled
    assert_same(loads_plain(pickled, "metadata"), METADATA)


def test_a_dict_saved_by_numpy_comes_back_as_a_dict(tmp_path: Path) -> None:
    np.save(tmp_path / "metadata.npy", METADATA, allow_pickle=True)  # type: ignore[arg-type]
    assert_same(read_plain_data(tmp_path / "metadata.npy"), METADATA)


def test_a_bare_pickle_in_a_file_comes_back(tmp_path: Path) -> None:
    (tmp_path / "metadata.pkl").write_bytes(pickle.dumps(METADATA))
    assert_same(read_plain_data(tmp_path / "metadata.pkl"), METADATA)


def test_an_object_array_with_dimensions_keeps_its_shape(tmp_path: Path) -> None:
    pairs = np.array([["a.npy", 3], ["b.npy", 4]], dtype=object)
    np.save(tmp_path / "index.npy", pairs, allow_pickle=True)
    assert_same(read_plain_data(tmp_path / "index.npy"), pairs)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(12, dtype="<i8").reshape(3, 4),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(2.5, ">f4"),
        np.zeros((0, 4), np.uint16),
        np.array(["VV", "é"]),
        np.array([b"VV", b"V"]),
        np.array([True, False]),
        np.array(["2021-01-01", "NaT"], "M8[25s]"),
    ],
    ids=lambda value: f"{value.dtype}{value.shape}",
)
def test_a_numeric_or_string_array_comes_back_as_an_array(tmp_path: Path, value: np.ndarray[Any, Any]) -> None:
    np.save(tmp_path / "array.npy", value)
    found = read_plain_data(tmp_path / "array.npy")
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.shape) == (value.dtype, value.shape)
    np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_strided_arrays_of_every_plain_dtype_come_back(order: Any, protocol: int) -> None:
    for code in ["?", "i1", ">u4", "f2", "<f8", ">c16", "S3", "U2", "M8", "m8[7D]", "O"]:
        whole = np.zeros((2, 3, 4), code, order=order)
        expected = [whole, whole.transpose(1, 0, 2), whole[::-1, :, ::2], whole[:, :, 0], whole[0, 0, 0]]
        found = loads_plain(pickle.dumps(expected, protocol=protocol), "x")
        assert_same(found, expected)


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("pathlib", "WindowsPath", PureWindowsPath("C:\\data", "a.npy")),
        ("pathlib", "PureWindowsPath", PureWindowsPath("C:\\data", "a.npy")),
        ("pathlib._local", "WindowsPath", PureWindowsPath("C:\\data", "a.npy")),
        ("pathlib", "PosixPath", PurePosixPath("C:\\data", "a.npy")),
        ("pathlib._local", "PurePosixPath", PurePosixPath("C:\\data", "a.npy")),
    ],
)
def test_paths_of_any_platform_become_pure_paths(module: str, name: str, expected: object) -> None:
    found = loads_plain(call(module, name, text("C:\\data"), text("a.npy")) + b".", "x")
    assert type(found) is type(expected)
    assert found == expected


def test_what_is_shared_in_a_pickle_stays_shared() -> None:
    shared = [np.arange(3)]
    found: Any = loads_plain(pickle.dumps({"a": shared, "b": (shared, shared[0])}), "x")
    assert found["a"] is found["b"][0]
    assert found["a"][0] is found["b"][1]


PLAIN_ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.builds(PureWindowsPath, st.text(st.characters(codec="utf-8", exclude_characters="\0")))
    | npst.arrays(
        npst.boolean_dtypes()
        | npst.integer_dtypes()
        | npst.floating_dtypes(sizes=(16, 32, 64))
        | npst.datetime64_dtypes(),
        npst.array_shapes(min_dims=0, min_side=0),
    )
)
PLAIN_DATA = st.recursive(
    PLAIN_ATOMS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(PLAIN_DATA, st.sampled_from(PROTOCOLS))
def test_any_plain_data_comes_back(value: object, protocol: int) -> None:
    assert_same(loads_plain(pickle.dumps(value, protocol=protocol), "x"), value)


# Anything else is refused by name, and not run.


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Surprise(os.system, "touch ran"), f"{os.system.__module__}.system"),
        (Surprise(eval, "open('ran', 'w')"), "eval"),
        (Surprise(exec, "open('ran', 'w')"), "exec"),
        (Surprise(getattr, {}, "clear"), "getattr"),
        (Surprise(open, "ran", "w"), "io.open"),
        (Surprise(functools.partial, os.system), "functools.partial"),
        (Surprise(np.load, "ran"), "numpy.load"),
        (Surprise(np.testing.assert_equal, 1, 2), "numpy.testing"),
        (Surprise(np.memmap, "ran", "u1", "w+", 0, 4), "numpy.memmap"),
        (np.ma.masked_array([1, 2], [True, False]), "numpy.ma"),
        (np.rec.array([(1, 2.0)], dtype="i4,f4"), "numpy.rec"),
        (np.random.default_rng(0), "numpy.random"),
        (Child(a=1), r"Child|copy_reg\._reconstructor"),
        ({1, 2}, r"builtin.*\.set|EMPTY_SET"),
        (complex(1, 2), "complex"),
        (range(3), "range"),
        ({"dtype": np.dtype("f4")}, "numpy.dtype itself"),
        ({"dtype": np.float32}, "numpy.float32"),
        ([np.ndarray], "numpy.ndarray itself"),
        (PurePosixPath, r"pathlib.*\.PurePosixPath itself"),
        ((np.dtype("f4"),), "numpy.dtype itself"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_anything_else_is_refused_by_name_and_not_run(
    value: object, name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(value, protocol=protocol)
    with pytest.raises(PickleRefusedError, match=f"(?s)metadata.npy: refused.*{name}.*Allowed are dicts"):
        loads_plain(pickled, "metadata.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_refused_pickle_in_an_array_file_names_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "bounds.npy", {"vmin": Surprise(os.getcwd)}, allow_pickle=True)  # type: ignore[arg-type]
    with pytest.raises(PickleRefusedError, match=r"bounds\.npy: refused.*getcwd"):
        read_plain_data(tmp_path / "bounds.npy")


def test_the_extension_registry_is_refused() -> None:
    copyreg.add_extension(os.getcwd.__module__, "getcwd", 0xF0)
    try:
        pickled = pickle.dumps(Surprise(os.getcwd), protocol=2)
        assert b"\x82\xf0" in pickled
        with pytest.raises(PickleRefusedError, match="EXT1"):
            loads_plain(pickled, "x")
    finally:
        copyreg.remove_extension(os.getcwd.__module__, "getcwd", 0xF0)


SHAPE_2 = integer(2) + b"\x85"
HOSTILE = {
    "persistent id as text": (b"Pos\n.", "PERSID"),
    "persistent id": (text("os") + b"Q.", "BINPERSID"),
    "old style instance": (b"(S'id'\nios\nsystem\n.", "STRING|os system"),
    "instance": (b"(ios\nsystem\n.", "os system"),
    "object": (b"(" + named("pathlib", "PosixPath") + b"o.", "OBJ"),
    "new object": (named("pathlib", "PosixPath") + b")\x81.", "NEWOBJ"),
    "out-of-band buffer": (b"\x97.", "NEXT_BUFFER"),
    "control codes in a name": (named("os\x1b[2J", "system") + b".", r"os\\x1b\[2J\.system"),
    "dotted walk from an allowed module": (named("numpy", "ndarray.__class__") + b".", "ndarray.__class__"),
    "name that is no string": (integer(1) + text("x") + b"\x93.", "no name"),
    "list that holds itself": (b"]q\0h\0a.", "contains itself"),
    "dict that holds itself": (b"}q\0Nh\0s.", "contains itself"),
    "tuple that holds itself": (b"]q\0(h\0taq\0.", "contains itself"),
    "list grown after use": (b"]q\0]q\x01h\0ah\0h\x01a0.", "contains itself|POP"),
    "unhashable key": (b"}]Ns.", "key of a dict"),
    "unhashable key in a tuple": (b"}]\x85Ns.", "key of a dict"),
    "key without a value": (b"}(Nu.", "zip"),
    "wrong encoding": (call("_codecs", "encode", text("x"), text("rot13")) + b".", "latin1"),
    "encoded number": (call("_codecs", "encode", integer(1), text("latin1")) + b".", "latin1"),
    "bytes of a number": (call("builtins", "bytes", integer(10**9)) + b".", "latin1"),
    "path of numbers": (call("pathlib", "Path", integer(1)) + b".", "TypeError"),
    "called array": (call("numpy", "ndarray", integer(9) + b"\x85") + b".", "unfinished array"),
    "called dtype": (dtype("f4") + b"(tR.", "no function"),
    "called tuple of a global": (named("pathlib", "Path") + b"\x85(tR.", "no function"),
    "arguments that are no tuple": (named("pathlib", "Path") + b"]R.", "no tuple"),
    "state of a list": (b"]}b.", "no tuple"),
    "state of a list as tuple": (b"]N}\x86b.", "finished already"),
    "state of a global": (named("pathlib", "Path") + b"N}\x86b.", "finished already"),
    "state of a path": (call("pathlib", "Path", text("a")) + b"N}\x86b.", "finished already"),
    "second state of an array": (array(SHAPE_2, dtype("u1"), raw(b"ab")) + b")b.", "finished already"),
    "second state of a dtype": (dtype("f4") + b")b.", "finished already"),
    "items of an array": (array(SHAPE_2, dtype("u1"), raw(b"ab")) + b"Na.", "finished already"),
    "unfinished array": (call("numpy._core.multiarray", "_reconstruct") + b".", "unfinished array"),
    "array finished inside a tuple": (
        call("numpy._core.multiarray", "_reconstruct") + b"q\0\x85h\0)b.",
        "finished already|TypeError",
    ),
    "structured dtype": (dtype("V8", text("|"), b"N", text("a") + b"\x85", b"}") + b".", "structured"),
    "void dtype": (array(SHAPE_2, dtype("V4", text("|"), b"NNN"), raw(b"abcdefgh")) + b".", "V4"),
    "subarray dtype": (
        dtype("f4", text("<"), dtype("f4") + integer(2) + b"\x86", b"NN") + b".",
        "structured",
    ),
    "dtype by expression": (dtype("(2,3)f4") + b".", "not plain"),
    "dtype of a number": (dtype("f4", integer(1), b"NNN") + b".", "TypeError"),
    "dtype without a state": (call("numpy", "dtype", text("f4")) + b")b.", "structured"),
    "dtype with metadata": (dtype("f4", text("<"), b"NNNNNN", b"}") + b".", "damaged"),
    "hostile object dtype state": (
        array(SHAPE_2, PLAIN_OBJECT, raw(b"\x41" * 16)) + b".",
        "takes 16 bytes|objects",
    ),
    "wide dtype": (array(SHAPE_2, dtype("U99999999"), raw(b"abcd")) + b".", "takes 799999992 bytes"),
    "dtype without size": (array(SHAPE_2, dtype("U0"), raw(b"")) + b".", "takes 0 bytes"),
    "fewer bytes than the shape": (array(SHAPE_2, dtype("f4"), raw(b"abcd")) + b".", "takes 8 bytes, not 4"),
    "more bytes than the shape": (array(SHAPE_2, dtype("u1"), raw(b"abcd")) + b".", "takes 2 bytes, not 4"),
    "negative shape": (array(integer(-1) + b"\x85", dtype("u1"), raw(b"")) + b".", "other than sizes"),
    "shape that is a list": (array(b"]", dtype("u1"), raw(b"a")) + b".", "short tuple"),
    "shape of many dimensions": (
        array(b"(" + integer(1) * 65 + b"t", dtype("u1"), raw(b"a")) + b".",
        "short tuple",
    ),
    "huge empty shape": (
        array(integer(0) + b"\x8a\x09" + b"\xff" * 8 + b"\0\x86", dtype("u1"), raw(b"")) + b".",
        "",
    ),
    "object array with too few items": (array(SHAPE_2, PLAIN_OBJECT, b"]Na") + b".", "comes with 1 objects"),
    "numbers as items": (array(SHAPE_2, dtype("u1"), b"](NNe") + b".", "comes with 2 objects"),
    "text that is no character": (array(SHAPE_2, dtype("U1"), raw(b"\xff" * 8)) + b".", "no character"),
    "scalar that is an object": (
        call("numpy._core.multiarray", "scalar", PLAIN_OBJECT, raw(b"a" * 8)) + b".",
        "bytes",
    ),
    "scalar of the wrong size": (
        call("numpy._core.multiarray", "scalar", dtype("f4"), raw(b"a")) + b".",
        "not 1",
    ),
    "scalar without a dtype": (
        call("numpy.core.multiarray", "scalar", text("f4"), raw(b"abcd")) + b".",
        "dtype",
    ),
    "axes that are none": (
        call(
            "numpy._core.numeric",
            "_frombuffer",
            raw(b"a"),
            dtype("u1"),
            integer(1) + b"\x85",
            text("K"),
            b"]\x85",
        )
        + b".",
        "damaged",
    ),
    "Python 2 string": (b"U\x03abc.", "SHORT_BINSTRING"),
    "Python 2 string with a bad escape": (b"S'\\d'\n.", "STRING|DeprecationWarning"),
    "very long integer": (b"\x8b" + struct.pack("<i", 300) + b"\x01" * 300 + b".", "LONG4"),
    "very long decimal integer": (b"L" + b"9" * 5000 + b"L\n.", "digits"),
    "nothing": (b"", "exhausted"),
    "no opcode": (b"\xff", "unknown"),
    "no end": (b"]", "exhausted"),
    "length beyond the end": (b"B\xff\xff\xff\x7fabc.", "expected"),
    "length beyond any memory": (b"\x8e" + b"\xff" * 7 + b"\x0fabc.", "expected"),
    "empty stack": (b".", "one value"),
    "two values": (b"NN.", "one value"),
    "open mark": (b"(N.", "one value"),
    "mark never set": (b"Nt.", "IndexError"),
    "second pickle behind": (b"N.N.", "one value"),
    "unknown memo": (b"h\x05.", "KeyError"),
}


@pytest.mark.parametrize(("pickled", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_or_damaged_pickle_is_refused(pickled: bytes, reason: str) -> None:
    with pytest.raises(PickleRefusedError, match=f"(?s)^x: refused.*{reason}"):
        loads_plain(pickled, "x")


def test_a_bool_array_holds_nothing_but_true_and_false() -> None:
    found: Any = loads_plain(array(SHAPE_2, dtype("b1", text("|"), b"NNN"), raw(b"\0\xfe")) + b".", "x")
    assert found.view(np.uint8).tolist() == [0, 1]


def test_depth_is_limited_however_it_is_made() -> None:
    for opening, closing in ((b"(", b"l"), (b"(", b"t"), (b"", b"\x85"), (b"]", b"a"), (b"}N", b"s")):
        pickled = opening * 100_000 + b"N" + closing * 100_000 + b"."
        with pytest.raises(PickleRefusedError, match="deeper than 100"):
            loads_plain(pickled, "x")


def test_depth_adds_up_through_shared_values() -> None:
    steps = b"N" + b"".join(b"\x85" * 60 + b"q%c" % i + b"h%c" % i for i in range(5))
    with pytest.raises(PickleRefusedError, match="deeper than 100"):
        loads_plain(b"(" + steps + b"l.", "x")


def test_a_deep_key_does_not_reach_the_hash() -> None:
    with pytest.raises(PickleRefusedError):
        loads_plain(b"})" + b"\x85" * 1_000_000 + b"Ns.", "x")


@pytest.mark.parametrize(
    ("start", "double"), [(b"]", b"q\0]h\0ah\0a"), (b")", b"q\0h\0\x86"), (b"}", b"q\0}Nh\0sI1\nh\0s")]
)
def test_exponential_sharing_takes_no_time(start: bytes, double: bytes) -> None:
    pickled = b"(" + start + double * 60
    started = time.perf_counter()
    with pytest.raises(PickleRefusedError, match="key of a dict"):
        loads_plain(b"}" + pickled + b"tNs.", "x")  # the hash or the text of this would take centuries
    assert isinstance(loads_plain(pickled + b"l.", "x"), list)
    assert time.perf_counter() - started < 5


def peak_nbytes(pickled: bytes) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(PickleRefusedError):
            loads_plain(pickled, "x")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_huge_memo_index_takes_no_memory() -> None:
    assert peak_nbytes(b"Nr\xff\xff\xff\x7f.") < 2**20
    assert peak_nbytes(b"Np99999999999\n.") < 2**20


def test_a_large_value_cannot_be_copied_again_and_again() -> None:
    large = 2**20
    size = integer(large) + b"\x85"
    arrays = raw(b"a" * large) + b"q\0" + dtype("u1") + b"q\x01" + size + b"q\x02"
    copy = call("numpy._core.numeric", "_frombuffer", b"h\0h\x01h\x02", text("C"))
    assert peak_nbytes(b"(" + arrays + copy * 1000 + b"l.") < 100 * large
    encode = call("_codecs", "encode", b"h\0", text("latin1"))
    assert peak_nbytes(b"(" + text("a" * large) + b"q\0" + encode * 1000 + b"l.") < 100 * large
    path = call("pathlib", "Path", b"h\0")
    assert peak_nbytes(b"(" + text("a" * large) + b"q\0" + path * 1000 + b"l.") < 300 * large


def test_the_number_of_steps_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sar_h5.unpickle._MAX_STEPS", 1000)
    with pytest.raises(PickleRefusedError, match="more than 1,000 steps"):
        loads_plain(b"(" + b"N" * 1000 + b"l.", "x")


VALID = [pickle.dumps(METADATA, protocol=protocol) for protocol in PROTOCOLS]


ATOMS = (str, bytes, bool, int, float, type(None), np.generic, PurePath)


def is_plain(value: object) -> bool:
    """Whether a value is made of nothing but what pickles may hold; shared parts are looked at once."""
    waiting, seen = [value], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, ATOMS):
            continue
        seen.add(id(part))
        if type(part) is dict:
            waiting += [*part, *part.values()]
        elif type(part) in (list, tuple):
            waiting += part
        elif type(part) is np.ndarray:
            waiting += part.ravel().tolist() if part.dtype == object else []
        else:
            return False
    return True


def reads_plain_data_or_refuses(pickled: bytes) -> bool:
    try:
        return is_plain(loads_plain(pickled, "x"))
    except PickleRefusedError:
        return True


def test_what_counts_as_plain_is_told_from_what_does_not() -> None:
    shared = [1, "a", np.float32(2), PurePosixPath("b")]
    assert is_plain({"k": (shared, shared, np.array([shared, None], dtype=object), np.zeros(2))})
    assert not any(is_plain(value) for value in (os.system, [{1}], np.dtype("f8"), {"k": np.float32}, object()))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(pickled: bytes) -> None:
    assert reads_plain_data_or_refuses(pickled)


@given(
    st.lists(st.sampled_from([*b"(])}tlde.aus012NRbqh\x85\x86\x87\x93\x94\x88X\x8cCJK\x8a"]), max_size=60).map(bytes)
)
def test_arbitrary_steps_are_read_or_refused(pickled: bytes) -> None:
    assert reads_plain_data_or_refuses(pickled + b".")


@settings(max_examples=300)
@given(st.sampled_from(VALID), st.data())
def test_a_damaged_pickle_is_read_or_refused(pickled: bytes, data: st.DataObject) -> None:
    damaged = bytearray(pickled)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(damaged)))
        stop = data.draw(st.integers(start, min(len(damaged), start + 8)))
        damaged[start:stop] = data.draw(st.binary(max_size=8))
    assert reads_plain_data_or_refuses(bytes(damaged))


@pytest.mark.parametrize("pickled", VALID, ids=PROTOCOLS)
def test_a_pickle_cut_anywhere_is_refused(pickled: bytes) -> None:
    for stop in range(len(pickled)):
        with pytest.raises(PickleRefusedError):
            loads_plain(pickled[:stop], "x")


# Files.


def npy_bytes(header: str, contents: bytes = b"", version: bytes = b"\x01\0") -> bytes:
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header.encode("latin-1") + contents


def header(descr: str, shape: str) -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"\x93NUMPY", "cannot be used"),
        (npy_bytes(header("'<f4'", "(2,)"), b"abcd"), "takes 8 bytes, not 4"),
        (npy_bytes(header("'<f4'", "(2,)"), b"abcd" * 3), "takes 8 bytes, not 12"),
        (npy_bytes(header("'<f4'", f"({2**62}, {2**62})"), b"abcd"), "not 4"),
        (npy_bytes(header("'<f4'", "(-1,)"), b"abcd"), "other than sizes"),
        (npy_bytes(header("[('a', '<f4')]", "(1,)"), b"abcd"), r"'\|V4', which is not plain"),
        (npy_bytes(header("[('a', 'O')]", "(1,)"), b"N."), r"'\|V8', which is not plain"),
        (npy_bytes(header("'<f4'", "(1,)"), b"abcd", b"\x03\0"), r"format version is \(3, 0\)"),
        (npy_bytes(header("'nonsense'", "(1,)"), b"abcd"), "descriptor"),
        (npy_bytes("(" * 1000), "cannot be used"),
        (npy_bytes("-" * 2000 + "1"), "cannot be used"),
        (npy_bytes("{'a': '''"), "cannot be used"),
        (npy_bytes("{[]: 1}"), "cannot be used"),
        (npy_bytes("{'a': \0}"), "cannot be used"),
        (npy_bytes("{" + " " * 5000 + "}"), "large"),
        (npy_bytes("__import__('os').system('touch ran')"), "cannot be used"),
    ],
)
def test_a_broken_array_file_is_refused(tmp_path: Path, contents: bytes, reason: str) -> None:
    path = tmp_path / "broken.npy"
    path.write_bytes(contents)
    with pytest.raises(SourceError, match=f"(?s)broken.npy: .*{reason}"):
        read_plain_data(path)


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_array_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    stream = io.BytesIO()
    np.save(stream, np.arange(4.0))
    damaged = bytearray(stream.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, 70))] = data.draw(
            st.sampled_from(b"()[]{}'\"<>|,:-0123456789OfiuVSU\\# \n\0\xff")
        )
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    path.write_bytes(damaged)
    refusals: list[str] = []
    value = None
    try:
        value = read_plain_data(path)
    except SourceError as error:
        refusals.append(str(error))
    assert is_plain(value)
    assert all(str(path) in refusal for refusal in refusals)


def test_a_file_larger_than_allowed_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "shard.npy"
    with path.open("wb") as stream:
        stream.truncate(2**40)  # sparse: reading it would not end well
    with pytest.raises(SourceError, match=r"shard\.npy: holds 1,099,511,627,776 bytes where at most 67,108,864"):
        read_plain_data(path)


def test_the_limit_itself_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"N.")
    assert read_plain_data(tmp_path / "a.pkl", max_nbytes=2) is None
    with pytest.raises(SourceError, match="2 bytes where at most 1"):
        read_plain_data(tmp_path / "a.pkl", max_nbytes=1)


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.npy", "No such file"), (".", "directory|denied"), ("a\0b", "null")]
)
def test_a_file_that_cannot_be_read_gives_the_reason_of_the_system(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(SourceError, match=f"cannot be read: .*{reason}"):
        read_plain_data(tmp_path / name)
