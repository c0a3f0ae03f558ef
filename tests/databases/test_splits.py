"""Splits by hash and by file."""

import hashlib
import json

import pytest

from tfpartial.config.experiment import Splits
from tfpartial.databases import patient_of, split_cases
from tfpartial.databases.splits import split_of_patient
from tfpartial.errors import InputError


def make_cases(*case_ids):
    """Case id -> patient id: every case is a patient of its own."""
    return {case_id: case_id for case_id in case_ids}


def splits_of_file(tmp_path, contents, **fields):
    path = tmp_path / "splits.json"
    path.write_text(json.dumps(contents))
    return Splits(file=str(path), **fields)


def test_hash_is_the_documented_formula():
    digest = hashlib.sha256(b"3:p1").hexdigest()
    share = int(digest[:16], 16) / 2**64
    below = Splits(test_share=share - 1e-6, validation_share=0, seed=3)
    above = Splits(test_share=share + 1e-6, validation_share=0, seed=3)
    assert split_of_patient("p1", below) == "train"
    assert split_of_patient("p1", above) == "test"
    middle = Splits(test_share=share - 1e-6, validation_share=2e-6, seed=3)
    assert split_of_patient("p1", middle) == "validation"


def test_shares_are_met_on_many_patients():
    splits = Splits(test_share=0.2, validation_share=0.1)
    sides = [split_of_patient(f"p{i}", splits) for i in range(4000)]
    # Standard deviation of a share of .2 over 4000 draws: 0.0063.
    assert abs(sides.count("test") / 4000 - 0.2) < 0.02
    assert abs(sides.count("validation") / 4000 - 0.1) < 0.02


def test_hash_does_not_depend_on_the_other_cases():
    few = split_cases({"db": make_cases("a", "b")}, Splits())
    names = [chr(ord("a") + i) for i in range(20)]
    many = split_cases({"db": make_cases(*names)}, Splits())
    assert few.items() <= many.items()
    other = split_cases({"db": make_cases(*names)}, Splits(seed=1))
    assert other != many


def test_a_patient_stays_on_one_side_by_hash():
    patients = {f"p{i}_{visit}": f"p{i}" for i in range(50) for visit in "ab"}
    assignment = split_cases({"db": patients}, Splits(test_share=0.5))
    for i in range(50):
        assert assignment["db", f"p{i}_a"] == assignment["db", f"p{i}_b"]
    assert set(assignment.values()) == {"train", "validation", "test"}


def test_a_file_decides_and_validation_cases_move(tmp_path):
    splits = splits_of_file(
        tmp_path,
        {"db": {"train": ["a", "b"], "test": ["c"]}},
        validation_cases={"db": ["b"]},
    )
    assignment = split_cases({"db": make_cases("a", "b", "c")}, splits)
    assert assignment == {
        ("db", "a"): "train",
        ("db", "b"): "validation",
        ("db", "c"): "test",
    }


def test_a_database_that_the_file_leaves_out_is_hashed(tmp_path):
    splits = splits_of_file(tmp_path, {"db": {"test": ["a"]}})
    cases = {"db": make_cases("a"), "other": make_cases("x")}
    assignment = split_cases(cases, splits)
    assert assignment["other", "x"] == split_of_patient("x", splits)


def test_a_file_may_serve_more_databases_than_are_declared(tmp_path):
    contents = {"db": {"test": ["a"]}, "other": {"train": ["x"]}}
    splits = splits_of_file(tmp_path, contents)
    assert split_cases({"db": make_cases("a")}, splits) == {("db", "a"): "test"}


def test_a_misspelt_database_is_not_split_by_hash(tmp_path):
    splits = splits_of_file(tmp_path, {"db_1": {"test": ["a"]}})
    with pytest.raises(InputError, match="'db_1'|db_1.*Did you mean 'db1'"):
        split_cases({"db1": make_cases("a")}, splits)


def test_faults_of_a_file_come_together(tmp_path):
    contents = {"db": {"train": ["a", "z1"], "test": ["a"]}}
    splits = splits_of_file(
        tmp_path, contents, validation_cases={"db": ["nobody"]}
    )
    with pytest.raises(InputError) as caught:
        split_cases({"db": make_cases("a", "b1")}, splits)
    text = str(caught.value)
    assert "case 'a' is listed twice (train and test)" in text
    assert "does not contain: z1" in text
    assert "1 case(s) of the database are in no split: b1" in text
    assert "found 'nobody', no such case" in text
    assert len(caught.value.faults) == 4


def test_excluded_cases_may_stay_in_the_file(tmp_path):
    splits = splits_of_file(tmp_path, {"db": {"test": ["a", "gone"]}})
    cases = {"db": make_cases("a")}
    with pytest.raises(InputError, match="gone"):
        split_cases(cases, splits)
    assert split_cases(cases, splits, {"db": ["gone"]}) == {("db", "a"): "test"}


def test_a_test_case_cannot_become_validation(tmp_path):
    splits = splits_of_file(
        tmp_path, {"db": {"test": ["a"]}}, validation_cases={"db": ["a"]}
    )
    with pytest.raises(InputError, match="found 'a', a test case"):
        split_cases({"db": make_cases("a")}, splits)


def test_a_file_may_not_divide_a_patient(tmp_path):
    splits = splits_of_file(
        tmp_path, {"db": {"train": ["p1_a"], "test": ["p1_b"]}}
    )
    with pytest.raises(
        InputError, match="patient 'p1' is in several splits: p1_a in train"
    ):
        split_cases({"db": {"p1_a": "p1", "p1_b": "p1"}}, splits)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([], "expected {database"),
        ({"db": ["a"]}, "expected {database"),
        ({"db": {"valid": ["a"]}}, "unknown split 'valid'. Did you mean"),
        ({"db": {"test": "a"}}, "'db.test': expected a list of case ids"),
    ],
)
def test_the_shape_of_a_file(tmp_path, contents, message):
    with pytest.raises(InputError) as caught:
        split_cases({"db": make_cases("a")}, splits_of_file(tmp_path, contents))
    assert message in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    cases = {"db": make_cases("a")}
    with pytest.raises(InputError, match="expected a JSON file, found none"):
        split_cases(cases, Splits(file=str(tmp_path / "no.json")))
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        split_cases(cases, Splits(file=str(broken)))


def test_shares_beyond_one():
    with pytest.raises(InputError, match="found 0.6 \\+ 0.6"):
        split_cases({}, Splits(validation_share=0.6, test_share=0.6))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "not a regular expression"),
        ("p", "expected a group"),
        ("(q)", "does not fit case id 'p1'"),
    ],
)
def test_patient_patterns(pattern, message):
    with pytest.raises(InputError, match=message):
        patient_of("p1", pattern)
