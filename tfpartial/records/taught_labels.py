"""Labels that no training case, or no test case, contains.

In: cases.json of databases. Out: sentences about each such label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tfpartial.errors import join_names
from tfpartial.records.cases_file import stored_sets_of


def untrained_labels(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence per label that only other splits than train contain.

    A label counts where a voxel's stored value names it, singly or merged;
    "ignore" and open background name none.

    Args:
        documents: the content of cases.json of every database.
    """
    documents = list(documents)
    trained = _cases_with_labels(documents, ["train"])
    others = _cases_with_labels(documents, ["validation", "test"])
    return [
        f"label '{name}': expected it in a training case, found it in "
        f"{join_names(cases, 5)} alone: it cannot be learned. Move such a case "
        f"to train, or remove the label; 'build.splits.untrained_labels: warn' "
        f"goes on without it."
        for name, cases in others.items()
        if name not in trained
    ]


def untested_labels(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence per label that train contains and test does not.

    None where there is no test case at all.
    """
    documents = list(documents)
    if not any(c["split"] == "test" for d in documents for c in d["cases"]):
        return []
    tested = _cases_with_labels(documents, ["test"])
    return [
        f"label '{name}': no test case contains it; evaluate will list it with "
        f"n = 0."
        for name in _cases_with_labels(documents, ["train"])
        if name not in tested
    ]


def _cases_with_labels(
    documents: Iterable[Mapping[str, Any]], splits: list[str]
) -> dict[str, list[str]]:
    """Return label -> the cases of some splits that contain it."""
    cases: dict[str, list[str]] = {}
    for document in documents:
        sets = stored_sets_of(dict(document))
        named = sets & ~sets[:, :1]  # what may be background names nothing
        for case in document["cases"]:
            if case["split"] not in splits:
                continue
            held = np.asarray(case["voxel_counts"]) > 0
            # Of the source, as a thin structure may be lost in resampling; the
            # values of pseudo-labels come after those of the source.
            in_source = np.asarray(case["source_value_counts"]) > 0
            held[: len(in_source)] = in_source
            for label in np.flatnonzero(named[held].any(axis=0)):
                name = f"{document['database']}/{case['case']}"
                label_name = document["label_names"][label]
                cases.setdefault(label_name, []).append(name)
    return cases
