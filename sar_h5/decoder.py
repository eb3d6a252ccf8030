"""Codes to values on the device: table look-up and symmetry for a whole batch, bit for bit what the CPU gives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from sar_h5.symmetry import SYMMETRIES, apply_symmetry


class PatchDecoder(torch.nn.Module):
    """Turns batches of ``SARH5Dataset(..., output="codes")`` into values, on the device they are on.

    A module without parameters: move it to the device once, with ``.to(device)``, and call it with batches there. It
    never waits for the device.

    Args:
        luts: float32 (K,) for each channel, ``value = lut[code]``.

    Attributes:
        lut: the tables, one after the other, a buffer.
    """

    lut: torch.Tensor
    _starts: torch.Tensor
    _steps: torch.Tensor

    def __init__(self, *luts: npt.NDArray[np.float32]) -> None:
        super().__init__()
        starts = np.cumsum([0, *map(len, luts)])[:-1].astype(np.int32).reshape(-1, 1, 1)
        self.register_buffer("lut", torch.from_numpy(np.concatenate(luts).astype(np.float32)), persistent=False)
        self.register_buffer("_starts", torch.from_numpy(starts), persistent=False)
        self.register_buffer("_steps", torch.from_numpy(_symmetry_steps()), persistent=False)

    def forward(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Look up and turn a batch.

        Args:
            batch: ``codes`` uint8 or uint16 (n, C, P, P), and ``symmetry`` uint8 (n,), 0 to 7; other entries do not
                matter.

        Returns:
            float32 (n, C, P, P) in [0, 1].
        """
        codes, symmetry = batch["codes"], batch["symmetry"]
        # Devices know few operations for uint16; the same bits as int16 can be moved about like any others.
        moved = codes.view(torch.int16) if codes.dtype == torch.uint16 else codes
        if moved.shape[-1] == moved.shape[-2]:
            moved = self._turn(moved, symmetry)
        indices = moved.to(torch.int32)
        if codes.dtype == torch.uint16:
            indices &= 0xFFFF
        if len(self._starts) > 1:
            indices += self._starts
        return self.lut.index_select(0, indices.reshape(-1)).view(codes.shape)

    def _turn(self, codes: torch.Tensor, symmetry: torch.Tensor) -> torch.Tensor:
        steps = self._steps.index_select(0, symmetry.to(torch.int32)).view(-1, 1, 1, 1, 3)
        codes = torch.where(steps[..., 0], codes.transpose(-1, -2), codes)
        codes = torch.where(steps[..., 1], codes.flip(-2), codes)
        return torch.where(steps[..., 2], codes.flip(-1), codes)


def _symmetry_steps() -> npt.NDArray[np.bool_]:
    """Return for each symmetry whether to transpose, then turn upside down, then mirror: bool (8, 3).

    Found by trying all on a patch that has no symmetry of its own, so that ``symmetry`` alone says what they are.
    """
    patch = np.arange(4).reshape(2, 2)
    found = np.zeros((SYMMETRIES, 3), dtype=np.bool_)
    for number in range(SYMMETRIES):
        for steps in np.ndindex(2, 2, 2):
            turned = patch.T if steps[0] else patch
            turned = turned[::-1] if steps[1] else turned
            turned = turned[:, ::-1] if steps[2] else turned
            if np.array_equal(turned, apply_symmetry(patch, number)):
                found[number] = steps
    return found
