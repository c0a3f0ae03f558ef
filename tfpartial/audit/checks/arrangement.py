"""How a case's structures lie to each other: turned, flipped, exchanged?

In: centres of all structures of all cases. Out: the turn or mirror that brings
a case nearest to the others, and left labels on the right side.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfpartial.audit.checks.likeness import Likeness
from tfpartial.audit.checks.outliers import MAD_TO_SD, MIN_CASES
from tfpartial.audit.checks.turns import AS_IT_IS, MIRRORED_SIDES, TURNS, Signs
from tfpartial.audit.finding import Finding
from tfpartial.audit.measures import CaseMeasures
from tfpartial.labels import Label, LabelSpace

Pair = tuple[str, str]
# Of positions, in mm: smaller deviations are chance.
FLOOR_MM = 3.0
# One displacement that is far off must not outvote the others.
CLIP = 8.0
# Nearer by this much, in mean |z|: on the OpenKBP scans as they are no turn or
# mirror gains more than 0.13.
MIN_GAIN = 0.8
# Left and right centres nearer than this are no contradiction.
SIDE_MARGIN_MM = 3.0


@dataclass(frozen=True, eq=False)
class Consensus:
    """How structures lie to each other in most cases.

    Attributes:
        median: pair of structures -> (3,) mm, RAS, from first to second.
        deviation: pair -> (3,) mm, robust, at least 3.
    """

    median: dict[Pair, np.ndarray]
    deviation: dict[Pair, np.ndarray]


def centres_of(case: CaseMeasures) -> dict[str, np.ndarray]:
    """Return structure -> (3,) mm, of those that are not empty."""
    return {s.name: s.centre_mm for s in case.structures if s.voxels > 0}


def displacements(centres: Mapping[str, np.ndarray]) -> dict[Pair, np.ndarray]:
    """Return pair of structures -> (3,) mm from one centre to the other."""
    return {
        (a, b): centres[b] - centres[a]
        for a, b in itertools.combinations(sorted(centres), 2)
    }


def consensus(cases: Sequence[CaseMeasures]) -> Consensus:
    """Return medians and robust deviations over all cases.

    Pairs that fewer than 8 cases contain are left out.
    """
    vectors_of: dict[Pair, list[np.ndarray]] = {}
    for case in cases:
        for pair, vector in displacements(centres_of(case)).items():
            vectors_of.setdefault(pair, []).append(vector)
    median, deviation = {}, {}
    for pair, vectors in vectors_of.items():
        if len(vectors) < MIN_CASES:
            continue
        stacked = np.stack(vectors)
        median[pair] = np.median(stacked, axis=0)
        spread = np.median(np.abs(stacked - median[pair]), axis=0)
        deviation[pair] = np.maximum(MAD_TO_SD * spread, FLOOR_MM)
    return Consensus(median, deviation)


def best_turn(
    vectors: Mapping[Pair, np.ndarray], usual: Consensus
) -> tuple[Signs, float]:
    """Return the signs that bring displacements nearest to the usual ones.

    Formula (d displacements, m medians, s deviations, T = diag(signs)):
        cost(T) = mean over pairs and axes of min(|T d - m| / s, 8)

    Returns:
        signs along x, y, z, and the gain cost(identity) - cost(signs);
        the identity with 0 where no pair is known.
    """
    known = [pair for pair in vectors if pair in usual.median]
    if not known:
        return AS_IT_IS, 0.0
    costs = {
        signs: _cost(vectors, known, usual, signs)
        for signs in (AS_IT_IS, *TURNS)
    }
    # A dict keeps its order: of equal costs the identity wins.
    best = min(costs, key=costs.__getitem__)
    return best, costs[AS_IT_IS] - costs[best]


def best_exchange(
    centres: Mapping[str, np.ndarray], usual: Consensus
) -> tuple[Pair | None, float]:
    """Return the two structures that fit best with their names exchanged.

    Formula (over the pairs of structures that hold one of the two):
        gain = mean of min(|d - m| / s, 8) - the same after the exchange

    Args:
        centres: structure -> (3,) mm.
        usual: of all cases.

    Returns:
        Two names and the gain; None and 0 where no exchange gains.
    """
    best: Pair | None = None
    most = 0.0
    for a, b in itertools.combinations(sorted(centres), 2):
        exchanged = {**centres, a: centres[b], b: centres[a]}
        touched = [
            pair for pair in usual.median
            if {a, b} & set(pair) and set(pair) <= set(centres)
        ]  # fmt: skip
        if not touched:
            continue
        gain = _cost(displacements(centres), touched, usual) - _cost(
            displacements(exchanged), touched, usual
        )
        if gain > most:
            best, most = (a, b), gain
    return best, most


def _cost(
    vectors: Mapping[Pair, np.ndarray],
    pairs: Sequence[Pair],
    usual: Consensus,
    signs: Signs = AS_IT_IS,
) -> float:
    """Return the mean over pairs and axes of min(|signs d - m| / s, 8)."""
    d = np.array(signs) * np.stack([vectors[pair] for pair in pairs])
    m = np.stack([usual.median[pair] for pair in pairs])
    s = np.stack([usual.deviation[pair] for pair in pairs])
    return float((np.abs(d - m) / s).clip(0, CLIP).mean())


def side_of(label: Label) -> str | None:
    """Return "left", "right" or None: what a label's name says.

    The TG-263 name decides (suffix _L or _R); without one, the word left or
    right, or the suffix l or r, of the name. Only labels with a mirror
    partner have a side.

    Example:
        kidney_left -> "left"; RightParotid -> "right"
    """
    if label.mirror is None:
        return None
    words = re.findall(
        r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", label.tg263 or label.name
    )
    sides = {
        {"l": "left", "r": "right"}.get(word.lower(), word.lower())
        for word in words
    } & {"left", "right"}
    return sides.pop() if len(sides) == 1 else None


def exchanged_sides(
    case: CaseMeasures, space: LabelSpace
) -> list[tuple[str, str, float]]:
    """Return (left label, right label, mm) where left lies to the right.

    In patient RAS, x grows to the right: a left label has the smaller x.
    """
    centres = centres_of(case)
    exchanged = []
    for label in space.labels:
        if side_of(label) != "left" or label.mirror not in centres:
            continue
        if label.name in centres:
            beyond = float(centres[label.name][0] - centres[label.mirror][0])
            if beyond > SIDE_MARGIN_MM:
                exchanged.append((label.name, label.mirror, beyond))
    return exchanged


def orientation_findings(
    cases: Sequence[CaseMeasures],
    space: LabelSpace,
    likeness: Mapping[tuple[str, str], Likeness],
) -> list[Finding]:
    """Return a finding per case that a turn or mirror explains.

    Three sources: the consensus of all cases on how structures lie to each
    other; the names of left and right labels, which need no other case; the
    image alone.

    Args:
        cases: all of them.
        space: which labels mirror each other.
        likeness: (database, case) -> what the image alone says.
    """
    usual = consensus(cases)
    findings = []
    for case in cases:
        signs, gain = best_turn(displacements(centres_of(case)), usual)
        if gain < MIN_GAIN:
            signs = AS_IT_IS
        image = likeness.get((case.database, case.case))
        seen = image.signs if image is not None and image.turned else AS_IT_IS
        parts = _sentences(signs, gain, exchanged_sides(case, space), seen)
        names, better = best_exchange(centres_of(case), usual)
        if names is not None and better >= MIN_GAIN and signs == AS_IT_IS:
            parts.append(
                f"'{names[0]}' and '{names[1]}' look exchanged: with their "
                f"names exchanged they lie as in other cases, nearer by "
                f"{better:.1f} robust standard deviations."
            )
            gain = better
        if parts:
            turn = {signs, seen} - {AS_IT_IS, MIRRORED_SIDES}
            findings.append(
                Finding(
                    "orientation",
                    case.database,
                    case.case,
                    "",
                    gain,
                    " ".join(parts),
                    quantity="turn" if turn else "sides",
                )
            )
    return [*findings, *_whole_databases(cases)]


def _sentences(
    signs: Signs,
    gain: float,
    swapped: Sequence[tuple[str, str, float]],
    seen: Signs,
) -> list[str]:
    """Say what labels, sides and image of one case say."""
    parts = []
    if signs != AS_IT_IS:
        parts.append(
            f"Its structures lie to each other as in other cases only if the "
            f"case is {TURNS[signs]}: nearer by {gain:.1f} robust standard "
            f"deviations."
        )
    parts += [
        f"'{left}' lies {beyond:.0f} mm further to the patient's right than "
        f"'{right}'."
        for left, right, beyond in swapped
    ]
    # Left and right look alike in an image: it knows the other two axes.
    if seen != AS_IT_IS and seen[1:] == signs[1:]:
        parts.append("The image alone says so too.")
    elif seen != AS_IT_IS:
        a, b = sorted((seen, (-seen[0], *seen[1:])))
        parts.append(
            f"The image alone, in which left and right look alike, is like "
            f"the others only if it is {TURNS[a]} or {TURNS[b]}."
        )
    elif signs not in (AS_IT_IS, MIRRORED_SIDES):
        parts.append(
            "The image alone does not look turned; the annotation may be."
        )
    return parts


def _whole_databases(cases: Sequence[CaseMeasures]) -> list[Finding]:
    """Return a finding per two databases that are turned to each other."""
    names = list(dict.fromkeys(case.database for case in cases))
    own = {
        name: consensus([c for c in cases if c.database == name])
        for name in names
    }
    findings = []
    for a, b in itertools.combinations(names, 2):
        signs, gain = best_turn(own[b].median, own[a])
        if signs != AS_IT_IS and gain >= MIN_GAIN:
            findings.append(
                Finding(
                    "orientation",
                    b,
                    "",
                    "",
                    gain,
                    f"Most cases of '{b}' lie as those of '{a}' only if they "
                    f"are {TURNS[signs]}. One of the two databases is wrong "
                    f"as a whole: compare 'affine_frame' and a picture.",
                    (a,),
                    "database",
                )
            )
    return findings
