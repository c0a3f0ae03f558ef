"""A side of a benchmark in a process of its own, which works on request.

In: a function that makes the side's callables. Out: their results, one call
after the other, through a pipe. Two frameworks in one process wait for each
other's threads (a thread pool that spins takes the cores of the other); here a
side that is not asked holds no core. A call costs about 0.1 ms.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any
from unittest import mock

# Threads of PyTorch that spin while they wait double its time as soon as
# anything else runs on the machine. TensorFlow has threads of its own.
ENVIRONMENT = {
    "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
    "OMP_WAIT_POLICY": "PASSIVE",
}
Calls = Mapping[str, Callable[..., Any]]


class OtherProcess:
    """Callables of another process; use it in a `with` block."""

    def __init__(self, prepare: Callable[..., Calls], *arguments: Any) -> None:
        """Start the process.

        Args:
            prepare: function of a module; runs there and returns the
                callables by name. It imports its framework itself.
            arguments: of `prepare`.
        """
        # Not forked: a copy of this process would hold its thread pools.
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(end, prepare, arguments), daemon=True
        )
        with mock.patch.dict(os.environ, ENVIRONMENT):
            self._process.start()
        end.close()

    def __call__(self, name: str, *arguments: Any) -> Any:
        """Return what the callable of this name returns there.

        Raises:
            RuntimeError: it failed; with its traceback.
        """
        self._pipe.send((name, arguments))
        failed, result = self._pipe.recv()
        if failed:
            raise RuntimeError(f"{name}, in its own process:\n{result}")
        return result

    def __enter__(self) -> OtherProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()


def _serve(
    pipe: Connection, prepare: Callable[..., Calls], arguments: tuple
) -> None:
    calls: Calls | None = None
    while True:
        try:
            name, given = pipe.recv()
        except EOFError:
            return
        try:
            if calls is None:
                calls = prepare(*arguments)
            answer = (False, calls[name](*given))
        except Exception:
            answer = (True, traceback.format_exc())
        pipe.send(answer)
