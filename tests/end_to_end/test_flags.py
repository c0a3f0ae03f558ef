"""Flags and overrides of the console entry."""

from __future__ import annotations

import pytest

from tfpartial.cli.main import main, parse_arguments


def test_overrides_may_stand_between_flags() -> None:
    arguments = parse_arguments(
        ["fit", "fit.epochs=2", "--strategy", "none", "seed=1", "--run_dir",
         "r", "fit.l2=0"]
    )  # fmt: skip
    assert arguments.overrides == ["fit.epochs=2", "seed=1", "fit.l2=0"]
    assert arguments.strategy == "none"


def test_names_of_databases_end_where_overrides_begin() -> None:
    arguments = parse_arguments(
        ["build", "--databases", "db1", "db2", "seed=1", "--records_dir", "r"]
    )
    assert arguments.databases == ["db1", "db2"]
    assert arguments.overrides == ["seed=1"]
    with pytest.raises(SystemExit):
        parse_arguments(["build", "--databases", "seed=1"])


@pytest.mark.parametrize(
    "words", [["fit", "--sed", "1"], ["import-openkbp", "--source", "a",
                                      "--target", "b", "seed=1"]]
)  # fmt: skip
def test_what_no_verb_knows_is_refused(
    words: list[str], capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_arguments(words)
    assert stopped.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_overrides_may_follow_the_names_of_runs() -> None:
    arguments = parse_arguments(
        ["table", "--config", "c", "--only", "a_seed0", "seeds=[0]"]
    )
    assert arguments.only == ["a_seed0"]
    assert arguments.overrides == ["seeds=[0]"]


def test_other_systems_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert main(["phantom", "--config", "phantom"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Linux" in line
    assert "darwin" in line


@pytest.mark.parametrize(
    ("word", "advice"),
    [("--fit.epochs=5", ": fit.epochs=5"), ("--run_di", "'--run_dir'")],
)
def test_what_was_meant_is_named(
    word: str, advice: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["fit", word])
    assert advice in capsys.readouterr().err
