"""Every speed benchmark in turn, and the table of their results.

    python benchmarks/run_all.py [--only train_step pipeline]

Each runs in a process of its own and prints one line of JSON, which is kept in
docs/performance/results.json; the table between the marks in
docs/performance.md is made from that file. Exit code 1 if a benchmark failed
(its two sides did not do the same work); a missed target is no failure, it
stands in the table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfpartial.program_version import git_commit

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "docs" / "performance" / "results.json"
PAGE = REPOSITORY / "docs" / "performance.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
# name -> what an uninterested reader needs to know of it.
BENCHMARKS = {
    "train_step": "one training step",
    "fit_overhead": "fit with everything users get",
    "pipeline": "patches from records",
    "sliding_window": "one whole scan",
    "preprocess": "read, orient, resample, normalise, and back",
    "build_records": "scans to records",
    "savedmodel": "the exported model",
    "startup": "until something happens",
    "scaling": "how costs grow",
    "evaluate": "metrics of one scan",
    "gpu_step": "one training step on an accelerator",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=[])
    chosen = parser.parse_args(arguments).only or list(BENCHMARKS)
    kept = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    failed = []
    for number, name in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {name}", file=sys.stderr, flush=True)
        line, seconds = run(name)
        if line is None:
            failed.append(name)
            kept.pop(name, None)
        else:
            own = {"commit": commit(), "seconds": round(seconds)}
            kept[name] = line | own
        write(kept)
    print(table(kept))
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return int(bool(failed))


def commit() -> str | None:
    """Return the commit, "-dirty" where more than the results has changed."""
    found = git_commit()
    if found is None:
        return None
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no", "--",
         ".", ":(exclude)docs/performance*"],
        cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    clean = found.removesuffix("-dirty")
    return f"{clean}-dirty" if changed.stdout else clean


def run(name: str) -> tuple[dict[str, Any] | None, float]:
    """Return the line of one benchmark (None: it failed) and its seconds.

    The line of one that failed goes to stderr: it says what did not agree.
    """
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, REPOSITORY / "benchmarks" / f"{name}.py"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        cwd=REPOSITORY,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    seconds = time.monotonic() - begin
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        print(*lines[-1:], file=sys.stderr, flush=True)
        return None, seconds
    print(lines[-1], flush=True)
    return json.loads(lines[-1]), seconds


def write(results: dict[str, Any]) -> None:
    """Keep the results, and renew the table of the page."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    ordered = {name: results[name] for name in BENCHMARKS if name in results}
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    if not PAGE.exists():
        return
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(
        f"{before}{BEGIN}\n\n{table(ordered)}\n\n{origin(ordered)}\n\n"
        f"{END}{after}",
        encoding="utf-8",
    )


def table(results: dict[str, Any]) -> str:
    """Return the Markdown table of every number that has a limit or none."""
    rows = [
        "| benchmark | what | measured | target | met |",
        "|---|---|--:|--:|---|",
    ]
    for name, line in results.items():
        rows += [
            f"| `{name}.py` | {target['what']} | {_number(target['value'])} "
            f"| {_limit(target)} | {_met(target['met'])} |"
            for target in line["targets"]
        ]
    return "\n".join(rows)


def origin(results: dict[str, Any]) -> str:
    """Return a sentence per machine and commit that results come from."""
    places: dict[str, list[str]] = {}
    for name, line in results.items():
        if not line["targets"]:
            continue  # skipped
        versions = ", ".join(f"{n} {v}" for n, v in line["versions"].items())
        place = (
            f"commit {line['commit']}, {line['device']}, {line['cores']} "
            f"cores, {versions}"
        )
        places.setdefault(place, []).append(name)
    return "\n\n".join(
        f"Measured at {place}"
        + (f" ({', '.join(names)})." if len(places) > 1 else ".")
        for place, names in places.items()
    )


def _limit(target: dict[str, Any]) -> str:
    if target["limit"] is None:
        return ""
    return f"{'≥' if target['at_least'] else '≤'} {_number(target['limit'])}"


def _met(met: bool | None) -> str:
    return {True: "yes", False: "**no**", None: ""}[met]


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


if __name__ == "__main__":
    sys.exit(main())
