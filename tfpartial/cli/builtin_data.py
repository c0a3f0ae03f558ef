"""The built-in data, made when a verb first needs it.

In: an `Experiment` with a `phantom` section; others are left alone.
Out: its scans, its records.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tfpartial.config import Experiment


def ensure_phantom(experiment: Experiment) -> None:
    """Make the built-in data that a config declares, unless it is there."""
    if experiment.phantom is not None:
        from tfpartial.phantom import make_phantom

        make_phantom(experiment.phantom, Path(experiment.phantom.path))


def ensure_phantom_records(experiment: Experiment) -> None:
    """Make the built-in data and its records; nothing for other data.

    Of several workers only the first builds: the others wait for it when
    they join the cluster.
    """
    if experiment.phantom is None or _worker_index() > 0:
        return
    from tfrecords_builder.build import build_records
    from tfrecords_builder.records_folder import PSEUDO_LABELLED, content_of

    if content_of(Path(experiment.records_dir)) == PSEUDO_LABELLED:
        return  # made from built-in records by another verb: train on them
    ensure_phantom(experiment)
    build_records(experiment)


def _worker_index() -> int:
    """Return this process' index in TF_CONFIG; 0 without one."""
    try:
        return int(json.loads(os.environ["TF_CONFIG"])["task"]["index"])
    except (KeyError, ValueError, TypeError):
        return 0
