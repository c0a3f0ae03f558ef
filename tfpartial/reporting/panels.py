"""What the pictures of label maps share: planes, contours, colours, files.

In: a scan's frame, masks by name. Out: drawn axes; a PNG, whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tfpartial.reporting.views import Frame

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
LEGEND_COLUMNS = 5
LEGEND_ROW_INCHES = 0.25


@dataclass(frozen=True)
class LineStyle:
    """How the contours of one label map are drawn."""

    style: str | tuple[float, tuple[float, float]]
    width: float


def masks_by_name(
    frame: Frame, labels: np.ndarray, names: Mapping[int, str]
) -> dict[str, np.ndarray]:
    """Return name -> bool mask near RAS+, for what occurs and has a name."""
    reordered = frame.reorder(labels)
    return {
        names[value]: reordered == value
        for value in np.unique(labels).tolist()
        if value != 0 and value in names
    }


def colours_by_name(
    names: Mapping[int, str], more: Mapping[int, str]
) -> dict[str, str]:
    """Return name -> colour: by label index, so that pictures agree."""
    ordered = [names[index] for index in sorted(names) if index != 0]
    ordered += [more[code] for code in sorted(more) if code != 0]
    unique = dict.fromkeys(ordered)
    return {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(unique)}


def draw_plane(
    axes: Axes,
    frame: Frame,
    hu: np.ndarray,
    view: str,
    index: int,
    hu_window: tuple[float, float],
    font_size: float = 11,
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
            fontsize=font_size,
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
        fontsize=0.7 * font_size,
        va="top",
    )


def draw_contour(
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


def black_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches; no display is needed."""
    figure = Figure((width, height), dpi=130, facecolor="black")
    FigureCanvasAgg(figure)
    return figure


def legend_inches(entries: int) -> float:
    """Return the height of `draw_legend` with its margin."""
    return 0.2 + -(-entries // LEGEND_COLUMNS) * LEGEND_ROW_INCHES


def colour_entries(
    names: Sequence[str], colours: Mapping[str, str]
) -> list[Line2D]:
    """Return a legend entry per name."""
    return [
        Line2D([], [], color=colours[name], lw=2.5, label=name)
        for name in names
    ]


def draw_legend(figure: Figure, entries: Sequence[Line2D]) -> None:
    """Draw the legend below everything, if it has an entry."""
    if entries:
        figure.legend(
            handles=list(entries),
            loc="lower center",
            ncols=LEGEND_COLUMNS,
            fontsize=8,
            labelcolor="white",
            facecolor="black",
            edgecolor="none",
        )


def save_figure(figure: Figure, path: Path) -> None:
    """Write beside the goal, then rename: a kill leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        figure.savefig(
            temporary,
            format="png",
            facecolor=figure.get_facecolor(),
            metadata={"Description": "Research use only"},
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
