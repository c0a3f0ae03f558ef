"""docs/extending/loss_term.md cannot rot: its example is what runs here."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
from pydantic import Field
from training.networks import NAMES, batch, conv_network

from tfpartial.config import Fit
from tfpartial.training.mean_teacher import MeanTeacher
from tfpartial.training.terms import terms_of

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "extending" / "loss_term.md"
LOSS, FIELD, LINE, TEST, CASE = re.findall(
    r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
)


@pytest.fixture
def focal(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's file of the loss, as if it were in tfpartial.losses."""
    module = ModuleType("tfpartial.losses.focal")
    exec(LOSS, vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.usefixtures("focal")
def test_the_test_of_the_page_passes() -> None:
    names: dict = {}
    exec(TEST, names)
    tests = [name for name in names if name.startswith("test_")]
    assert len(tests) == 2
    for name in tests:
        names[name]()


def test_field_and_line_make_a_term_that_is_trained(focal: ModuleType) -> None:
    names: dict = {"Fit": Fit, "Field": Field}
    body = textwrap.indent(FIELD, "    ")
    exec(f"class WithFocal(Fit):\n{body}", names)
    field, value = re.findall(r'"fit\.(\w+)", ([\d.]+)', CASE)[0]
    fit = names["WithFocal"](**{field: float(value)}, teacher=False)
    student = conv_network("student")
    terms = terms_of(fit, student)
    exec(LINE, {"fit": fit, "terms": terms, "focal_term": focal.focal_term})
    model = MeanTeacher(student, None, NAMES, terms)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    data = {k: keras.ops.convert_to_tensor(v) for k, v in batch().items()}
    total = float(model.train_step(data))
    logs = {k: float(v) for k, v in model.get_metrics_result().items()}
    assert logs["focal"] > 0
    assert total == pytest.approx(
        logs["supervised"] + float(value) * logs["focal"], rel=1e-5
    )


def test_files_that_the_page_names_exist() -> None:
    paths = re.findall(r"`((?:tfpartial|tests)/[\w/]+\.py)`",
                       PAGE.read_text("utf-8"))  # fmt: skip
    new = {"tfpartial/losses/focal.py", "tests/losses/test_focal.py"}
    assert len(set(paths)) > 5
    assert not [p for p in set(paths) - new if not (REPOSITORY / p).is_file()]
    assert np.all([not (REPOSITORY / path).exists() for path in new])
