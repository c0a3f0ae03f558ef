"""benchmarks/preprocess.py at toy size: its check, its line, its targets."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import preprocess
import pytest


def test_one_line_with_both_targets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert preprocess.main(["--quick"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    peers = {"by_hand": (1.3, False)}
    if importlib.util.find_spec("monai"):
        peers["monai"] = (1.7, True)
        assert line["skipped"] == []
    else:
        assert line["skipped"] == ["monai: not installed"]
    assert set(line["sides"]) == {"ours", *peers}
    assert [(t["limit"], t["at_least"]) for t in line["targets"]] == list(
        peers.values()
    )
    assert line["checked"]["by_hand/image"] == 0
    assert line["checked"]["by_hand/labels"] == 0


def test_other_voxels_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def off(work: preprocess.Work) -> preprocess.Result:
        image, labels = original(work)
        return image + np.float32(0.05), labels

    original = preprocess.Work.by_hand
    monkeypatch.setattr(preprocess.Work, "by_hand", off)
    assert preprocess.main(["--quick"]) == 1
    capsys.readouterr()


def test_voxels_that_are_nan_differ() -> None:
    image, labels = np.zeros((2, 2, 2)), np.ones((2, 2, 2), np.uint8)
    found = preprocess.differences(
        {"ours": (image, labels), "by_hand": (image * np.nan, labels)}
    )
    assert found == {"by_hand/image": 1.0, "by_hand/labels": 0.0}
