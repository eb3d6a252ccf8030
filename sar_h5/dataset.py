"""``SARH5Dataset``: patches of HDF5 files as samples, or whole batches, for PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sar_h5.bad_samples import Policy
from sar_h5.contents import Columns
from sar_h5.dataset_card import read_card
from sar_h5.decoder import PatchDecoder
from sar_h5.errors import SettingError
from sar_h5.patch_dataset import Memory, PatchDataset, check_choice
from sar_h5.schema import DEFAULT_SPLIT, UNKNOWN
from sar_h5.selection import Indices, patch_numbers
from sar_h5.stores.file_patches import FilePatches
from sar_h5.stores.joined_files import JoinedFiles
from sar_h5.stores.patch_cache import PatchCache
from sar_h5.stores.patch_join import MISSING, How
from sar_h5.stores.sample_choice import choose_patches
from sar_h5.tables.manifest import read_manifest
from sar_h5.tables.patch_table import OWN_COLUMNS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class SARH5Dataset(PatchDataset[FilePatches | JoinedFiles]):
    """Patches of a file as a map-style dataset, for any number of workers started in any way.

    A sample is a float32 tensor (1, H, W) in [0, 1], in memory of its own. ``DataLoader`` fetches whole batches: they
    are decoded in threads that hold no GIL, straight into memory that is used again once nobody holds the batch, and
    come from worker processes through shared memory, without a copy. Where each patch lies in the file is found out
    once, here; the file is opened on the first access in each process. Any HDF5 file with a dataset (N, H, W) of
    floats or integers opens too; its numbers come as float32, unscaled.

    Several files, one of each polarization, give (C, H, W): a channel of each, joined by scene, row and column,
    whatever the order of their patches and scenes and whatever their filters kept. Both channels get the same symmetry.

    Args:
        path: the file, or several; or another dataset of them, to share what it found out when it opened them, and its
            cache: then ``dataset``, ``how``, ``fill``, ``cache_nbytes``, ``verify`` are as there, and may not be given.
        split: "train", "val" or "test", as ``sar-h5 split`` has stored them; None for all patches.
        split_name: which of the file's ways of splitting.
        where: use the patches for which a condition holds, such as ``"platform == 'S1A' and valid_fraction > 0.95"``;
            see :func:`sar_h5.tables.where.parse_where`, and ``sar-h5 export --index`` for the columns there are. Of
            several files it must hold in each that has the patch. No code is run.
        manifest: a CSV of the user's own with a column ``scene`` and one row per scene; its columns are there for
            ``where`` and in :attr:`index`.
        indices: patch numbers to use (negative ones count from the end), a slice, or a bool mask over all patches;
            None for all. Not together with ``split`` or ``where``. Of several files: numbers of the joined patches.
        augment: whether each sample gets one of the eight symmetries of the square, drawn anew each epoch; see
            :meth:`set_epoch`.
        seed: of these draws. The symmetry is a pure function of (seed, epoch, patch number), whatever the workers or
            the order.
        transform: called with each sample (the tensor, or the dict), its result is returned.
        sample: "tensor", or "dict" for ``image`` (C, H, W), ``bounds`` (left, bottom, right, top) and ``transform``
            (a, b, c, d, e, f) in float64, in the scene's reference system, or in scene pixels where it has none (NaN
            where that is unknown), and ``index``, ``scene``, ``row``, ``col`` as int64. Bounds and transform are those
            of the patch before augmentation.
        output: "values", or "codes" to look up and augment on the device: a sample is then a dict with ``codes``, uint8
            or uint16 (C, H, W) as stored, in place of ``image``, and ``symmetry``, uint8, for :meth:`decoder`.
        threads: how many to decode a batch with; None for all cores in the main process (shared with the other ranks
            of a torchrun job) and one in each worker.
        dataset: path of the dataset within the file; None for ``/patches``, the patches that ``/blocks`` make up, or
            the only one that fits.
        how: of several files: "inner" for the places that all of them have, "outer" for those that any of them has.
        fill: with "outer", the value of a channel whose file has no such patch; 0.0 is that of pixels without data.
            ``index`` tells which are missing: -1 in ``patch_vv`` or ``patch_vh``.
        on_bad_sample: what to do where a patch cannot be read: "raise" an error that says which; "skip" it, so that its
            batch is shorter, and an error where nothing is left of it; or "substitute" another one, drawn from ``seed``
            and the patch's number. See :attr:`bad_samples`. Codes of a single file are checked against its table only
            where it is "skip" or "substitute".
        cache_nbytes: the most memory that patches may take which are kept, as stored, for later epochs: for storage so
            slow that the operating system's own cache of files does not help. Each process, so each worker, has a cache
            of its own. 0 for none.
        verify: "always" checks the stored bytes of each patch, or of its blocks, against their checksums in the file
            when they are read; where they differ the patch cannot be read, see ``on_bad_sample``. That costs about a
            third of the speed of decoding: measured from memory with two cores, 10,200 patches/s in place of 15,100 for
            VH and 7,800 in place of 12,300 for VV. "never" takes them as they are.

    Attributes:
        path: the file, or a tuple of several.
        vmin, vmax: bounds in dB that were scaled to 0 and 1.
        polarization: "vv", "vh", "hh" or "hv". Of several files these three are tuples, an entry for each channel.
        patch_size: side of a patch in pixels.
        stride: distance of neighbouring patches in pixels, -1 where unknown or where several files differ. These five
            are None for files of others.
        pin_batches: whether batches made in this process lie in page-locked memory. For those who hold on to each batch
            until its copy to the device is done, as ``BackgroundLoader`` does: the memory is used again after that.

    Raises:
        SourceError: where a file is not there.
        FormatError: where it holds no patches, or no such split.
        SettingError: where an argument cannot be honoured, or files cannot be joined.
        PatchIndexError: where ``indices`` lie outside the file.
    """

    def __init__(
        self,
        path: str | Path | Sequence[str | Path] | SARH5Dataset,
        *,
        split: str | None = None,
        split_name: str = DEFAULT_SPLIT,
        where: str | None = None,
        manifest: str | Path | None = None,
        indices: Indices | None = None,
        augment: bool = False,
        seed: int = 0,
        transform: Callable[[Any], Any] | None = None,
        sample: Literal["tensor", "dict"] = "tensor",
        output: Literal["values", "codes"] = "values",
        threads: int | None = None,
        dataset: str | None = None,
        how: How = "inner",
        fill: float = 0.0,
        on_bad_sample: Policy = "raise",
        cache_nbytes: int = 0,
        verify: Literal["never", "always"] = "never",
    ) -> None:
        check_choice("verify", verify, ("never", "always"))
        check_choice("output", output, ("values", "codes"))
        check_choice("how", how, ("inner", "outer"))
        if isinstance(path, SARH5Dataset):
            _check_not_given(dataset=dataset, how=how, fill=fill, cache_nbytes=cache_nbytes, verify=verify)
            store = path._store
        else:
            store = _open(path, dataset, how, fill, cache_nbytes, checked=verify == "always")
        super().__init__(
            store,
            patches=_choose(store, indices, split, split_name, where, manifest),
            augment=augment,
            seed=seed,
            transform=transform,
            sample=sample,
            threads=threads,
            on_bad_sample=on_bad_sample,
        )
        self._output = output
        self._manifest_columns = {} if manifest is None else _manifest_columns(store, manifest)
        self._check_possible()
        self._describe_files()

    def plot(self, sample: Any, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Draw a sample, as torchgeo's data sets do; needs matplotlib (the extra ``pictures``).

        Args:
            sample: a sample of this data set; as a dict, ``reconstruction`` and ``prediction`` in it are drawn beside
                the image.
            show_titles: whether each image has its name over it.
            suptitle: over the whole figure.

        Raises:
            MissingExtraError: where matplotlib is not installed.
            SettingError: where the sample holds no image.
        """
        pictures = import_module("sar_h5.pictures.sample_picture")  # not needed for training
        figure: Figure = pictures.plot_sample(self, sample, show_titles=show_titles, suptitle=suptitle)
        return figure

    def _repr_html_(self) -> str:
        files = self._store.files
        numbers = [self._patches] if len(files) == 1 else self._numbers_by_file()
        titles = [repr(self), *(f"channel {channel}" for channel in range(1, len(files)))]
        cards = zip(titles, files, numbers, strict=True)
        return "\n".join(read_card(title, file.path, file.source, chosen).to_html() for title, file, chosen in cards)

    def _numbers_by_file(self) -> list[npt.NDArray[np.int64] | None]:
        joined = self._store.numbers if isinstance(self._store, JoinedFiles) else np.empty((0, 0), np.int64)
        chosen = joined if self._patches is None else joined[self._patches]
        return [numbers[numbers != MISSING] for numbers in chosen.T]

    def _check_possible(self) -> None:
        if self._sample == "dict" and isinstance(self._store, FilePatches) and self._store.settings is None:
            raise SettingError(
                f'sample="dict" needs the index that files of this package have; {self._store.path} has none'
            )
        if self._output == "codes" and not self._store.luts:
            held = self._store.dtype if isinstance(self._store, FilePatches) else "in one of them"
            raise SettingError(
                f'output="codes" needs codes with a table of their values; {self._store.path} holds {held} values '
                'themselves: use output="values", or convert with --encoding palette'
            )
        if self._output == "codes" and self._store.dtype.itemsize > 2:
            raise SettingError(
                f'output="codes" has no code left for the patches missing in one of {self._store.path}: their tables '
                'fill two bytes; take as fill a value of the tables, such as 0.0, or use output="values"'
            )

    def _describe_files(self) -> None:
        files = self._store.files
        settings = [file.settings for file in files]
        first = settings[0]
        several = len(files) > 1
        facts = [tuple(getattr(each, name, None) for each in settings) for name in ("vmin", "vmax", "polarization")]
        self.vmin, self.vmax, self.polarization = (fact if several else fact[0] for fact in facts)
        self.path = tuple(file.path for file in files) if several else files[0].path
        self.patch_size = first.patch_size if first else None
        strides = {each.stride for each in settings if each}
        self.stride = None if first is None else first.stride if len(strides) == 1 else UNKNOWN

    def decoder(self) -> PatchDecoder:
        """Return the module that turns batches of ``output="codes"`` into values on the device they are on.

        Raises:
            SettingError: where the file holds values themselves.
        """
        if not self._store.luts:
            raise SettingError(f"{self._store.path} holds values, not codes; there is nothing to decode")
        return PatchDecoder(*self._store.luts)

    @property
    def index(self) -> Columns:
        """Where each sample comes from: arrays of len(self).

        ``patch`` is its number in the file; then come the columns of ``/index`` and those of the manifest. Of several
        files, ``scene``, ``row`` and ``col`` are followed by ``patch_vv``, ``valid_fraction_vv``, ``checksum_vv`` and
        so on, -1, NaN and 0 where the file has no such patch.
        """
        index = super().index
        return index | {name: values[index["patch"]] for name, values in self._manifest_columns.items()}

    @property
    def caches(self) -> tuple[PatchCache, ...]:
        """This process's cache of each file: ``nbytes``, ``hits``, ``misses``, ``evictions``; none without one."""
        return self._store.caches

    def _read(
        self, numbers: npt.NDArray[np.int64], symmetries: npt.NDArray[np.uint8] | None, memory: Memory
    ) -> dict[str, torch.Tensor]:
        if self._output == "values":
            return super()._read(numbers, symmetries, memory)
        batch = memory.batch((len(numbers), *self._store.shape[1:]), self._store.dtype)
        self._store.codes(numbers, batch.numpy(), self._thread_count())
        if self._bad_samples.policy != "raise" and isinstance(self._store, FilePatches):
            # On an accelerator, looking them up would end the process; no policy could help there.
            self._store.check_codes(numbers, batch.numpy())
        turns = np.zeros(len(numbers), np.uint8) if symmetries is None else symmetries
        return {"codes": batch, "symmetry": memory.small(turns)}


def _open(
    path: str | Path | Sequence[str | Path],
    dataset: str | None,
    how: How,
    fill: float,
    cache_nbytes: int,
    *,
    checked: bool,
) -> FilePatches | JoinedFiles:
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    if not paths:
        raise SettingError("expected a file, or several; found an empty list")
    if len(paths) == 1:
        return FilePatches(paths[0], dataset, cache_nbytes, checked=checked)
    if dataset is not None:
        raise SettingError(
            f"dataset={dataset!r} is for a single file; several are joined by what /index says of /patches"
        )
    return JoinedFiles(paths, how, fill, cache_nbytes, checked=checked)


def _check_not_given(*, dataset: str | None, how: How, fill: float, cache_nbytes: int, verify: str) -> None:
    if (dataset, how, fill, cache_nbytes, verify) != (None, "inner", 0.0, 0, "never"):
        raise SettingError(
            "a dataset made from another one reads the same patches in the same way; give dataset, how, fill, "
            "cache_nbytes and verify to the first, or open the files anew"
        )


def _choose(
    store: FilePatches | JoinedFiles,
    indices: Indices | None,
    split: str | None,
    split_name: str,
    where: str | None,
    manifest: str | Path | None,
) -> npt.NDArray[np.int64] | None:
    if indices is None:
        return choose_patches(store, split, split_name, where, manifest)
    if split is not None or where is not None:
        raise SettingError(f"give indices or {'split' if split is not None else 'where'}, not both")
    return patch_numbers(indices, store.shape[0])


def _manifest_columns(store: FilePatches | JoinedFiles, manifest: str | Path) -> Columns:
    """Read the columns of a manifest, an entry per patch."""
    index = store.index()
    columns = read_manifest(manifest, store.scenes()["name"].tolist())
    clashing = [name for name in columns if name in index or name in OWN_COLUMNS]
    if clashing:
        raise SettingError(f"{manifest}: {store.path} has columns called {', '.join(clashing)} itself; rename them")
    return {name: values[index["scene"]] for name, values in columns.items()}
