"""benchmarks/pipeline.py at toy size: its check, its line, its targets."""

from __future__ import annotations

import json
import os

import pipeline
import pytest


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> dict:
    cores = os.sched_getaffinity(0)
    assert pipeline.main(["--quick"]) == 0
    assert os.sched_getaffinity(0) == cores
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_one_line_with_every_stage_and_the_target(line: dict) -> None:
    assert line["cores"] == 1
    assert line["checked"]["image"] <= pipeline.IMAGE_TOLERANCE
    assert line["checked"]["labels"] <= pipeline.LABELS_TOLERANCE
    stages = {"sample", "read", "decode", "augment"}
    assert set(line["sides"]) == {"pipeline", "start", *stages}
    limit, rate, *parts, rest = line["targets"]
    total = sum(part["value"] for part in [*parts, rest])
    assert total == pytest.approx(1000 / rate["value"])
    assert limit["limit"] == 10.0
    assert limit["value"] == pytest.approx(
        rate["value"] / pipeline.NETWORK_PATCHES_PER_SECOND
    )
    assert [part["what"].split()[-1] for part in parts] == [
        "sample", "read", "decode", "augment",
    ]  # fmt: skip
    assert line["voxels_assembled_per_voxel"] >= 1


def test_another_patch_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import pipeline_stages

    def shifted(*arguments: object) -> object:
        image, labels = original(*arguments)
        return image[::-1], labels

    original = pipeline_stages.Stages._slow
    monkeypatch.setattr(pipeline_stages.Stages, "_slow", shifted)
    assert pipeline.main(["--quick"]) == 1
    capsys.readouterr()
