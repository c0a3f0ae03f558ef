"""`fit` that ends itself by SIGKILL in a phase: what kill_resume.py starts.

    python benchmarks/killed_fit.py PLAN.json <flags and overrides of fit>

PLAN.json holds {"phase", "epoch", "skip", "share", "seconds", "report",
"steps_per_epoch"}: kill in the first such phase at or after the epoch, or that
many later, after `share` of the `seconds` that it usually takes. Without a
phase nothing is killed, and the report holds what each phase takes. SIGKILL
cannot be caught: to the program it is the same whoever sends it; from inside
it hits the phase that was asked for.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import small_run

PHASES = ("step", "checkpoint", "validation", "between epochs")


class Killer:
    """Knows the phase that the program is in, and kills it in the one."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.phase: str | None = None
        self.epoch = 0
        self.entered = 0.0
        self.skip = plan.get("skip", 0)
        self.due = False
        self.lock = threading.RLock()
        self.taken: dict[str, list[float]] = {phase: [] for phase in PHASES}

    def enter(self, phase: str, epoch: int) -> None:
        """The program begins a phase."""
        with self.lock:
            self.phase, self.epoch = phase, epoch
            self.entered = time.perf_counter()
        if self._is_it() and self.skip:
            self.skip -= 1
        elif self._is_it():
            self.due = True
            delay = self.plan["share"] * self.plan["seconds"]
            threading.Thread(
                target=self._kill_after, args=(delay,), daemon=True
            ).start()

    def leave(self) -> None:
        """The program ends a phase; a kill that is due comes now."""
        if self.phase is None:
            return
        if self.due:
            self.kill()
        with self.lock:
            self.taken[self.phase].append(time.perf_counter() - self.entered)
            self.phase = None

    def _is_it(self) -> bool:
        plan = self.plan
        return (
            plan["phase"] is not None
            and self.phase == plan["phase"]
            and self.epoch >= plan["epoch"]
        )

    def _kill_after(self, delay: float) -> None:
        time.sleep(delay)
        self.kill()

    def kill(self) -> None:
        """Say where, and be gone."""
        # Nobody leaves the phase meanwhile; and at its very end the program
        # and the thread that waits may both be here.
        with self.lock:
            after = time.perf_counter() - self.entered
            told = {
                "phase": self.phase,
                "epoch": self.epoch,
                "after_seconds": after,
                "time": time.time(),
            }
            text = json.dumps(told)
            Path(self.plan["report"]).write_text(text, encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, phase: str, real: Callable) -> Callable:
        """Wrap a callback's on_epoch_end: it is a phase."""

        def on_epoch_end(callback: Any, epoch: int, logs: Any = None) -> None:
            self.enter(phase, epoch + 1)
            real(callback, epoch, logs)
            self.leave()
            if phase == "checkpoint":
                self.enter("between epochs", epoch + 1)

        return on_epoch_end

    def around_steps(self, real: Callable) -> Callable:
        """Wrap what makes the function of a step: each call is a phase."""

        def make_train_function(model: Any, force: bool = False) -> Any:
            step = real(model, force)

            def counted(iterator: Any) -> Any:
                self.leave()  # between epochs
                done = int(model.optimizer.iterations.numpy())
                self.enter("step", done // self.plan["steps_per_epoch"] + 1)
                logs = step(iterator)
                self.leave()
                return logs

            model.train_function = counted
            return counted

        return make_train_function


def run_undisturbed(report: Path, arguments: list[str]) -> dict[str, float]:
    """Call fit in a process; return the usual seconds of each phase."""
    plan = {"phase": None, "report": str(report), "steps_per_epoch": 2**31}
    file = report.with_suffix(".plan.json")
    file.write_text(json.dumps(plan), encoding="utf-8")
    command = [sys.executable, __file__, str(file), *arguments]
    small_run.finish(small_run.start(command))
    return json.loads(report.read_text(encoding="utf-8"))


def main() -> int:
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    from tfpartial.training.callbacks.checkpoints import Checkpoints
    from tfpartial.training.callbacks.validation import WholeScanValidation
    from tfpartial.training.checked_steps import CheckedSteps

    killer = Killer(plan)
    for phase, callback in (
        ("checkpoint", Checkpoints),
        ("validation", WholeScanValidation),
    ):
        callback.on_epoch_end = killer.around(phase, callback.on_epoch_end)
    CheckedSteps.make_train_function = killer.around_steps(
        CheckedSteps.make_train_function
    )
    from tfpartial.cli.main import main as call

    code = call(["fit", *sys.argv[2:]])
    if plan["phase"] is None:
        # The first of each traces; the others are the usual ones.
        usual = {
            phase: statistics.median(taken[1:] or taken)
            for phase, taken in killer.taken.items()
            if taken
        }
        Path(plan["report"]).write_text(json.dumps(usual), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
