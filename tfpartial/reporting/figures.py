"""Overlay pictures: CT with the contours of reference and prediction.

In: a scan and label maps on its grid. Out: one PNG with three planes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tfpartial.reporting.panels import (
    LineStyle,
    black_figure,
    colour_entries,
    colours_by_name,
    draw_contour,
    draw_legend,
    draw_plane,
    legend_inches,
    masks_by_name,
    save_figure,
)
from tfpartial.reporting.views import VIEWS, Frame
from tfpartial.scans import Volume
from tfpartial.scans.fullest_slice import fullest_slice

PANEL_HEIGHT_INCHES = 4.0
REFERENCE_LINE = LineStyle("solid", 1.6)
PREDICTION_LINE = LineStyle((0, (2.5, 1.5)), 1.3)


def write_overlay(
    path: str | Path,
    volume: Volume,
    reference: np.ndarray | None,
    prediction: np.ndarray | None,
    names: Mapping[int, str],
    title: str,
    *,
    reference_names: Mapping[int, str] | None = None,
    hu_window: tuple[float, float] = (-160.0, 240.0),
) -> None:
    """Write a PNG: axial, coronal, sagittal plane with contours.

    Radiological convention; the letters at the edges (R L, A P, S I) are
    computed from the affine of what is drawn. Solid: reference; dashed:
    prediction. Each plane is the one that shows most of most structures; the
    reference chooses it, where there is one, so that runs can be compared.

    Args:
        path: ends in .png; its folder is made; written whole or not at all.
        volume: the scan, HU, any orientation; its affine must know the
            patient (turn a prone scan's affine first).
        reference: (I, J, K) integers on the scan's grid, or None.
        prediction: the same, label indices, or None.
        names: label index -> name; 0 and what it does not name is not drawn.
        title: above the planes.
        reference_names: the same for a reference that holds stored codes
            (`evaluation.groups.stored_names`); default: names. A name has one
            colour in both.
        hu_window: HU shown as black and as white.

    Raises:
        ValueError: a label map of another shape than the scan.
    """
    frame = Frame(volume.grid)
    layers = []
    for labels, labels_names, line in (
        (reference, reference_names or names, REFERENCE_LINE),
        (prediction, names, PREDICTION_LINE),
    ):
        if labels is not None and labels.shape != volume.shape:
            raise ValueError(
                f"label map: expected the scan's shape {volume.shape}, "
                f"received {labels.shape}."
            )
        masks = (
            {} if labels is None else masks_by_name(frame, labels, labels_names)
        )
        layers.append((masks, line))
    colours = colours_by_name(names, reference_names or {})
    chosen_by = layers[0][0] or layers[1][0]
    figure, panels = _figure(frame, len(_drawn(layers)) + len(layers))
    hu = frame.reorder(volume.array)
    for axes, view in zip(panels, VIEWS, strict=True):
        through = VIEWS[view][2]
        index = fullest_slice(chosen_by.values(), through, frame.grid.shape)
        draw_plane(axes, frame, hu, view, index, hu_window)
        for masks, line in layers:
            for name, mask in masks.items():
                plane = frame.picture(mask, view, index)
                draw_contour(axes, frame, view, plane, colours[name], line)
    draw_legend(figure, _entries(layers, colours))
    figure.suptitle(title, color="white", fontsize=11)
    save_figure(figure, Path(path))


Layers = list[tuple[dict[str, np.ndarray], LineStyle]]


def _drawn(layers: Layers) -> list[str]:
    """Return the names that occur in any layer."""
    return list(dict.fromkeys(name for masks, _ in layers for name in masks))


def _figure(frame: Frame, legend_entries: int) -> tuple[Figure, list[Axes]]:
    """Return a black figure with one panel per view, to scale in mm."""
    sizes = [frame.size_mm(view) for view in VIEWS]
    scale = PANEL_HEIGHT_INCHES / max(height for _, height in sizes)
    gap, title = 0.25, 0.45
    legend = legend_inches(legend_entries)
    width = sum(w * scale + gap for w, _ in sizes) + gap
    height = PANEL_HEIGHT_INCHES + title + legend
    figure = black_figure(width, height)
    panels, left = [], gap
    for w, h in sizes:
        bottom = legend + (PANEL_HEIGHT_INCHES - h * scale) / 2
        box = (left / width, bottom / height)
        panels.append(
            figure.add_axes((*box, w * scale / width, h * scale / height))
        )
        left += w * scale + gap
    return figure, panels


def _entries(layers: Layers, colours: Mapping[str, str]) -> list[Line2D]:
    """Return legend entries: the two kinds of lines, the colours that occur."""
    lines = [
        Line2D([], [], color="white", lw=line.width, ls=line.style, label=word)
        for (masks, line), word in zip(
            layers, ("reference", "prediction"), strict=True
        )
        if masks
    ]
    return lines + colour_entries(_drawn(layers), colours)
