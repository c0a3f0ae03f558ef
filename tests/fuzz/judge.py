"""One case: read it under limits, and say what came of it.

In: a `Reader`, a folder. Out: "exit 2", "unchanged", or "other" and why.

The limits are the system's: seconds of the processor (a busy machine is no
fault of a reader) by a timer whose exception no `except Exception` catches,
bytes by the size of the address space. Who waits, for a pipe say, uses no
processor: a second timer counts seconds of the clock.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.corpus import EXECUTED, OUTPUT, Reader
from tfpartial.errors import InputError

MAX_SECONDS = 10.0
MAX_CLOCK_SECONDS = 120.0
MAX_BYTES = 2**30
MAX_LINE = 3200
REFUSED, UNCHANGED, OTHER = "exit 2", "unchanged", "other"
# float32 headers hold an affine so exactly.
AFFINE_TOLERANCE = 1e-3
_EXPECTED = re.compile(r"expected|Known here|required|is none of|not declare")
_FOUND = re.compile(
    r"found|unknown|missing|no such|is not in|twice|several|not "
)
_REMEDY = re.compile(
    r"\b(Add|Bring|Build|Change|Check|Choose|Convert|Copy|Correct|Crop|"
    r"Declare|Delete|Download|Export|Give|Install|Is the|Keep|Leave|List|Map|"
    r"Move|Name|Number|"
    r"Predict|Remove|Rename|Replace|Resample|Restore|Run|Set|Split|Train|"
    r"Which of them|Write)\b"
)


class TookTooLongError(BaseException):
    """Not an `Exception`: readers catch those of damaged files."""


@dataclass(frozen=True)
class Verdict:
    """What came of one case.

    Attributes:
        outcome: `REFUSED`, `UNCHANGED` or `OTHER`.
        why: the message, or what went wrong.
        seconds: of the processor, all threads together.
    """

    outcome: str
    why: str
    seconds: float


def judge(
    reader: Reader, folder: Path, named: tuple[str, ...], reference: Any
) -> Verdict:
    """Read a mutated folder and classify what happened."""
    started = time.process_time()
    outcome, why = OTHER, ""
    try:
        with _limits(), _quiet():
            result = reader.read(folder)
        outcome = UNCHANGED if same(result, reference) else OTHER
        why = "" if outcome == UNCHANGED else "accepted, with another result"
    except InputError as error:
        why = _complaint(error, named)
        outcome = OTHER if why else REFUSED
        why = why or str(error)
    except TookTooLongError:
        why = "took too long, of the processor or of the clock"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        why = f"traceback: {type(error).__name__}: {error}"
    if outcome == REFUSED and left_behind(folder):
        outcome, why = OTHER, f"left {left_behind(folder)}"
    if (folder / EXECUTED).exists() or Path(EXECUTED).exists():
        outcome, why = OTHER, "executed code of a file"
    return Verdict(outcome, why, time.process_time() - started)


def left_behind(folder: Path) -> list[str]:
    """Return the files that a refused case wrote; there should be none."""
    output = folder / OUTPUT
    return sorted(p.name for p in output.rglob("*") if p.is_file())


def _complaint(error: InputError, named: tuple[str, ...]) -> str:
    """Return what the message lacks: file, expected, found, remedy; ""."""
    text = str(error)
    if not any(word in text for word in named):
        return f"names none of {named}: {text}"
    for fault in error.faults:
        if fault.startswith("... and "):
            continue  # how many more there are
        if "\n" in fault or len(fault) > MAX_LINE or "MemoryError" in fault:
            return f"is not one line of limited length: {fault[:300]}"
        for part, pattern in (
            ("what was expected", _EXPECTED),
            ("what was found", _FOUND),
            ("a remedy", _REMEDY),
        ):
            if not pattern.search(fault):
                return f"does not say {part}: {fault}"
    return ""


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """Stop what takes longer than 10 s or asks for more than 1 GiB."""

    def stop(number: int, frame: object) -> None:
        raise TookTooLongError

    timers = {
        signal.SIGPROF: (signal.ITIMER_PROF, MAX_SECONDS),
        signal.SIGALRM: (signal.ITIMER_REAL, MAX_CLOCK_SECONDS),
    }
    before = {number: signal.signal(number, stop) for number in timers}
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MAX_BYTES, hard))
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, handler in before.items():
            signal.signal(number, handler)


def _address_space() -> int:
    """Return the bytes of address space that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and warnings of readers off the tally."""
    logging.disable(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(logging.NOTSET)


def same(one: Any, other: Any) -> bool:
    """Compare results: arrays by value, floats as float32 headers allow."""
    if isinstance(one, np.ndarray):
        if one.shape != np.shape(other):
            return False
        if one.dtype.kind == "f":
            return bool(np.allclose(one, other, atol=AFFINE_TOLERANCE))
        return bool(np.array_equal(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same(value, other[key]) for key, value in one.items()
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if is_dataclass(one):
        return same(vars(one), vars(other))
    if isinstance(one, float) and one != one:
        return bool(other != other)
    return bool(one == other)
