"""Records name cases, never patients: not by path, not by header text."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from identifying import NAME, files_that_name, plant
from tiny_records import tiny_experiment, write_databases

from tfpartial.errors import InputError
from tfpartial.scans import Volume, read_image, write_volume
from tfrecords_builder.build import build_records


def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    """Else every test below would pass whatever is written."""
    (tmp_path / "plain.txt").write_text(f"patient {NAME.upper()}")
    (tmp_path / "packed.gz").write_bytes(gzip.compress(NAME.encode()))
    np.savez_compressed(tmp_path / "array.npz", text=np.array(NAME.encode()))
    (tmp_path / f"{NAME}.txt").write_text("")
    (tmp_path / "innocent.txt").write_text("case_1")
    assert files_that_name(tmp_path) == [
        f"{NAME}.txt", "array.npz", "packed.gz", "plain.txt",
    ]  # fmt: skip


def test_a_volume_that_is_written_again_has_lost_the_texts(
    tmp_path: Path,
) -> None:
    scans, written = tmp_path / "scans", tmp_path / "written"
    array = np.zeros((3, 4, 5), np.int16)
    write_volume(scans / "a.nii.gz", Volume(array, np.eye(4)))
    plant(scans)
    write_volume(written / "a.nii.gz", read_image(scans / "a.nii.gz"))
    assert files_that_name(scans) == ["a.nii.gz"]
    assert files_that_name(written) == []


def test_records_name_no_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / NAME
    write_databases(folder)
    plant(folder)
    assert len(files_that_name(tmp_path)) > 7
    # The same scan twice: a warning that stays in the manifest.
    for name in ("ct.nii.gz", "labels.nii.gz"):
        content = (folder / "full" / "f0" / name).read_bytes()
        (folder / "full" / "f1" / name).write_bytes(content)
    records_dir = tmp_path / "records"
    with caplog.at_level("INFO"):
        build_records(tiny_experiment(folder, records_dir))
    assert "full/f0 (train) = full/f1 (train)" in caplog.text
    assert NAME not in caplog.text
    assert files_that_name(records_dir) == []


def test_the_same_scan_in_two_splits_is_said_by_case(tmp_path: Path) -> None:
    folder = tmp_path / NAME
    write_databases(folder)
    for name in ("ct.nii.gz", "labels.nii.gz"):
        content = (folder / "full" / "f0" / name).read_bytes()
        (folder / "full" / "f3" / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        build_records(tiny_experiment(folder, tmp_path / "records"))
    assert "full/f0 (train) = full/f3 (test)" in str(caught.value)
    assert NAME not in str(caught.value)
