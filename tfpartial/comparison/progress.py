"""How far a comparison is, and about how long the rest takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

log = logging.getLogger(__name__)


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
