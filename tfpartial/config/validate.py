"""What pydantic found wrong -> one sentence each, in the words of the YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from tfpartial.errors import InputError, did_you_mean, expected_and_found

Model = type[BaseModel]
AnyModel = TypeVar("AnyModel", bound=BaseModel)


# The type of a finding that is a whole sentence already.
_SENTENCE = "sentence"


def validate(
    model: type[AnyModel],
    raw: dict[str, Any],
    path: Path,
    context: dict[str, Any] | None = None,
    files: Mapping[tuple[str | int, ...], Path] | None = None,
) -> AnyModel:
    """Return what a file declares.

    Args:
        model: of the whole file.
        raw: its content.
        path: to name in messages.
        context: for validators.
        files: (field, position) -> file that an entry of a list was read
            from; messages name it and the field inside it.

    Raises:
        InputError: with one sentence for each of pydantic's findings.
    """
    try:
        return model.model_validate(raw, context=context)
    except ValidationError as error:
        raise InputError(*_sentences(error, path, model, files or {})) from None


def as_findings(error: InputError) -> ValidationError:
    """Return faults as findings of a section, for a validator to raise."""
    return ValidationError.from_exception_data(
        _SENTENCE,
        [
            InitErrorDetails(
                type=PydanticCustomError(
                    _SENTENCE, "{fault}", {"fault": fault}
                ),
                input=None,
            )
            for fault in error.faults
        ],
    )


def _sentences(
    error: ValidationError,
    whole: Path,
    model: Model,
    files: Mapping[tuple[str | int, ...], Path],
) -> list[str]:
    """Turn pydantic's findings about a model into one sentence each."""
    sentences = []
    for finding in error.errors():
        parts, sections = _place(finding["loc"], model)
        path = files.get(finding["loc"][:2], whole)
        if path != whole and len(parts) > 2:
            parts = parts[2:]
        where = ".".join(parts)
        if finding["type"] == "extra_forbidden":
            sentences.append(f"{path}: {_unknown(parts, sections)}")
        elif finding["type"] == "missing":
            sentences.append(
                f"{path}: '{where}' is required and missing. Add it."
            )
        elif finding["type"] == _SENTENCE:
            sentences.append(f"{path}: {finding['msg']}")
        else:
            sentences.append(
                f"{path}: '{where}': "
                + expected_and_found(finding["msg"], finding["input"])
                + " Correct this field."
            )
    return sentences


def _unknown(parts: list[str], sections: list[Model]) -> str:
    """Say that the first section's model has no such key, and who has."""
    where, key = ".".join(parts), parts[-1]
    if not sections:
        return f"unknown key '{where}': expected declared ones. Remove it."
    chosen, *others = sections
    known = list(chosen.model_fields)
    ending = f" Known here: {', '.join(known)}. Rename or remove it."
    owners = [_name_of(m) for m in others if key in m.model_fields]
    if owners:
        return (
            f"unknown key '{where}': {_name_of(chosen)} has none, it "
            f"belongs to {' and '.join(owners)}.{ending}"
        )
    return f"unknown key '{where}'.{did_you_mean(key, known)}{ending}"


def _place(
    location: tuple[Any, ...], whole: Model
) -> tuple[list[str], list[Model]]:
    """Return the parts of a dotted name, and the models around its last part.

    Where a section has several models, pydantic puts the name of the chosen
    one into the location; it is not in the YAML, and is left out here.

    Returns:
        The parts; the chosen model of the section that holds the last part,
        then those that the section could have had. No models where the
        section is none (the keys of a mapping).
    """
    models: list[Model] = [whole]
    holders: list[Model] = models
    parts: list[str] = []
    for part in location:
        named = [m for m in models if _name_of(m) == part]
        if named and len(models) > 1:
            models = [*named, *(m for m in models if m not in named)]
            continue
        parts.append(str(part))
        if isinstance(part, int):
            continue
        holders = models
        field = models[0].model_fields.get(part) if models else None
        models = models_in(field.annotation) if field else []
    return parts, holders


def _name_of(model: Model) -> str:
    """Return the default (or only) value of a model's field `name`."""
    field = model.model_fields.get("name")
    literals = getattr(field and field.annotation, "__args__", ())
    return str(literals[0]) if literals else model.__name__


def models_in(annotation: Any) -> list[Model]:
    """The pydantic models inside an annotation such as list[X] or X | Y."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [
        model
        for part in getattr(annotation, "__args__", ())
        for model in models_in(part)
    ]
