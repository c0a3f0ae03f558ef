"""The harness of the speed benchmarks: order, ratios, the table."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import measure
import pytest
import run_all


def test_sides_run_in_turn_after_a_warm_up() -> None:
    calls: list[str] = []
    seconds = measure.in_turn(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")},
        repeats=3,
        warmup=1,
    )
    assert "".join(calls) == "ba" + "ab" + "ba" + "ab"
    assert [len(values) for values in seconds.values()] == [3, 3]
    assert all(v > 0 for values in seconds.values() for v in values)


def test_a_ratio_is_of_neighbours_not_of_medians() -> None:
    # The machine is twice as slow in the second round, for both sides.
    seconds = {"a": [1.0, 4.0, 3.0], "b": [2.0, 8.0, 6.0]}
    assert measure.ratio(seconds, "a", "b") == 0.5
    # Medians would say 5 / 2.
    seconds = {"a": [1.0, 5.0, 9.0], "b": [2.0, 2.0, 90.0]}
    assert measure.ratio(seconds, "a", "b") == 0.5


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "met"),
    [(2.0, 1.6, True, True), (1.5, 1.6, True, False), (1.6, 1.6, True, True),
     (1.0, 1.1, False, True), (1.2, 1.1, False, False),
     (1.2, None, True, None)],
)  # fmt: skip
def test_targets(
    value: float, limit: float | None, at_least: bool, met: bool | None
) -> None:
    assert measure.Target("x", value, limit, at_least).met is met


def test_report_is_one_line_of_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    measure.report(
        "some", {"ours": [1.0, 2.0]},
        [measure.Target("ours / theirs", 0.5, 1.1, at_least=False)],
        {"same": True}, megabytes=3,
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    line = json.loads(printed)
    assert line["benchmark"] == "some"
    assert line["sides"]["ours"]["median_s"] == 1.5
    assert line["targets"][0]["met"] is True
    assert line["checked"] == {"same": True}
    assert line["megabytes"] == 3
    assert {"device", "cores", "versions", "commit"} <= set(line)


def test_the_table_replaces_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{run_all.BEGIN}\nold\n{run_all.END}\nafter\n")
    monkeypatch.setattr(run_all, "PAGE", page)
    monkeypatch.setattr(run_all, "RESULTS", tmp_path / "p" / "results.json")
    target = {"what": "ours / theirs", "value": 1.234, "limit": 1.1,
              "at_least": False, "met": False}  # fmt: skip
    line = {"targets": [target], "commit": "abc", "device": "A processor",
            "cores": 2, "versions": {"numpy": "2.0"}}  # fmt: skip
    run_all.write({"pipeline": line})
    text = page.read_text()
    place = "A processor, 2 cores, numpy 2.0"
    assert f"\n\nMeasured at commit abc, {place}.\n\n" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    row = "| `pipeline.py` | ours / theirs | 1.23 | ≤ 1.1 | **no** |"
    assert row in text
    run_all.write({"pipeline": line})
    assert page.read_text() == text
    assert list(json.loads(run_all.RESULTS.read_text())) == ["pipeline"]
    run_all.write({"pipeline": line, "startup": line | {"commit": "def"}})
    text = page.read_text()
    assert f"Measured at commit abc, {place} (pipeline)." in text
    assert f"Measured at commit def, {place} (startup)." in text


def test_a_failed_benchmark_shows_its_line_and_is_not_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "benchmarks").mkdir()
    script = tmp_path / "benchmarks" / "startup.py"
    script.write_text(
        "print('noise'); print('{\"checked\": 7}'); raise SystemExit(1)"
    )
    monkeypatch.setattr(run_all, "REPOSITORY", tmp_path)
    results = tmp_path / "results.json"
    monkeypatch.setattr(run_all, "RESULTS", results)
    monkeypatch.setattr(run_all, "PAGE", tmp_path / "none.md")
    line = {"targets": [], "commit": "abc"}
    results.write_text(json.dumps({"startup": line, "pipeline": line}))
    assert run_all.main(["--only", "startup"]) == 1
    said = capfd.readouterr().err
    assert '{"checked": 7}' in said
    assert "failed: startup" in said
    assert list(json.loads(results.read_text())) == ["pipeline"]


def test_a_nan_is_never_lost() -> None:
    nan = float("nan")
    for values in ([1.0, nan, 2.0], [nan, 1.0], [1.0, nan]):
        assert math.isnan(measure.worst(values))
    assert measure.worst([1.0, 3.0, 2.0]) == 3.0
    with pytest.raises(ValueError):
        measure.worst([])
    with pytest.raises(ValueError, match="not compared"):
        measure.report("it", {}, [], {"one": 0.0, "other": nan})


def test_results_that_are_written_make_no_commit_dirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True)

    page = tmp_path / "docs" / "performance.md"
    page.parent.mkdir()
    code = tmp_path / "code.py"
    for file in (page, code):
        file.write_text("before")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    monkeypatch.setattr(run_all, "REPOSITORY", tmp_path)
    monkeypatch.setattr(run_all, "git_commit", lambda: "abc-dirty")
    page.write_text("after")
    assert run_all.commit() == "abc"
    code.write_text("after")
    assert run_all.commit() == "abc-dirty"


def test_every_benchmark_of_the_list_is_there() -> None:
    for name in run_all.BENCHMARKS:
        assert (run_all.REPOSITORY / "benchmarks" / f"{name}.py").is_file()
