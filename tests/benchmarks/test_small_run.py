"""benchmarks/small_run.py: a run that fails, or never ends, says so."""

from __future__ import annotations

import sys

import pytest
import small_run


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_what_a_run_printed_is_returned() -> None:
    assert small_run.finish(small_run.start(program("print(7)"))) == "7\n"


def test_a_failed_run_is_an_error_with_its_output() -> None:
    process = small_run.start(program("print('because'); raise SystemExit(3)"))
    with pytest.raises(RuntimeError, match="exit code 3:\nbecause"):
        small_run.finish(process)


def test_a_run_that_never_ends_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(small_run, "LONGEST_SECONDS", 3.0)
    waits = "import time; print('waiting', flush=True); time.sleep(99)"
    process = small_run.start(program(waits))
    with pytest.raises(RuntimeError, match="no end after 3 s:\nwaiting"):
        small_run.finish(process)
    assert process.poll() is not None
