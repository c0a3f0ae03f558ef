"""What a user may declare, checked before anything is done.

In: YAML files and `field=value` overrides.
Out: frozen pydantic models (`Experiment` and its parts).
Before: nothing. After: every stage door takes a part of `Experiment`.
"""

from tfpartial.config.cross_checks import label_space_of
from tfpartial.config.database import CaseOverride, Database
from tfpartial.config.experiment import (
    Augment,
    Build,
    Evaluate,
    Experiment,
    Export,
    Fit,
    Phantom,
    Predict,
    Preprocess,
    Sampling,
)
from tfpartial.config.load import load_experiment, write_resolved
from tfpartial.config.network import Network

__all__ = [
    "Augment",
    "Build",
    "CaseOverride",
    "Database",
    "Evaluate",
    "Experiment",
    "Export",
    "Fit",
    "Network",
    "Phantom",
    "Predict",
    "Preprocess",
    "Sampling",
    "label_space_of",
    "load_experiment",
    "write_resolved",
]
