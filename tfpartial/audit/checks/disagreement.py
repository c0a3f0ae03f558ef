"""Where a trained network and the references do not agree.

In: stored codes and a prediction of one case, or of all. Out: ml per
structure, and which databases differ from it as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tfpartial.audit.finding import Finding
from tfpartial.metrics.groups import Structure
from tfpartial.metrics.overlap import MM3_PER_ML

# Contours of two experts differ by this much anywhere.
MARGIN_MM = 5.0
# Smaller pieces are not worth a look.
MIN_ML = 1.0


@dataclass(frozen=True)
class Disagreement:
    """One structure of one case against the prediction.

    Attributes:
        name: of the structure.
        extra_ml: predicted, stored as something else, and further than the
            margin from the reference.
        missed_ml: the same with the roles exchanged.
        extra_piece_ml: of the largest connected piece of the former.
        missed_piece_ml: of the latter.
        reference_ml: volume of the reference.
        predicted_ml: volume of the prediction, unknown voxels left out.
    """

    name: str
    extra_ml: float
    missed_ml: float
    extra_piece_ml: float
    missed_piece_ml: float
    reference_ml: float
    predicted_ml: float


def disagreements(
    stored: np.ndarray,
    predicted: np.ndarray,
    structures: Sequence[Structure],
    spacing_mm: Sequence[float],
    margin_mm: float = MARGIN_MM,
) -> tuple[Disagreement, ...]:
    """Compare a prediction with what a case annotates.

    Only annotated structures are compared: where a database does not annotate
    a label, its background says nothing about it. Voxels whose stored value
    may or may not be the structure (ignore) count for neither side.

    Args:
        stored: (I, J, K) codes.
        predicted: (I, J, K) label indices, the same grid.
        structures: of `structures_of`.
        spacing_mm: (3,) of the grid.
        margin_mm: voxels within it of the other side do not count.
    """
    entries = []
    voxel_ml = float(np.prod(spacing_mm)) / MM3_PER_ML
    for structure in structures:
        reference = structure.inside[stored]
        unknown = structure.unknown[stored]
        prediction = structure.labels[predicted] & ~unknown
        extra = _beyond(prediction, reference, spacing_mm, margin_mm)
        missed = _beyond(reference, prediction, spacing_mm, margin_mm)
        entries.append(
            Disagreement(
                name=structure.name,
                extra_ml=int(extra.sum()) * voxel_ml,
                missed_ml=int(missed.sum()) * voxel_ml,
                extra_piece_ml=_largest_piece(extra) * voxel_ml,
                missed_piece_ml=_largest_piece(missed) * voxel_ml,
                reference_ml=int(reference.sum()) * voxel_ml,
                predicted_ml=int(prediction.sum()) * voxel_ml,
            )
        )
    return tuple(entries)


def _beyond(
    mask: np.ndarray,
    other: np.ndarray,
    spacing_mm: Sequence[float],
    margin_mm: float,
) -> np.ndarray:
    """Return the voxels of a mask further than the margin from another."""
    if not mask.any() or not other.any():
        return mask
    both = ndimage.find_objects((mask | other).astype(np.uint8))[0]
    distance = ndimage.distance_transform_edt(
        ~other[both], sampling=tuple(spacing_mm)
    )
    return mask[both] & (distance > margin_mm)


def _largest_piece(mask: np.ndarray) -> int:
    """Return the voxels of the largest connected piece."""
    pieces, number = ndimage.label(mask)
    return int(np.bincount(pieces.ravel())[1:].max()) if number else 0


@dataclass(frozen=True)
class DisagreementRow:
    """One structure of one database against the network.

    Attributes:
        database: name.
        label: structure.
        cases: with a prediction.
        extra_cases: with a piece of at least 1 ml that only the network sees.
        missed_cases: with one that only the reference has.
        extra_ml: mean over cases.
        missed_ml: mean over cases.
        volume_ratio: median over cases of predicted / reference volume; far
            from 1 in one database alone, it is that database's protocol.
    """

    database: str
    label: str
    cases: int
    extra_cases: int
    missed_cases: int
    extra_ml: float
    missed_ml: float
    volume_ratio: float


Compared = Mapping[tuple[str, str], Sequence[Disagreement]]


def disagreement_table(by_case: Compared) -> list[DisagreementRow]:
    """Return a row per database and structure, most disagreement first.

    Args:
        by_case: (database, case) -> its disagreements.
    """
    grouped: dict[tuple[str, str], list[Disagreement]] = {}
    for (database, _), entries in by_case.items():
        for entry in entries:
            grouped.setdefault((database, entry.name), []).append(entry)
    rows = [
        DisagreementRow(
            database=database,
            label=label,
            cases=len(entries),
            extra_cases=sum(e.extra_piece_ml >= MIN_ML for e in entries),
            missed_cases=sum(e.missed_piece_ml >= MIN_ML for e in entries),
            extra_ml=float(np.mean([e.extra_ml for e in entries])),
            missed_ml=float(np.mean([e.missed_ml for e in entries])),
            volume_ratio=_median_ratio(entries),
        )
        for (database, label), entries in grouped.items()
    ]
    return sorted(rows, key=lambda r: -(r.extra_ml + r.missed_ml))


def _median_ratio(entries: Sequence[Disagreement]) -> float:
    ratios = [
        e.predicted_ml / e.reference_ml for e in entries if e.reference_ml > 0
    ]
    return float(np.median(ratios)) if ratios else float("nan")


def disagreement_findings(by_case: Compared) -> list[Finding]:
    """Return a finding per case, structure and direction, of at least 1 ml."""
    findings = []
    for (database, case), entries in by_case.items():
        for entry in entries:
            for piece, total, text in (
                (
                    entry.extra_piece_ml,
                    entry.extra_ml,
                    "the network sees {total} of {name} further than {margin} "
                    "from the reference, which annotates it and stores "
                    "something else there (largest piece {piece}).",
                ),
                (
                    entry.missed_piece_ml,
                    entry.missed_ml,
                    "the reference has {total} of {name} further than {margin} "
                    "from what the network sees (largest piece {piece}).",
                ),
            ):
                if piece < MIN_ML:
                    continue
                filled = text.format(
                    total=f"{total:.1f} ml",
                    name=entry.name,
                    margin=f"{MARGIN_MM:g} mm",
                    piece=f"{piece:.1f} ml",
                )
                findings.append(
                    Finding(
                        "disagreement",
                        database,
                        case,
                        entry.name,
                        piece,
                        filled[0].upper() + filled[1:],
                    )
                )
    return findings
