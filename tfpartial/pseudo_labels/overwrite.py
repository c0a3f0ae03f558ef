"""The heart of pseudo-labelling: which voxels change, and into what.

In: stored values and predicted labels of one scan. Out: new stored values.
numpy only.
"""

from __future__ import annotations

import numpy as np


def overwrite_background(
    labels: np.ndarray,
    prediction: np.ndarray,
    annotated: np.ndarray,
    code_of_label: np.ndarray,
) -> np.ndarray:
    """Overwrite stored background by predicted labels that are not annotated.

    Formula:
        new(x) = code(prediction(x))  if stored(x) = 0 and
                                         prediction(x) in Y_o,k
                 stored(x)            otherwise
    Symbols: Y_o,k = Y - Y_k -> ~annotated; background is no label of Y.

    Where the network predicts an annotated label, the annotator is believed:
    the voxel stays background. Merged structures and ignore never change.

    Args:
        labels: (I, J, K) uint8 stored values; 0 is background.
        prediction: (I, J, K) integer label indices in [0, L).
        annotated: (L,) bool, what the *case* annotates: the union of all its
            sets, merged ones included; column 0 (background) is true.
        code_of_label: (L,) uint8, the stored value that means "pseudo-label
            l"; 0 for labels that get none.

    Returns:
        (I, J, K) uint8, a new array.

    Raises:
        ValueError: shapes or lengths disagree.

    Holds:
        only background changes; an annotated label is never written.

    Example:
        stored (0, 0, 0, 1), prediction (2, 1, 0, 2), label 1 annotated, code
        of label 2 = 5 -> (5, 0, 0, 1)

    Source: Learning from Partially Overlapping Labels (2021, arXiv
    2107.05938), the systems PL and ACE/PL. Differs from it in: nothing.
    """
    labels, prediction = np.asarray(labels), np.asarray(prediction)
    annotated = np.asarray(annotated, bool)
    if labels.shape != prediction.shape:
        raise ValueError(
            f"prediction: expected the shape of the labels {labels.shape}, "
            f"received {prediction.shape}."
        )
    if annotated.shape != np.shape(code_of_label):
        raise ValueError(
            f"code_of_label: expected shape {annotated.shape}, received "
            f"{np.shape(code_of_label)}."
        )
    codes = np.where(annotated, 0, code_of_label).astype(np.uint8)
    codes[0] = 0
    return np.where(labels == 0, codes[prediction], labels).astype(np.uint8)


def count_changes(
    before: np.ndarray, after: np.ndarray, code_of_label: np.ndarray
) -> np.ndarray:
    """Return (L,) int64: voxels that became the pseudo-label of each label.

    Args:
        before: (I, J, K) uint8 stored values.
        after: (I, J, K) uint8, of `overwrite_background`.
        code_of_label: (L,) uint8, 0 for labels without a pseudo-label.
    """
    counts = np.bincount(after[before != after], minlength=256)
    return np.where(code_of_label > 0, counts[code_of_label], 0)
