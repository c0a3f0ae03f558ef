"""Annotations that do not lie on their image, and where they would fit.

In: HU under all structures, against those of the other cases. Out: findings
with the shift that would explain them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfpartial.audit.checks.outliers import HU_QUANTITIES, MAD_TO_SD, Scores
from tfpartial.audit.finding import Finding
from tfpartial.scans import Volume

# Median over structures of the largest |z|. Of 36 OpenKBP cases whose labels
# were moved by 10 mm three quarters lie beyond it, by 15 mm nineteen of twenty.
MISFIT = 4.0
MIN_STRUCTURES = 2
SEARCH_MM = 40.0
# Mean |z| of a case that lies on its image is below 1.
FITS = 1.5
STEP_MM = 4.0
PERCENTILES = (5, 50, 95)
# Of each structure: enough for three percentiles.
SAMPLED_VOXELS = 200
Key = tuple[str, str]


def misfits(scores: Sequence[Scores]) -> dict[Key, float]:
    """Return the cases whose structures as a whole lie on the wrong HU.

    Formula:
        median over structures of max over HU percentiles of |robust z|

    One wrong structure is an outlier; when half of them are, the whole
    annotation is moved against the image.

    Args:
        scores: of `all_scores`; only its HU quantities are used.

    Returns:
        (database, case) -> that median, where it is at least 4 and the case
        has two structures.
    """
    worst: dict[Key, dict[str, float]] = {}
    for score in scores:
        if score.quantity not in HU_QUANTITIES:
            continue
        for key, z in zip(score.cases, np.abs(score.z), strict=True):
            structures = worst.setdefault(key, {})
            structures[score.label] = max(
                structures.get(score.label, 0.0), float(z)
            )
    medians = {
        key: float(np.median(list(structures.values())))
        for key, structures in worst.items()
        if len(structures) >= MIN_STRUCTURES
    }
    return {key: value for key, value in medians.items() if value >= MISFIT}


def expected_hu(
    scores: Sequence[Scores], database: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return label -> medians (3,) and deviations (3,) of HU percentiles."""
    parts: dict[str, list[tuple[float, float]]] = {}
    for score in scores:
        if score.quantity not in HU_QUANTITIES:
            continue
        own = [
            value
            for value, (name, _) in zip(score.values, score.cases, strict=True)
            if name == database
        ]
        values = np.array(own or score.values)
        centre = float(np.median(values))
        deviation = MAD_TO_SD * float(np.median(np.abs(values - centre)))
        parts.setdefault(score.label, []).append(
            (centre, max(deviation, score.quantity.floor))
        )
    return {
        label: (
            np.array([c for c, _ in pairs]),
            np.array([d for _, d in pairs]),
        )
        for label, pairs in parts.items()
    }


def best_shift(
    image: Volume,
    masks: Mapping[str, np.ndarray],
    expected: Mapping[str, tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
) -> tuple[np.ndarray, float, float]:
    """Search the translation of all labels that gives the usual HU.

    Every 4 mm within 40 mm, on at most 200 voxels of each structure.

    Args:
        image: HU, axes near RAS+.
        masks: label -> (I, J, K) bool on the same axes.
        expected: label -> medians, deviations (`expected_hu`).
        rng: draws the voxels.

    Returns:
        shift (3,) in mm RAS; mean |z| (each at most 10) there; and at 0.
    """
    spacing = np.asarray(image.spacing_mm)
    steps = np.arange(-SEARCH_MM, SEARCH_MM + STEP_MM / 2, STEP_MM)
    shifts = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1)
    shifts = shifts.reshape(-1, 3)
    voxels = np.unique(np.rint(shifts / spacing).astype(int), axis=0)
    lengths = np.linalg.norm(voxels * spacing, axis=1)
    total = np.zeros(len(voxels))
    for label, mask in masks.items():
        places = np.argwhere(mask)
        if len(places) > SAMPLED_VOXELS:
            chosen = rng.choice(len(places), SAMPLED_VOXELS, replace=False)
            places = places[chosen]
        centres, deviations = expected[label]
        for start in range(0, len(voxels), 1000):
            part = voxels[start : start + 1000]
            hu = _sample(image.array, places[None] + part[:, None])
            found = np.percentile(hu, PERCENTILES, axis=1).T
            z = np.abs(found - centres) / deviations
            total[start : start + 1000] += z.clip(0, 10).mean(axis=1)
    total /= max(1, len(masks))
    # Of equal fits the smallest move.
    best = int((total + 1e-6 * lengths).argmin())
    still = int(lengths.argmin())
    return voxels[best] * spacing, float(total[best]), float(total[still])


def _sample(array: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the values at (..., 3) voxels; air outside."""
    inside = np.all((places >= 0) & (places < array.shape), axis=-1)
    safe = np.where(inside[..., None], places, 0)
    values = array[safe[..., 0], safe[..., 1], safe[..., 2]]
    return np.where(inside, values, -1000)


def misfit_finding(
    key: Key,
    score: float,
    shift_mm: np.ndarray,
    fit: float,
    fit_unmoved: float,
) -> Finding:
    """Return the finding of one case.

    Args:
        key: (database, case).
        score: of `misfits`.
        shift_mm: of `best_shift`.
        fit: mean |z| after it.
        fit_unmoved: mean |z| as it is.
    """
    moved = ", ".join(
        f"{abs(mm):.0f} mm to {names[int(mm < 0)]}"
        for mm, names in zip(
            shift_mm,
            (
                ("the patient's right", "the patient's left"),
                ("anterior", "posterior"),
                ("the head", "the feet"),
            ),
            strict=True,
        )
        if abs(mm) >= 1
    )
    text = (
        f"The HU under its structures are not those of other cases (median "
        f"robust z {score:.1f})."
    )
    if moved and fit < min(FITS, 0.6 * fit_unmoved):
        text += (
            f" Moved by {moved} the annotation would fit (mean |z| {fit:.1f} "
            f"instead of {fit_unmoved:.1f}). Was an origin lost?"
        )
    else:
        text += " No shift up to 40 mm explains it. Is it another scan's?"
    return Finding("misfit", *key, "", score, text)
