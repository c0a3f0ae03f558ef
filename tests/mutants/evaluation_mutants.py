"""Trap 7: means over other cases and labels than those annotated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tfpartial.databases import Case
from tfpartial.evaluation import Score, evaluate
from tfpartial.labels import LabelSpace
from tfpartial.metrics.groups import Structure


def missing_case_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A case without a prediction has no row, and nobody is told."""
    find, score = evaluate.find_predictions, evaluate.score_job

    def find_predictions(
        folder: Path, cases: Sequence[Case], missing: str
    ) -> list[Path | None]:
        return find(folder, cases, "zero")

    def score_job(
        job: evaluate.ScoreJob,
    ) -> tuple[list[Score], tuple[str, ...]]:
        return ([], ()) if job.prediction is None else score(job)

    monkeypatch.setattr(evaluate, "find_predictions", find_predictions)
    monkeypatch.setattr(evaluate, "score_job", score_job)


def every_label_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a case does not annotate is scored as if it were absent."""

    def structures_of(
        stored_sets: np.ndarray, annotated: np.ndarray, space: LabelSpace
    ) -> list[Structure]:
        one_label = np.eye(space.num_labels, dtype=bool)
        return [
            Structure(
                name=space.names[label],
                labels=one_label[label],
                inside=(stored_sets == one_label[label]).all(axis=1),
                unknown=np.zeros(len(stored_sets), bool),
            )
            for label in range(1, space.num_labels)
        ]

    monkeypatch.setattr(evaluate, "structures_of", structures_of)
