"""How readers take hostile input: a tally of mutated files.

    python tests/fuzz_inputs.py --cases 1000
    python tests/fuzz_inputs.py --cases 60 --readers NIfTI YAML

Every class of faults of every reader gets an equal share of the cases. Each
case ends in exit code 2 with one message that names file, expected, found and
remedy, or in an unchanged result; within 10 s and 1 GiB more memory; without
output. Anything else is "other": it is listed, and the exit code is 1.

In process a reader's `InputError` counts as exit code 2; `--commands` also
runs so many cases through the command line, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from fuzz import (
    checkpoint_faults,
    comparison_faults,
    config_faults,
    dataset_faults,
    export_faults,
    nifti_faults,
    openkbp_faults,
    prediction_faults,
    record_faults,
    run_faults,
    weights_faults,
    work_faults,
)
from fuzz.commands import run_commands
from fuzz.corpus import Fault, Reader
from fuzz.judge import OTHER, REFUSED, UNCHANGED, Verdict, judge, same

READERS: tuple[Reader, ...] = (
    nifti_faults.READER,
    openkbp_faults.READER,
    *dataset_faults.READERS,
    config_faults.READER,
    *comparison_faults.READERS,
    *work_faults.READERS,
    prediction_faults.READER,
    export_faults.READER,
    record_faults.READER,
    weights_faults.READER,
    checkpoint_faults.READER,
    run_faults.RUN,
    run_faults.PREDICTIONS,
)
Tally = dict[tuple[str, str], list[Verdict]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases, print the tally; return 1 if anything was "other"."""
    arguments = _arguments(argv)
    readers = [
        reader
        for reader in READERS
        if reader.name in (arguments.readers or [r.name for r in READERS])
    ]
    started = time.perf_counter()
    tally: Tally = {}
    classes = sum(len(reader.faults) for reader in readers)
    share, more = divmod(arguments.cases, classes)
    number = 0
    for reader in readers:
        with tempfile.TemporaryDirectory() as work:
            bench = _Bench(reader, Path(work), arguments.seed)
            for fault in reader.faults:
                cases = share + (number < more)
                number += 1
                tally[reader.name, fault.name] = bench.run(fault, cases)
    commands = run_commands(arguments.commands, arguments.seed)
    seconds = time.perf_counter() - started
    return _report(readers, tally, commands, seconds, arguments.seed)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument(
        "--commands", type=int, default=30, help="cases in processes"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--readers",
        nargs="+",
        choices=[reader.name for reader in READERS],
        help="default: all",
    )
    return parser.parse_args(argv)


class _Bench:
    """Valid inputs of one reader, what they read as, and a copy to harm."""

    def __init__(self, reader: Reader, work: Path, seed: int) -> None:
        self.reader = reader
        self.seed = seed
        # One place for all: some readers compare what was declared there.
        self.folder = work / "inputs"
        self.valid = work / "valid"
        self.folder.mkdir()
        reader.prepare(self.folder)
        shutil.copytree(self.folder, self.valid, symlinks=True)
        self.reference = reader.read(self.folder)
        self._renew()
        if not same(reader.read(self.folder), self.reference):
            raise RuntimeError(f"{reader.name}: valid inputs read differently")

    def _renew(self) -> None:
        shutil.rmtree(self.folder)
        shutil.copytree(self.valid, self.folder, symlinks=True)

    def run(self, fault: Fault, cases: int) -> list[Verdict]:
        """Make and judge the cases of one class."""
        verdicts = []
        for case in range(cases):
            self._renew()
            name = f"{self.seed} {self.reader.name} {fault.name} {case}"
            named = fault.mutate(self.folder, random.Random(name))
            verdict = judge(self.reader, self.folder, named, self.reference)
            if fault.harmless and verdict.outcome == REFUSED:
                why = f"harmless, but refused: {verdict.why}"
                verdict = Verdict(OTHER, why, verdict.seconds)
            verdicts.append(verdict)
        return verdicts


def _report(
    readers: Sequence[Reader],
    tally: Tally,
    commands: dict[str, int],
    seconds: float,
    seed: int,
) -> int:
    failed = []
    print(f"{'reader':23}{'fault':33}{'cases':>6}{'exit 2':>8}"
          f"{'unchanged':>11}{'other':>7}")  # fmt: skip
    for reader in readers:
        for fault in reader.faults:
            verdicts = tally[reader.name, fault.name]
            counts = Counter(verdict.outcome for verdict in verdicts)
            print(f"{reader.name:23}{fault.name:33}{len(verdicts):6}"
                  f"{counts[REFUSED]:8}{counts[UNCHANGED]:11}"
                  f"{counts[OTHER]:7}")  # fmt: skip
            whys = [v.why for v in verdicts if v.outcome == OTHER]
            failed += [
                f"other: {reader.name}, {fault.name}: {why[:600]}"
                for why in whys
            ]
    print("\n".join(failed))
    verdicts = [verdict for found in tally.values() for verdict in found]
    counts = Counter(verdict.outcome for verdict in verdicts)
    summary = {
        "cases": len(verdicts),
        "readers": len(readers),
        "fault_classes": len(tally),
        "exit_2": counts[REFUSED],
        "unchanged": counts[UNCHANGED],
        "other": len(failed),
        "slowest_seconds": round(max([v.seconds for v in verdicts] + [0]), 2),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        // 1024,
        "commands": commands,
        "seconds": round(seconds, 1),
        "seed": seed,
    }
    print(json.dumps(summary))
    return 1 if failed or commands.get("other") else 0


if __name__ == "__main__":
    sys.exit(main())
