"""The same slices segmented by every system, side by side.

In: scans with their reference and one label map per system.
Out: one PNG: scans in rows; CT, reference and systems in columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

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

CT, REFERENCE = "CT", "reference"
VIEW, HU_WINDOW = "axial", (-160.0, 240.0)
PANEL_WIDTH_INCHES = 2.0
MARGIN_MM = 25.0
OUTLINE = LineStyle("solid", 1.0)
FILL_OPACITY = 0.35
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class ScanRow:
    """One row of the figure.

    Attributes:
        name: written at the left.
        volume: the scan, HU; its affine must know the patient.
        reference: (I, J, K) integers on the scan's grid.
        predictions: system -> (I, J, K) label indices; a system of another
            row that lacks here is an empty panel.
        reference_names: names of a reference that holds stored codes;
            default: the figure's.
    """

    name: str
    volume: Volume
    reference: np.ndarray
    predictions: Mapping[str, np.ndarray]
    reference_names: Mapping[int, str] | None = None


def write_systems_figure(
    path: Path, scans: Sequence[ScanRow], names: Mapping[int, str]
) -> None:
    """Write a PNG like the paper's Fig. 3b.

    Columns are CT, reference, then systems in order of occurrence. All panels
    of a row show one axial slice, that with most of most reference labels
    (`fullest_slice`), up to a margin around them. One colour per label in
    every panel, that of `write_overlay`. Radiological convention (seen from
    the feet), letters from the affine.

    Args:
        path: ends in .png; its folder is made; written whole or not at all.
        scans: rows.
        names: label index -> name; 0 and what it does not name is not drawn.

    Raises:
        ValueError: no scan, or a label map of another shape than its scan.
    """
    if not scans:
        raise ValueError("systems figure: expected scans, received none.")
    drawings = [_Drawing(scan, names) for scan in scans]
    more: dict[int, str] = {}
    for scan in scans:
        more |= scan.reference_names or {}
    colours = colours_by_name(names, more)
    occurring = {name for drawing in drawings for name in drawing.labels()}
    legend = [name for name in colours if name in occurring]
    systems = dict.fromkeys(name for scan in scans for name in scan.predictions)
    columns = [CT, REFERENCE, *systems]
    figure, grid = _panels(drawings, len(columns), legend_inches(len(legend)))
    for drawing, row in zip(drawings, grid, strict=True):
        for axes, column in zip(row, columns, strict=True):
            drawing.draw(axes, column, colours)
        row[0].text(
            -0.04, 0.5, drawing.name, transform=row[0].transAxes,
            color="white", fontsize=9, rotation=90, ha="right", va="center",
        )  # fmt: skip
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column, color="white", fontsize=9, pad=4)
    draw_legend(figure, colour_entries(legend, colours))
    save_figure(figure, path)


class _Drawing:
    """One scan's slice, ready to be drawn.

    Attributes:
        name: of the scan.
        planes: column -> label name -> (rows, columns) bool, for what the
            slice shows; CT has none.
        box: (left, right, top, bottom) mm of the picture that are shown.
    """

    def __init__(self, scan: ScanRow, names: Mapping[int, str]) -> None:
        self.name = scan.name
        self._frame = frame = Frame(scan.volume.grid)
        self._hu = frame.reorder(scan.volume.array)
        masks = {}
        for column, labels, label_names in (
            (REFERENCE, scan.reference, scan.reference_names or names),
            *((name, map_, names) for name, map_ in scan.predictions.items()),
        ):
            if labels.shape != scan.volume.shape:
                raise ValueError(
                    f"{scan.name}, {column}: expected the scan's shape "
                    f"{scan.volume.shape}, received {labels.shape}."
                )
            masks[column] = masks_by_name(frame, labels, label_names)
        reference = list(masks[REFERENCE].values())
        through = VIEWS[VIEW][2]
        self._index = fullest_slice(reference, through, frame.grid.shape)
        self.box = _box(frame, reference)
        self.planes: dict[str, dict[str, np.ndarray]] = {CT: {}}
        for column, of_label in masks.items():
            pictures = {
                name: frame.picture(mask, VIEW, self._index)
                for name, mask in of_label.items()
            }
            self.planes[column] = {n: p for n, p in pictures.items() if p.any()}

    def labels(self) -> set[str]:
        """Return the names that any panel shows."""
        return {name for planes in self.planes.values() for name in planes}

    def draw(self, axes: Axes, column: str, colours: Mapping[str, str]) -> None:
        if column not in self.planes:
            axes.set_axis_off()
            axes.text(
                0.5, 0.5, "no prediction", color="lightgrey", fontsize=8,
                ha="center", va="center", transform=axes.transAxes,
            )  # fmt: skip
            return
        frame = self._frame
        draw_plane(axes, frame, self._hu, VIEW, self._index, HU_WINDOW, 7)
        width, height = frame.size_mm(VIEW)
        for name, plane in self.planes[column].items():
            filled = np.zeros((*plane.shape, 4))
            filled[plane] = to_rgba(colours[name], FILL_OPACITY)
            axes.imshow(
                filled, extent=(0, width, height, 0), interpolation="nearest"
            )
            draw_contour(axes, frame, VIEW, plane, colours[name], OUTLINE)
        left, right, top, bottom = self.box
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)


def _box(frame: Frame, masks: Sequence[np.ndarray]) -> Box:
    """Return (left, right, top, bottom) mm: all masks, whatever the slice."""
    width, height = frame.size_mm(VIEW)
    if not masks:
        return 0.0, width, 0.0, height
    shadow = np.any(masks, axis=0).any(axis=VIEWS[VIEW][2], keepdims=True)
    picture = frame.picture(shadow, VIEW, 0)
    ends: list[float] = []
    for axis, size in ((0, width), (1, height)):
        occupied = np.flatnonzero(picture.any(axis=axis))
        voxel = size / picture.shape[1 - axis]
        ends.append(max(0.0, occupied[0] * voxel - MARGIN_MM))
        ends.append(min(size, (occupied[-1] + 1) * voxel + MARGIN_MM))
    return ends[0], ends[1], ends[2], ends[3]


def _panels(
    drawings: Sequence[_Drawing], columns: int, legend: float
) -> tuple[Figure, list[list[Axes]]]:
    """Return a black figure with a row of panels per scan, to scale in mm."""
    gap, title, beside = 0.06, 0.35, 0.3
    heights = []
    for drawing in drawings:
        left, right, top, bottom = drawing.box
        heights.append(PANEL_WIDTH_INCHES * (bottom - top) / (right - left))
    width = beside + columns * (PANEL_WIDTH_INCHES + gap)
    height = title + sum(heights) + gap * len(heights) + legend
    figure = black_figure(width, height)
    grid, upper = [], height - title
    for own in heights:
        row = []
        for column in range(columns):
            x = beside + column * (PANEL_WIDTH_INCHES + gap)
            size = PANEL_WIDTH_INCHES / width, own / height
            box = (x / width, (upper - own) / height, *size)
            row.append(figure.add_axes(box))
        grid.append(row)
        upper -= own + gap
    return figure, grid
