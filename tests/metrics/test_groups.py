"""What can be scored: annotated labels, merged ones as a group."""

from __future__ import annotations

import numpy as np

from tfpartial.labels import Label, LabelSpace
from tfpartial.metrics.groups import stored_names, structures_of

SPACE = LabelSpace(
    tuple(Label(name) for name in ("cord", "right", "left", "jaw"))
)
BACKGROUND, CORD, RIGHT, LEFT, JAW = range(5)
EVERYTHING = set(range(5))


def sets(*rows: set[int]) -> np.ndarray:
    """Return (V, L) bool; row 0, background, is put in front."""
    table = np.zeros((len(rows) + 1, SPACE.num_labels), bool)
    table[0, BACKGROUND] = True
    for code, row in enumerate(rows, start=1):
        table[code, list(row)] = True
    return table


def annotated(*labels: int) -> np.ndarray:
    vector = np.zeros(SPACE.num_labels, bool)
    vector[[BACKGROUND, *labels]] = True
    return vector


def test_single_labels_in_the_order_of_the_label_space() -> None:
    structures = structures_of(sets({JAW}, {CORD}), annotated(CORD, JAW), SPACE)
    assert [s.name for s in structures] == ["cord", "jaw"]
    assert [s.grouped for s in structures] == [False, False]
    np.testing.assert_array_equal(structures[0].inside, [0, 0, 1])


def test_labels_that_the_case_does_not_annotate_are_no_structures() -> None:
    structures = structures_of(sets({CORD}, {JAW}), annotated(CORD), SPACE)
    assert [s.name for s in structures] == ["cord"]


def test_open_background_is_outside_of_annotated_structures() -> None:
    """Background may be jaw here, but it is not cord: nothing is unknown."""
    (cord,) = structures_of(sets({CORD}), annotated(CORD), SPACE)
    assert not cord.unknown.any()


def test_merged_labels_are_one_group() -> None:
    structures = structures_of(
        sets({CORD}, {LEFT, RIGHT}), annotated(CORD, LEFT, RIGHT), SPACE
    )
    assert [s.name for s in structures] == ["cord", "left+right"]
    group = structures[1]
    assert group.grouped
    np.testing.assert_array_equal(group.inside, [0, 0, 1])
    np.testing.assert_array_equal(np.flatnonzero(group.labels), [RIGHT, LEFT])


def test_a_label_stored_singly_and_merged_joins_the_group() -> None:
    """No voxel of the merged value says which one: 'left' has no Dice."""
    structures = structures_of(
        sets({LEFT}, {LEFT, RIGHT}), annotated(LEFT, RIGHT), SPACE
    )
    assert [s.name for s in structures] == ["left+right"]
    np.testing.assert_array_equal(structures[0].inside, [0, 1, 1])


def test_merged_sets_that_share_a_label_are_one_group() -> None:
    structures = structures_of(
        sets({LEFT, RIGHT}, {RIGHT, JAW}), annotated(LEFT, RIGHT, JAW), SPACE
    )
    assert [s.name for s in structures] == ["jaw+left+right"]


def test_ignore_is_unknown_and_joins_nothing() -> None:
    structures = structures_of(
        sets({CORD}, {JAW}, EVERYTHING), annotated(CORD, JAW), SPACE
    )
    assert [s.name for s in structures] == ["cord", "jaw"]
    for structure in structures:
        np.testing.assert_array_equal(structure.unknown, [0, 0, 0, 1])


def test_a_value_that_may_be_background_is_unknown_for_its_label() -> None:
    (cord,) = structures_of(
        sets({CORD}, {BACKGROUND, CORD}), annotated(CORD), SPACE
    )
    np.testing.assert_array_equal(cord.inside, [0, 1, 0])
    np.testing.assert_array_equal(cord.unknown, [0, 0, 1])


def test_a_label_without_a_sure_value_cannot_be_scored() -> None:
    table = sets({BACKGROUND, CORD})
    assert structures_of(table, annotated(CORD), SPACE) == []


def test_names_of_stored_codes() -> None:
    table = sets({JAW}, {RIGHT, LEFT}, EVERYTHING)
    assert stored_names(table, SPACE) == {1: "jaw", 2: "left+right"}
