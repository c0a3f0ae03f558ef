"""No dead knobs: every declared field is read outside the declarations."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import BaseModel

from tfpartial.config import Experiment
from tfpartial.config.experiment import Augment, LabelEntry, Network
from tfpartial.data.augment import AugmentOptions
from tfpartial.labels import Label
from tfpartial.models.unet3d import build_unet3d

REPOSITORY = Path(__file__).resolve().parents[2]
# Sections that are handed on whole, by keyword, and who receives them.
HANDED_ON = {
    LabelEntry: {field.name for field in fields(Label)},
    Augment: {field.name for field in fields(AugmentOptions)},
    Network: set(inspect.signature(build_unet3d).parameters) | {"name"},
}


def _models(model: type[BaseModel], seen: set) -> set[type[BaseModel]]:
    """All pydantic models below a model."""
    seen.add(model)
    for field in model.model_fields.values():
        for part in [field.annotation, *_arguments(field.annotation)]:
            is_model = isinstance(part, type) and issubclass(part, BaseModel)
            if is_model and part not in seen:
                _models(part, seen)
    return seen


def _arguments(annotation: object) -> list[object]:
    found = list(getattr(annotation, "__args__", ()))
    return found + [a for part in found for a in _arguments(part)]


def _attributes_read() -> set[str]:
    """Names read as attributes anywhere but in tfpartial/config itself."""
    names: set[str] = set()
    for package in ("tfpartial", "tfrecords_builder"):
        for path in (REPOSITORY / package).rglob("*.py"):
            if path.parent.name == "config" and path.name != "meaning.py":
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Attribute):
                    names.add(node.attr)
    return names


READ = _attributes_read()
FIELDS = [
    (model, name)
    for model in sorted(_models(Experiment, set()), key=lambda m: m.__name__)
    for name in model.model_fields
]


@pytest.mark.parametrize(
    ("model", "name"), FIELDS, ids=[f"{m.__name__}.{n}" for m, n in FIELDS]
)
def test_field_is_read(model: type[BaseModel], name: str) -> None:
    if model in HANDED_ON:
        assert name in HANDED_ON[model]
    else:
        assert name in READ


def test_the_check_can_fail() -> None:
    assert "a_field_that_nobody_reads" not in READ
    assert len(FIELDS) > 60
