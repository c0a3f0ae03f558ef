"""Does the label audit find planted faults, and how often does it cry wolf?

python benchmarks/audit_faults.py --work_dir audit_faults prints a JSON tally.
TFPARTIAL_OPENKBP names the folder of the OpenKBP databases, which is only
read. The audit of the untouched databases is made once (<work_dir>/untouched)
and then reused (remove it after a change of the audit); faults are planted in
cases without a finding there. Exit code 1 if a planted fault was not found, or
a case without a plant has a new finding.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from plant_faults import Plant, Planter

from tfpartial.audit import Finding, audit
from tfpartial.config import Experiment, label_space_of, load_experiment
from tfpartial.databases import Case, find_all_cases

CONFIG = Path(__file__).parents[1] / "configs" / "openkbp" / "openkbp.yaml"
# Findings that name each kind of plant.
KINDS = {
    "the same scan twice": ("same_scan",),
    "left/right swap": ("orientation",),
    "shifted annotation": ("misfit", "outlier"),
    "prone declared supine": ("orientation",),
    "head and feet exchanged": ("orientation",),
    "wrong value": ("files", "orientation", "outlier"),
}


def main() -> int:
    arguments = _arguments()
    root = Path(os.environ["TFPARTIAL_OPENKBP"]) / "openkbp"
    workers = f"build.workers={arguments.workers}"
    clean = load_experiment(CONFIG, [workers])
    untouched = arguments.work_dir / "untouched"
    if not (untouched / "audit.json").is_file():
        audit(clean, untouched)
    before = _findings_in(untouched / "audit.json")

    target = arguments.work_dir / "openkbp"
    shutil.rmtree(target, ignore_errors=True)
    cases = _cases_without_finding(clean, before)
    plants = Planter(root, target, cases, arguments.seed).plant_all()
    faulty = load_experiment(
        CONFIG,
        [
            workers,
            *(f"databases.{n}.path={target / f'db{n + 1}'}" for n in range(3)),
            f"build.splits.file={target / 'splits.json'}",
        ],
    )
    started = time.perf_counter()
    audit(faulty, arguments.work_dir / "planted")
    seconds = time.perf_counter() - started
    after = _findings_in(arguments.work_dir / "planted" / "audit.json")
    tally = _tally(before, after, plants)
    tally["seconds"] = round(seconds, 1)
    print(json.dumps(tally, indent=1))
    return int(bool(tally["missed"] or tally["new_on_cases_without_a_plant"]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work_dir", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def _findings_in(path: Path) -> list[Finding]:
    """Read the findings of an audit."""
    content = json.loads(path.read_text("utf-8"))
    return [
        Finding(**(entry | {"others": tuple(entry["others"])}))
        for entry in content["findings"]
    ]


def _cases_without_finding(
    experiment: Experiment, findings: list[Finding]
) -> list[Case]:
    """Return cases on which a finding can only come from a plant."""
    named = {f.where for f in findings}
    named |= {other for f in findings for other in f.others}
    found, _ = find_all_cases(
        experiment.databases,
        label_space_of(experiment),
        experiment.build.splits,
    )
    return [
        case
        for cases in found.values()
        for case in cases
        if f"{case.database}/{case.case_id}" not in named
    ]


def _tally(
    before: list[Finding], after: list[Finding], plants: list[Plant]
) -> dict:
    table: dict[str, dict[str, int]] = {}
    missed = []
    for plant in plants:
        row = table.setdefault(plant.kind, {"planted": 0, "found": 0})
        row["planted"] += 1
        if any(_names(finding, plant) for finding in after):
            row["found"] += 1
        else:
            missed.append(f"{plant.kind}: {plant.where} ({plant.detail})")
    known = {(f.kind, f.where, f.label) for f in before}
    new = [
        f"{f.kind}: {f.where} {f.label}".rstrip()
        for f in after
        if (f.kind, f.where, f.label) not in known and not _may_be(f, plants)
    ]
    return {
        "planted": table,
        "missed": missed,
        "findings_on_untouched": dict(Counter(f.kind for f in before)),
        "where": [f"{f.kind}: {f.where} {f.label}".rstrip() for f in before],
        "new_on_cases_without_a_plant": new,
        "plants": [
            f"{p.kind}: {p.where} ({p.detail}): "
            + (", ".join(sorted(_kinds_on(p, after))) or "NOTHING")
            for p in plants
        ],
    }


def _may_be(finding: Finding, plants: list[Plant]) -> bool:
    """Whether a plant explains a finding: a pair only as it was planted."""
    involved = {finding.where, *finding.others}
    if finding.kind == "same_scan":
        return involved in [{p.where, p.source} for p in plants]
    touched = {p.where for p in plants} | {p.source for p in plants}
    return bool(involved & touched)


def _kinds_on(plant: Plant, findings: list[Finding]) -> set[str]:
    """Return what was found in the case of a plant, rightly or not."""
    return {f.kind for f in findings if plant.where in (f.where, *f.others)}


def _names(finding: Finding, plant: Plant) -> bool:
    """Whether a finding is this plant's."""
    if finding.kind not in KINDS[plant.kind]:
        return False
    if plant.source:
        return {finding.where, *finding.others} == {plant.where, plant.source}
    return finding.where == plant.where


if __name__ == "__main__":
    sys.exit(main())
