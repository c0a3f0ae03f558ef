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
from tfpartial.reporting.views import VIEWS, Frame, fullest_slice
from tfpartial.scans import Volume

CT, REFERENCE = "CT", "reference"
PANEL_WIDTH_INCHES = 2.0
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
        slice_index: along the view's slice axis of the grid nearest RAS+
            (axial: from the feet); None: the slice that shows most of most
            reference labels (`fullest_slice`).
        reference_names: names of a reference that holds stored codes;
            default: the figure's.
    """

    name: str
    volume: Volume
    reference: np.ndarray
    predictions: Mapping[str, np.ndarray]
    slice_index: int | None = None
    reference_names: Mapping[int, str] | None = None


def write_systems_figure(
    path: str | Path,
    scans: Sequence[ScanRow],
    names: Mapping[int, str],
    *,
    view: str = "axial",
    margin_mm: float | None = 25.0,
    hu_window: tuple[float, float] = (-160.0, 240.0),
) -> None:
    """Write a PNG like the paper's Fig. 3b.

    Columns are CT, reference, then systems in order of occurrence. One
    colour per label in every panel, that of `write_overlay`. Radiological
    convention (seen from the feet), letters from the affine.

    Args:
        path: ends in .png; its folder is made; written whole or not at all.
        scans: rows.
        names: label index -> name; 0 and what it does not name is not drawn.
        view: axial, coronal or sagittal.
        margin_mm: shown around the reference's labels; None: the whole plane.
        hu_window: HU shown as black and as white.

    Raises:
        ValueError: no scan, an unknown view, a slice outside the scan, or a
            label map of another shape than its scan.
    """
    if not scans or view not in VIEWS:
        raise ValueError(
            f"systems figure: expected scans and a view of {list(VIEWS)}, "
            f"received {len(scans)} scans and {view!r}."
        )
    systems = dict.fromkeys(name for scan in scans for name in scan.predictions)
    drawn = [_Drawing.of(scan, names, view, margin_mm) for scan in scans]
    more: dict[int, str] = {}
    for scan in scans:
        more |= scan.reference_names or {}
    colours = colours_by_name(names, more)
    shown = _shown(drawn, colours)
    columns = [CT, REFERENCE, *systems]
    figure, grid = _panels(drawn, len(columns), legend_inches(len(shown)))
    for drawing, row in zip(drawn, grid, strict=True):
        for axes, column in zip(row, columns, strict=True):
            drawing.draw(axes, column, colours, hu_window)
        _write_beside(row[0], drawing.name)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column, color="white", fontsize=9, pad=4)
    draw_legend(figure, colour_entries(shown, colours))
    save_figure(figure, Path(path))


@dataclass(frozen=True, eq=False)
class _Drawing:
    """One scan's plane, ready to be drawn.

    Attributes:
        masks: column -> label name -> (I, J, K) bool near RAS+; CT has none.
        box: (left, right, top, bottom) mm of the picture that are shown.
    """

    name: str
    frame: Frame
    hu: np.ndarray
    view: str
    index: int
    masks: Mapping[str, Mapping[str, np.ndarray]]
    box: Box

    @classmethod
    def of(
        cls,
        scan: ScanRow,
        names: Mapping[int, str],
        view: str,
        margin_mm: float | None,
    ) -> _Drawing:
        frame = Frame(scan.volume.grid)
        for column, labels in [
            (REFERENCE, scan.reference),
            *scan.predictions.items(),
        ]:
            if labels.shape != scan.volume.shape:
                raise ValueError(
                    f"{scan.name}, {column}: expected the scan's shape "
                    f"{scan.volume.shape}, received {labels.shape}."
                )
        reference = masks_by_name(
            frame, scan.reference, scan.reference_names or names
        )
        shape = frame.grid.shape
        index = scan.slice_index
        if index is None:
            index = fullest_slice(list(reference.values()), view, shape)
        if not 0 <= index < shape[VIEWS[view][2]]:
            raise ValueError(
                f"{scan.name}: expected a slice below "
                f"{shape[VIEWS[view][2]]}, received {index}."
            )
        masks: dict[str, Mapping[str, np.ndarray]] = {
            system: masks_by_name(frame, labels, names)
            for system, labels in scan.predictions.items()
        }
        return cls(
            scan.name,
            frame,
            frame.reorder(scan.volume.array),
            view,
            index,
            {CT: {}, REFERENCE: reference} | masks,
            _box(frame, list(reference.values()), view, margin_mm),
        )

    def planes(self, column: str) -> dict[str, np.ndarray]:
        """Return name -> (rows, columns) bool of what the slice shows."""
        found = {
            name: self.frame.picture(mask, self.view, self.index)
            for name, mask in self.masks.get(column, {}).items()
        }
        return {name: plane for name, plane in found.items() if plane.any()}

    def draw(
        self,
        axes: Axes,
        column: str,
        colours: Mapping[str, str],
        hu_window: tuple[float, float],
    ) -> None:
        if column not in self.masks:
            axes.set_axis_off()
            axes.text(
                0.5, 0.5, "no prediction", color="lightgrey", fontsize=8,
                ha="center", va="center", transform=axes.transAxes,
            )  # fmt: skip
            return
        frame, view = self.frame, self.view
        draw_plane(axes, frame, self.hu, view, self.index, hu_window, 7)
        width, height = frame.size_mm(view)
        for name, plane in self.planes(column).items():
            filled = np.zeros((*plane.shape, 4))
            filled[plane] = to_rgba(colours[name], FILL_OPACITY)
            axes.imshow(
                filled, extent=(0, width, height, 0), interpolation="nearest"
            )
            draw_contour(axes, frame, view, plane, colours[name], OUTLINE)
        left, right, top, bottom = self.box
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)


def _box(
    frame: Frame,
    masks: Sequence[np.ndarray],
    view: str,
    margin_mm: float | None,
) -> Box:
    """Return (left, right, top, bottom) mm: all masks, whatever the slice."""
    width, height = frame.size_mm(view)
    whole = (0.0, width, 0.0, height)
    if margin_mm is None or not masks:
        return whole
    through = VIEWS[view][2]
    shadow = np.any(masks, axis=0).any(axis=through, keepdims=True)
    picture = frame.picture(shadow, view, 0)
    ends: list[float] = []
    for axis, size in ((0, width), (1, height)):
        found = np.flatnonzero(picture.any(axis=axis))
        voxel = size / picture.shape[1 - axis]
        ends.append(max(0.0, found[0] * voxel - margin_mm))
        ends.append(min(size, (found[-1] + 1) * voxel + margin_mm))
    return ends[0], ends[1], ends[2], ends[3]


def _shown(drawn: Sequence[_Drawing], colours: Mapping[str, str]) -> list[str]:
    """Return the names that any panel shows, in the order of colours."""
    found = {
        name
        for drawing in drawn
        for column in drawing.masks
        for name in drawing.planes(column)
    }
    return [name for name in colours if name in found]


def _panels(
    drawn: Sequence[_Drawing], columns: int, legend: float
) -> tuple[Figure, list[list[Axes]]]:
    """Return a black figure with a row of panels per scan, to scale in mm."""
    gap, title, beside = 0.06, 0.35, 0.3
    heights = []
    for drawing in drawn:
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


def _write_beside(axes: Axes, name: str) -> None:
    axes.text(
        -0.04,
        0.5,
        name,
        transform=axes.transAxes,
        color="white",
        fontsize=9,
        rotation=90,
        ha="right",
        va="center",
    )
