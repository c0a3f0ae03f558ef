"""Runs of a comparison, one after the other or several at a time.

In: planned runs. Out: finished runs, one log and one journal each. Finished
runs are skipped; a failed one is reported and stops only those that need it.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.plan import Run
from tfpartial.comparison.run.commands import commands_of
from tfpartial.comparison.run.journal import (
    Journal,
    is_finished,
    mark_finished,
    open_journal,
)
from tfpartial.comparison.run.progress import Progress
from tfpartial.config import write_resolved
from tfpartial.errors import Faults, InputError, MachineError
from tfpartial.files.folder_lock import folder_lock
from tfpartial.files.system_errors import explained

log = logging.getLogger(__name__)
LAST_LINES = 6
OTHERS = "another call of table (or a training that a killed call left running)"


class Runner:
    """Does the unfinished runs of a comparison.

    Args:
        comparison: as declared.
        runs: to be done, sources of pseudo-labels first and never missing.
        jobs: runs at a time; the CPU cores are shared out among them.
    """

    def __init__(
        self, comparison: Comparison, runs: Sequence[Run], jobs: int = 1
    ) -> None:
        self._comparison = comparison
        self._runs = list(runs)
        self._finished: set[str] = set()
        with Faults() as faults:
            for run in runs:
                try:
                    if is_finished(comparison, run):
                        self._finished.add(run.name)
                except InputError as error:
                    faults.add(error)
        self._jobs = jobs
        self._slots: SimpleQueue[set[int]] = SimpleQueue()
        for cores in share_cores(sorted(os.sched_getaffinity(0)), jobs):
            self._slots.put(cores)
        self._children: set[subprocess.Popen] = set()
        self._stopping = threading.Event()
        known = [
            open_journal(run).total_seconds
            for run in runs
            if run.name in self._finished
        ]
        self._progress = Progress(
            len(self._runs) - len(known),
            jobs,
            [seconds for seconds in known if seconds is not None],
        )

    def run(self) -> dict[str, str]:
        """Do everything that is not finished.

        Returns:
            Run -> why it failed, or was not begun.
        """
        done = set(self._finished)
        if done:
            log.info("%d of %d runs are finished", len(done), len(self._runs))
        failed: dict[str, str] = {}
        waiting = [r for r in self._runs if r.name not in done]
        with (
            _ended_by_sigterm(),
            folder_lock(Path(self._comparison.output_dir), OTHERS) as lock,
            ThreadPoolExecutor(self._jobs) as pool,
        ):
            active: dict[Future, Run] = {}
            try:
                while waiting or active:
                    free = self._jobs - len(active)
                    # In the order of the plan, so that seeds become complete
                    # one after the other.
                    for run in self._ready(waiting, done, failed)[:free]:
                        waiting.remove(run)
                        active[pool.submit(self._do, run, lock)] = run
                    self._await_one(active, done, failed)
            except BaseException:
                self._stop()
                raise
        return failed

    def _ready(
        self, waiting: list[Run], done: set[str], failed: dict[str, str]
    ) -> list[Run]:
        """Return runs that can begin; give up those whose source failed."""
        ready = []
        for run in list(waiting):
            source = run.source.name if run.source else None
            if source in failed:
                failed[run.name] = f"needs {source}, which failed"
                log.error("%s: not begun: %s", run.name, failed[run.name])
                waiting.remove(run)
            elif source is None or source in done:
                ready.append(run)
        return ready

    def _await_one(
        self,
        active: dict[Future, Run],
        done: set[str],
        failed: dict[str, str],
    ) -> None:
        """Wait until a run ends, and note how."""
        ended, _ = wait(active, return_when=FIRST_COMPLETED)
        for future in ended:
            run = active.pop(future)
            error = future.result()
            if error is None:
                done.add(run.name)
            else:
                failed[run.name] = error

    def _do(self, run: Run, lock: IO) -> str | None:
        """Do one run in a slot of its own; return why it failed."""
        cores = self._slots.get()
        try:
            with explained(f"doing {run.name}", self._comparison.output_dir):
                return self._stages(run, cores, lock)
        except (InputError, MachineError) as error:  # a full disk: others go on
            log.error("%s failed: %s", run.name, error)
            return str(error)
        except Exception as error:
            log.exception("%s failed", run.name)
            return f"{type(error).__name__}: {error}"
        finally:
            self._slots.put(cores)

    def _stages(self, run: Run, cores: set[int], lock: IO) -> str | None:
        journal = open_journal(run)
        output = Path(self._comparison.output_dir)
        config = output / "configs" / f"{run.name}.yaml"
        logfile = output / "logs" / f"{run.name}.log"
        for path in (config, logfile):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_resolved(run.experiment, config)
        self._progress.begin(run.name)
        for stage, command in commands_of(run, self._comparison, config):
            if self._stopping.is_set():
                return "stopped"
            error = self._stage(
                run, journal, stage, command, logfile, cores, lock
            )
            if self._stopping.is_set():
                return "stopped"
            if error is not None:
                log.error("%s: %s failed:\n%s\nlog: %s", run.name, stage,
                          error, logfile)  # fmt: skip
                self._progress.end(run.name, None)
                return f"{stage}: {error}"
        mark_finished(self._comparison, run)
        self._progress.end(run.name, journal.total_seconds)
        return None

    def _stage(
        self,
        run: Run,
        journal: Journal,
        stage: str,
        command: list[str],
        logfile: Path,
        cores: set[int],
        lock: IO,
    ) -> str | None:
        """Do one command; return the last lines of its log if it failed."""
        journal.begin(stage, run)
        started = time.monotonic()
        with logfile.open("a", encoding="utf-8") as text:
            text.write(f"\n$ {shlex.join(command)}\n")
            text.flush()
            begins = text.tell()
            child = subprocess.Popen(
                command,
                stdout=text,
                stderr=subprocess.STDOUT,
                # An orphan of a killed call keeps the lock until it ends.
                pass_fds=(lock.fileno(),),
            )
            os.sched_setaffinity(child.pid, cores)
            self._children.add(child)
            code = child.wait()
            self._children.discard(child)
        if self._stopping.is_set():
            return "stopped"
        journal.end(stage, time.monotonic() - started, run)
        return _last_words(logfile, begins, code) if code else None

    def _stop(self) -> None:
        """End the children, so that the next call finds nothing running."""
        self._stopping.set()
        for child in list(self._children):
            child.terminate()


def share_cores(cores: Sequence[int], jobs: int) -> list[set[int]]:
    """Share CPU cores out among jobs; more jobs than cores share them all.

    Returns:
        `jobs` sets of core numbers.
    """
    if jobs > len(cores):
        return [set(cores)] * jobs
    return [set(cores[job::jobs]) for job in range(jobs)]


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let `kill` end the trainings as well, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _last_words(logfile: Path, begins: int, code: int) -> str:
    """Return why a command failed, from what it wrote after `begins`."""
    with logfile.open("rb") as file:
        file.seek(begins)
        lines = file.read().decode("utf-8", "replace").splitlines()
    told = [line for line in lines if line.startswith("error:")]
    how = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    return "\n".join([how, *(told or lines[-LAST_LINES:])])
