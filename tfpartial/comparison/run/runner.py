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
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from tqdm import tqdm

from tfpartial.comparison.declare import Comparison
from tfpartial.comparison.plan import Run
from tfpartial.comparison.run.commands import commands_of
from tfpartial.comparison.run.journal import (
    is_finished,
    mark_finished,
    open_journal,
)
from tfpartial.config import write_resolved
from tfpartial.errors import Faults, InputError, MachineError
from tfpartial.files.folder_lock import folder_lock
from tfpartial.files.system_errors import explain_refusals

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
                with faults.collect():
                    if is_finished(comparison, run):
                        self._finished.add(run.name)
        self._jobs = jobs
        self._slots: SimpleQueue[set[int]] = SimpleQueue()
        for cores in share_cores(sorted(os.sched_getaffinity(0)), jobs):
            self._slots.put(cores)
        self._children: set[subprocess.Popen] = set()
        self._stopping = threading.Event()

    def run(self) -> dict[str, str]:
        """Do everything that is not finished.

        Returns:
            Run -> why it failed, or was not begun.
        """
        total, done = len(self._runs), len(self._finished)
        if done:
            log.info("%d of %d runs are finished", done, total)
        ends: dict[str, Future[str | None]] = {}
        with (
            _ended_by_sigterm(),
            folder_lock(Path(self._comparison.output_dir), OTHERS) as lock,
            ThreadPoolExecutor(self._jobs) as pool,
        ):
            try:
                # In the order of the plan: seeds become complete one after
                # the other, and a source begins before the run that needs it.
                for run in self._runs:
                    if run.name not in self._finished:
                        source = ends.get(run.source.name if run.source else "")
                        ends[run.name] = pool.submit(
                            self._do, run, source, lock
                        )
                for _ in tqdm(
                    as_completed(ends.values()),
                    total=len(ends),
                    desc="runs",
                    unit="run",
                    smoothing=0,
                ):
                    pass
            except BaseException:
                self._stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        failed = {
            name: why
            for name, end in ends.items()
            if (why := end.result()) is not None
        }
        log.info("%d of %d runs done", total - len(failed), total)
        return failed

    def _do(
        self, run: Run, source: Future[str | None] | None, lock: IO
    ) -> str | None:
        """Do one run in a slot of its own; return why it failed."""
        failed = source is not None and source.result() is not None
        if self._stopping.is_set():
            return "stopped"
        if run.source and failed:
            why = f"needs {run.source.name}, which failed"
            log.error("%s: not begun: %s", run.name, why)
            return why
        cores = self._slots.get()
        try:
            with explain_refusals(
                f"doing {run.name}", self._comparison.output_dir
            ):
                return self._do_stages(run, cores, lock)
        except (InputError, MachineError) as error:  # a full disk: others go on
            log.error("%s failed: %s", run.name, error)
            return str(error)
        except Exception as error:
            log.exception("%s failed", run.name)
            return f"{type(error).__name__}: {error}"
        finally:
            self._slots.put(cores)

    def _do_stages(self, run: Run, cores: set[int], lock: IO) -> str | None:
        journal = open_journal(run)
        output = Path(self._comparison.output_dir)
        config = output / "configs" / f"{run.name}.yaml"
        logfile = output / "logs" / f"{run.name}.log"
        for path in (config, logfile):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_resolved(run.experiment, config)
        for stage, command in commands_of(run, self._comparison, config):
            if self._stopping.is_set():
                return "stopped"
            log.info("%s: %s begins", run.name, stage)
            journal.begin(stage, run)
            started = time.monotonic()
            error = self._call(command, logfile, cores, lock)
            if self._stopping.is_set():
                return "stopped"
            journal.end(stage, time.monotonic() - started, run)
            if error is not None:
                log.error("%s: %s failed:\n%s\nlog: %s", run.name, stage,
                          error, logfile)  # fmt: skip
                return f"{stage}: {error}"
        mark_finished(self._comparison, run)
        log.info("%s is finished", run.name)
        return None

    def _call(
        self, command: list[str], logfile: Path, cores: set[int], lock: IO
    ) -> str | None:
        """Do one command; return the last lines of its log if it failed."""
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
            if self._stopping.is_set():  # since it was asked last
                child.terminate()
            code = child.wait()
            self._children.discard(child)
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
