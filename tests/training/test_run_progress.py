"""The progress of a run: the time left is the run's, not the epoch's."""

from __future__ import annotations

import logging

import pytest

from tfpartial.training.callbacks import run_progress
from tfpartial.training.callbacks.run_progress import RunProgress


def epochs(
    progress: RunProgress, clock: list[float], first: int, last: int
) -> None:
    progress.on_train_begin()
    for epoch in range(first, last):
        for step in range(10):
            progress.on_train_batch_end(step)
        clock[0] += 60
        progress.on_epoch_end(epoch, {"loss": 1.23456})
    progress.on_train_end()


@pytest.mark.parametrize(
    ("first", "expected"), [(0, ["03:00", "02:00"]), (2, ["01:00", "00:00"])]
)
def test_a_line_an_epoch_with_the_time_left(
    first: int,
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture,
) -> None:
    """Four epochs of a minute; resumed ones are not counted as fast."""
    clock = [0.0]
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: clock[0])
    caplog.set_level(logging.INFO)
    epochs(RunProgress(4, 10, 10 * first), clock, first, first + 2)
    assert [
        f"epoch {first + 1 + n}/4: loss 1.23; {left} left"
        for n, left in enumerate(expected)
    ] == caplog.messages
    assert capsys.readouterr().err == ""  # no bar without a terminal


def test_on_a_terminal_the_bar_counts_the_steps_of_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    epochs(RunProgress(4, 10, 20), [0.0], 2, 4)
    printed = capsys.readouterr().err
    assert " 20/40 " in printed
    assert " 40/40 " in printed
