"""Weighted sums of overlapping windows, in as little memory as they need.

In: windows of probabilities, row after row of a slab, slab after slab. Out:
their weighted mean, box by box, each as soon as no later window reaches it.
A slab is all windows that start at one plane k, a row those of them that start
at one i.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfpartial.inference.windows import gaussian_profile
from tfpartial.types import Shape3


class Slab:
    """The mean of the windows that cover a voxel.

    Formula:
        p(x) = sum_m w(x - s_m) p_m(x - s_m) / sum_m w(x - s_m)
    Numerator and denominator are sums of the same kind, added in the same
    order, so the weights sum to exactly 1.
    """

    def __init__(
        self,
        size: Sequence[int],
        window_shape: Shape3,
        starts: np.ndarray,
        num_labels: int,
    ) -> None:
        """Reserve the memory.

        Args:
            size: (2,) I and J of the padded scan.
            window_shape: voxels of a window.
            starts: planes at which slabs start.
            num_labels: L.
        """
        depth = window_shape[2]
        begun = depth - int(np.diff(starts, append=starts[-1] + depth).min())
        self.values = _Sums(size, window_shape, begun, num_labels)
        self.total = _Sums(size, window_shape, begun, 1)
        self._one = np.ones((*window_shape, 1), np.float32)

    def add(self, j: int, values: np.ndarray) -> None:
        """Add a window (i, j, k, L) of the row, which starts at column j."""
        self.values.add(j, values)
        self.total.add(j, self._one)

    def finish(self, rows: slice, planes: int) -> np.ndarray:
        """End a row: the next one starts at rows.stop, or there is none.

        Args:
            rows: of the scan, that are then final.
            planes: of the slab, that are then final.

        Returns:
            Probabilities (rows, J, planes, L) float32.
        """
        mean = self.values.finish(rows, planes)
        mean /= self.total.finish(rows, planes)
        return mean


class _Sums:
    """Sums of C numbers per voxel of a row, and of what slabs have begun.

    The planes of a voxel column lie side by side in memory, as they do in a
    window: what is added is contiguous.
    """

    def __init__(
        self,
        size: Sequence[int],
        window_shape: Shape3,
        begun: int,
        channels: int,
    ) -> None:
        wi, wj, wk = window_shape
        self._row = np.zeros((wi, size[1], wk, channels), np.float32)
        self._begun = np.zeros((*size, begun, channels), np.float32)
        along_i, along_j, along_k = map(gaussian_profile, window_shape)
        self._along_i = along_i.astype(np.float32)
        across = (along_j[:, None] * along_k).astype(np.float32)
        self._across = np.repeat(across[..., None], channels, axis=-1)
        # One plane of a window at a time: it stays in the cache.
        self._weighted = np.empty_like(self._across)

    def add(self, j: int, values: np.ndarray) -> None:
        """Add a window (i, j, k, C) of the row, times its weights."""
        columns = slice(j, j + values.shape[1])
        for i, weight in enumerate(self._along_i):
            np.multiply(values[i], self._across, out=self._weighted)
            self._weighted *= weight
            self._row[i, columns] += self._weighted

    def finish(self, rows: slice, planes: int) -> np.ndarray:
        """Return final sums (rows, J, planes, C); keep the others."""
        count = rows.stop - rows.start
        ended, begun = self._row[:count], self._begun[rows]
        kept = ended.shape[2] - planes
        ended[:, :, : begun.shape[2]] += begun
        final = ended[:, :, :planes].copy()
        begun[:, :, :kept] = ended[:, :, planes:]
        begun[:, :, kept:] = 0.0
        for row in range(len(self._row) - count):
            self._row[row] = self._row[row + count]
        self._row[len(self._row) - count :] = 0.0
        return final
