"""A comparison from its declaration to its tables.

In: a `Comparison`, its experiment. Out: finished runs, then the small files
of `<output_dir>/results`.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tfpartial.comparison.commands import PROGRAM
from tfpartial.comparison.results import write_results
from tfpartial.comparison.runner import Runner
from tfpartial.comparison.runs import plan_runs
from tfpartial.config import Experiment, label_space_of, write_resolved
from tfpartial.config.comparison import Comparison
from tfpartial.databases import cases_of_split
from tfpartial.errors import Faults, InputError, did_you_mean

log = logging.getLogger(__name__)


def compare(
    comparison: Comparison,
    base: Experiment,
    *,
    jobs: int = 1,
    only: Sequence[str] = (),
    train: bool = True,
) -> Path:
    """Train what is not trained, evaluate it, and write the tables.

    Args:
        comparison: systems, seeds, what is compared.
        base: the experiment they share.
        jobs: runs at a time.
        only: names of runs ("ace_seed0"); empty for all.
        train: False: tables of what is finished, no run is begun.

    Returns:
        The folder of the tables.

    Raises:
        InputError: bad input; or, after everything else was done and the
            tables of the rest written, the runs that failed.
    """
    runs = plan_runs(comparison, base)
    unknown = set(only) - {run.name for run in runs}
    if unknown:
        raise InputError(
            f"table: no run is called {', '.join(sorted(unknown))}; the runs "
            f"are {', '.join(run.name for run in runs)}."
        )
    failed: dict[str, str] = {}
    if train:
        _build_records(comparison, base)
        check_cases(comparison, base)
        chosen = [run for run in runs if not only or run.name in only]
        failed = Runner(comparison, chosen, jobs).run()
    folder = write_results(comparison, base, runs)
    if failed:
        raise InputError(
            *(f"run {name} failed: {why}" for name, why in failed.items()),
            f"{len(failed)} run(s) are missing in the tables. The logs are in "
            f"{Path(comparison.output_dir) / 'logs'}; repeat the command to "
            f"try them again.",
        )
    return folder


def check_cases(comparison: Comparison, base: Experiment) -> None:
    """Check, before hours are spent, that there is something to evaluate.

    Raises:
        InputError: the database has no case in the split, or a scan of the
            figure is none of them.
    """
    cases = cases_of_split(
        base.databases,
        label_space_of(base),
        base.build.splits,
        comparison.split,
        [comparison.database],
    )
    known = [case.case_id for case in cases]
    with Faults() as faults:
        for field, names in (
            ("figure_cases", comparison.figure_cases),
            ("exclude", comparison.exclude),
        ):
            for name in names:
                if name not in known:
                    faults.add(
                        f"{field}: '{name}' is no {comparison.split} case of "
                        f"{comparison.database}." + did_you_mean(name, known)
                    )


def _build_records(comparison: Comparison, base: Experiment) -> None:
    """Build the records that all runs share, before the first begins.

    In a process of its own: a training that is begun later must not inherit
    TensorFlow's threads and memory.
    """
    folder = Path(comparison.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "experiment.yaml"
    write_resolved(base, config)
    command = [*PROGRAM, "build", "--config", str(config)]
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise InputError(
            f"{base.records_dir}: the records could not be built (see above)."
        )
