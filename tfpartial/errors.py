"""What a user got wrong, what the machine refused: one exception each.

In: faults found in files, configs or arguments; a full disk, no memory.
Out: `InputError` and `MachineError`, which every command turns into a message
and exit code 2 or 3.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# A fault quotes what was found: a file decides how long that is.
MAX_FAULT_LENGTH = 3000
MAX_SHOWN_LENGTH = 200
# Enough to act on; a file decides how many it has.
MAX_FAULTS = 1000
MAX_SUGGESTIONS = 1000
_LINE_BREAK = re.compile(r"\s*[\r\n]\s*")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class InputError(ValueError):
    """One or more faults in what the user gave; shown without a traceback.

    Attributes:
        faults: one complete sentence group per fault (file, expected, found,
            remedy); one line of printable text each, at most 3,000
            characters: what files hold cannot command a terminal.
    """

    def __init__(self, *faults: str) -> None:
        self.faults: tuple[str, ...] = tuple(map(_one_line, faults)) or (
            "Unspecified input error.",
        )
        super().__init__("\n".join(self.faults))


class MachineError(RuntimeError):
    """The machine stopped a command; mostly, the same one later goes on.

    Not the user's input is wrong: a disk is full, memory is used up, another
    worker is gone, numbers overflowed. Shown without a traceback.
    """

    exit_code = 3


class Faults:
    """Collects faults so that several are reported together.

    Used as a context manager it raises `InputError` on leaving, when any fault
    was added:

        with Faults() as faults:
            for case in cases:
                if case.shape != expected:
                    faults.add(f"{case.path}: expected ..., found ...")
    """

    def __init__(self) -> None:
        self._faults: list[str] = []
        self._more = 0
        self.noted: dict[str, float] = {}

    def add(self, fault: str | InputError) -> None:
        """Remember a fault, or all the faults of a caught `InputError`."""
        new = fault.faults if isinstance(fault, InputError) else (fault,)
        room = MAX_FAULTS - len(self._faults)
        self._faults += new[:room]
        self._more += len(new[room:])

    def note(self, what: str, amount: float) -> None:
        """Remember the largest amount of something that is no fault.

        Who reads many cases says it once, for all of them.
        """
        self.noted[what] = max(amount, self.noted.get(what, 0.0))

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Remember the faults of an `InputError` in the body, and go on."""
        try:
            yield
        except InputError as error:
            self.add(error)

    @property
    def found(self) -> tuple[str, ...]:
        """Everything added so far."""
        return tuple(self._faults)

    def raise_if_any(self) -> None:
        """Raise `InputError` with everything added so far."""
        if self._more:
            raise InputError(*self._faults, f"... and {self._more} more.")
        if self._faults:
            raise InputError(*self._faults)

    def __enter__(self) -> Faults:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.raise_if_any()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest known word, or ""."""
    if len(word) > MAX_SHOWN_LENGTH:
        return ""
    compared = list(itertools.islice(known, MAX_SUGGESTIONS))
    close = difflib.get_close_matches(word, compared, n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def shown(value: object) -> str:
    """Return what a message quotes of a value: its repr, cut if long."""
    text = repr(value)
    if len(text) <= MAX_SHOWN_LENGTH:
        return text
    return f"{text[:MAX_SHOWN_LENGTH]}... ({len(text)} characters)"


def expected_and_found(message: str, found: object) -> str:
    """Return pydantic's words about a value in those of all messages."""
    text = message.removeprefix("Value error, ")
    if text.startswith("Input should be "):
        text = text.replace("Input should be ", "expected ", 1)
        # A YAML file has lists alone.
        text = text.replace("a valid tuple", "a valid list")
    elif "expected" not in text:
        text = f"expected another value: {text}"
    elif ", found " in text:
        return f"{text}."
    return f"{text}, found {shown(found)}."


def join_names(names: Iterable[object], limit: int = 20) -> str:
    """Return "a, b, c and 4 more": long enough to act on, short to read."""
    words = [str(name) for name in names]
    shown = ", ".join(words[:limit])
    hidden = len(words) - limit
    return f"{shown} and {hidden} more" if hidden > 0 else shown


def _one_line(fault: str) -> str:
    """Join lines, escape what does not print, cut the middle if long."""
    line = _LINE_BREAK.sub(" ", fault.strip())
    line = _UNPRINTABLE.sub(lambda c: repr(c.group())[1:-1], line)
    if len(line) <= MAX_FAULT_LENGTH:
        return line
    half = MAX_FAULT_LENGTH // 2
    return f"{line[:half]} [...] {line[-half:]}"
