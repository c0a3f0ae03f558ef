"""Kill a training anywhere, repeat the command: is the result the same bits?

    python benchmarks/kill_resume.py --kills 20 --strategy mirrored

Every run is killed four times, once in each phase (in a step, while a
checkpoint is written, in validation, between epochs), at random moments, and
started again after each; the last start is the plain command. Then student,
teacher, optimizer, metrics.json and validation.json are compared with those of
a run that nobody killed, bit for bit. Dropout, augmentation, teacher and every
other option are on (`small_run.overrides`).

With --strategy multi_worker one of two processes is killed; the other one has
to stop by itself within 30 s.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import small_run
from killed_fit import PHASES

STRATEGIES = ("none", "mirrored", "multi_worker")
EPOCHS, STEPS = 6, 3
LENGTH = [f"fit.epochs={EPOCHS}", f"fit.steps_per_epoch={STEPS}"]
WORKERS = 2
LONGEST_STOP_SECONDS = 30.0


@dataclass
class Kill:
    """One kill and what came of it."""

    run: int
    phase: str
    epoch: int
    after_seconds: float
    worker: int
    resumed_after_step: int
    others_stopped_seconds: float | None = None
    identical: bool = False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--strategy", default="mirrored", choices=STRATEGIES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--work_dir", type=Path, help="default: a temporary")
    arguments = parser.parse_args()
    if arguments.kills < 1 or arguments.kills % len(PHASES):
        parser.error(f"--kills: expected a multiple of {len(PHASES)} phases")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work_dir or Path(temporary)
        kills = measure(folder.resolve(), arguments)
    result = summary(kills, arguments.strategy)
    print(json.dumps(result))
    return int(result["identical"] != result["kills"])


def summary(kills: list[Kill], strategy: str) -> dict[str, Any]:
    """Return what the last line says."""
    result: dict[str, Any] = {
        "kills": len(kills),
        "identical": sum(kill.identical for kill in kills),
        "runs_compared": len({kill.run for kill in kills}),
        "strategy": strategy,
        "phases": {p: sum(k.phase == p for k in kills) for p in PHASES},
    }
    stops = [k.others_stopped_seconds for k in kills]
    waited = [seconds for seconds in stops if seconds is not None]
    if waited:
        result["others_stopped_within_seconds"] = max(waited)
    return result


def measure(folder: Path, arguments: argparse.Namespace) -> list[Kill]:
    """Train once undisturbed, then kill; return every kill."""
    small_run.prepare(folder)
    trial = Trial(folder, arguments.strategy)
    usual = trial.reference()
    plans = planned(arguments.kills // len(PHASES), arguments.seed)
    if arguments.strategy != "multi_worker":
        plans = [[plan | {"worker": 0} for plan in run] for run in plans]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        runs = pool.map(
            lambda numbered: trial.killed(*numbered, usual), enumerate(plans)
        )
        return [kill for run in runs for kill in run]


def planned(runs: int, seed: int) -> list[list[dict[str, Any]]]:
    """Draw for each run where it is killed: every phase once, in any order.

    Epochs rise, and leave two at the end: a kill may come after the
    checkpoint of its epoch.
    """
    draw = random.Random(seed)
    plans = []
    for _ in range(runs):
        phases = draw.sample(PHASES, len(PHASES))
        epochs = sorted(draw.choices(range(1, EPOCHS - 1), k=len(phases)))
        plans.append(
            [
                {
                    "phase": phase,
                    "epoch": epoch,
                    "skip": draw.randrange(STEPS) if phase == "step" else 0,
                    "share": draw.random(),
                    # Only the first worker validates.
                    "worker": 0
                    if phase == "validation"
                    else draw.randrange(WORKERS),
                }
                for phase, epoch in zip(phases, epochs, strict=True)
            ]
        )
    return plans


class Trial:
    """Trainings of one strategy in one folder."""

    def __init__(self, folder: Path, strategy: str) -> None:
        self.folder = folder
        self.strategy = strategy
        self.workers = WORKERS if strategy == "multi_worker" else 1

    def reference(self) -> dict[str, float]:
        """Train undisturbed; return the usual seconds of each phase."""
        run_dir = self._fresh("reference")
        usual: dict[str, float] = {}
        started = []
        for worker, environment in enumerate(self._environments()):
            plan = self._plan_file(run_dir, worker, {"phase": None})
            started.append(
                small_run.start(self._command(run_dir, plan), environment)
            )
        for worker, process in enumerate(started):
            small_run.finish(process)
            report = self._report_file(run_dir, worker)
            taken = json.loads(report.read_text(encoding="utf-8"))
            usual |= {p: max(s, usual.get(p, 0.0)) for p, s in taken.items()}
        return usual

    def killed(
        self, number: int, plans: list[dict[str, Any]], usual: dict[str, float]
    ) -> list[Kill]:
        """Train with a kill per plan; then the plain command; compare."""
        run_dir = self._fresh(f"killed_{number}")
        kills = []
        for plan in plans:
            seconds = usual[plan["phase"]]
            kills.append(
                self._kill(run_dir, number, plan | {"seconds": seconds})
            )
        printed = [
            small_run.finish(process)
            for process in [
                small_run.start(self._command(run_dir), environment)
                for environment in self._environments()
            ]
        ]
        resumed = [*(k.resumed_after_step for k in kills[1:]), _step(printed)]
        same = self._same(run_dir)
        for kill, step in zip(kills, resumed, strict=True):
            kill.resumed_after_step = step
            kill.identical = same
            print(json.dumps(asdict(kill)), flush=True)
        return kills

    def _kill(self, run_dir: Path, number: int, plan: dict[str, Any]) -> Kill:
        """Start, be killed, wait for the other workers to stop."""
        victim = plan["worker"]
        report = self._report_file(run_dir, victim)
        report.unlink(missing_ok=True)
        processes = []
        for worker, environment in enumerate(self._environments()):
            file = self._plan_file(run_dir, victim, plan)
            command = self._command(run_dir, file if worker == victim else None)
            processes.append(small_run.start(command, environment))
        printed, _ = processes[victim].communicate()
        if not report.exists():
            raise RuntimeError(f"{plan}: ended before the kill:\n{printed}")
        told = json.loads(report.read_text(encoding="utf-8"))
        others = [p for p in processes if p is not processes[victim]]
        stopped = [_stop_of(process, told["time"]) for process in others]
        return Kill(
            number,
            told["phase"],
            told["epoch"],
            told["after_seconds"],
            victim,
            _step([printed]),
            max(stopped, default=None),
        )

    def _same(self, run_dir: Path) -> bool:
        """Compare everything that a run comes to with the reference, by bit."""
        reference = self.folder / f"{self.strategy}_reference"
        for name in ("metrics.json", "validation.json"):
            texts = [(d / name).read_bytes() for d in (reference, run_dir)]
            if texts[0] != texts[1]:
                return False
        for kind in ("student", "teacher"):
            pair = [small_run.weights(d, kind) for d in (reference, run_dir)]
            if not small_run.same_bits(*pair):
                return False
        pair = [small_run.checkpoint(d) for d in (reference, run_dir)]
        return small_run.same_bits(*pair)

    def _fresh(self, name: str) -> Path:
        run_dir = self.folder / f"{self.strategy}_{name}"
        shutil.rmtree(run_dir, ignore_errors=True)
        return run_dir

    def _environments(self) -> list[dict[str, str]]:
        if self.workers == 1:
            return [{}]
        return small_run.worker_environments(self.workers)

    def _command(self, run_dir: Path, plan: Path | None = None) -> list[str]:
        """Return `fit`, or the one that is killed by a plan."""
        if plan is None:
            return small_run.fit_command(
                self.folder, run_dir, self.strategy, LENGTH
            )
        script = Path(__file__).with_name("killed_fit.py")
        arguments = small_run.fit_arguments(
            self.folder, run_dir, self.strategy, LENGTH
        )
        return [sys.executable, str(script), str(plan), *arguments]

    def _plan_file(
        self, run_dir: Path, worker: int, plan: dict[str, Any]
    ) -> Path:
        path = run_dir.with_name(f"{run_dir.name}_plan{worker}.json")
        whole = plan | {
            "report": str(self._report_file(run_dir, worker)),
            "steps_per_epoch": STEPS,
        }
        path.write_text(json.dumps(whole), encoding="utf-8")
        return path

    def _report_file(self, run_dir: Path, worker: int) -> Path:
        return run_dir.with_name(f"{run_dir.name}_report{worker}.json")


def _step(printed: list[str]) -> int:
    """Return the step that a start went on from."""
    for text in printed:
        for line in text.splitlines():
            if line.startswith("resuming after step "):
                return int(line.rsplit(maxsplit=1)[-1])
    return 0


def _stop_of(process: subprocess.Popen[str], killed: float) -> float:
    """Wait for a worker whose peer was killed; return how long it took."""
    try:
        printed, _ = process.communicate(timeout=4 * LONGEST_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise RuntimeError("the other worker did not stop") from None
    seconds = time.time() - killed
    told = [x for x in printed.splitlines() if x.startswith("error: ")]
    if process.returncode != 3 or len(told) != 1:
        raise RuntimeError(
            f"expected exit code 3 and one message, found "
            f"{process.returncode}:\n{printed}"
        )
    if seconds > LONGEST_STOP_SECONDS:
        raise RuntimeError(f"the other worker took {seconds:.0f} s to stop")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
