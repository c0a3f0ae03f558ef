"""Structures unlike the same structure in the other cases.

In: measures of all cases. Out: robust z-scores, and findings beyond a limit
that grows where few cases are known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfpartial.audit.finding import Finding
from tfpartial.audit.measures import CaseMeasures, StructureMeasure

MIN_CASES = 8
# A database with fewer is compared with the median of all.
MIN_OWN_CASES = 5
# sd of a normal distribution = 1.4826 * median absolute deviation
MAD_TO_SD = 1.4826


@dataclass(frozen=True)
class Quantity:
    """One number of a structure, on a scale where differences compare.

    Attributes:
        key: its name in the report.
        unit: shown after the value.
        value: reads it off a structure that is not empty; volumes and areas
            as logarithms: half and double are equally far.
        floor: smallest standard deviation that is believed.
        logarithmic: whether `value` is the logarithm of what is shown.
    """

    key: str
    unit: str
    value: Callable[[StructureMeasure], float]
    floor: float
    logarithmic: bool = False


QUANTITIES = (
    Quantity("Volume", " ml", lambda s: float(np.log(s.ml)), 0.1, True),
    Quantity(
        "Mean cross-section",
        " cm2",
        # ml = cm3; length in mm.
        lambda s: float(np.log(10 * s.ml / s.length_mm)),
        0.1,
        True,
    ),
    Quantity("HU, 5th percentile", " HU", lambda s: float(s.hu[0]), 30.0),
    Quantity("Median HU", " HU", lambda s: float(s.hu[2]), 10.0),
    Quantity("HU, 95th percentile", " HU", lambda s: float(s.hu[4]), 30.0),
    Quantity("Share of its largest piece", "", lambda s: s.largest_share, 0.05),
)
HU_QUANTITIES = tuple(q for q in QUANTITIES if q.unit == " HU")


def limit(number: int) -> float:
    """Return the robust z beyond which a value is an outlier.

    Formula:
        4.4 + 460 / n^1.5

    fitted to simulations: of normal values at most about 1 in 100,000 lies
    beyond it, whatever n >= 8. With few values the median absolute deviation
    is often much too small by chance, so that a fixed limit of 3.5 would cry
    wolf in every small database.
    """
    return 4.4 + 460.0 / number**1.5


def robust_z(
    values: np.ndarray, groups: Sequence[str], floor: float
) -> np.ndarray:
    """Return how far each value is from the median of its group.

    Formula:
        (x - median of x's group) / max(1.4826 median |residual|, floor)

    The medians are those of each group (database: protocols differ), the
    deviation is that of the residuals of all groups together. A group with
    fewer than 5 values is measured from the median of all.

    Args:
        values: (n,).
        groups: n names.
        floor: of the standard deviation.

    Returns:
        (n,) float64.
    """
    names = np.asarray(groups)
    residuals = np.empty(len(values))
    for name in set(groups):
        members = names == name
        own = values[members] if members.sum() >= MIN_OWN_CASES else values
        residuals[members] = values[members] - np.median(own)
    deviation = MAD_TO_SD * float(np.median(np.abs(residuals)))
    return residuals / max(deviation, floor)


@dataclass(frozen=True, eq=False)
class Scores:
    """Robust z of one quantity of one structure over all cases.

    Attributes:
        label: structure.
        quantity: which.
        cases: (database, case) of the n that contain it.
        values: (n,) on the scale of the quantity.
        z: (n,) `robust_z`.
    """

    label: str
    quantity: Quantity
    cases: tuple[tuple[str, str], ...]
    values: np.ndarray
    z: np.ndarray


def all_scores(
    cases: Sequence[CaseMeasures],
    quantities: Sequence[Quantity] = QUANTITIES,
) -> list[Scores]:
    """Return the scores of every structure that at least 8 cases contain."""
    by_label: dict[str, list[tuple[CaseMeasures, StructureMeasure]]] = {}
    for case in cases:
        for structure in case.structures:
            if structure.voxels:
                by_label.setdefault(structure.name, []).append(
                    (case, structure)
                )
    scores = []
    for label, members in by_label.items():
        if len(members) < MIN_CASES:
            continue
        databases = [case.database for case, _ in members]
        keys = tuple((case.database, case.case) for case, _ in members)
        for quantity in quantities:
            values = np.array([quantity.value(s) for _, s in members])
            z = robust_z(values, databases, quantity.floor)
            scores.append(Scores(label, quantity, keys, values, z))
    return scores


def outlier_findings(
    scores: Sequence[Scores],
    cases: Sequence[CaseMeasures],
    misfits: Mapping[tuple[str, str], object],
) -> list[Finding]:
    """Return a finding per structure and case, with all its quantities.

    Args:
        scores: of `all_scores`.
        cases: the same cases.
        misfits: (database, case) whose HU are wrong as a whole: reported
            elsewhere, their HU are not repeated here.
    """
    at_end = {
        (case.database, case.case, structure.name)
        for case in cases
        for structure in case.structures
        if structure.at_end
    }
    beyond: dict[tuple[str, str, str], list[tuple[float, str, str]]] = {}
    for score in scores:
        allowed = limit(len(score.cases))
        hu = score.quantity in HU_QUANTITIES
        for position in np.flatnonzero(np.abs(score.z) > allowed):
            key = score.cases[position]
            if hu and key in misfits:
                continue
            beyond.setdefault((*key, score.label), []).append(
                (
                    abs(float(score.z[position])),
                    _sentence(score, int(position)),
                    score.quantity.key,
                )
            )
    findings = []
    for (database, case, label), parts in beyond.items():
        parts.sort(reverse=True)
        text = " ".join(sentence for _, sentence, _ in parts)
        if (database, case, label) in at_end:
            text += " It reaches the end of the scan, which may cut it off."
        findings.append(
            Finding(
                "outlier",
                database,
                case,
                label,
                parts[0][0],
                text,
                quantity=parts[0][2],
            )
        )
    return findings


def _sentence(score: Scores, position: int) -> str:
    """Say value, median of the database and z of one outlier."""
    database = score.cases[position][0]
    own = [
        value
        for value, (name, _) in zip(score.values, score.cases, strict=True)
        if name == database
    ]
    shown = "" if len(own) >= MIN_OWN_CASES else " of all databases"
    centre = np.median(own if not shown else score.values)
    value, median = float(score.values[position]), float(centre)
    if score.quantity.logarithmic:
        value, median = float(np.exp(value)), float(np.exp(median))
    unit = score.quantity.unit
    return (
        f"{score.quantity.key} {value:.3g}{unit} (median{shown} "
        f"{median:.3g}{unit}, robust z {score.z[position]:+.1f})."
    )
