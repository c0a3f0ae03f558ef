"""overwrite_background: a worked example, a slow twin, what never changes."""

from __future__ import annotations

import numpy as np
import pytest

from tfpartial.errors import InputError
from tfpartial.pseudo_labels.database_plan import append_stored_values
from tfpartial.pseudo_labels.overwrite import (
    count_changes,
    overwrite_background,
)


def slow_overwrite(labels, prediction, annotated, code_of_label):
    """The rule of docs/pseudo_labels.md, voxel by voxel."""
    new = labels.copy()
    for voxel in np.ndindex(labels.shape):
        label = int(prediction[voxel])
        is_missing = label > 0 and not annotated[label]
        if labels[voxel] == 0 and is_missing and code_of_label[label] > 0:
            new[voxel] = code_of_label[label]
    return new


def random_scan(seed):
    """Stored values 0 ... 4 and predictions 0 ... 5; labels 1, 4 annotated."""
    random = np.random.default_rng(seed)
    labels = random.choice([0, 0, 0, 1, 2, 3, 4], (7, 6, 5)).astype(np.uint8)
    prediction = random.integers(0, 6, labels.shape).astype(np.uint8)
    annotated = np.array([True, True, False, False, True, False])
    codes = np.array([0, 0, 5, 6, 0, 0], np.uint8)
    return labels, prediction, annotated, codes


def test_worked_example():
    found = overwrite_background(
        np.array([[[0, 0, 0, 1]]], np.uint8),
        np.array([[[2, 1, 0, 2]]]),
        np.array([True, True, False]),
        np.array([0, 0, 5], np.uint8),
    )
    assert found.dtype == np.uint8
    assert found.tolist() == [[[5, 0, 0, 1]]]


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_slow_twin(seed):
    labels, prediction, annotated, codes = random_scan(seed)
    before = labels.copy()
    found = overwrite_background(labels, prediction, annotated, codes)
    expected = slow_overwrite(labels, prediction, annotated, codes)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(labels, before)
    counts = count_changes(labels, found, codes)
    for label, count in enumerate(counts):
        is_new = (found == codes[label]) & (labels != found)
        assert count == (is_new.sum() if codes[label] else 0)
    assert counts[2] > 0
    assert counts[3] > 0


@pytest.mark.parametrize("seed", range(5))
def test_only_background_changes(seed):
    labels, prediction, annotated, codes = random_scan(seed)
    found = overwrite_background(labels, prediction, annotated, codes)
    assert (labels[found != labels] == 0).all()
    assert (found != labels).any()


def test_an_annotated_label_is_never_written():
    """Even if it has a code: another case of the database may lack it."""
    labels, prediction, annotated, _ = random_scan(0)
    codes = np.array([0, 7, 8, 9, 10, 11], np.uint8)
    found = overwrite_background(labels, prediction, annotated, codes)
    assert set(np.unique(found)) == {0, 1, 2, 3, 4, 8, 9, 11}
    everything = np.ones(6, bool)
    found = overwrite_background(labels, prediction, everything, codes)
    np.testing.assert_array_equal(found, labels)


def test_background_has_no_pseudo_label():
    """A code in column 0 would turn every background voxel into it."""
    labels, prediction, annotated, codes = random_scan(0)
    annotated[0], codes[0] = False, 9
    found = overwrite_background(labels, prediction, annotated, codes)
    assert 9 not in found


def test_shapes_that_disagree_are_named():
    labels, prediction, annotated, codes = random_scan(0)
    with pytest.raises(ValueError, match="prediction: expected the shape"):
        overwrite_background(labels, prediction[1:], annotated, codes)
    with pytest.raises(ValueError, match="code_of_label: expected shape"):
        overwrite_background(labels, prediction, annotated, codes[1:])


def test_each_label_gets_its_own_stored_value_after_ignore():
    sets = np.array(
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1]], bool
    )
    codes, appended = append_stored_values(
        sets, np.array([False, False, True, True]), "db"
    )
    assert codes.tolist() == [0, 0, 4, 5]
    np.testing.assert_array_equal(appended[:4], sets)
    # Label 3 has an annotator's value 2 already; its pseudo-label is 5.
    assert appended[4:].tolist() == [
        [False, False, True, False],
        [False, False, False, True],
    ]


def test_no_room_for_more_stored_values_is_named():
    sets = np.ones((253, 4), bool)
    wanted = np.array([False, True, True, False])
    codes, _ = append_stored_values(sets, wanted, "db")
    assert codes.max() == 254  # 255 is kept for voxels outside a scan
    wanted[3] = True
    with pytest.raises(InputError, match="'db': expected at most 255.*253"):
        append_stored_values(sets, wanted, "db")
