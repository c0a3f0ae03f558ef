"""What can be scored in a case: single labels, and merged ones as a group.

In: the label set of each stored code, the labels that the case annotates.
Out: `Structure`s; each knows which codes are inside, outside, or unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfpartial.labels import LabelSpace, background_candidates

JOINER = "+"


@dataclass(frozen=True, eq=False)
class Structure:
    """One thing to score.

    Attributes:
        name: the label, or 'LeftParotid+RightParotid' for a group.
        labels: (L,) bool; the prediction is the union of these.
        inside: (V,) bool, the stored codes that belong to it.
        unknown: (V,) bool, the codes that may or may not: their voxels are
            left out of reference and prediction (ignore).
    """

    name: str
    labels: np.ndarray
    inside: np.ndarray
    unknown: np.ndarray

    @property
    def grouped(self) -> bool:
        """Whether this is several labels that no voxel tells apart."""
        return int(self.labels.sum()) > 1

    def masks(
        self, stored: np.ndarray, prediction: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return its voxels in reference and prediction, to be compared.

        Formula (S the candidate set of a voxel's code, l its predicted label):
            reference: S inside;   prediction: l in G and S not unknown

        Args:
            stored: (I, J, K) integers, codes in [0, V).
            prediction: (I, J, K) integers, labels in [0, L).

        Returns:
            Two (I, J, K) bool: reference, prediction.
        """
        predicted = self.labels[prediction]
        if self.unknown.any():
            predicted &= ~self.unknown[stored]
        return self.inside[stored], predicted


def structures_of(
    stored_sets: np.ndarray, annotated: np.ndarray, space: LabelSpace
) -> list[Structure]:
    """Return what can be scored, in the order of the label space.

    Labels that share a merged set form one group: where a voxel may be left
    or right, neither has a Dice of its own, but their union has.

    Formula (G the labels of a structure, S the candidate set of a code):
        inside: S within G;  outside: S and G disjoint;  unknown: else

    Open background holds no annotated label, so it is outside.

    Args:
        stored_sets: (V, L) bool, row 0 background (`databases.stored_values`).
        annotated: (L,) bool, of the case.
        space: the label space.

    Returns:
        Structures of annotated labels only; none overlap.

    Example:
        sets {bg}, {cord}, {left, right}, all annotated
        -> 'cord' and 'left+right'
    """
    sets = np.array(stored_sets, bool)
    annotated = np.array(annotated, bool)
    sets[0] = background_candidates(annotated)
    annotated[0] = False
    structures = []
    for labels in _groups(sets, annotated):
        inside = ~(sets & ~labels).any(axis=1)
        if inside.any():
            unknown = (sets & labels).any(axis=1) & ~inside
            structures.append(
                Structure(_name(labels, space), labels, inside, unknown)
            )
    return structures


def stored_names(stored_sets: np.ndarray, space: LabelSpace) -> dict[int, str]:
    """Return code -> name of what it stores; background and ignore left out.

    For pictures of references, whose codes are not label indices.
    """
    names = {}
    for code, labels in enumerate(np.asarray(stored_sets, bool)):
        if code > 0 and not labels.all():
            names[code] = _name(labels, space)
    return names


def _name(labels: np.ndarray, space: LabelSpace) -> str:
    """Return the names of (L,) bool labels, in alphabetical order."""
    return JOINER.join(sorted(space.names[i] for i in np.flatnonzero(labels)))


def _groups(sets: np.ndarray, annotated: np.ndarray) -> list[np.ndarray]:
    """Return (L,) bool per group: annotated labels joined by merged sets.

    A set that reaches beyond the annotated labels (ignore, background, a
    label that this case does not annotate) joins nothing.
    """
    groups = [
        np.arange(len(annotated)) == label
        for label in np.flatnonzero(annotated)
    ]
    for merged in sets[~(sets & ~annotated).any(axis=1)]:
        touched = [group for group in groups if (group & merged).any()]
        if len(touched) > 1:
            apart = [group for group in groups if not (group & merged).any()]
            groups = [*apart, np.any(touched, axis=0)]
    return sorted(groups, key=lambda group: int(np.argmax(group)))
