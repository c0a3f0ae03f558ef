"""Pictures of fixed validation slices: CT | reference | prediction."""

from __future__ import annotations

import colorsys

import numpy as np


def label_colours(count: int) -> np.ndarray:
    """Return (count, 3) uint8, distinct hues; index 0 (background) is black."""
    hues = [
        colorsys.hsv_to_rgb((n * 0.618034) % 1.0, 0.9, 1.0)
        for n in range(count)
    ]
    colours = (np.array(hues) * 255).astype(np.uint8)
    colours[0] = 0
    return colours


def fullest_slice(labels: np.ndarray) -> int:
    """Return the index along K of the slice with the most labels, then voxels.

    The reference decides, so that the slice of a case never changes.
    """
    kinds = [len(np.unique(labels[:, :, k])) for k in range(labels.shape[2])]
    voxels = (labels > 0).sum((0, 1))
    return int(np.lexsort((voxels, kinds))[-1])


def slice_picture(
    hu: np.ndarray,
    reference: np.ndarray,
    prediction: np.ndarray,
    hu_window: tuple[float, float],
    num_labels: int,
) -> np.ndarray:
    """Draw three panels of the fullest axial slice side by side.

    Radiological convention: anterior is up, the patient's right is on the
    left of the picture. All arrays are (I, J, K) on the canonical RAS+ grid
    (I grows to the patient's right, J
    to anterior, K to the head).

    Returns:
        (J, 3 I, 3) uint8.
    """
    k = fullest_slice(reference)
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
