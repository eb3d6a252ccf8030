"""Optional libraries: found where they are, and asked for by name where they are not."""

from __future__ import annotations

import sys

import pytest

from sar_h5.errors import MissingExtraError, SarH5Error
from sar_h5.extras import import_extra


def test_a_library_that_is_there_is_imported() -> None:
    assert import_extra("matplotlib.figure", "plot").Figure.__name__ == "Figure"


@pytest.mark.parametrize(
    ("module", "extra"), [("matplotlib.figure", "pictures"), ("pyarrow.parquet", "parquet"), ("lightning", "lightning")]
)
def test_a_library_that_is_not_there_is_asked_for_with_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module.partition(".")[0]]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module.partition(".")[0], None)
    with pytest.raises(MissingExtraError, match=rf"^drawing needs \w+, .*pip install 'sar_h5\[{extra}\]'$") as caught:
        import_extra(module, "drawing")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, SarH5Error)
