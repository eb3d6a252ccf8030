"""The table of chunks goes to workers that are started fresh, which need not read HDF5 at all."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from sar_h5 import SARH5Dataset
from sar_h5.chunk_table import ChunkTable, FileIdentity
from sar_h5.errors import FormatError
from sar_h5.shared_table import SharedTable
from sar_h5.stores import file_patches
from sar_h5.stores.file_patches import FilePatches
from tests.patch_files import make_codes, make_lut, overwrite, read_plain, write_file

FRESH = ["spawn", "forkserver"] if os.name == "posix" else ["spawn"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Eight patches, the second of which is stored raw."""
    return write_file(tmp_path / "a.h5", make_codes((8, 16, 16), 256, "u1"), make_lut(256))


def fresh(patches: SARH5Dataset, method: str, **options: Any) -> DataLoader[Any]:
    return DataLoader(patches, 4, num_workers=1, multiprocessing_context=method, timeout=120, **options)


def forbid_hdf5(_: int) -> None:
    """Have a worker fail where it opens a file with HDF5."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a worker has opened a file with HDF5")

    h5py.File = refuse


def test_a_shared_table_is_the_table() -> None:
    table = ChunkTable(np.array([5, 2**40]), np.array([1, 2]), np.array([True, False]), FileIdentity(3, 4))
    shared = SharedTable(table).table()
    assert shared.offsets.tolist() == [5, 2**40]
    assert shared.sizes.tolist() == [1, 2]
    assert shared.plain.tolist() == [True, False]
    assert shared.plain.dtype == np.bool_
    assert shared.identity == FileIdentity(3, 4)
    table.offsets[0] = 7
    assert shared.offsets[0] == 5


def test_only_a_process_that_is_being_started_gets_the_table(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patches = FilePatches(path)
    assert patches.__getstate__()["_shared_table"] is None
    plain = pickle.loads(pickle.dumps(patches))
    assert plain._reader.table is None
    monkeypatch.setattr(file_patches, "get_spawning_popen", lambda: object())
    state = patches.__getstate__()
    assert isinstance(state["_shared_table"], SharedTable)
    assert patches.__getstate__()["_shared_table"] is state["_shared_table"]  # shared by all workers
    assert state["_columns"] == SARH5Dataset(path).__getstate__()["_memories"] == {}
    assert plain.__getstate__()["_shared_table"] is None  # it has none yet


@pytest.mark.parametrize("method", FRESH)
def test_a_fresh_worker_reads_patches_without_hdf5(path: Path, method: str) -> None:
    wanted = read_plain(path, augment=True, seed=4)
    patches = SARH5Dataset(path, augment=True, seed=4, output="codes")
    decode = patches.decoder()
    loader = fresh(patches, method, worker_init_fn=forbid_hdf5)
    assert torch.cat([decode(batch) for batch in loader]).numpy().tobytes() == wanted.tobytes()
    overwrite(path, 0, bytes(8))  # the signature at the start of the file
    with pytest.raises(FormatError, match="no sound HDF5 file any more"):
        list(fresh(patches, method))
    with pytest.raises(FormatError, match="not an HDF5 file"):  # a copy without the table cannot do that
        pickle.loads(pickle.dumps(patches))[0]


@pytest.mark.parametrize("replaced_by", ["the same", "another"])
def test_a_fresh_worker_notices_that_the_file_was_replaced(path: Path, replaced_by: str) -> None:
    patches = SARH5Dataset(path)
    other = path.parent / "b.h5"
    if replaced_by == "the same":
        other.write_bytes(path.read_bytes())
    else:
        write_file(other, make_codes((8, 16, 16), 256, "u1", seed=1), make_lut(256))
    other.replace(path)
    with pytest.raises(FormatError, match="replaced by a different one"):
        list(fresh(patches, "spawn"))


def test_a_fresh_worker_gives_dict_samples_of_a_file_that_is_read_through_hdf5(tmp_path: Path) -> None:
    codes = make_codes((8, 16, 16), 256, "u1")
    path = write_file(tmp_path / "a.h5", codes, make_lut(256), fletcher32=True)
    patches = SARH5Dataset(path, sample="dict", augment=True, indices=[7, 0, 3])
    patches.set_epoch(2)
    wanted = read_plain(path, [7, 0, 3], augment=True, epoch=2)
    batches = list(fresh(patches, "spawn"))
    assert len(batches) == 1
    assert {type(value) for value in batches[0].values()} == {torch.Tensor}
    assert batches[0]["image"].numpy().tobytes() == wanted.tobytes()
    assert batches[0]["index"].tolist() == [7, 0, 3]
