"""The fuzz run, small: nothing is "other", and "other" is noticed."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import fuzz_inputs
import pytest
from command_line import run_verb

from fuzz import nifti_faults
from fuzz.commands import run_commands
from fuzz.corpus import OUTPUT, Fault, Reader
from fuzz.judge import OTHER, REFUSED, UNCHANGED, judge, same
from tfpartial.errors import InputError

# The others need TensorFlow's builder, or minutes.
QUICK = [reader.name for reader in fuzz_inputs.READERS if not reader.slow]


def test_every_class_of_faults_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    readers = [r for r in fuzz_inputs.READERS if r.name in QUICK]
    classes = sum(len(reader.faults) for reader in readers)
    done = fuzz_inputs.main(
        ["--cases", str(classes), "--commands", "0", "--readers", *QUICK]
    )
    printed = capsys.readouterr().out
    assert done == 0, printed
    summary = json.loads(printed.splitlines()[-1])
    assert summary["cases"] == classes >= 160
    assert summary["other"] == 0
    assert summary["exit_2"] > 0.7 * classes  # others: repaired, or harmless


@pytest.mark.slow
def test_every_reader_and_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fuzz_inputs.main(["--cases", "320", "--commands", "2"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["fault_classes"] > 250
    assert summary["commands"] == {"cases": 2, "exit_2": 2, "other": 0}
    assert summary["readers"] == len(fuzz_inputs.READERS)


@pytest.mark.slow
def test_every_class_of_faults_that_a_command_meets() -> None:
    """Like `--commands 30`, but in this process."""
    found = run_commands(30, 0, lambda words: run_verb(*words))
    assert found == {"cases": 30, "exit_2": 30, "other": 0}


def _verdict(tmp_path: Path, read: object) -> str:
    reader = Reader("reader", lambda folder: None, read, ())
    return judge(reader, tmp_path, ("a.nii",), 1).outcome


def _refuse(message: str) -> object:
    def read(folder: Path) -> int:
        raise InputError(message)

    return read


GOOD = "a.nii: expected a scan, found none. Restore it."


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (GOOD, REFUSED),
        ("b.nii: expected a scan, found none. Restore it.", OTHER),
        ("a.nii: found none. Restore it.", OTHER),
        ("a.nii: expected a scan. Restore it.", OTHER),
        ("a.nii: expected a scan, found none.", OTHER),
        ("a.nii: expected a scan, found none (MemoryError). Restore.", OTHER),
    ],
)
def test_a_message_names_file_expected_found_and_remedy(
    tmp_path: Path, message: str, outcome: str
) -> None:
    assert _verdict(tmp_path, _refuse(message)) == outcome


def test_other_outcomes_are_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(folder: Path) -> int:
        raise KeyError("x")

    def spin(folder: Path) -> int:
        while True:
            try:
                sum(range(1000))
            except Exception:
                return 1

    def allocate(folder: Path) -> int:
        return len(bytearray(2**31))

    def leave(folder: Path) -> int:
        (folder / OUTPUT).mkdir()
        (folder / OUTPUT / "half.npz").write_bytes(b"")
        raise InputError(GOOD)

    def wait(folder: Path) -> int:
        os.mkfifo(folder / "pipe")
        return len((folder / "pipe").read_bytes())

    monkeypatch.setattr("fuzz.judge.MAX_SECONDS", 0.2)
    monkeypatch.setattr("fuzz.judge.MAX_CLOCK_SECONDS", 2.0)
    assert _verdict(tmp_path, lambda folder: 1) == UNCHANGED
    assert _verdict(tmp_path, lambda folder: 2) == OTHER
    for read in (crash, spin, allocate, leave, wait):
        assert _verdict(tmp_path, read) == OTHER, read


def test_a_case_can_be_made_again(tmp_path: Path) -> None:
    """Seed, reader, class and number decide every byte of a case."""
    made = []
    for name in ("one", "two"):
        folder = tmp_path / name
        nifti_faults.prepare(folder)
        fault = next(
            f for f in nifti_faults.READER.faults if f.name == "bits flipped"
        )
        fault.mutate(folder, random.Random("0 NIfTI bits flipped 3"))
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        made.append([path.read_bytes() for path in files])
    assert made[0] == made[1]


def test_equal_is_equal_by_value() -> None:
    assert same(
        [1.0, float("nan"), {"a": (1,)}], [1.0, float("nan"), {"a": (1,)}]
    )
    assert not same({"a": 1}, {"a": 1, "b": 2})
    assert not same([1], [1, 2])


def test_another_result_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare(folder: Path) -> None:
        (folder / "number").write_text("1")

    def harm(folder: Path, draw: random.Random) -> tuple[str, ...]:
        (folder / "number").write_text("2")
        return ("number",)

    reader = Reader(
        "numbers",
        prepare,
        lambda folder: (folder / "number").read_text(),
        (Fault("another", harm),),
    )
    monkeypatch.setattr(fuzz_inputs, "READERS", (reader,))
    assert fuzz_inputs.main(["--cases", "3", "--commands", "0"]) == 1
    lines = capsys.readouterr().out.splitlines()
    start = "other: numbers, another: accepted"
    assert sum(line.startswith(start) for line in lines) == 3
    assert json.loads(lines[-1])["other"] == 3
