"""A comparison from its declaration to its tables.

In: a `Comparison`, its experiment. Out: finished runs, then the small files
of `<output_dir>/results`.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.plan import Run, plan_runs
from tfpartial.comparison.results import write_results
from tfpartial.comparison.run.commands import PROGRAM
from tfpartial.comparison.run.runner import OTHERS, Runner
from tfpartial.config import Experiment, label_space_of, write_resolved
from tfpartial.databases import cases_of_split, find_all_cases
from tfpartial.errors import Faults, InputError, did_you_mean
from tfpartial.files.folder_lock import folder_lock

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
    if train:
        with folder_lock(Path(comparison.output_dir), OTHERS):
            _build_records(comparison, base)
    comparison = check_cases(comparison, base)
    runs = plan_runs(comparison, base)
    chosen = _choose_runs(runs, only)
    failed = Runner(comparison, chosen, jobs).run() if train else {}
    faults = [f"run {name} failed: {why}" for name, why in failed.items()]
    folder = Path(comparison.output_dir)
    try:
        folder = write_results(comparison, base, runs)
    except InputError as error:
        if only and not faults:  # more runs are to come
            log.warning("%s", error)
            return folder
        faults += error.faults
    if failed:
        faults.append(
            f"{len(failed)} run(s) are missing in the tables. The logs are in "
            f"{Path(comparison.output_dir) / 'logs'}; repeat the command to "
            f"try them again."
        )
    if faults:
        raise InputError(*faults)
    return folder


def _choose_runs(runs: Sequence[Run], only: Sequence[str]) -> list[Run]:
    """Return the runs that are asked for, and those they need before them.

    Raises:
        InputError: a name is none of a run.
    """
    known = [run.name for run in runs]
    with Faults() as faults:
        for name in only:
            if name not in known:
                faults.add(
                    f"--only: no run is called '{name}'; the runs are "
                    f"{', '.join(known)}." + did_you_mean(name, known)
                )
    wanted = set(only or known)
    wanted |= {r.source.name for r in runs if r.name in wanted and r.source}
    return [run for run in runs if run.name in wanted]


def check_cases(comparison: Comparison, base: Experiment) -> Comparison:
    """Check, before hours are spent, that there is something to evaluate.

    Returns:
        The comparison; scans of another split are taken out of `exclude` and
        `figure_cases`, with a warning.

    Raises:
        InputError: the database has no case in the split, or a scan that is
            named is none of its cases.
    """
    name, splits = comparison.database, base.build.splits
    space = label_space_of(base)
    evaluated = {
        case.case_id
        for case in cases_of_split(
            base.databases, space, splits, comparison.split, [name]
        )
    }
    cases, _ = find_all_cases(base.databases, space, splits)
    known = [case.case_id for case in cases[name]]
    named = [*comparison.figure_cases, *comparison.exclude]
    with Faults() as faults:
        for case in dict.fromkeys(named):
            if case not in known:
                faults.add(
                    f"figure_cases, exclude: '{case}' is no case of {name}."
                    + did_you_mean(case, known)
                )
            elif case not in evaluated:
                log.warning("%s is no %s case", case, comparison.split)
    return comparison.model_copy(
        update={
            "figure_cases": [
                case for case in comparison.figure_cases if case in evaluated
            ],
            "exclude": {
                case: label
                for case, label in comparison.exclude.items()
                if case in evaluated
            },
        }
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
