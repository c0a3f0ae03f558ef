"""The registry of formats: a new one is read, written and found by name."""

import ast
from pathlib import Path

import numpy as np
import pytest
from worked_examples import example_of

import tfpartial
from tfpartial.errors import InputError
from tfpartial.scans import Volume, formats, read_image, read_labels
from tfpartial.scans.formats import write_volume

# Where files of one format are made on purpose, and file names are declared.
ENDINGS_ARE_KNOWN = ("scans/formats", "phantom", "importers", "config")


Text = example_of("scan_format.md")["Text"]


@pytest.fixture
def text_format(monkeypatch):
    monkeypatch.setattr(formats, "FORMATS", [*formats.FORMATS, Text()])


def put(folder, *values, name="a.scan.txt"):
    path = folder / name
    numbers = "\n".join(map(str, values))
    path.write_text(f"{len(values)} 1 1\n1 2 3\n{numbers}\n")
    return path


def test_a_new_format_is_found_by_its_ending_and_read(text_format, tmp_path):
    path = put(tmp_path, -1000, 40.5)
    volume = read_image(path)
    assert volume.array.ravel().tolist() == [-1000, 40.5]
    assert volume.array.dtype == np.float32
    assert volume.spacing_mm == (1, 2, 3)
    assert formats.stem(path.name) == "a"
    assert formats.is_scan(path)
    assert ".scan.txt" in formats.known_endings()


def test_what_is_no_scan_or_no_label_is_refused_in_every_format(
    text_format, tmp_path
):
    with pytest.raises(InputError, match=r"a\.scan\.txt.*finite.*found 1"):
        read_image(put(tmp_path, 0, "nan"))
    with pytest.raises(InputError, match=r"a\.scan\.txt.*whole.*0\.5"):
        read_labels(put(tmp_path, 0, 0.5))
    assert read_labels(put(tmp_path, 0, 7)).array.dtype == np.uint8


@pytest.mark.parametrize("sizes", ["-1 1 1", "0 1 1", "3 1 1", ""])
def test_sizes_that_lie_are_refused(sizes, tmp_path):
    path = tmp_path / "a.scan.txt"
    path.write_text(f"{sizes}\n1 2 3\n5\n6\n")
    with pytest.raises(InputError, match=r"a\.scan\.txt.*expected sizes"):
        Text().read(path)


def test_a_format_that_is_only_read_is_not_written(text_format, tmp_path):
    volume = Volume(np.zeros((1, 1, 1), np.uint8), np.eye(4))
    with pytest.raises(InputError, match=r"b\.scan\.txt.*only read"):
        write_volume(tmp_path / "b.scan.txt", volume)


def test_an_unknown_ending_names_all_that_are_read(text_format, tmp_path):
    path = put(tmp_path, 1, name="a.mgz")
    with pytest.raises(InputError, match=r"a\.mgz.*\.nii\.gz.*\.scan\.txt"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.nii.gz", "a"), ("a.NII.GZ", "a"), ("a.b.nii", "a.b"),
     ("a.gz", None), (".nii.gz", None), ("nii", None)],
)  # fmt: skip
def test_stems(name, stem):
    assert formats.stem(name) == stem


def test_predictions_and_their_names_lie_side_by_side(tmp_path):
    path = formats.label_map_path(tmp_path, "case_1")
    assert formats.stem(path.name) == "case_1"
    assert formats.names_path(path) == tmp_path / "case_1.json"


def _texts(tree):
    """Every text of a module that is no docstring."""
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documents:
            yield node.value


def test_only_the_formats_room_knows_endings():
    home = Path(tfpartial.__file__).parent
    known = tuple(str(home / room) for room in ENDINGS_ARE_KNOWN)
    builder = home.with_name("tfrecords_builder")
    modules = [*home.rglob("*.py"), *builder.rglob("*.py")]
    assert len(modules) > 100
    for path in modules:
        if not str(path).startswith(known):
            for text in _texts(ast.parse(path.read_text())):
                assert ".nii" not in str(text), path
