"""The benchmark of the exported model, at toy size."""

from __future__ import annotations

import json

import pytest
import savedmodel


@pytest.mark.slow
def test_both_ways_segment_alike(capsys: pytest.CaptureFixture[str]) -> None:
    assert savedmodel.main(["--quick"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["checked"]["different_voxels"] <= 1e-3
    assert len(line["labels_found"]) > 1
    assert set(line["sides"]) == {"SavedModel", "predict"}
    (target,) = line["targets"]
    assert (target["limit"], target["at_least"]) == (1.1, False)
