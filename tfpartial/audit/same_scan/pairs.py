"""The same scan twice, whatever was done to it on the way.

In: a fingerprint of every scan. Out: pairs that are one scan. Robust to
resampling, cropping, another order or direction of axes, and lost headers; the
exact hash of the build sees only re-ordering.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tfpartial.audit.coarse import (
    Features,
    Match,
    best_match,
    coarse_copy,
    fine_features,
)
from tfpartial.audit.same_scan.fingerprint import (
    UNTURNED,
    Fingerprint,
    Turn,
    inverse,
    turn_array,
)
from tfpartial.audit.same_scan.profiles import profile_distances
from tfpartial.scans import Volume

log = logging.getLogger(__name__)
# Measured on the OpenKBP scans: different scans reach 0.873; 60 copies that
# were cropped and resampled lie between 0.914 and 0.983.
SAME_SCAN = 0.90
# Of 6 mm, 300 ml: fewer correlate by chance somewhere.
MIN_COMMON_VOXELS = 1500
# Partners of each scan that are compared in 3D: trusting the header, and
# with axes in any order and direction.
TRUSTED_PARTNERS = 24
TURNED_PARTNERS = 2
TURNS_EACH = 3
# Of profiles, per plane: nothing in common.
FAR = 5000.0


@dataclass(frozen=True, eq=False)
class SameScan:
    """Two scans that are one.

    Attributes:
        a: one of them.
        b: the other.
        turned: (i, j, k) int16, HU, b's coarse copy with a's axes.
        match: of a's coarse copy and `turned`.
        turn: of b: its axes in a's order, then which are reversed.
        exact: the exact hashes agree too: the build sees it.
        lost_spacing: b was given the other's spacing.
    """

    a: Fingerprint
    b: Fingerprint
    turned: np.ndarray
    match: Match
    turn: Turn
    exact: bool
    lost_spacing: bool


@dataclass(frozen=True)
class _Candidate:
    """Two scans to compare, and how axes may have to be turned."""

    i: int
    j: int
    turns: tuple[Turn, ...]
    lost_spacing: bool = False


def find_same_scans(scans: Sequence[Fingerprint]) -> list[SameScan]:
    """Return every pair of scans that show the same acquisition.

    All pairs are compared by plane profiles; the most similar partners of
    each scan by the correlation of their structure over all translations:
    with axes as the headers say, and in the orders and directions in which
    the profiles of all three axes fit best.

    Args:
        scans: of all databases.

    Returns:
        Pairs, each once, with correlation >= 0.9.
    """
    if len(scans) < 2:
        return []
    comparison = _Comparison(scans)
    pairs: dict[tuple[int, int], SameScan] = {}
    for candidate in _candidates(scans):
        key = (candidate.i, candidate.j)
        same = None if key in pairs else comparison.of(candidate)
        if same is not None:
            pairs[key] = same
    log.info(
        "%d pair(s) are one scan; most alike of the others: %.3f, %s",
        len(pairs),
        *comparison.nearest,
    )
    return list(pairs.values())


def _candidates(scans: Sequence[Fingerprint]) -> Iterator[_Candidate]:
    """Yield the pairs worth a comparison in 3D, the likeliest first."""
    hashes: dict[str, list[int]] = {}
    for number, scan in enumerate(scans):
        hashes.setdefault(scan.exact_hash, []).append(number)
    for group in hashes.values():
        for i, j in itertools.combinations(group, 2):
            yield _Candidate(i, j, (UNTURNED,))
    distances = profile_distances([scan.profiles for scan in scans])
    for i, j in _nearest(distances[:, :, 2, 2, 0], TRUSTED_PARTNERS):
        yield _Candidate(i, j, (UNTURNED,))
    everything = range(len(scans))
    yield from _turned_pairs(distances, everything)
    reset = [n for n, scan in enumerate(scans) if scan.may_be_reset]
    if reset:
        by_voxel = profile_distances([scan.voxel_profiles for scan in scans])
        yield from _turned_pairs(by_voxel, reset, lost_spacing=True)


def _nearest(
    distances: np.ndarray, partners: int, rows: Iterable[int] | None = None
) -> list[tuple[int, int]]:
    """Return (i, j), i < j, of each row's nearest columns, nearest first."""
    square = distances.copy()
    np.fill_diagonal(square, np.inf)
    pairs: dict[tuple[int, int], float] = {}
    for i in range(len(square)) if rows is None else rows:
        for j in np.argsort(square[i], kind="stable")[:partners].tolist():
            if np.isfinite(square[i, j]):
                pairs[min(i, j), max(i, j)] = float(square[i, j])
    return sorted(pairs, key=lambda pair: pairs[pair])


def _turned_pairs(
    distances: np.ndarray,
    rows: Iterable[int],
    *,
    lost_spacing: bool = False,
) -> Iterator[_Candidate]:
    """Yield candidates with the turns that put the fitting axes together.

    Formula (D the profile distances of two scans, at most 5000):
        cost(turn) = sum over axes a of D[a, order[a], flips[a]]

    Turns that fit worse than no turn are left out, unless the spacing is
    lost: then nothing is known without one.
    """
    turns = _all_turns()
    limited = distances.clip(max=FAR)
    costs = np.stack(
        [
            sum(
                limited[:, :, axis, order[axis], int(flips[axis])]
                for axis in range(3)
            )
            for order, flips in turns
        ],
        axis=-1,
    )
    if not lost_spacing:
        worse = costs >= costs[..., :1]
        costs[worse] = np.inf
    for i, j in _nearest(costs.min(axis=-1), TURNED_PARTNERS, rows):
        best = np.argsort(costs[i, j], kind="stable")[:TURNS_EACH]
        chosen = tuple(
            turns[int(n)] for n in best if np.isfinite(costs[i, j, n])
        )
        yield _Candidate(i, j, chosen, lost_spacing)


def _all_turns() -> list[Turn]:
    """Return the 48 orders and directions of three axes, as it is first."""
    return [
        (order, flips)
        for order in itertools.permutations(range(3))
        for flips in itertools.product((False, True), repeat=3)
    ]


class _Comparison:
    """Compares scans in 3D; keeps the features of each.

    Attributes:
        nearest: highest correlation of a pair that is not one scan, its names.
    """

    def __init__(self, scans: Sequence[Fingerprint]) -> None:
        self.scans = scans
        self.nearest = (-1.0, "none")
        self._features: dict[int, Features] = {}

    def of(self, candidate: _Candidate) -> SameScan | None:
        """Return the pair after the best of its turns, if it is one scan."""
        if candidate.lost_spacing:
            a, b = self.scans[candidate.i], self.scans[candidate.j]
            return _compare_reset(a, b, candidate.turns)
        return _better(self._same(candidate, turn) for turn in candidate.turns)

    def _same(self, candidate: _Candidate, turn: Turn) -> SameScan | None:
        """Return the pair if it is one scan after this turn."""
        a, b = self.scans[candidate.i], self.scans[candidate.j]
        other = self.features(candidate.j).turn(*turn)
        match = best_match(
            self.features(candidate.i), other, min_common=MIN_COMMON_VOXELS
        )
        if match.correlation < SAME_SCAN:
            self.nearest = max(
                self.nearest, (match.correlation, f"{a.name} and {b.name}")
            )
            return None
        exact = a.exact_hash == b.exact_hash
        return SameScan(
            a, b, turn_array(b.coarse, turn), match, turn, exact, False
        )

    def features(self, number: int) -> Features:
        """Return the fine features of a scan."""
        if number not in self._features:
            self._features[number] = fine_features(self.scans[number].coarse)
        return self._features[number]


def _better(candidates: Iterable[SameScan | None]) -> SameScan | None:
    """Return the pair of the highest correlation; None of none."""
    pairs = [pair for pair in candidates if pair is not None]
    return max(pairs, key=lambda pair: pair.match.correlation, default=None)


def _compare_reset(
    a: Fingerprint, b: Fingerprint, turns: Sequence[Turn]
) -> SameScan | None:
    """Compare two scans of which one lost its spacing: read that one again.

    The one with the larger voxels lends its spacing, turn by turn.
    """
    lender, borrower = (
        (a, b) if np.prod(a.spacing_mm) >= np.prod(b.spacing_mm) else (b, a)
    )
    array = borrower.read().array
    spacing = np.diag([*lender.spacing_mm, 1.0])
    one = fine_features(lender.coarse)
    same = []
    for turn in turns:
        if lender is b:
            turn = inverse(turn)
        coarse = coarse_copy(Volume(turn_array(array, turn), spacing))
        match = best_match(
            one, fine_features(coarse), min_common=MIN_COMMON_VOXELS
        )
        if match.correlation >= SAME_SCAN:
            same.append(
                SameScan(lender, borrower, coarse, match, turn, False, True)
            )
    return _better(same)
