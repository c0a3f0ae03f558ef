"""An export is what was written, and nothing besides."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfpartial.errors import InputError
from tfpartial.export.files import check_export
from tfpartial.files.stamp import STAMP_FILE, write_stamp


@pytest.fixture
def export(tmp_path: Path) -> Path:
    home = tmp_path / "export"
    (home / "assets").mkdir(parents=True)
    (home / "saved_model.pb").write_bytes(b"graph")
    (home / "assets" / "labels.json").write_text('{"notice": "research"}')
    write_stamp(home / STAMP_FILE, {"notice": "research"})
    return home


def test_a_whole_export_gives_its_description(export: Path) -> None:
    assert check_export(export) == {"notice": "research"}


def test_missing_changed_and_added_files_are_named_together(
    export: Path,
) -> None:
    (export / "saved_model.pb").unlink()
    (export / "assets" / "labels.json").write_text('{"notice": "RESEARCH"}')
    (export / "extra.py").write_text("")
    with pytest.raises(InputError) as caught:
        check_export(export)
    labels, extra, model = caught.value.faults
    assert "assets/labels.json: expected sha256" in labels
    assert "extra.py: expected no such file" in extra
    assert "saved_model.pb: expected a file, found none" in model
    assert model.endswith("or export the run again.")


def test_no_export_says_what_to_do(export: Path) -> None:
    with pytest.raises(InputError, match=r"nothing/.*Copy the export again"):
        check_export(export.parent / "nothing")
