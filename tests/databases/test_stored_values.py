"""Codes and sets of a database's declared values."""

import numpy as np
import pytest

from tfpartial.config.database import CaseOverride, Database
from tfpartial.databases import check_declared_labels_occur, stored_values
from tfpartial.databases.stored_values import annotated_labels
from tfpartial.errors import InputError
from tfpartial.labels import Label, LabelSpace, resolved_labels

SPACE = LabelSpace(
    (
        Label("liver"),
        Label("kidney_l", mirror="kidney_r"),
        Label("kidney_r", mirror="kidney_l"),
    )
)


def declare(values, **fields):
    fields = {"layout": "label_map_folder", "path": ".", **fields}
    return Database(
        name="db", values=values, licence="none", citation="none", **fields
    )


def test_distinct_sets_are_numbered_in_order_of_declaration():
    stored = stored_values(
        declare(
            {
                7: ["kidney_r", "kidney_l"],
                1: "liver",
                2: "background",
                3: "liver",
                9: "ignore",
            }
        ),
        SPACE,
    )
    assert stored.code_of == {"7": 1, "1": 2, "2": 0, "3": 2, "9": 3}
    expected = np.array(
        # background liver kidney_l kidney_r
        [[1, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 0], [1, 1, 1, 1]],
        bool,
    )
    np.testing.assert_array_equal(stored.sets, expected)
    assert stored.ignore_code == 3


def test_merged_labels_are_annotated_but_not_resolved():
    database = declare({1: "liver", 2: ["kidney_l", "kidney_r"]})
    stored = stored_values(database, SPACE)
    annotated = annotated_labels(database, stored, SPACE)
    assert annotated.tolist() == [True, True, True, True]
    assert resolved_labels(stored.sets, annotated).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_ignore_annotates_nothing():
    database = declare({1: "liver", 9: "ignore"})
    stored = stored_values(database, SPACE)
    annotated = annotated_labels(database, stored, SPACE)
    assert annotated.tolist() == [True, True, False, False]


def test_a_field_of_view_gets_a_code_to_ignore_with():
    database = declare({1: "liver"}, field_of_view="fov.nii.gz")
    stored = stored_values(database, SPACE)
    assert stored.sets.shape == (2 + 1, 4)
    assert stored.ignore_code == 2
    assert stored_values(declare({1: "liver"}), SPACE).ignore_code is None


def test_only_background_is_one_row():
    stored = stored_values(declare({1: "background"}), SPACE)
    assert stored.sets.tolist() == [[True, False, False, False]]
    assert stored.code_of == {"1": 0}


def test_faults_of_values_come_together():
    with pytest.raises(InputError) as caught:
        stored_values(
            declare({1: "livr", 2: [], 3: ["liver", "ignore"]}), SPACE
        )
    assert len(caught.value.faults) == 3
    text = str(caught.value)
    assert "values '1': label 'livr'" in text
    assert "Did you mean 'liver'?" in text
    assert "values '2'" in text
    assert "empty list" in text
    assert "expected 'ignore' alone" in text


def test_more_than_256_stored_values():
    space = LabelSpace(tuple(Label(f"l{i}") for i in range(254)))
    values = {i + 1: f"l{i}" for i in range(254)}
    values[300] = ["l0", "l1"]
    assert len(stored_values(declare(values), space).sets) == 256
    values[301] = ["l0", "l2"]
    with pytest.raises(InputError, match="at most 256 stored values"):
        stored_values(declare(values), space)


def test_annotated_and_values_must_agree():
    database = declare(
        {1: "liver"},
        annotated=["kidney_l"],
        cases={"a": CaseOverride(annotated=["kidney_r"])},
    )
    with pytest.raises(InputError) as caught:
        annotated_labels(database, stored_values(database, SPACE), SPACE)
    text = str(caught.value)
    assert "'annotated' lists 'kidney_l', which no entry of 'values'" in text
    assert "'cases.a.annotated' lists 'kidney_r'" in text
    assert "'values' declares 'liver', which 'annotated' does not" in text


def test_an_override_may_annotate_more_than_its_database():
    database = declare(
        {1: "liver", 2: "kidney_l"},
        annotated=["liver"],
        cases={"a": CaseOverride(annotated=["liver", "kidney_l"])},
    )
    stored = stored_values(database, SPACE)
    annotated = annotated_labels(database, stored, SPACE)
    assert annotated.tolist() == [True, True, False, False]


def test_a_declared_label_must_occur_in_some_case():
    database = declare({1: "liver", 2: ["kidney_l", "kidney_r"], 9: "ignore"})
    check_declared_labels_occur(database, SPACE, [0, 1, 1, 0])
    with pytest.raises(InputError) as caught:
        check_declared_labels_occur(database, SPACE, [5, 1, 0, 5])
    assert len(caught.value.faults) == 2
    assert "declared label 'kidney_l' (values 2), found none" in str(
        caught.value
    )


def test_a_merged_voxel_shows_each_of_its_labels():
    database = declare({1: "kidney_l", 2: ["kidney_l", "kidney_r"]})
    check_declared_labels_occur(database, SPACE, [0, 0, 1])
    with pytest.raises(InputError, match="'kidney_r' .values 2."):
        check_declared_labels_occur(database, SPACE, [0, 1, 0])


def test_counts_must_have_one_entry_per_code():
    with pytest.raises(ValueError, match=r"expected shape \(2,\)"):
        check_declared_labels_occur(declare({1: "liver"}), SPACE, [1, 2, 3])
