"""Fields that may differ between the calls of one run.

In: an `Experiment`. Out: what decides its training.
"""

from __future__ import annotations

from typing import Any

from tfpartial.config.experiment import Experiment

# They do not change what is trained. Where things lie: what they hold, the
# hash of the records guards.
FREE_FIELDS = (
    ("sampling", "readers"),
    ("build", "workers"),
    ("predict",),
    ("export",),
    ("evaluate",),
    ("records_dir",),
    ("run_dir",),
    ("phantom", "path"),
    ("databases", "path"),
    ("build", "splits", "file"),
)


def deciding_fields(experiment: Experiment) -> dict[str, Any]:
    """Return the fields that decide a training, JSON-able."""
    return _without_free(experiment.model_dump(mode="json"), ())


def _without_free(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, list):  # the items of a list share its name
        return [_without_free(item, path) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_free(item, (*path, name))
        for name, item in value.items()
        if (*path, name) not in FREE_FIELDS
    }
