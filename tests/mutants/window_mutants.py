"""Trap 6: window weights that do not sum to one."""

from __future__ import annotations

import numpy as np
import pytest

from tfpartial.inference import sliding_window
from tfpartial.inference.window_blending import Slab
from tfpartial.inference.windows import gaussian_weights


class _Unnormalised(Slab):
    def finish(self, rows: slice, planes: int) -> np.ndarray:
        self.total.finish(rows, planes)
        return self.values.finish(rows, planes)


class _DividedByCount(Slab):
    def add(self, j: int, values: np.ndarray) -> None:
        self.values.add(j, values)
        weights = gaussian_weights(values.shape[:3])[..., None]
        self.total.add(j, 1 / weights)


class _InteriorNormaliser(Slab):
    def finish(self, rows: slice, planes: int) -> np.ndarray:
        mean = self.values.finish(rows, planes)
        return mean / self.total.finish(rows, planes).max()


def weights_unnormalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weighted sum is taken for the mean."""
    monkeypatch.setattr(sliding_window, "Slab", _Unnormalised)


def divided_by_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weighted sums, divided by the number of windows."""
    monkeypatch.setattr(sliding_window, "Slab", _DividedByCount)


def interior_normaliser(monkeypatch: pytest.MonkeyPatch) -> None:
    """One divisor for all voxels: right inside, wrong at the borders."""
    monkeypatch.setattr(sliding_window, "Slab", _InteriorNormaliser)
