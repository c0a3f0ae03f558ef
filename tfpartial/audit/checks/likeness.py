"""Which way up a scan is, from its image alone.

In: coarse scans. Out: scans that look like the others only after a turn. Says
something about unlabelled scans too, and whether an image shares the fault of
its annotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tfpartial.audit.checks.turns import AS_IT_IS, Signs
from tfpartial.audit.coarse import BODY_HU, COARSE_MM, Features, best_match

SMOOTH_MM = 6.0
# Every third voxel: 18 mm.
STRIDE = 3
HU_LIMITS = (-300.0, 400.0)
# Left and right look alike, so that this mirror cannot be told from an image.
TURNED: tuple[Signs, ...] = (
    (-1, -1, 1),
    (1, -1, -1),
    (-1, 1, -1),
    (1, -1, 1),
    (1, 1, -1),
)
REFERENCES = 10
MIN_REFERENCES = 6
MIN_OVERLAP = 0.4
# Mean gain in correlation, and the share of the references that must agree.
MIN_GAIN = 0.03
MIN_VOTES = 0.6


@dataclass(frozen=True)
class Likeness:
    """How a scan looks most like the others.

    Attributes:
        signs: along x, y, z.
        gain: mean correlation with them minus that without them.
        votes: share of the references with which it gains.
    """

    signs: Signs
    gain: float
    votes: float

    @property
    def turned(self) -> bool:
        """Whether the scan itself says that it is turned."""
        return (
            self.signs != AS_IT_IS
            and self.gain >= MIN_GAIN
            and self.votes >= MIN_VOTES
        )


def broad_features(hu: np.ndarray) -> Features:
    """Return HU against the mean of the body, smooth, on 18 mm.

    Args:
        hu: (i, j, k), HU, of `coarse_copy`.
    """
    smooth = ndimage.gaussian_filter(
        hu.astype(np.float32).clip(*HU_LIMITS), SMOOTH_MM / COARSE_MM
    )
    every = (slice(STRIDE // 2, None, STRIDE),) * 3
    body = (hu > BODY_HU)[every]
    values = smooth[every]
    mean = values[body].mean() if body.any() else 0.0
    return Features((values - mean) * body, body)


def likeness_of_all(scans: Sequence[np.ndarray]) -> list[Likeness]:
    """Compare every scan, as it is and turned, with up to 10 others.

    Args:
        scans: (i, j, k), HU, of `coarse_copy`, in any order; the references
            of a scan are spread evenly over the list.

    Returns:
        One Likeness per scan; the identity where fewer than 6 others exist.
    """
    features = [broad_features(hu) for hu in scans]
    number = len(features)
    if number <= MIN_REFERENCES:
        return [Likeness(AS_IT_IS, 0.0, 0.0)] * number
    likenesses = []
    for position, own in enumerate(features):
        others = [n for n in range(number) if n != position]
        chosen = np.linspace(0, len(others) - 1, min(REFERENCES, len(others)))
        references = [features[others[int(n)]] for n in np.rint(chosen)]
        likenesses.append(_likeness(own, references))
    return likenesses


def _likeness(own: Features, references: Sequence[Features]) -> Likeness:
    def correlations(signs: Signs) -> np.ndarray:
        turned = own.turn((0, 1, 2), tuple(s < 0 for s in signs))
        return np.array(
            [
                best_match(reference, turned, MIN_OVERLAP).correlation
                for reference in references
            ]
        )

    still = correlations(AS_IT_IS)
    best = Likeness(AS_IT_IS, 0.0, 0.0)
    for signs in TURNED:
        gains = correlations(signs) - still
        if gains.mean() > best.gain:
            best = Likeness(
                signs, float(gains.mean()), float((gains > 0).mean())
            )
    return best
