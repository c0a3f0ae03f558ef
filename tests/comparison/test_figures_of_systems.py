"""Systems side by side, learning curves: which panel shows what, and where."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tfpartial.comparison.figures import curves
from tfpartial.comparison.figures import systems as systems_figure
from tfpartial.comparison.figures.curves import (
    group_by_epoch,
    write_learning_curves,
)
from tfpartial.comparison.figures.systems import ScanRow, write_systems_figure
from tfpartial.reporting.panels import COLOURS
from tfpartial.scans import Volume

# LPS, as most CTs are stored: I runs to the patient's left.
AFFINE = np.diag([-2.0, -2.0, 2.0, 1.0])
SHAPE = (40, 30, 24)
NAMES = {0: "background", 1: "left parotid", 2: "cord"}


def labels(*boxes: tuple[int, int, int]) -> np.ndarray:
    """Return a label map: (value, start along I, start along K), 6 voxels."""
    array = np.zeros(SHAPE, np.uint8)
    for value, i, k in boxes:
        array[i : i + 6, 10:18, k : k + 6] = value
    return array


REFERENCE = labels((1, 28, 8), (2, 10, 12))
VOLUME = Volume(np.full(SHAPE, -1000, np.int16), AFFINE)
SCAN = ScanRow(
    "case 1",
    VOLUME,
    REFERENCE,
    {"SL1": labels((1, 28, 8)), "ACE": REFERENCE},
)


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that were to be written."""
    found: list[Figure] = []
    for module in (systems_figure, curves):
        monkeypatch.setattr(
            module, "save_figure", lambda figure, _: found.append(figure)
        )
    return found


def colours_of(figure: Figure, panel: int) -> set[str]:
    """Return the colours of the contours in one panel."""
    drawn = figure.axes[panel].collections
    found = [tuple(c.get_edgecolor()[0][:3]) for c in drawn]
    return {name for name in COLOURS if to_rgb(name) in found}


def draw(saved: list[Figure], *scans: ScanRow) -> Figure:
    write_systems_figure(Path("not.png"), scans, NAMES)
    return saved[-1]


def test_a_panel_per_scan_and_column(saved: list[Figure]) -> None:
    figure = draw(saved, SCAN, SCAN, SCAN)
    assert len(figure.axes) == 3 * 4
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["CT", "reference", "SL1", "ACE", *[""] * 8]


def test_each_panel_shows_its_own_labels(saved: list[Figure]) -> None:
    """Both labels lie in slices 12 and 13."""
    figure = draw(saved, SCAN)
    parotid, cord = COLOURS[:2]
    assert [colours_of(figure, n) for n in range(4)] == [
        set(),
        {parotid, cord},
        {parotid},
        {parotid, cord},
    ]
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [
        "left parotid",
        "cord",
    ]


def test_labels_are_tinted_so_that_the_scan_shows(saved: list[Figure]) -> None:
    """The parotid: 6 x 8 voxels of its colour, half transparent."""
    figure = draw(saved, SCAN)
    ct, tint = figure.axes[2].images
    found = np.asarray(tint.get_array())
    inside = found[..., 3] > 0
    assert inside.sum() == 6 * 8
    assert found[inside][0][:3] == pytest.approx(to_rgb(COLOURS[0]))
    assert 0 < found[inside][0][3] < 0.5
    assert ct.get_extent() == tint.get_extent()


def test_all_systems_of_a_row_show_the_same_slice(saved: list[Figure]) -> None:
    """A prediction elsewhere does not move the slice: the reference does."""
    elsewhere = replace(SCAN, predictions={"SL1": labels((1, 28, 0))})
    figure = draw(saved, elsewhere)
    assert colours_of(figure, 1) == set(COLOURS[:2])
    assert colours_of(figure, 2) == set()


def test_left_is_on_the_right(saved: list[Figure]) -> None:
    figure = draw(saved, SCAN)
    panel = figure.axes[1]
    letters = {
        text.get_text(): text.get_position()
        for text in panel.texts
        if text.get_text() in ("L", "R")
    }
    assert letters["R"][0] < 0.5 < letters["L"][0]
    centres = {
        to_rgb(colour): contours.get_paths()[0].vertices[:, 0].mean()
        for contours in panel.collections
        for colour in COLOURS[:2]
        if tuple(contours.get_edgecolor()[0][:3]) == to_rgb(colour)
    }
    # Seen from the feet, the left parotid lies right of the cord.
    assert centres[to_rgb(COLOURS[0])] > centres[to_rgb(COLOURS[1])]
    left, right = panel.get_xlim()
    assert left < right


def test_panels_show_the_labels_and_a_margin(
    saved: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Along I 10 .. 34 of 40 voxels of 2 mm: 20 .. 68 mm and 10 mm around."""
    monkeypatch.setattr(systems_figure, "MARGIN_MM", 10.0)
    figure = draw(saved, SCAN)
    for panel in figure.axes:
        assert panel.get_xlim() == pytest.approx((10, 78))
        bottom, top = panel.get_ylim()
        assert bottom > top
        assert bottom - top == pytest.approx(8 * 2 + 20)
    nothing = replace(SCAN, reference=np.zeros_like(REFERENCE))
    whole = draw(saved, nothing)
    assert whole.axes[1].get_xlim() == pytest.approx((0, 80))


def test_missing_prediction_is_an_empty_panel(saved: list[Figure]) -> None:
    short = replace(SCAN, predictions={"ACE": REFERENCE})
    figure = draw(saved, SCAN, short)
    texts = [[t.get_text() for t in axes.texts] for axes in figure.axes]
    assert [n for n, found in enumerate(texts) if "no prediction" in found] == [
        4 + 2
    ]


def test_stored_codes_of_a_reference_keep_the_label_colour(
    saved: list[Figure],
) -> None:
    codes = np.where(REFERENCE == 1, 7, 0)
    scan = replace(SCAN, reference=codes, reference_names={7: "left parotid"})
    assert colours_of(draw(saved, scan), 1) == {COLOURS[0]}


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    other = replace(SCAN, predictions={"SL1": REFERENCE[1:]})
    for scans, message in (
        ((), "received none"),
        ((other,), r"case 1, SL1: .* \(40, 30, 24\)"),
    ):
        with pytest.raises(ValueError, match=message):
            write_systems_figure(tmp_path / "a.png", scans, NAMES)
    assert not list(tmp_path.iterdir())


def test_files_are_written(tmp_path: Path) -> None:
    write_systems_figure(tmp_path / "new" / "a.png", [SCAN], NAMES)
    write_learning_curves(tmp_path / "new" / "b.png", {"SL1": [(1, 0.5)]})
    for path in (tmp_path / "new").iterdir():
        assert path.read_bytes()[1:4] == b"PNG"
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_curve_is_the_mean_over_seeds_with_their_range(
    saved: list[Figure],
) -> None:
    points = [(2, 0.6), (1, 0.2), (1, 0.8), (2, math.nan), (3, math.nan)]
    assert group_by_epoch(points) == {1: [0.2, 0.8], 2: [0.6]}
    write_learning_curves(Path("not.png"), {"SL1": points, "none": []})
    (axes,) = saved[0].axes
    line = axes.lines[0]
    assert line.get_xdata().tolist() == [1, 2]
    assert line.get_ydata() == pytest.approx([50, 60])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((20, 80))
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["SL1"]


def test_curves_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a point"):
        write_learning_curves(Path("not.png"), {"SL1": []})
