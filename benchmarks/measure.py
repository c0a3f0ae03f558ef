"""How a benchmark measures: its sides in turn, ratios within one run, one line.

In: callables that do the same work in different ways. Out: seconds of each
repeat, ratios of neighbouring repeats, and a line of JSON. Absolute times move
from machine to machine and from minute to minute; a ratio of two neighbours
moves little.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial.program_version import git_commit, version

PACKAGES = ("tensorflow", "keras", "numpy", "torch", "monai", "SimpleITK")
Seconds = dict[str, list[float]]


@dataclass(frozen=True)
class Target:
    """One number against its limit.

    Attributes:
        what: the number in words, with its two sides.
        value: as measured in this run.
        limit: of the value; None: measured for its own sake.
        at_least: the value must not be below the limit, else not above it.
    """

    what: str
    value: float
    limit: float | None = None
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the limit is kept; None without one."""
        if self.limit is None:
            return None
        if self.at_least:
            return self.value >= self.limit
        return self.value <= self.limit


def in_turn(
    sides: Mapping[str, Callable[[], object]],
    repeats: int = 20,
    warmup: int = 2,
) -> Seconds:
    """Time each side `repeats` times, A B A B ..., after `warmup` rounds.

    Every second round goes backwards, so that no side always follows the
    same one. Garbage is collected between the calls, not in them.
    """
    seconds: Seconds = {name: [] for name in sides}
    names = list(sides)
    for number in range(-warmup, repeats):
        for name in names if number % 2 == 0 else reversed(names):
            gc.collect()
            begin = time.perf_counter()
            sides[name]()
            took = time.perf_counter() - begin
            if number >= 0:
                seconds[name].append(took)
    return seconds


def ratio(seconds: Seconds, above: str, below: str) -> float:
    """Return the median over rounds of seconds[above] / seconds[below]."""
    pairs = zip(seconds[above], seconds[below], strict=True)
    return statistics.median(a / b for a, b in pairs)


def summary(values: Sequence[float]) -> dict[str, float | int]:
    """Return median and 90th percentile of the repeats, and their number."""
    return {
        "median_s": float(np.median(values)),
        "p90_s": float(np.percentile(values, 90)),
        "repeats": len(values),
    }


def machine() -> dict[str, Any]:
    """Return processor, number of usable cores, versions and commit."""
    return {
        "device": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES if version(name)},
        "commit": git_commit(),
    }


def worst(values: Iterable[float]) -> float:
    """Return the largest; NaN if one of them is NaN, which `max` may lose.

    Raises:
        ValueError: there is none: nothing was compared.
    """
    return float(np.max(list(values)))


def worst_relative(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the largest over pairs (a, b) of max|a - b| / max|a|."""
    return worst(
        np.abs(a - b).max() / (np.abs(a).max() + 1e-12) for a, b in pairs
    )


def report(
    name: str,
    seconds: Mapping[str, Sequence[float]],
    targets: Sequence[Target],
    checked: Mapping[str, float | bool],
    **more: Any,
) -> dict[str, Any]:
    """Print one line of JSON about a benchmark, and return it.

    Args:
        name: of the benchmark.
        seconds: side -> repeats.
        targets: ratios and their limits.
        checked: what was compared so that both sides do the same work, as
            the largest difference, or whether it holds.
        more: whatever else was measured.

    Raises:
        ValueError: a comparison came to NaN.
    """
    if any(np.isnan(float(value)) for value in checked.values()):
        raise ValueError(f"{name}: the sides were not compared: {checked}")
    line = {
        "benchmark": name,
        **machine(),
        "sides": {side: summary(values) for side, values in seconds.items()},
        "targets": [asdict(target) | {"met": target.met} for target in targets],
        "checked": dict(checked),
        **more,
    }
    print(json.dumps(line, allow_nan=False), flush=True)
    return line


def _processor() -> str:
    """Return the model of the processor, as the system calls it."""
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
