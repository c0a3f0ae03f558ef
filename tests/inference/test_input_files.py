"""What the label maps of scans are called."""

from pathlib import Path

import pytest

from tfpartial.errors import InputError
from tfpartial.inference.input_files import find_input_files, scan_name


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("case_0000.nii.gz", "case"),
        ("case_0001.nii.gz", "case_0001"),
        ("a.b.NII", "a.b"),
        ("_0000.nii", "_0000"),
    ],
)
def test_the_channel_of_nnunet_is_no_part_of_the_name(file, name):
    assert scan_name(Path(file)) == name


def test_two_scans_of_one_name_are_refused(tmp_path):
    for name in ("case_0000.nii.gz", "case.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="both would be written"):
        find_input_files([tmp_path])
