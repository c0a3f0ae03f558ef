"""benchmarks/killed_fit.py: who kills says where, once."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import killed_fit
import pytest


def test_the_phase_ends_while_the_kill_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would write the report, one into what the other writes."""
    report = tmp_path / "report.json"
    # Without a phase: no thread that would kill the tests later.
    killer = killed_fit.Killer({"phase": None, "report": str(report)})
    killer.enter("step", 1)
    writing = []

    def slowly(path: Path, text: str, encoding: str) -> None:
        writing.append(text)
        time.sleep(0.3)
        assert writing == [text], "a second one writes"

    def killed(pid: int, signal: int) -> None:
        report.write_bytes(writing.pop().encode())

    monkeypatch.setattr(Path, "write_text", slowly)
    monkeypatch.setattr(killed_fit.os, "kill", killed)
    failed = []

    def kill() -> None:
        try:
            killer.kill()
        except AssertionError as error:
            failed.append(error)

    threads = [threading.Thread(target=kill) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert json.loads(report.read_bytes())["phase"] == "step"
