"""Attributes carried along from one HDF5 object to another."""

from __future__ import annotations

import h5py


def copy_attributes(old: h5py.HLObject, new: h5py.HLObject) -> None:
    """Copy attributes with the types that they are stored in."""
    for name in old.attrs:
        stored = old.attrs.get_id(name)
        new.attrs.create(name, old.attrs[name], shape=stored.shape, dtype=stored.dtype)
