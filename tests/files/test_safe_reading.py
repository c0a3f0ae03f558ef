"""JSON and YAML that others wrote: plain values, or one message."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tfpartial.errors import (
    MAX_FAULT_LENGTH,
    MAX_FAULTS,
    Faults,
    InputError,
    did_you_mean,
    shown,
)
from tfpartial.files import safe_reading as documents
from tfpartial.files.safe_reading import (
    plain_yaml,
    read_json,
    read_text,
    read_yaml,
)


def _json(folder: Path, text: str | bytes) -> object:
    path = folder / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_json(path, "a list", "Write it again.")


def test_plain_json_is_read(tmp_path: Path) -> None:
    assert _json(tmp_path, '{"a": [1, 2.5, null, "Glnd_\\u00d6"]}') == {
        "a": [1, 2.5, None, "Glnd_Ö"]
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("[" * 100_000, "nested too deeply"),
        ('["\\ud800"]', "surrogates not allowed"),
        ("9" * 5000, "4300"),
        (b"\xff", "not UTF-8 text"),
    ],
)
def test_other_json_is_refused(
    tmp_path: Path, text: str | bytes, words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        _json(tmp_path, text)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{tmp_path / 'a.json'}: expected a list, found")
    assert fault.endswith("Write it again.")


def test_absent_and_large_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="expected a list, found none. Do"):
        read_json(tmp_path / "no.json", "a list", "Do.")
    with pytest.raises(InputError, match="expected a list, found Is a direc"):
        read_json(tmp_path, "a list", "Do.")
    monkeypatch.setattr(documents, "MAX_JSON_BYTES", 2**20)
    with pytest.raises(InputError, match="found more than 1 MiB"):
        _json(tmp_path, " " * (2**20 + 1))


def _bomb(kind: str) -> str:
    """Ten values, each nine of the one before: 9^9 in the last."""
    lines = ["a0: &a0 {k: 1}"]
    for n in range(1, 10):
        nine = ", ".join([f"*a{n - 1}"] * 9)
        body = f"{{<<: [{nine}]}}" if kind == "merge" else f"[{nine}]"
        lines.append(f"a{n}: &a{n} {body}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_bomb("list"), "more than 200000 values"),
        (_bomb("merge"), "more than 200000 values"),
        ("a: &a [*a]", "what it is part of"),
        ("[" * 100_000, "nested more than 50 levels"),
        ("- " * 100_000, "nested more than 50 levels"),
        ("a: 1\na: 2", "the key 'a' stands twice"),
        ("a: !!python/object/apply:os.mkdir [x]", "constructor"),
        ("a: !!bool x", "does not fit its tag"),
        ("a: 2026-99-99", "month"),
        ("a: [1", "expected"),
        ("a: " + "9" * 5000, "4300"),
        ('a: "\\ud800"', "no character"),
    ],
)
def test_yaml_that_is_not_plain_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plain_yaml(text)


def test_small_aliases_are_copies() -> None:
    """An override of one database must not change the other."""
    found = plain_yaml("one: &one {a: [1]}\ntwo: *one\nthree: {<<: *one, b: 2}")
    found["one"]["a"].append(9)
    assert found["two"] == {"a": [1]}
    assert found["three"] == {"a": [1], "b": 2}


def test_plain_yaml_is_what_the_safe_loader_reads() -> None:
    for path in sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        assert plain_yaml(text) == yaml.safe_load(text), path


def test_yaml_faults_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: [1\nb: 2\n")
    with pytest.raises(InputError) as caught:
        read_yaml(path, "a YAML file", "Correct it.")
    (fault,) = caught.value.faults
    assert "\n" not in fault
    assert fault.startswith(f"{path}: expected a YAML file, found text that")
    assert "line 2" in fault
    assert fault.endswith("Correct it.")


def test_a_fault_is_one_printable_line_of_limited_length() -> None:
    error = InputError("file: found\n  two lines\x1b[2J\ud800.", "x" * 10_000)
    first, second = error.faults
    assert first == "file: found two lines\\x1b[2J\\ud800."
    assert len(second) < MAX_FAULT_LENGTH + 10
    assert shown("x" * 500) == f"'{'x' * 199}... (502 characters)"


def test_faults_beyond_a_thousand_are_counted() -> None:
    faults = Faults()
    for number in range(MAX_FAULTS + 7):
        faults.add(f"fault {number}")
    with pytest.raises(InputError) as caught:
        faults.raise_if_any()
    assert len(caught.value.faults) == MAX_FAULTS + 1
    assert caught.value.faults[-1] == "... and 7 more."


def test_suggestions_are_of_words_that_a_person_writes() -> None:
    assert did_you_mean("epoch", ["epochs"]) == " Did you mean 'epochs'?"
    assert did_you_mean("e" * 10_000, ["e" * 9_999]) == ""


def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    """Who opens a pipe waits for its writer; a device has no end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        with pytest.raises(InputError, match="found a pipe or a device"):
            read_json(tmp_path / name, "a document", "Remove it.")


def test_text_keeps_its_line_ends_and_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"a\r\nb\n")
    assert read_text(path, "a text", 5, "") == "a\r\nb\n"
    path.write_bytes(b"a" * 6)
    with pytest.raises(InputError, match="found more than"):
        read_text(path, "a text", 5, "")
