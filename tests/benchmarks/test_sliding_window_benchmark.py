"""The benchmark of a whole scan, at toy size; its peer's network."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
import sliding_window
from other_process import OtherProcess

HAS_PEERS = bool(find_spec("torch") and find_spec("monai"))


@pytest.mark.slow
def test_both_sides_segment_alike(capsys: pytest.CaptureFixture[str]) -> None:
    assert sliding_window.main(["--quick"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(line["checked"]) == (3 if HAS_PEERS else 0)
    for share in line["checked"].values():
        assert share <= sliding_window.MAX_DIFFERENT
    assert len(line["labels_found"]) > 1
    limits = [target["limit"] for target in line["targets"]]
    wanted = [2.0, None, 1 / 2, 1 / 2, 1 / 3, 1 / 3]
    assert limits == (wanted if HAS_PEERS else [])
    for labels in ("8", "100"):
        assert line["peak_mb"][labels]["ours"] > line["idle_mb"][labels]["ours"]
    assert ("monai" in line["sides"]) == HAS_PEERS


def hold(megabytes: int) -> dict:
    held = []
    return {
        "hold": lambda: held.append(np.ones(megabytes * 2**20, np.uint8)),
        "peak": sliding_window.peak_mb,
    }


def test_the_peak_is_of_the_process_that_is_asked() -> None:
    with OtherProcess(hold, 64) as side:
        before = side("peak")
        for _ in range(2):
            side("hold")
        assert 128 <= side("peak") - before < 128 + 16
