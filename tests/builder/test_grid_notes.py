"""What a build tells of annotations beside their scans, and of tilt."""

from tfrecords_builder.grid_notes import grid_warnings, tilt_lines

CASES = {"a": (0.0, 0.0), "b": (0.04, 15.0), "c": (5e-4, 0.0), "d": (0.1, 0.3)}
DECLARED = {
    "database": "head",
    "cases": [
        {"case": case, "grid_off_mm": off, "shear_degrees": degrees}
        for case, (off, degrees) in CASES.items()
    ],
}


def test_cases_beside_their_scan_are_counted_in_one_line():
    (line,) = grid_warnings(DECLARED)
    for word in ("'head'", "2 of 4", "0.1 mm", "b, d"):
        assert word in line
    none = DECLARED | {"cases": DECLARED["cases"][::2]}
    assert grid_warnings(none) == []


def test_each_tilted_scan_is_told_with_its_angle():
    first, second = tilt_lines(DECLARED)
    assert first.startswith("head/b: ")
    assert "15 degrees" in first
    assert "head/d" in second
