"""Source records, built once; a run; a segmentation that is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from pseudo_cases import (
    experiment_of,
    known_prediction,
    write_run,
    write_scans,
)

from tfpartial.config import Experiment
from tfpartial.pseudo_labels import make
from tfpartial.runs.loaded_run import LoadedRun
from tfrecords_builder.build import build_records


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pseudo_labels")
    write_scans(folder)
    build_records(experiment_of(folder))
    return folder


@pytest.fixture(scope="session")
def experiment(folder: Path) -> Experiment:
    return experiment_of(folder)


@pytest.fixture(scope="session")
def run(folder: Path, experiment: Experiment) -> LoadedRun:
    return write_run(folder / "runs" / "sl1", experiment)


@pytest.fixture
def segmented(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Segment with `known_prediction`; return a growing list of the calls."""
    calls: list[int] = []

    def segmenter(run):
        def segment(hu, mean, sd):
            calls.append(int(hu.astype(int).sum()))
            return known_prediction(hu)

        return segment

    monkeypatch.setattr(make, "load_segmenter", segmenter)
    return calls
