"""Trap 8: grids that disagree are accepted, at most with a warning."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tfpartial.databases import sources
from tfpartial.errors import InputError
from tfpartial.evaluation import predictions
from tfpartial.scans import Volume, check_same_grid

log = logging.getLogger(__name__)


def _warn_where(
    monkeypatch: pytest.MonkeyPatch, harmless: Callable[[InputError], bool]
) -> None:
    """Turn the harmless ones among the faults into warnings."""

    def check(
        image: Volume, labels: Volume, image_path: Path, labels_path: Path
    ) -> float:
        try:
            return check_same_grid(image, labels, image_path, labels_path)
        except InputError as error:
            if not harmless(error):
                raise
            log.warning("%s", error)
            return 0.0

    monkeypatch.setattr(sources, "check_same_grid", check)
    monkeypatch.setattr(predictions, "check_same_grid", check)


def grids_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any difference is a warning."""
    _warn_where(monkeypatch, lambda error: True)


def affine_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal shapes are taken for equal grids."""
    _warn_where(monkeypatch, lambda error: "the affine" in str(error))


def shape_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal affines are taken for equal grids."""
    _warn_where(monkeypatch, lambda error: "the shape" in str(error))
