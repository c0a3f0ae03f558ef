"""pseudo_labels.json and pseudo_labels.md: what changed, and by whom.

In: cases.json of every database of the target. Out: the two files; equal
records give equal bytes.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tfpartial.files.whole_file import write_whole
from tfpartial.records.cases_file import read_cases_file
from tfpartial.records.schema import TFDS_VERSION
from tfrecords_builder.manifest import table

JSON_FILE, PAGE_FILE = "pseudo_labels.json", "pseudo_labels.md"
_RUN_FIELDS = ("run", "network", "seed", "weights_sha256")


def write_report(target: Path) -> None:
    """Write both files."""
    databases = {
        folder.parent.name: _database(read_cases_file(folder))
        for folder in sorted(target.glob(f"*/{TFDS_VERSION}"))
    }
    report = {"use": "Research use only", "databases": databases}
    write_whole(target / JSON_FILE, json.dumps(report, indent=1) + "\n")
    write_whole(target / PAGE_FILE, markdown(report))


def _database(declared: dict[str, Any]) -> dict[str, Any]:
    """Sum up one database; a copied one says that it was."""
    made = declared.get("pseudo_labels")
    if made is None:
        return {"copied": True}
    cases = {
        entry["case"]: entry["pseudo_labels"]
        for entry in declared["cases"]
        if "pseudo_labels" in entry
    }
    return {
        "copied": False,
        "made_by": made,
        "labels": {
            label: _label(label, value, cases, declared["spacing_mm"])
            for label, value in made["stored_values"].items()
        },
        "cases": cases,
    }


def _label(
    label: str,
    stored_value: int,
    cases: dict[str, Any],
    spacing_mm: list[float],
) -> dict[str, Any]:
    """Sum up one label over the cases; shares are of all their voxels."""
    voxels = [case["voxels"][label] for case in cases.values()]
    total = sum(case["all_voxels"] for case in cases.values())
    background = sum(case["background_voxels"] for case in cases.values())
    return {
        "stored_value": stored_value,
        "cases": len(voxels),
        "cases_with_voxels": sum(count > 0 for count in voxels),
        "voxels": sum(voxels),
        "volume_ml": sum(voxels) * math.prod(spacing_mm) / 1000,
        "share_of_voxels": sum(voxels) / max(total, 1),
        "share_of_background": sum(voxels) / max(background, 1),
    }


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    databases = report["databases"]
    parts = [
        "# Pseudo-labels\n\n"
        "Stored background of training scans, overwritten by labels that the "
        "case does\nnot annotate, as a finished run predicts them. No expert "
        "drew them. Research use\nonly. Validation and test scans are as they "
        "were.\n",
        _labels_table(databases),
    ]
    for name, database in databases.items():
        parts.append(_section(name, database))
    return "\n".join(parts)


def _labels_table(databases: dict[str, Any]) -> str:
    rows = [
        [
            name,
            label,
            str(row["stored_value"]),
            f"{row['cases_with_voxels']} of {row['cases']}",
            str(row["voxels"]),
            f"{row['volume_ml']:.1f}",
            f"{row['share_of_voxels']:.3%}",
            f"{row['share_of_background']:.3%}",
        ]
        for name, database in databases.items()
        for label, row in database.get("labels", {}).items()
    ]
    head = ["database", "label", "stored value", "cases", "voxels", "ml"]
    return table([*head, "of all voxels", "of background"], rows)


def _section(name: str, database: dict[str, Any]) -> str:
    if database["copied"]:
        return f"## {name}\n\nCopied unchanged.\n"
    made, labels = database["made_by"], list(database["labels"])
    facts = "".join(f"- {field}: {made[field]}\n" for field in _RUN_FIELDS)
    rows = [
        [
            case,
            *(str(entry["voxels"][label]) for label in labels),
            f"{entry['share_of_voxels']:.3%}",
            f"{entry['share_of_background']:.3%}",
        ]
        for case, entry in database["cases"].items()
    ]
    head = ["case", *labels, "of all voxels", "of background"]
    return f"## {name}\n\n{facts}\n" + table(head, rows)
