"""benchmarks/build_records.py at toy size: its check, its line, its targets."""

from __future__ import annotations

import json

import build_records
import pytest


def test_one_line_with_time_and_size(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert build_records.main(["--quick"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(line["sides"]) == {"build", "inflate", "resample"}
    time, size, rate = line["targets"]
    assert (time["limit"], time["at_least"]) == (3.0, False)
    assert (size["limit"], size["at_least"]) == (3.0, False)
    megabytes = line["megabytes"]
    assert size["value"] == pytest.approx(
        megabytes["records"] / megabytes["compressed_scans"]
    )
    assert rate["value"] == pytest.approx(
        line["cases"] / line["sides"]["build"]["median_s"]
    )
    assert line["checked"] == {"same_voxels": True}


def test_other_voxels_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def other(*arguments: object, **options: object) -> object:
        return original(*arguments, **options) + 1

    original = build_records.resample_labels
    monkeypatch.setattr(build_records, "resample_labels", other)
    assert build_records.main(["--quick"]) == 1
    capsys.readouterr()
