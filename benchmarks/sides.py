"""One side of a benchmark in a process of its own, which runs on request.

Two frameworks in one process share thread pools and memory. Here each has a
process: the other one waits for a line on a pipe and uses no processor.

In the benchmark: `with Side(command) as side: side()`.
In the process that it starts: `serve(run)`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
THREADS = len(os.sched_getaffinity(0))
BYTES_PER_MB = 2**20
_GO, _END = "go\n", "end\n"


class Side:
    """A process that repeats one piece of work each time it is called.

    Attributes:
        told: what the process said of itself before its first run.
    """

    def __init__(
        self, command: Sequence[str | Path], **environment: str
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        )
        self.told: dict[str, Any] = self._answer()

    def __call__(self) -> dict[str, Any]:
        """Run once; return what the run gave."""
        return self._ask(_GO)

    def peak_mb(self) -> float:
        """End the process; return the most memory that it ever held."""
        peak = float(self._ask(_END)["peak_mb"])
        self._process.wait()
        return peak

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, request: str) -> dict[str, Any]:
        pipe = self._process.stdin
        if pipe is None:
            raise RuntimeError("the process has no input")
        pipe.write(request)
        pipe.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        """Read one line of JSON; other output of the libraries is skipped."""
        for line in self._process.stdout or ():
            if line.startswith("{"):
                return dict(json.loads(line))
        raise RuntimeError(f"a side ended: exit code {self._process.wait()}")


def serve(
    run: Callable[[], Mapping[str, Any]], told: Mapping[str, Any]
) -> None:
    """Say that this process is ready; run on each request until the end.

    Args:
        run: returns what the other end gets, as JSON values.
        told: likewise, before the first run.
    """
    _say(told)
    for request in sys.stdin:
        if request == _END:
            break
        _say(run())
    _say({"peak_mb": peak_mb()})


def peak_mb() -> float:
    """Return the most memory this process has held so far, in MiB.

    Not `ru_maxrss`: after a fork it starts at what the parent held.
    """
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) * 1024 / BYTES_PER_MB
    raise RuntimeError("/proc/self/status has no VmHWM")


def _say(what: Mapping[str, Any]) -> None:
    print(json.dumps(dict(what)), flush=True)
