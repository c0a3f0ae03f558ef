"""The scores of one case: one per structure that it annotates.

In: stored codes and predicted labels on one grid. Out: `Score` rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tfpartial.metrics.groups import Structure
from tfpartial.metrics.overlap import dice, volume_ml
from tfpartial.metrics.surface import hd95_mm, nsd, surface_distances

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Score:
    """One row of the table: one case, one annotated label or group.

    Attributes:
        database: of the case.
        case: case id.
        label: label, or 'A+B' for a merged structure.
        grouped: scored as a group: union of predictions against its mask.
        dice: in [0, 1]; NaN (not counted) if reference and prediction are
            empty; 0 if one is.
        reference_ml: volume of the reference, ignored voxels left out.
        prediction_ml: volume of the prediction, ignored voxels left out.
        hd95_mm: NaN if both are empty, inf if one is.
        nsd: in [0, 1]; NaN if both are empty, 0 if one is.
        false_positive: annotated, absent from the reference, yet predicted.
        missing: no prediction file; flagged and scored 0.
    """

    database: str
    case: str
    label: str
    grouped: bool
    dice: float
    reference_ml: float
    prediction_ml: float
    hd95_mm: float
    nsd: float
    false_positive: bool
    missing: bool


def score_case(
    database: str,
    case_id: str,
    stored: np.ndarray,
    prediction: np.ndarray | None,
    structures: Sequence[Structure],
    spacing_mm: Sequence[float],
    tolerance_mm: float,
) -> list[Score]:
    """Score every structure of a case.

    Args:
        database: name, copied into the rows.
        case_id: copied into the rows.
        stored: (I, J, K) uint8, the reference as stored codes in [0, V).
        prediction: (I, J, K) integers, label indices in [0, L), on the same
            grid; None if missing: every structure is flagged and scored 0,
            even one that the reference does not hold either.
        structures: of `structures_of`.
        spacing_mm: (3,) of the grid.
        tolerance_mm: of the NSD.

    Returns:
        One `Score` per structure, in their order.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction is not None and prediction.shape != stored.shape:
        raise ValueError(
            f"prediction: expected the reference's shape {stored.shape}, "
            f"received {prediction.shape}."
        )
    missing = prediction is None
    labels = np.zeros_like(stored) if prediction is None else prediction
    stored_boxes = ndimage.find_objects(stored)
    predicted_boxes = ndimage.find_objects(labels)
    scores = []
    for structure in structures:
        box = _enclose(
            _select_boxes(stored_boxes, structure.inside)
            + _select_boxes(predicted_boxes, structure.labels)
        )
        reference, predicted = structure.masks(stored[box], labels[box])
        distances = surface_distances(reference, predicted, spacing_mm)
        absent = not reference.any()
        scores.append(
            Score(
                database=database,
                case=case_id,
                label=structure.name,
                grouped=structure.grouped,
                dice=0.0 if missing else dice(reference, predicted),
                reference_ml=volume_ml(reference, spacing_mm),
                prediction_ml=volume_ml(predicted, spacing_mm),
                hd95_mm=float("inf") if missing else hd95_mm(distances),
                nsd=0.0 if missing else nsd(distances, tolerance_mm),
                false_positive=absent and bool(predicted.any()),
                missing=missing,
            )
        )
    return scores


def _select_boxes(boxes: Sequence[Box | None], values: np.ndarray) -> list[Box]:
    """Return the boxes (box n is of value n + 1) of the values that are true.

    Background is never among them: a structure holds no label 0.
    """
    return [
        box
        for value, box in enumerate(boxes, start=1)
        if box is not None and values[value]
    ]


def _enclose(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around all boxes; empty if there is none."""
    if not boxes:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    i, j, k = (
        slice(min(s.start for s in along), max(s.stop for s in along))
        for along in zip(*boxes, strict=True)
    )
    return i, j, k
