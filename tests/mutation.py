"""Are the tests sharp? The score of a mutation run, file by file.

    make mutation
    python tests/mutation.py 'tfpartial.labels*' 'tfpartial.losses*'

mutmut changes the code of `[mutmut] only_mutate` in setup.cfg in one place at a
time (an operator, a number, an argument) and runs the tests that reach that
place; a change that no test notices survives. The score is the share that did
not. What is left is listed, and explained in docs/mutation.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MUTANTS = REPOSITORY / "mutants"
# What mutmut writes of each mutant: pytest's exit code, or its own.
SURVIVED, NOT_RUN = (0,), (None, 34)
NO_TEST = (5, 33)


def main(patterns: Sequence[str]) -> int:
    """Run the mutants whose names match; print the score of every file."""
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", "run", "--max-children",
         os.environ.get("MUTATION_PROCESSES", "2"), *patterns],
        cwd=REPOSITORY,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode:
        return done.returncode
    print(table(results(MUTANTS)))
    return 0


def results(folder: Path) -> dict[str, dict[str, int | None]]:
    """Return file -> mutant -> exit code of its tests, None if not run."""
    found = {}
    for path in sorted(folder.rglob("*.meta")):
        codes = json.loads(path.read_text("utf-8"))["exit_code_by_key"]
        run = {k: code for k, code in codes.items() if code not in NOT_RUN}
        if run:
            found[str(path.relative_to(folder).with_suffix(""))] = run
    return found


def table(found: dict[str, dict[str, int | None]]) -> str:
    """Return a Markdown table, and the names of what survived."""
    rows = ["| file | mutants | noticed | score |", "|---|--:|--:|--:|"]
    total: Counter[str] = Counter()
    alive = []
    for file, mutants in found.items():
        left = [n for n, c in mutants.items() if c in SURVIVED + NO_TEST]
        alive += left
        total.update(all=len(mutants), left=len(left))
        rows.append(_row(f"`{file}`", len(mutants), len(left)))
    rows.append(_row("together", total["all"], total["left"]))
    return "\n".join([*rows, "", *alive])


def _row(name: str, mutants: int, left: int) -> str:
    share = (mutants - left) / mutants if mutants else 1.0
    return f"| {name} | {mutants} | {mutants - left} | {share:.1%} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
