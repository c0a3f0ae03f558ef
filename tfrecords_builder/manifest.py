"""manifest.json and manifest.md: what is in the records, for people too.

In: cases.json of every database in the folder. Out: the two manifests; equal
records give equal bytes (times stand in build.log).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfpartial.errors import InputError
from tfpartial.files.whole_file import write_whole
from tfpartial.records.schema import SPLITS, TFDS_VERSION
from tfpartial.records.store import read_cases_file

_QUANTILES = ("0.05", "0.5", "0.95")


def write_manifest(records_dir: Path, warnings: Sequence[str]) -> None:
    """Write both manifests, each only if it differs from what is there.

    Args:
        records_dir: the records folder.
        warnings: found by this build.
    """
    databases = {}
    for folder in sorted(records_dir.glob(f"*/{TFDS_VERSION}")):
        try:
            databases[folder.parent.name] = read_cases_file(folder)
        except InputError:
            continue  # of another schema version: no longer of these records
    manifest = {
        "format": "tfpartial records",
        "warnings": list(warnings),
        "databases": databases,
    }
    text = json.dumps(manifest, indent=1) + "\n"
    for path, content in (
        (records_dir / "manifest.json", text),
        (records_dir / "manifest.md", markdown(manifest)),
    ):
        if not path.is_file() or path.read_bytes() != content.encode():
            write_whole(path, content)


def markdown(manifest: dict[str, Any]) -> str:
    """Return the manifest as a page."""
    databases = manifest["databases"].values()
    parts = [
        "# Records\n\n"
        "CT blocks with the labels that each database annotates. Research "
        "use only.\nVoxels, volumes and HU are of the canonical grid.\n",
        _overview(databases),
    ]
    if manifest["warnings"]:
        parts.append(
            "## Warnings\n\n"
            + "".join(f"- {warning}\n" for warning in manifest["warnings"])
        )
    parts += [_database(declared) for declared in databases]
    return "\n".join(parts)


def _overview(databases: Any) -> str:
    rows = []
    for declared in databases:
        counts = Counter(case["split"] for case in declared["cases"])
        ratio = declared["bytes_on_disk"] / declared["compressed_scan_bytes"]
        rows.append(
            [
                declared["database"],
                ", ".join(declared["annotated"]),
                *(str(counts[split]) for split in SPLITS),
                str(declared["num_records"]),
                f"{declared['bytes_on_disk'] / 1e6:.1f}",
                f"{ratio:.2f}",
            ]
        )
    head = ["database", "annotated", *SPLITS, "records", "MB", "ratio"]
    return table(head, rows) + (
        "\nratio: bytes on disk / bytes of the resampled scans (int16) and "
        "labels (uint8)\nas gzip files of level 6, estimated from every eighth "
        "slice.\n"
    )


def _database(declared: dict[str, Any]) -> str:
    def words(values: Sequence[Any]) -> str:
        return " x ".join(f"{value:g}" for value in values)

    lower, upper = declared["hu_window"]
    versions = ", ".join(f"{k} {v}" for k, v in declared["versions"].items())
    facts = [
        f"- voxels of {words(declared['spacing_mm'])} mm, blocks of "
        f"{words(declared['block_shape'])} voxels",
        f"- intensity statistics: HU clipped to {lower:g} ... {upper:g}, "
        f"over voxels above {declared['body_threshold_hu']:g} HU",
        f"- licence: {declared['declaration']['licence']}",
        f"- citation: {declared['declaration']['citation']}",
        f"- fingerprint: {declared['fingerprint']}",
        f"- versions: {versions}",
    ]
    if "pseudo_labels" in declared:
        made = declared["pseudo_labels"]
        facts.append(
            f"- pseudo-labels: {', '.join(made['stored_values'])} by the "
            f"{made['network']} of run {made['run']}; see pseudo_labels.md"
        )
    return (
        f"## {declared['database']}\n\n"
        + "\n".join(facts)
        + "\n\n"
        + _statistics(declared["statistics"])
        + "\n"
        + _cases(declared)
    )


def _statistics(rows: Sequence[dict[str, Any]]) -> str:
    head = ["value", "label", "cases", "voxels", "ml", "HU mean", "sd"]
    lines = []
    for row in rows:
        line = [
            str(row["stored_value"]),
            row["label"],
            str(row["cases"]),
            str(row["voxels"]),
            f"{row['volume_ml']:.1f}",
        ]
        if "hu_mean" in row:
            line += [f"{row['hu_mean']:.1f}", f"{row['hu_sd']:.1f}"]
            line += [str(row["hu_quantiles"][q]) for q in _QUANTILES]
        else:
            line += ["-"] * 5
        lines.append(line)
    return table([*head, *(f"{float(q):.0%}" for q in _QUANTILES)], lines)


def _cases(declared: dict[str, Any]) -> str:
    rows = [
        [
            case["case"],
            case["split"],
            " x ".join(map(str, case["scan_shape"])),
            f"{case['mean']:.1f}",
            f"{case['sd']:.1f}",
            case["fingerprint"][:12],
            case["exact_hash"][:12],
        ]
        for case in declared["cases"]
    ]
    head = ["case", "split", "grid", "mean HU", "sd", "inputs", "voxels"]
    return table(head, rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
