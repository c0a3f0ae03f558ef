"""docs/api.md: its examples run, and it shows all that the package offers."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_records import tiny_experiment, write_databases

import tfpartial as tp

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
BLOCKS = re.findall(
    r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
)
EXAMPLE = PAGE.parents[1] / "examples" / "own_model.py"
MODULES_UNLOADED = """
import sys, tfpartial as tp
heavy = {"tensorflow", "keras", "scipy", "nibabel", "pydantic", "numpy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
tp.Label, tp.dice, tp.load_experiment, tp.InputError, tp.Volume
assert not {"tensorflow", "keras"} & set(sys.modules)
"""


def test_every_public_name_has_an_example() -> None:
    shown = {
        node.attr
        for block in BLOCKS
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "tp"
    }
    assert shown == set(tp.__all__)


@pytest.mark.parametrize("name", tp.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert len((getattr(tp, name).__doc__ or "").split()) >= 3


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = tp.no_such_name


def test_importing_imports_nothing_heavy() -> None:
    subprocess.run([sys.executable, "-c", MODULES_UNLOADED], check=True)


def test_the_examples_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, as a reader would, beside a run and its records."""
    from tfpartial.training.fit import fit
    from tfrecords_builder.build import build_records

    write_databases(tmp_path)
    experiment = tiny_experiment(
        tmp_path,
        tmp_path / "records",
        run_dir=str(tmp_path / "runs" / "first"),
        network={"filters": [2, 4]},
        fit={
            "epochs": 1,
            "steps_per_epoch": 1,
            "patch_shape": [8, 8, 8],
            "validation": {"max_cases": 0},
        },
    )
    build_records(experiment)
    fit(experiment, "none")
    shutil.copyfile(
        tmp_path / "full" / "f0" / "ct.nii.gz", tmp_path / "ct.nii.gz"
    )
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), known)


def test_the_example_trains_a_network_and_data_of_ones_own() -> None:
    known: dict = {"__name__": "example"}
    text = EXAMPLE.read_text(encoding="utf-8")
    exec(compile(text, str(EXAMPLE), "exec"), known)
    before = known["build_network"]().get_weights()
    student = known["main"]()
    assert [w.shape for w in student.get_weights()] == [w.shape for w in before]
    assert all((w != 0).any() for w in student.get_weights())
