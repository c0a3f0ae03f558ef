"""Pictures of fixed validation slices: CT | reference | prediction."""

from __future__ import annotations

import colorsys

import numpy as np

from tfpartial.scans.fullest_slice import fullest_slice


def label_colours(count: int) -> np.ndarray:
    """Return (count, 3) uint8, distinct hues; index 0 (background) is black."""
    hues = [
        colorsys.hsv_to_rgb((n * 0.618034) % 1.0, 0.9, 1.0)
        for n in range(count)
    ]
    colours = (np.array(hues) * 255).astype(np.uint8)
    colours[0] = 0
    return colours


def slice_picture(
    hu: np.ndarray,
    reference: np.ndarray,
    prediction: np.ndarray,
    hu_window: tuple[float, float],
    num_labels: int,
) -> np.ndarray:
    """Draw three panels of the fullest axial slice side by side.

    Radiological convention: anterior is up, the patient's right is on the
    left of the picture. The reference chooses the slice, so that the slice of
    a case never changes.

    Args:
        hu: (I, J, K) on the canonical RAS+ grid: I grows to the patient's
            right, J to anterior, K to the head.
        reference: (I, J, K) integers, label indices in [0, L).
        prediction: the same.
        hu_window: HU shown as black and as white.
        num_labels: L.

    Returns:
        (J, 3 I, 3) uint8.
    """
    structures = (reference == label for label in range(1, num_labels))
    k = fullest_slice(structures, 2, hu.shape)
    colours = label_colours(max(num_labels, 256))
    low, high = hu_window
    grey = np.clip((hu[:, :, k] - low) / (high - low), 0, 1) * 255
    panel = np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)
    panels = [panel]
    for labels in (reference[:, :, k], prediction[:, :, k]):
        coloured = panel.copy()
        shown = labels > 0
        mixed = 0.5 * panel[shown] + 0.5 * colours[labels[shown]]
        coloured[shown] = mixed.astype(np.uint8)
        panels.append(coloured)
    # Rows run from anterior down, columns from the patient's right.
    turned = [np.transpose(p, (1, 0, 2))[::-1, ::-1] for p in panels]
    return np.ascontiguousarray(np.concatenate(turned, axis=1))
