"""Overlay pictures: CT with the contours of reference and prediction.

In: a scan and label maps on its grid. Out: one PNG with three planes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tfpartial.reporting.views import VIEWS, Frame, fullest_slice
from tfpartial.volumes import Volume

# matplotlib's colour names, apart from each other and from grey; they repeat
# beyond the last.
COLOURS = (
    "red",
    "deepskyblue",
    "yellow",
    "lime",
    "magenta",
    "orange",
    "cyan",
    "hotpink",
    "greenyellow",
    "mediumpurple",
    "gold",
    "lightseagreen",
    "salmon",
    "dodgerblue",
    "khaki",
    "violet",
)
PANEL_HEIGHT_INCHES = 4.0
LEGEND_COLUMNS = 5
LEGEND_ROW_INCHES = 0.25


@dataclass(frozen=True)
class LineStyle:
    """How the contours of one label map are drawn."""

    style: str | tuple[float, tuple[float, float]]
    width: float


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
        masks = {} if labels is None else _masks(frame, labels, labels_names)
        layers.append((masks, line))
    colours = _colours(names, reference_names or {})
    chosen_by = layers[0][0] or layers[1][0]
    figure, panels = _figure(frame, len(_drawn(layers)) + len(layers))
    hu = frame.reorder(volume.array)
    for axes, view in zip(panels, VIEWS, strict=True):
        index = fullest_slice(list(chosen_by.values()), view, frame.grid.shape)
        _draw_plane(axes, frame, hu, view, index, hu_window)
        for masks, line in layers:
            for name, mask in masks.items():
                plane = frame.picture(mask, view, index)
                _draw_contour(axes, frame, view, plane, colours[name], line)
    _draw_legend(figure, layers, colours)
    figure.suptitle(title, color="white", fontsize=11)
    _save(figure, Path(path))


Layers = list[tuple[dict[str, np.ndarray], LineStyle]]


def _masks(
    frame: Frame, labels: np.ndarray, names: Mapping[int, str]
) -> dict[str, np.ndarray]:
    """Return name -> bool mask near RAS+, for what occurs and has a name."""
    reordered = frame.reorder(labels)
    return {
        names[value]: reordered == value
        for value in np.unique(labels).tolist()
        if value != 0 and value in names
    }


def _colours(
    names: Mapping[int, str], more: Mapping[int, str]
) -> dict[str, str]:
    """Return name -> colour: by label index, so that pictures agree."""
    ordered = [names[index] for index in sorted(names) if index != 0]
    ordered += [more[code] for code in sorted(more) if code != 0]
    unique = dict.fromkeys(ordered)
    return {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(unique)}


def _drawn(layers: Layers) -> list[str]:
    """Return the names that occur in any layer."""
    return list(dict.fromkeys(name for masks, _ in layers for name in masks))


def _figure(frame: Frame, legend_entries: int) -> tuple[Figure, list[Axes]]:
    """Return a black figure with one panel per view, to scale in mm."""
    sizes = [frame.size_mm(view) for view in VIEWS]
    scale = PANEL_HEIGHT_INCHES / max(height for _, height in sizes)
    gap, title = 0.25, 0.45
    rows = -(-legend_entries // LEGEND_COLUMNS)
    legend = 0.2 + rows * LEGEND_ROW_INCHES
    width = sum(w * scale + gap for w, _ in sizes) + gap
    height = PANEL_HEIGHT_INCHES + title + legend
    figure = Figure((width, height), dpi=130, facecolor="black")
    FigureCanvasAgg(figure)
    panels, left = [], gap
    for w, h in sizes:
        bottom = legend + (PANEL_HEIGHT_INCHES - h * scale) / 2
        box = (left / width, bottom / height)
        panels.append(
            figure.add_axes((*box, w * scale / width, h * scale / height))
        )
        left += w * scale + gap
    return figure, panels


def _draw_plane(
    axes: Axes,
    frame: Frame,
    hu: np.ndarray,
    view: str,
    index: int,
    hu_window: tuple[float, float],
) -> None:
    """Draw the CT of one plane, the letters at its edges, and its name."""
    width, height = frame.size_mm(view)
    axes.imshow(
        frame.picture(hu, view, index),
        cmap="gray",
        vmin=hu_window[0],
        vmax=hu_window[1],
        extent=(0, width, height, 0),
        interpolation="nearest",
    )
    axes.set_axis_off()
    edges = frame.edges(view)
    for letter, x, y in (
        (edges.left, 0.03, 0.5),
        (edges.right, 0.97, 0.5),
        (edges.top, 0.5, 0.96),
        (edges.bottom, 0.5, 0.04),
    ):
        axes.text(
            x,
            y,
            letter,
            transform=axes.transAxes,
            color="white",
            fontsize=11,
            fontweight="bold",
            ha="center",
            va="center",
            bbox={"facecolor": "black", "alpha": 0.5, "pad": 1, "lw": 0},
        )
    axes.text(
        0.02,
        0.98,
        view,
        transform=axes.transAxes,
        color="lightgrey",
        fontsize=8,
        va="top",
    )


def _draw_contour(
    axes: Axes,
    frame: Frame,
    view: str,
    plane: np.ndarray,
    colour: str,
    line: LineStyle,
) -> None:
    """Draw the outline of a (rows, columns) bool plane, in mm."""
    if not plane.any():
        return
    width, height = frame.size_mm(view)
    rows, columns = plane.shape
    # One voxel of outside around it closes outlines at the scan's border.
    x = (np.arange(-1, columns + 1) + 0.5) * width / columns
    y = (np.arange(-1, rows + 1) + 0.5) * height / rows
    padded = np.pad(plane.astype(np.float32), 1)
    axes.contour(
        x,
        y,
        padded,
        levels=[0.5],
        colors=[colour],
        linewidths=line.width,
        linestyles=[line.style],
    )


def _draw_legend(
    figure: Figure, layers: Layers, colours: Mapping[str, str]
) -> None:
    """Name the colours that occur and the two kinds of lines."""
    entries = [
        Line2D([], [], color="white", lw=line.width, ls=line.style, label=word)
        for (masks, line), word in zip(
            layers, ("reference", "prediction"), strict=True
        )
        if masks
    ]
    entries += [
        Line2D([], [], color=colours[name], lw=2.5, label=name)
        for name in _drawn(layers)
    ]
    if entries:
        figure.legend(
            handles=entries,
            loc="lower center",
            ncols=LEGEND_COLUMNS,
            fontsize=8,
            labelcolor="white",
            facecolor="black",
            edgecolor="none",
        )


def _save(figure: Figure, path: Path) -> None:
    """Write beside the goal, then rename: a kill leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        figure.savefig(
            temporary,
            format="png",
            facecolor="black",
            metadata={"Description": "Research use only"},
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
