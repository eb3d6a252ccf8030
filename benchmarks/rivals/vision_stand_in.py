"""A stand-in for torchvision where its build does not fit that of torch.

Torchvision's wheels on PyPI are built for CUDA and do not load beside torch for CPUs. Mosaic's streaming imports it on
the way, for its picture datasets only; that must not keep it out of the comparison.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec

from torch.utils.data import Dataset

_MODULES = ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional")


def stand_in_if_needed() -> bool:
    """Put empty modules in the place of torchvision where it cannot be imported.

    Returns:
        Whether that was needed.
    """
    try:
        import torchvision  # noqa: F401 - the import is the test
    except (ImportError, RuntimeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        modules = {name: module_from_spec(ModuleSpec(name, None)) for name in _MODULES}
        modules["torchvision.datasets"].VisionDataset = Dataset  # type: ignore[attr-defined]
        modules["torchvision.transforms.functional"].to_tensor = None  # type: ignore[attr-defined]
        sys.modules.update(modules)
        return True
    return False
