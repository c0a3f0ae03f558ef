"""Which side of the patient the couch is on, as far as it is seen.

In: a coarse scan near RAS+. Out: "anterior", "posterior" or None.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tfpartial.audit.coarse import BODY_HU
from tfpartial.audit.finding import Finding

# Foam and carbon fibre, blurred by a coarse grid, are far lighter than body.
COUCH_HU = -850.0
# A couch is wide, long and thin: masks, tubes and arms are not.
MIN_WIDTH_SHARE = 0.5
MIN_LENGTH_SHARE = 0.5
MIN_VOXELS = 60


def couch_side(hu: np.ndarray) -> str | None:
    """Return the side of the body on which a couch lies.

    What is denser than air and no part of the body is a couch if it lies
    wholly before or behind the middle of the body, is at least half as wide
    as it and at least half as long as the scan.

    Args:
        hu: (i, j, k), HU, axes near RAS+ of the patient, `coarse_copy`.

    Returns:
        "anterior" or "posterior" as the affine says; None if there is none,
        or one on both sides.
    """
    body = _largest(ndimage.binary_opening(hu > BODY_HU, iterations=2))
    if body is None:
        return None
    rest = (hu > COUCH_HU) & ~ndimage.binary_dilation(body, iterations=3)
    pieces, number = ndimage.label(rest)
    rows = np.nonzero(body.any(axis=(0, 2)))[0]
    columns = np.nonzero(body.any(axis=(1, 2)))[0]
    middle = (rows[0] + rows[-1]) / 2
    width = columns[-1] - columns[0] + 1
    sides = set()
    for piece in ndimage.find_objects(pieces, number):
        wide = piece[0].stop - piece[0].start >= MIN_WIDTH_SHARE * width
        length = piece[2].stop - piece[2].start
        long = length >= MIN_LENGTH_SHARE * hu.shape[2]
        if not (wide and long) or (pieces[piece] > 0).sum() < MIN_VOXELS:
            continue
        if piece[1].stop - 1 < middle:
            sides.add("posterior")
        elif piece[1].start > middle:
            sides.add("anterior")
    return sides.pop() if len(sides) == 1 else None


def _largest(mask: np.ndarray) -> np.ndarray | None:
    """Return the largest connected piece, or None of nothing."""
    pieces, number = ndimage.label(mask)
    if number == 0:
        return None
    return np.asarray(pieces == 1 + np.bincount(pieces.ravel())[1:].argmax())


def position_findings(
    seen: dict[tuple[str, str], tuple[str | None, str]],
) -> list[Finding]:
    """Return a finding per case whose couch contradicts its position.

    Args:
        seen: (database, case) -> side of the couch after the declared turn,
            declared position. Supine: the couch is posterior; prone: anterior.
    """
    expected = {"supine": "posterior", "prone": "anterior"}
    return [
        Finding(
            "position",
            database,
            case,
            "",
            1.0,
            f"Declared {position}, so that the couch would be on the "
            f"{expected[position]} side; it is on the {side} side. Is the "
            f"patient {'prone' if position == 'supine' else 'supine'}, or the "
            f"affine turned? Correct 'patient_position' or 'affine_frame'.",
        )
        for (database, case), (side, position) in seen.items()
        if side is not None and side != expected[position]
    ]
