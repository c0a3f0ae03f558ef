"""One function over many cases, in their order; in processes where it pays.

In: a function and jobs that can be sent to a process. Out: results.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
POOL_PAYS_SECONDS = 15.0


def run_in_order(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[Result]:
    """Yield the result of every job in order; with a pool where it pays.

    A small scan takes 0.1 s, starting the workers several seconds: the first
    job is done here and timed.

    Args:
        function: of one job; a module's own function, so that it can travel.
        jobs: at least one.
        workers: processes at most.
    """
    start = time.perf_counter()
    yield function(jobs[0])
    alone_seconds = (time.perf_counter() - start) * (len(jobs) - 1)
    workers = min(workers, len(jobs))
    if workers == 1 or alone_seconds < POOL_PAYS_SECONDS:
        yield from map(function, jobs[1:])
        return
    # Not fork: the parent may hold TensorFlow's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(function, jobs[1:])
