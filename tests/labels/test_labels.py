"""Label space, bitmasks and candidate tables, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfpartial.errors import InputError
from tfpartial.labels import (
    Label,
    LabelSpace,
    background_candidates,
    bitmask_from_vector,
    candidate_table,
    pack_stored_sets,
    resolved_labels,
    unpaired_sides,
    vector_from_bitmask,
)

SPACE = LabelSpace(
    (
        Label("bladder"),
        Label("left", mirror="right"),
        Label("right", mirror="left"),
    )
)


def _set(*names: str) -> np.ndarray:
    return SPACE.vector(names)


def test_background_is_channel_zero_and_order_is_index() -> None:
    assert SPACE.names == ("background", "bladder", "left", "right")
    assert [SPACE.index(name) for name in SPACE.names] == [0, 1, 2, 3]
    assert SPACE.num_labels == 4


def test_unknown_label_suggests_the_closest() -> None:
    with pytest.raises(InputError, match="Did you mean 'bladder'"):
        SPACE.index("blader")


def test_all_faults_of_a_label_space_together() -> None:
    with pytest.raises(InputError) as caught:
        LabelSpace((Label("a", mirror="b"), Label("b"), Label("b"),
                    Label("background")))  # fmt: skip
    text = str(caught.value)
    assert "'b' is listed twice" in text
    assert "'background', which is implied" in text
    assert "'a' mirrors 'b', which does not mirror it back" in text


def test_mirror_permutation_swaps_pairs_and_is_its_own_inverse() -> None:
    permutation = SPACE.mirror_permutation()
    assert permutation.dtype == np.int32
    assert permutation.tolist() == [0, 1, 3, 2]
    assert permutation[permutation].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("num_labels", "num_words"), [(64, 1), (65, 2), (255, 4)]
)
def test_words_of_a_bitmask(num_labels: int, num_words: int) -> None:
    space = LabelSpace(tuple(Label(f"l{n}") for n in range(num_labels - 1)))
    assert space.num_words == num_words
    assert bitmask_from_vector(np.ones(num_labels, bool)).shape == (num_words,)


def test_bit_l_is_label_l() -> None:
    words = bitmask_from_vector(np.arange(130) == 65)
    assert words.tolist() == [0, 2, 0]
    # Bit 63 is the sign of an int64.
    assert bitmask_from_vector(np.arange(64) == 63)[0] == -(2**63)


@given(st.lists(st.booleans(), min_size=1, max_size=255))
def test_bitmask_round_trip(bits: list[bool]) -> None:
    vector = np.array(bits)
    words = bitmask_from_vector(vector)
    np.testing.assert_array_equal(vector_from_bitmask(words, len(bits)), vector)


def test_bitmask_of_a_larger_label_space_is_refused() -> None:
    words = bitmask_from_vector(np.ones(10, bool))
    with pytest.raises(InputError, match="Build the records again"):
        vector_from_bitmask(words, 9)


def test_open_background_is_background_and_what_is_not_annotated() -> None:
    annotated = _set("bladder")
    expected = _set("background", "left", "right")
    np.testing.assert_array_equal(background_candidates(annotated), expected)
    everything = np.ones(4, bool)
    np.testing.assert_array_equal(
        background_candidates(everything), _set("background")
    )


MERGED = pack_stored_sets(
    [_set("bladder"), _set("left", "right"), np.ones(4, bool)]
)


def test_candidate_table_of_each_supervision() -> None:
    annotated = _set("bladder")
    partial = candidate_table(MERGED, annotated)
    naive = candidate_table(MERGED, annotated, "naive")
    unlabelled = candidate_table(MERGED, annotated, "unlabelled")
    np.testing.assert_array_equal(
        partial[0], _set("background", "left", "right")
    )
    np.testing.assert_array_equal(naive[0], _set("background"))
    # Naive training changes background only: merged and ignore keep theirs.
    np.testing.assert_array_equal(naive[1:], partial[1:])
    np.testing.assert_array_equal(partial[1:], MERGED[1:])
    assert unlabelled.all()


def test_table_depends_on_what_is_declared_not_on_a_patch() -> None:
    # Trap 2: a background-only patch of an annotated organ
    # must say that the organ is not there.
    annotated = np.ones(4, bool)
    table = candidate_table(MERGED, annotated)
    np.testing.assert_array_equal(table[0], _set("background"))


def test_every_set_with_background_is_open_to_what_is_not_annotated() -> None:
    # "left or nothing" where the bladder is not annotated: nothing may be it.
    sets = pack_stored_sets(
        [_set("background", "left"), _set("right"), np.ones(4, bool)]
    )
    annotated = _set("background", "left", "right")
    partial = candidate_table(sets, annotated)
    np.testing.assert_array_equal(
        partial,
        [
            _set("background", "bladder"),
            _set("background", "bladder", "left"),
            _set("right"),
            np.ones(4, bool),
        ],
    )
    naive = candidate_table(sets, annotated, "naive")
    np.testing.assert_array_equal(naive, sets)


def test_merged_labels_are_annotated_but_not_resolved() -> None:
    annotated = _set("background", "bladder", "left", "right")
    resolved = resolved_labels(MERGED, annotated)
    np.testing.assert_array_equal(resolved, _set("background", "bladder"))


def test_unknown_supervision_is_an_error() -> None:
    with pytest.raises(ValueError, match="received 'other'"):
        candidate_table(MERGED, _set("bladder"), "other")  # type: ignore[arg-type]


def test_at_most_256_stored_values() -> None:
    fullest = pack_stored_sets([_set("bladder")] * 255)
    assert fullest.shape == (256, 4)
    with pytest.raises(InputError, match="256"):
        pack_stored_sets([_set("bladder")] * 256)


def test_stored_sets_are_bool_whatever_they_were() -> None:
    assert pack_stored_sets([_set("bladder").astype(np.uint8)]).dtype == bool


def test_one_label_is_enough_and_none_is_not() -> None:
    assert LabelSpace((Label("liver"),)).num_labels == 2
    with pytest.raises(InputError, match="found 0"):
        LabelSpace(())


def test_both_sides_of_a_pair_name_each_other() -> None:
    left, right = Label("left", mirror="right"), Label("right", mirror="left")
    assert LabelSpace((left, right)).mirror_permutation().tolist() == [0, 2, 1]
    with pytest.raises(InputError, match="'middle' mirrors 'left'"):
        LabelSpace((left, right, Label("middle", mirror="left")))


@pytest.mark.parametrize("num_labels", [10, 64, 130])
def test_bitmasks_of_many_vectors_are_those_of_each(num_labels: int) -> None:
    vectors = np.random.default_rng(0).random((2, 3, num_labels)) < 0.5
    words = bitmask_from_vector(vectors)
    assert words.dtype == np.int64
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(
            words[place], bitmask_from_vector(vectors[place])
        )
    bits = vector_from_bitmask(words, num_labels)
    assert bits.dtype == bool
    np.testing.assert_array_equal(bits, vectors)


@pytest.mark.parametrize(
    ("stored", "annotated", "resolved"),
    [
        ((["bladder"], ["left"], ["right"]), SPACE.names, SPACE.names),
        # Declared and annotated, but no stored value: nothing says where.
        ((["bladder"], ["left"]), SPACE.names,
         ("background", "bladder", "left")),
        ((["bladder"], ["left"]), ("background", "left", "right"), ("left",)),
        # Some voxels of left are left or right.
        ((["bladder"], ["left"], ["left", "right"]), SPACE.names,
         ("background", "bladder")),
        # Ignored voxels say nothing about any label.
        ((["bladder"], SPACE.names), ("background", "bladder"), ("bladder",)),
    ],
)  # fmt: skip
def test_resolved_is_what_single_values_tell(
    stored: tuple, annotated: tuple, resolved: tuple
) -> None:
    sets = pack_stored_sets([_set(*names) for names in stored])
    np.testing.assert_array_equal(
        resolved_labels(sets, _set(*annotated)), _set(*resolved)
    )


def test_zeros_and_ones_are_as_good_as_bool() -> None:
    sets, annotated = MERGED.astype(np.uint8), _set("bladder").astype(np.uint8)
    for found, expected in (
        (background_candidates(annotated),
         background_candidates(_set("bladder"))),
        (candidate_table(sets, annotated),
         candidate_table(MERGED, _set("bladder"))),
        (resolved_labels(sets, annotated),
         resolved_labels(MERGED, _set("bladder"))),
    ):  # fmt: skip
        assert found.dtype == bool
        np.testing.assert_array_equal(found, expected)


def test_a_stored_value_that_may_be_nothing_is_named() -> None:
    sets = np.concatenate([MERGED, np.zeros((1, 4), bool)])
    with pytest.raises(ValueError, match=r"\[4\]"):
        candidate_table(sets, _set("bladder"))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("kidney_left", "kidney_right"),
        ("LeftParotid", "RightParotid"),
        ("Lung_L", "Lung_R"),
        ("left lung", "right lung"),
    ],
)
def test_names_with_sides_and_no_mirror(left, right):
    others = [Label("liver"), Label("vertebra_L1"), Label("femur_left")]
    space = LabelSpace((*others, Label(right), Label(left)))
    assert unpaired_sides(space) == [(left, right)]
    paired = (Label(left, mirror=right), Label(right, mirror=left))
    assert unpaired_sides(LabelSpace((*others, *paired))) == []
