"""An export is what was written, or every difference is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfpartial.errors import InputError
from tfpartial.export.files import check_export, write_file_list


@pytest.fixture
def export(tmp_path: Path) -> Path:
    home = tmp_path / "export"
    (home / "assets").mkdir(parents=True)
    (home / "variables").mkdir()
    (home / "saved_model.pb").write_bytes(b"graph")
    (home / "variables" / "variables.index").write_bytes(b"index")
    (home / "assets" / "labels.json").write_text('{"notice": "research"}')
    write_file_list(home)
    return home


def test_a_whole_export_gives_its_description(export: Path) -> None:
    assert check_export(export) == {"notice": "research"}
    listed = json.loads((export / "files.json").read_text())["sha256"]
    assert list(listed) == [
        "assets/labels.json", "saved_model.pb", "variables/variables.index",
    ]  # fmt: skip


def test_missing_changed_and_added_files_are_named_together(
    export: Path,
) -> None:
    (export / "saved_model.pb").unlink()
    (export / "variables" / "variables.index").write_bytes(b"indeX")
    (export / "extra.py").write_text("")
    with pytest.raises(InputError) as caught:
        check_export(export)
    extra, model, variables = caught.value.faults
    assert "'extra.py': expected 'no such file'" in extra
    assert "'saved_model.pb'" in model
    assert "found none. Copy the export again" in model
    assert "'variables/variables.index'" in variables


def test_a_link_is_no_file_of_the_export(export: Path) -> None:
    target = export.parent / "elsewhere"
    (export / "saved_model.pb").rename(target)
    (export / "saved_model.pb").symlink_to(target)
    with pytest.raises(InputError, match=r"saved_model.pb.*no plain file"):
        check_export(export)


@pytest.mark.parametrize("content", ["", "[]", '{"sha256": {}}', '{"a": 1}'])
def test_a_list_that_is_none(export: Path, content: str) -> None:
    (export / "files.json").write_text(content)
    with pytest.raises(InputError, match="files.json: expected"):
        check_export(export)


def test_an_older_export_says_what_to_do(export: Path) -> None:
    (export / "files.json").unlink()
    with pytest.raises(InputError, match=r"files.json.*found none.*export the"):
        check_export(export)
    with pytest.raises(InputError, match="folder of an export, found none"):
        check_export(export.parent / "nothing")
