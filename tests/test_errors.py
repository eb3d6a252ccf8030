"""The exception tree: what to catch, what the messages say, and the way back from another process."""

from __future__ import annotations

import inspect
import pickle

import pytest

from sar_h5 import errors
from sar_h5.errors import (
    BadSource,
    BadSourceError,
    CorruptPatchError,
    PatchIndexError,
    SarH5Error,
    UnsafeFileError,
)

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
NEAREST_BUILTIN = {
    "SarH5Error": Exception,
    "MissingExtraError": ImportError,
    "SettingError": ValueError,
    "BoundsError": ValueError,
    "RadiometryError": ValueError,
    "SourceError": OSError,
    "PickleRefusedError": OSError,
    "BadSourceError": OSError,
    "OutputError": OSError,
    "OutputExistsError": FileExistsError,
    "InsufficientMemoryError": MemoryError,
    "CannotResumeError": OSError,
    "FormatError": ValueError,
    "UnsafeFileError": ValueError,
    "CorruptPatchError": ValueError,
    "PatchIndexError": IndexError,
}
SOURCES = [BadSource("a/x.npy", "is truncated"), BadSource("b.tiff", "is empty")]
MADE = [
    BadSourceError(SOURCES),
    BadSourceError(SOURCES, "Mend them.", "nothing can be read"),
    CorruptPatchError.at("vv.h5", 3, "checksum"),
    UnsafeFileError.at("vv.h5", "/patches", "expected a dataset"),
    PatchIndexError.outside(-9, 5),
]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_the_root_and_the_nearest_builtin(kind: type[Exception]) -> None:
    assert issubclass(kind, SarH5Error)
    assert issubclass(kind, NEAREST_BUILTIN[kind.__name__])


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not BadSourceError], ids=lambda kind: kind.__name__)
def test_every_error_can_be_made_from_its_message_as_worker_processes_do(kind: type[Exception]) -> None:
    assert str(kind("what happened")) == "what happened"


@pytest.mark.parametrize(
    "error",
    [*MADE, *(kind("text") for kind in ALL if kind is not BadSourceError)],
    ids=lambda error: type(error).__name__,
)
def test_every_error_survives_the_way_between_processes(error: SarH5Error) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_broken_sources_are_each_named_with_the_reason() -> None:
    error = BadSourceError(SOURCES)
    assert error.sources == tuple(SOURCES)
    assert str(error).splitlines() == [
        "2 sources are broken; nothing was written:",
        "  a/x.npy: is truncated",
        "  b.tiff: is empty",
        "Repair or remove them; --on-bad-source skip goes on without them, as long as others are left.",
    ]
    assert str(BadSourceError(SOURCES[:1])).startswith("1 source is broken;")
    assert str(BadSourceError(SOURCES, "Mend them.", "nothing can be read")).splitlines()[0::3] == [
        "2 sources are broken; nothing can be read:",
        "Mend them.",
    ]


def test_a_corrupt_patch_is_named_with_the_command_that_tells_more() -> None:
    error = CorruptPatchError.at("data/vv.h5", 7, "its checksum is wrong")
    assert (error.path, error.patch) == ("data/vv.h5", 7)
    assert str(error).startswith("data/vv.h5: patch 7 cannot be read: its checksum is wrong; ")
    assert "`sar-h5 verify data/vv.h5`" in str(error)


def test_an_index_out_of_range_says_which_are_valid() -> None:
    error = PatchIndexError.outside(5, 5)
    assert (error.index, error.length) == (5, 5)
    assert str(error) == "patch index 5 is out of range for 5 patches: valid are -5 to 4"
    assert str(PatchIndexError.outside(0, 0)).endswith("for 0 patches: the data set is empty")
