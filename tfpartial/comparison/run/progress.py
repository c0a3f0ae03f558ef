"""How far a comparison is, and about how long the rest takes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

log = logging.getLogger(__name__)


class Progress:
    """Says which run begins and ends, and about how long the rest takes.

    Args:
        total: runs to be done.
        jobs: runs at a time.
        known: seconds of runs that were finished by an earlier call.
    """

    def __init__(
        self, total: int, jobs: int, known: Sequence[float] = ()
    ) -> None:
        self._total = total
        self._jobs = jobs
        self._known = list(known)
        self._begun = 0
        self._ended = 0
        self._lock = threading.Lock()

    def begin(self, name: str) -> None:
        """Announce a run."""
        with self._lock:
            self._begun += 1
            log.info("[%d/%d] %s begins", self._begun, self._total, name)

    def end(self, name: str, seconds: float | None) -> None:
        """Announce the end of a run and the time left.

        Args:
            name: the run.
            seconds: what it took in all; None where that is not known, as
                of a run that failed or was begun by a call that was killed.
        """
        with self._lock:
            self._ended += 1
            if seconds is not None:
                self._known.append(seconds)
            left = self.seconds_left()
            log.info(
                "%s ended%s; %d of %d runs done%s",
                name,
                "" if seconds is None else f" after {clock(seconds)}",
                self._ended,
                self._total,
                "" if left is None else f", about {clock(left)} left",
            )

    def seconds_left(self) -> float | None:
        """Estimate: mean duration x rounds of `jobs` runs still to end.

        Returns:
            None as long as no duration is known.
        """
        if not self._known:
            return None
        rest = self._total - self._ended
        mean = sum(self._known) / len(self._known)
        return mean * rest / min(self._jobs, max(rest, 1))


def clock(seconds: float) -> str:
    """Return "1 h 05 min", "12 min" or "40 s"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"
