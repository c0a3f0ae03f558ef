"""Runs of a comparison, one after the other or several at a time.

In: planned runs. Out: finished runs, one log and one journal each. Finished
runs are skipped; a failed one is reported and stops only those that need it.
"""

from __future__ import annotations

import fcntl
import logging
import os
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

from tfpartial.comparison.commands import commands_of
from tfpartial.comparison.journal import (
    Journal,
    journal_path,
    open_journal,
)
from tfpartial.comparison.runs import Run
from tfpartial.config import write_resolved
from tfpartial.config.comparison import Comparison
from tfpartial.errors import InputError

log = logging.getLogger(__name__)
LAST_LINES = 6


class Runner:
    """Does the unfinished runs of a comparison.

    Args:
        comparison: as declared.
        runs: all of them, sources of pseudo-labels first.
        jobs: runs at a time; the CPU cores are shared out among them.
    """

    def __init__(
        self, comparison: Comparison, runs: Sequence[Run], jobs: int = 1
    ) -> None:
        self._comparison = comparison
        self._runs = list(runs)
        self._journals = {r.name: open_journal(comparison, r) for r in runs}
        self._jobs = jobs
        self._slots: SimpleQueue[set[int]] = SimpleQueue()
        for cores in share_cores(sorted(os.sched_getaffinity(0)), jobs):
            self._slots.put(cores)
        self._children: set[subprocess.Popen] = set()
        self._stopping = threading.Event()
        self._progress = Progress(
            [r.name for r in runs if not self._journals[r.name].finished], jobs
        )

    def run(self) -> dict[str, str]:
        """Do everything that is not finished.

        Returns:
            Run -> why it failed, or was not begun.
        """
        done = {n for n, j in self._journals.items() if j.finished}
        if done:
            log.info("%d of %d runs are finished", len(done), len(self._runs))
        failed: dict[str, str] = {}
        waiting = [r for r in self._runs if r.name not in done]
        with (
            _ended_by_sigterm(),
            _lock(Path(self._comparison.output_dir)) as lock,
            ThreadPoolExecutor(self._jobs) as pool,
        ):
            active: dict[Future, Run] = {}
            try:
                while waiting or active:
                    for run in self._ready(waiting, done, failed):
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
            return self._stages(run, cores, lock)
        finally:
            self._slots.put(cores)

    def _stages(self, run: Run, cores: set[int], lock: IO) -> str | None:
        journal = self._journals[run.name]
        output = Path(self._comparison.output_dir)
        config = output / "configs" / f"{run.name}.yaml"
        logfile = output / "logs" / f"{run.name}.log"
        for path in (config, logfile):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_resolved(run.experiment, config)
        begun = self._progress.begin(run.name)
        for stage, command in commands_of(run, self._comparison, config):
            if self._stopping.is_set():
                return "stopped"
            error = self._stage(
                run, journal, stage, command, logfile, cores, lock
            )
            if error is not None:
                log.error("%s: %s failed:\n%s\nlog: %s", run.name, stage,
                          error, logfile)  # fmt: skip
                self._progress.end(run.name, begun)
                return f"{stage}: {error}"
        journal.finished = True
        journal.write(journal_path(self._comparison, run))
        self._progress.end(run.name, begun)
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
        path = journal_path(self._comparison, run)
        journal.stage = stage
        journal.write(path)
        started = time.monotonic()
        with logfile.open("a", encoding="utf-8") as text:
            text.write(f"\n$ {' '.join(command)}\n")
            text.flush()
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
        seconds = time.monotonic() - started
        journal.seconds[stage] = journal.seconds.get(stage, 0.0) + seconds
        journal.stage = None
        error = _last_lines(logfile) if code else None
        journal.error = error
        journal.write(path)
        return error

    def _stop(self) -> None:
        """End the children, so that the next call finds nothing running."""
        self._stopping.set()
        for child in list(self._children):
            child.terminate()


class Progress:
    """Says which run begins and ends, and about how long the rest takes."""

    def __init__(self, names: Sequence[str], jobs: int) -> None:
        self._total = len(names)
        self._jobs = jobs
        self._ended: list[float] = []
        self._begun = 0
        self._lock = threading.Lock()

    def begin(self, name: str) -> float:
        """Announce a run; return the time."""
        with self._lock:
            self._begun += 1
            log.info("[%d/%d] %s begins", self._begun, self._total, name)
        return time.monotonic()

    def end(self, name: str, begun: float) -> None:
        """Announce the end of a run and the time left."""
        with self._lock:
            seconds = time.monotonic() - begun
            self._ended.append(seconds)
            log.info(
                "%s ended after %s; %d of %d runs done, about %s left",
                name,
                clock(seconds),
                len(self._ended),
                self._total,
                clock(self.seconds_left()),
            )

    def seconds_left(self) -> float:
        """Estimate: mean duration x rounds of `jobs` runs still to end."""
        rest = self._total - len(self._ended)
        mean = sum(self._ended) / max(len(self._ended), 1)
        return mean * rest / min(self._jobs, max(rest, 1))


def clock(seconds: float) -> str:
    """Return "1 h 05 min", "12 min" or "40 s"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


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


@contextmanager
def _lock(output_dir: Path) -> Iterator[IO]:
    """Let only one call work in a folder.

    Raises:
        InputError: another call, or what a killed one left running, does.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / ".lock"
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{output_dir}: another call of table (or a training that a "
                f"killed call left running) works there. Wait for it, or end "
                f"it, and repeat the command."
            ) from None
        yield file


def _last_lines(logfile: Path) -> str:
    lines = logfile.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line for line in lines if line.startswith("error:")]
    return "\n".join(told[-1:] or lines[-LAST_LINES:])
