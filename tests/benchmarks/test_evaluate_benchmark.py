"""The benchmark of the metrics, at toy size."""

from __future__ import annotations

import json

import evaluate
import numpy as np
import pytest

# The peer's own calls of scipy's old names.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:surface_distance"
)


def test_every_side_finds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--quick"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert max(line["checked"].values()) <= 1.0
    assert "surface-distance" in line["peers"]
    (scan,) = line["scans"].values()
    assert np.shape(scan["scores"]) == (line["labels"], 3)
    named = [target["what"].split(" / ")[0] for target in line["targets"]]
    assert named == [f"time of {peer}" for peer in line["peers"]]


def test_the_limit_is_three_above_a_million_voxels_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evaluate, "LARGE_VOXELS", 1e4)
    evaluate.main(["--quick"])
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    limits = [target["limit"] for target in line["targets"]]
    assert limits == [3.0] * len(line["peers"])


def test_other_numbers_fail_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = evaluate.theirs
    monkeypatch.setattr(evaluate, "theirs", lambda *g: real(*g) + 1e-6)
    assert evaluate.main(["--quick"]) == 1
