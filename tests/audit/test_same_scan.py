"""Copies of scans: cropped, resampled, re-ordered, with lost headers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from synthetic import fingerprint, patient

from tfpartial.audit.same_scan.leaks import same_scan_findings
from tfpartial.audit.same_scan.pairs import find_same_scans
from tfpartial.audit.same_scan.profiles import (
    MIN_PLANES,
    plane_profiles,
    profile_distances,
)
from tfpartial.scans import Grid, Volume, resample_image
from tfpartial.scans.orientation import closest_to_ras, split_affine

CUT = (slice(6, 50), slice(4, 44), slice(5, 54))


def cropped(volume: Volume) -> Volume:
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in CUT]
    return Volume(volume.array[CUT], affine)


def resampled(volume: Volume) -> Volume:
    volume = cropped(volume)
    factors = np.array([1.3, 0.8, 1.2])
    affine = volume.affine.copy()
    affine[:3, :3] *= factors
    affine[:3, 3] += 1.1
    shape = tuple((np.array(volume.shape) / factors).astype(int))
    return Volume(resample_image(volume, Grid(shape, affine)), affine)


def directions_lost(volume: Volume) -> Volume:
    """Axes permuted, one flipped; the header knows spacings only."""
    volume = resampled(volume)
    array = volume.array.transpose(2, 0, 1)[:, ::-1]
    x, y, z = volume.spacing_mm
    return Volume(np.ascontiguousarray(array), np.diag([z, x, y, 1.0]))


def header_lost(volume: Volume) -> Volume:
    array = cropped(volume).array.transpose(1, 2, 0)[::-1]
    return Volume(np.ascontiguousarray(array), np.eye(4))


@pytest.mark.parametrize(
    "change", [cropped, resampled, directions_lost, header_lost]
)
def test_a_changed_copy_is_found_and_nothing_else(
    change: Callable[[Volume], Volume],
) -> None:
    scans = [fingerprint(f"p{n}", patient(n)) for n in range(5)]
    copy = change(patient(2))
    order = closest_to_ras(split_affine(copy.affine)[0])
    assert order.order == (0, 1, 2)  # as the audit would read it
    scans.insert(1, fingerprint("copy", copy, "test"))
    pairs = find_same_scans(scans)
    assert [{p.a.case, p.b.case} for p in pairs] == [{"copy", "p2"}]
    assert not pairs[0].exact
    assert pairs[0].lost_spacing == (change is header_lost)


def test_an_exact_copy_is_found_as_such() -> None:
    scans = [fingerprint(f"p{n}", patient(n % 3)) for n in range(4)]
    (pair,) = find_same_scans(scans)
    assert {pair.a.case, pair.b.case} == {"p0", "p3"}
    assert pair.exact
    assert pair.match.correlation == pytest.approx(1.0, abs=1e-4)


def test_one_scan_alone_is_no_pair() -> None:
    assert find_same_scans([fingerprint("p0", patient(0))]) == []


def test_the_leak_is_named() -> None:
    scans = [fingerprint("a", patient(0)),
             fingerprint("b", cropped(patient(0)), "test")]  # fmt: skip
    (finding,) = same_scan_findings(find_same_scans(scans))
    assert finding.where == "db/b"
    assert finding.others == ("db/a",)
    assert "LEAK: one is in train, the other in test" in finding.text
    assert "exact hash does not find it" in finding.text
    scans[1] = fingerprint("b", cropped(patient(0)), "train")
    (finding,) = same_scan_findings(find_same_scans(scans))
    assert "LEAK" not in finding.text


def test_profile_distance_is_that_of_its_slow_twin() -> None:
    one = plane_profiles(patient(0).array[:, :, :40])
    two = plane_profiles(patient(1).array[:30, :, 5:33])
    distances = profile_distances([one, two])
    for axis_a in range(3):
        for axis_b in range(3):
            for backwards in (0, 1):
                p = one[axis_a]
                q = two[axis_b][::-1] if backwards else two[axis_b]
                best = np.inf
                for offset in range(-len(q) + 1, len(p)):
                    low, high = max(0, offset), min(len(p), offset + len(q))
                    apart = p[low:high] - q[low - offset : high - offset]
                    square = (apart**2).sum(axis=1)
                    known = np.isfinite(square)
                    if known.sum() >= MIN_PLANES:
                        best = min(best, square[known].mean())
                assert distances[0, 1, axis_a, axis_b, backwards] == (
                    pytest.approx(best, rel=1e-4)
                )
