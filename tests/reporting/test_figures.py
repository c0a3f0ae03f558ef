"""Overlay pictures: what is drawn where, in which colour."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tfpartial.reporting.figures import write_overlay
from tfpartial.reporting.panels import COLOURS
from tfpartial.scans import Volume

# LPS, as most CTs are stored: I runs to the patient's left.
AFFINE = np.diag([-2.0, -2.0, 2.0, 1.0])
SHAPE = (40, 30, 24)
NAMES = {0: "background", 1: "left parotid", 2: "right parotid"}


@pytest.fixture
def volume() -> Volume:
    return Volume(np.full(SHAPE, -1000, np.int16), AFFINE)


def labels(*boxes: tuple[int, int]) -> np.ndarray:
    """Return a label map: (value, start along I), 8 voxels cubes."""
    array = np.zeros(SHAPE, np.uint8)
    for value, start in boxes:
        array[start : start + 8, 10:18, 8:16] = value
    return array


def drawn(path: Path, colour: str) -> np.ndarray:
    """Return (N, 2) rows and columns of a colour above the legend."""
    picture = matplotlib.image.imread(path)[..., :3]
    panels = picture[: int(0.85 * len(picture))]
    close = np.abs(panels - np.array(to_rgb(colour))).max(axis=-1) < 0.1
    return np.argwhere(close)


def test_left_is_drawn_on_the_right(volume: Volume, tmp_path: Path) -> None:
    """Index 30 along I lies on the patient's left: right in the picture."""
    path = tmp_path / "new" / "overlay.png"
    both = labels((1, 30), (2, 2))
    write_overlay(path, volume, both, None, NAMES, "case")
    left, right = (drawn(path, colour) for colour in COLOURS[:2])
    assert len(left)
    assert len(right)
    # The axial plane is the first third of the picture.
    third = matplotlib.image.imread(path).shape[1] / 3
    axial_left = left[left[:, 1] < third, 1].mean()
    axial_right = right[right[:, 1] < third, 1].mean()
    assert axial_left > axial_right


def test_colour_belongs_to_the_name_in_both_maps(
    volume: Volume, tmp_path: Path
) -> None:
    """Stored code 7 means label 1; a merged code gets a colour of its own."""
    path = tmp_path / "overlay.png"
    reference_names = {7: "left parotid", 9: "both"}
    reference = labels((7, 30), (9, 2))
    write_overlay(
        path,
        volume,
        reference,
        None,
        NAMES,
        "case",
        reference_names=reference_names,
    )
    assert len(drawn(path, COLOURS[0]))
    assert not len(drawn(path, COLOURS[1]))
    assert len(drawn(path, COLOURS[2]))


def test_prediction_alone_and_nothing_at_all(
    volume: Volume, tmp_path: Path
) -> None:
    write_overlay(
        tmp_path / "a.png", volume, None, labels((1, 30)), NAMES, "case"
    )
    assert len(drawn(tmp_path / "a.png", COLOURS[0]))
    write_overlay(tmp_path / "b.png", volume, None, None, NAMES, "case")
    assert not len(drawn(tmp_path / "b.png", COLOURS[0]))


def test_structure_at_the_border_has_a_closed_outline(tmp_path: Path) -> None:
    """A structure that fills the scan is outlined at the scan's border."""
    volume = Volume(np.zeros(SHAPE, np.int16), AFFINE)
    full = np.ones(SHAPE, np.uint8)
    write_overlay(tmp_path / "a.png", volume, full, None, NAMES, "case")
    assert len(drawn(tmp_path / "a.png", COLOURS[0]))


def test_same_input_same_file(volume: Volume, tmp_path: Path) -> None:
    arguments = (volume, labels((1, 30)), labels((1, 28)), NAMES, "case")
    for name in ("a.png", "b.png"):
        write_overlay(tmp_path / name, *arguments)
    assert (tmp_path / "a.png").read_bytes() == (
        tmp_path / "b.png"
    ).read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_label_map_of_another_shape_is_refused(
    volume: Volume, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"scan's shape \(40, 30, 24\)"):
        write_overlay(
            tmp_path / "a.png", volume, labels()[1:], None, NAMES, "case"
        )
