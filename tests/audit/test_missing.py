"""Cases and structures that are empty where the others are not."""

from synthetic import case_of, structure

from tfpartial.audit.checks.missing import missing_findings


def case_with(name, **voxels):
    return case_of(
        "db", name, *(structure(n, voxels=v) for n, v in voxels.items())
    )


WHOLE = [case_with(f"c{n}", liver=9, spleen=9) for n in range(4)]


def found(*cases):
    return {(f.case, f.label) for f in missing_findings([*WHOLE, *cases])}


def test_an_empty_case_and_a_lost_structure():
    empty = case_with("empty", liver=0, spleen=0)
    lost = case_with("lost", liver=9, spleen=0)
    # An empty case does not hide that all others have a spleen.
    assert found(empty, lost) == {("empty", ""), ("lost", "spleen")}


def test_what_two_cases_lack_is_no_accident():
    lacking = [case_with(f"l{n}", liver=9, spleen=0) for n in range(2)]
    assert found(*lacking) == set()


def test_other_databases_and_what_is_not_annotated_say_nothing():
    elsewhere = case_of("other", "o", structure("liver", voxels=0))
    partial = case_with("p", liver=9)
    unread = case_of("db", "u")
    assert found(elsewhere, partial, unread) == set()


def test_few_cases_say_nothing_of_a_structure():
    few = [*WHOLE[:3], case_with("lost", liver=9, spleen=0)]
    assert missing_findings(few) == []
