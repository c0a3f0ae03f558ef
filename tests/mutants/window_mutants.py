"""Trap 6: window weights that do not sum to one."""

from __future__ import annotations

import numpy as np
import pytest

from tfpartial.inference import sliding_window

_Slab = sliding_window._Slab


class _Unnormalised(_Slab):
    def finish(self, planes: int) -> np.ndarray:
        self.total[...] = 1.0
        return super().finish(planes)


class _DividedByCount(_Slab):
    def add(self, place: tuple[int, int], values: np.ndarray) -> None:
        super().add(place, values)
        (i, j), (wi, wj, _) = place, self.weights.shape
        ones_for_weights = 1.0 - np.moveaxis(self.weights, 2, 0)
        self.total[:, i : i + wi, j : j + wj] += ones_for_weights


class _InteriorNormaliser(_Slab):
    def finish(self, planes: int) -> np.ndarray:
        self.total[...] = self.total.max()
        return super().finish(planes)


def weights_unnormalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weighted sum is taken for the mean."""
    monkeypatch.setattr(sliding_window, "_Slab", _Unnormalised)


def divided_by_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weighted sums, divided by the number of windows."""
    monkeypatch.setattr(sliding_window, "_Slab", _DividedByCount)


def interior_normaliser(monkeypatch: pytest.MonkeyPatch) -> None:
    """One divisor for all voxels: right inside, wrong at the borders."""
    monkeypatch.setattr(sliding_window, "_Slab", _InteriorNormaliser)
