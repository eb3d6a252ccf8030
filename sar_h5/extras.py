"""Libraries that only some uses need: imported when used, with a message that says what to install."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from sar_h5.errors import MissingExtraError

EXTRAS = {"lightning": "lightning", "matplotlib": "pictures", "pyarrow": "parquet"}
"""Which extra of this package brings each library."""


def import_extra(module: str, purpose: str) -> ModuleType:
    """Import a module of an optional library.

    Args:
        module: such as "matplotlib.figure"; its library is one of :data:`EXTRAS`.
        purpose: what needs it, for the message.

    Raises:
        MissingExtraError: where it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        if (error.name or "").partition(".")[0] != library:
            raise
        raise MissingExtraError(
            f"{purpose} needs {library}, which is not installed: pip install 'sar_h5[{EXTRAS[library]}]'"
        ) from error
