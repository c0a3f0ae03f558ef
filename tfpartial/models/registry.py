"""Networks by name: which builder it is, and which sizes it takes.

In: a name and sizes, as a config holds them. Out: a builder, checked sizes.
A builder's signature is the only place that declares its sizes: names, types,
ranges (`pydantic.Field` in an annotation) and defaults. It is read here
without Keras, so that a fault in a config is found at once.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from tfpartial.errors import (
    Faults,
    InputError,
    did_you_mean,
    expected_and_found,
)
from tfpartial.files.safe_reading import file_hash

# Takes num_labels and its sizes by keyword; returns a `keras.Model`.
Builder = Callable[..., Any]
DEFAULT = "unet3d"
# To add a network: docs/extending/network.md.
SHIPPED = {
    "unet3d": "tfpartial.models.unet3d:build_unet3d",
    "deepmedic": "tfpartial.models.deepmedic:build_deepmedic",
}
# Arguments of a builder that are no sizes: the run and its data decide them.
GIVEN = ("num_labels", "seed", "model_name", "channels")
_FOREIGN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_CONFIG = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)


def count_stages(count: Callable[..., int]) -> Callable[[Builder], Builder]:
    """Return a decorator that tells how many hidden stages a builder makes.

    A rate of the size `dropout` belongs to each of the last ones.

    Args:
        count: takes all sizes by keyword. It may raise `InputError` where
            sizes that are right by themselves do not fit each other.
    """

    def mark(builder: Builder) -> Builder:
        builder.count_stages = count  # type: ignore[attr-defined]
        return builder

    return mark


def is_foreign(name: str) -> bool:
    """Tell `my_package.module:build` from the name of a shipped network."""
    return ":" in name


def find_builder(name: str, trust_code: bool = False) -> Builder:
    """Return the builder of a name.

    Args:
        name: of a shipped network, or `my_package.module:build`.
        trust_code: whether code from outside this package may be imported.

    Raises:
        InputError: unknown; not to be trusted; not to be imported.
    """
    if not is_foreign(name):
        if name not in SHIPPED:
            raise InputError(
                f"'network.name': expected {', '.join(SHIPPED)} or "
                f"my_package.module:build, found '{name}'."
                + did_you_mean(name, SHIPPED)
                + " Correct it."
            )
        return _import(SHIPPED[name])
    if not _FOREIGN.fullmatch(name):
        raise InputError(
            f"'network.name': expected my_package.module:build, the builder "
            f"'build' in a module that Python can import, found '{name}'. "
            f"Correct it."
        )
    if not trust_code:
        raise InputError(
            f"'network.name': '{name}' is code from outside this package: "
            f"expected --trust_code, without which it is not imported. Read "
            f"the module {name.partition(':')[0]}; if you trust it, add "
            f"--trust_code to the command."
        )
    return _import(name)


def check_sizes(
    name: str, given: Mapping[str, Any], trust_code: bool = False
) -> dict[str, Any]:
    """Return all sizes of a network, defaults included, in their types.

    Raises:
        InputError: see `find_builder`; sizes that the builder does not take
            or that lie outside of their range, missing ones, sizes that do
            not fit each other; more dropout rates than hidden stages; all
            together.
    """
    builder = find_builder(name, trust_code)
    parameters = size_parameters(builder)
    hints = _annotations(builder)
    takes_any = any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD
        for parameter in inspect.signature(builder).parameters.values()
    )
    with Faults() as faults:
        sizes = {}
        for size, value in given.items():
            if size not in parameters and not takes_any:
                faults.add(_unknown(name, size, parameters))
                continue
            try:
                sizes[size] = _value(hints.get(size, Any), value)
            except ValidationError as error:
                for found in error.errors():
                    where = ".".join(map(str, ["network", size, *found["loc"]]))
                    faults.add(
                        f"'{where}': "
                        + expected_and_found(found["msg"], found["input"])
                        + " Correct this field."
                    )
        for size, parameter in parameters.items():
            if size in given:
                continue
            if parameter.default is inspect.Parameter.empty:
                faults.add(f"'network.{size}' is required by {name}. Add it.")
            sizes[size] = parameter.default
    sizes = {size: sizes[size] for size in [*parameters, *sizes]}
    _check_rates(sizes, stages_of(name, sizes, trust_code))
    return sizes


def stages_of(
    name: str, sizes: Mapping[str, Any], trust_code: bool = False
) -> int | None:
    """Return how many stages a dropout rate may belong to; None: not told.

    Raises:
        InputError: see `find_builder`; sizes that do not fit each other.
    """
    builder = find_builder(name, trust_code)
    count = getattr(builder, "count_stages", None)
    return None if count is None else count(**sizes)


def size_parameters(builder: Builder) -> dict[str, inspect.Parameter]:
    """Return the parameters of a builder that a config may set."""
    named = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
    return {
        name: parameter
        for name, parameter in inspect.signature(builder).parameters.items()
        if name not in GIVEN and parameter.kind in named
    }


def describe_code(name: str) -> dict[str, Any] | None:
    """Return what a run says about code from outside; None if it has none."""
    if not is_foreign(name):
        return None
    module = sys.modules[name.partition(":")[0]]
    path = Path(getattr(module, "__file__", None) or "")
    return {
        "builder": name,
        "module_sha256": file_hash(path) if path.is_file() else None,
        "notice": "imported only with --trust_code",
    }


def _import(place: str) -> Builder:
    """Import `module:function`."""
    module_name, _, function = place.partition(":")
    try:
        module = importlib.import_module(module_name)
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:  # code from outside may do so
        raise InputError(
            f"'network.name': expected a module {module_name} that can be "
            f"imported, found {type(error).__name__}: {error}. Modules are "
            f"looked for where Python does: among installed packages and in "
            f"the folders of PYTHONPATH. Install it, or add its folder to "
            f"PYTHONPATH."
        ) from error
    builder = getattr(module, function, None)
    if not callable(builder):
        raise InputError(
            f"'network.name': expected a function '{function}' in the module "
            f"{module_name}, found none."
            + did_you_mean(function, vars(module))
            + " Correct it."
        )
    return builder


def _annotations(builder: Builder) -> dict[str, Any]:
    """Return the types of a builder's parameters.

    That of what it returns stays unread: it names Keras.
    """
    written = {
        name: parameter.annotation
        for name, parameter in inspect.signature(builder).parameters.items()
        if parameter.annotation is not inspect.Parameter.empty
    }
    home = vars(sys.modules[inspect.unwrap(builder).__module__])
    try:
        return get_type_hints(
            SimpleNamespace(__annotations__=written), home, include_extras=True
        )
    except Exception as error:  # a name that only type checkers import
        raise InputError(
            f"'network.name': expected types of arguments that can be looked "
            f"up in {builder.__module__}, found {type(error).__name__}: "
            f"{error}. Import what they name when the module is imported."
        ) from error


def _value(annotation: Any, value: Any) -> Any:
    """Return a value in the type of an annotation.

    Raises:
        ValidationError: it has another, or lies outside of its range.
    """
    try:
        adapter = TypeAdapter(annotation, config=_CONFIG)
    except PydanticUserError:  # a type with a config of its own
        adapter = TypeAdapter(annotation)
    return adapter.validate_python(value)


def _unknown(name: str, size: str, known: Mapping[str, object]) -> str:
    """Say that a network has no such size, and who has."""
    owners = [
        other
        for other in SHIPPED
        if other != name and size in size_parameters(find_builder(other))
    ]
    return (
        f"'network.{size}': {name} takes no such size, it takes "
        f"{', '.join(known) or 'none'}."
        + (
            f" It belongs to {' and '.join(owners)}. Remove it; on the command "
            f"line, 'network={{name: {name}}}' replaces all sizes."
            if owners
            else did_you_mean(size, known) + " Rename or remove it."
        )
    )


def _check_rates(sizes: Mapping[str, Any], stages: int | None) -> None:
    """Check that each dropout rate has a stage."""
    rates = len(sizes.get("dropout") or ())
    if stages is not None and rates > stages:
        raise InputError(
            f"'network.dropout': expected at most {stages} rates, one for each "
            f"hidden stage, found {rates}. Remove {rates - stages}."
        )
