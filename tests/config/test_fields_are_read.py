"""No dead knobs: every declared field is read, as a field of its section."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import BaseModel

from tfpartial.config import Experiment, Fit
from tfpartial.config.base import Declared
from tfpartial.config.database import CaseOverride, Database
from tfpartial.config.experiment import Augment, LabelEntry
from tfpartial.config.optimizer import AdamW, NesterovRMSprop
from tfpartial.config.validate import models_in
from tfpartial.data.augment import AFFINE_STEPS, INTENSITY_STEPS
from tfpartial.labels import Label

REPOSITORY = Path(__file__).resolve().parents[2]
# Sections that are handed on whole, by keyword, and who receives them.
HANDED_ON = {
    LabelEntry: {field.name for field in fields(Label)},
    Augment: {step.field for step in (*AFFINE_STEPS, *INTENSITY_STEPS)},
}
# What a name or an attribute holds where no annotation says so.
BY_NAME = {
    "experiment": [Experiment],
    "database": [Database],
    "declared": [Database],
    "override": [CaseOverride],
}
Model = type[BaseModel]
Read = set[tuple[Model, str]]


def _models(model: Model, seen: set[Model]) -> set[Model]:
    """All pydantic models below a model."""
    seen.add(model)
    for field in model.model_fields.values():
        for part in models_in(field.annotation):
            if part not in seen:
                _models(part, seen)
    return seen


MODELS = _models(Experiment, set())
# A base class stands for every section that derives from it.
NAMED = {
    base.__name__: [m for m in MODELS if issubclass(m, base)]
    for model in MODELS
    for base in model.__mro__
    if issubclass(base, BaseModel) and base not in (BaseModel, Declared)
}


class Reader(ast.NodeVisitor):
    """Collects (model, field) of every `<model>.<field>` in a module.

    The model of a name comes from the annotation of a parameter, from an
    assignment such as `options = experiment.fit`, or from `BY_NAME`; a
    section of several models, such as the optimizers, holds each of them.
    """

    def __init__(self) -> None:
        self.held: dict[str, list[Model]] = {}
        self.read: Read = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outside = dict(self.held)
        arguments = node.args
        for argument in [*arguments.args, *arguments.kwonlyargs]:
            self.held.pop(argument.arg, None)
            for part in ast.walk(argument.annotation or ast.Constant(0)):
                if isinstance(part, ast.Name) and part.id in NAMED:
                    self.held[argument.arg] = NAMED[part.id]
        self.generic_visit(node)
        self.held = outside

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self._hold(target, node.value)

    def visit_For(self, node: ast.For) -> None:
        self._hold(node.target, node.iter)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        for model in self.models_of(node.value):
            if node.attr in model.model_fields:
                self.read.add((model, node.attr))
        self.generic_visit(node)

    def models_of(self, node: ast.AST) -> list[Model]:
        """The models that an expression may hold, or hold several of."""
        if isinstance(node, ast.Name):
            return self.held.get(node.id, BY_NAME.get(node.id, []))
        if not isinstance(node, ast.Attribute):
            return []
        models = self.models_of(node.value)
        if not models:
            return BY_NAME.get(node.attr, [])
        fields = [m.model_fields.get(node.attr) for m in models]
        return [m for f in fields if f for m in models_in(f.annotation)]

    def _hold(self, target: ast.AST, value: ast.AST) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, other in zip(target.elts, value.elts, strict=False):
                self._hold(one, other)
        elif isinstance(target, ast.Name):
            models = self.models_of(value)
            if models:
                self.held[target.id] = models


def read_in(text: str) -> Read:
    reader = Reader()
    reader.visit(ast.parse(text))
    return reader.read


def _all_read() -> Read:
    """Fields read anywhere but in the declarations and their checks."""
    found: Read = {(Experiment, "label_space")}  # by `label_space_of`
    for package in ("tfpartial", "tfrecords_builder"):
        for path in (REPOSITORY / package).rglob("*.py"):
            if path.parent.name != "config":
                found |= read_in(path.read_text("utf-8"))
    return found


READ = _all_read()
FIELDS = [
    (model, name)
    for model in sorted(MODELS, key=lambda m: m.__name__)
    for name in model.model_fields
]


@pytest.mark.parametrize(
    ("model", "name"), FIELDS, ids=[f"{m.__name__}.{n}" for m, n in FIELDS]
)
def test_field_is_read(model: Model, name: str) -> None:
    if model in HANDED_ON:
        assert name in HANDED_ON[model]
    else:
        assert (model, name) in READ


def test_the_check_can_fail() -> None:
    assert len(FIELDS) > 60
    [splits], [phantom] = NAMED["Splits"], NAMED["Phantom"]
    text = (
        "def f(splits: Splits, p: Phantom | None, other):\n"
        "    options, x = experiment.fit, 0\n"
        "    y = options.optimizer.warmup_steps, options.optimizer.rho\n"
        "    return splits.seed, p.path, other.file, options.epochs\n"
    )
    assert read_in(text) == {
        (splits, "seed"),
        (phantom, "path"),
        (Experiment, "fit"),
        (Fit, "epochs"),
        (Fit, "optimizer"),
        (AdamW, "warmup_steps"),
        (NesterovRMSprop, "warmup_steps"),
        (NesterovRMSprop, "rho"),
    }
