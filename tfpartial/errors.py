"""What a user got wrong, what the machine refused: one exception each.

In: faults found in files, configs or arguments; a full disk, no memory.
Out: `InputError` and `MachineError`, which every command turns into a message
and exit code 2 or 3.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """One or more faults in what the user gave; shown without a traceback.

    Attributes:
        faults: one complete sentence group per fault (file, expected, found,
            remedy).
    """

    def __init__(self, *faults: str) -> None:
        self.faults: tuple[str, ...] = faults or ("Unspecified input error.",)
        super().__init__("\n".join(self.faults))


class MachineError(RuntimeError):
    """The machine stopped a command; the same command later goes on.

    Not the user's input is wrong: a disk is full, memory is used up, another
    worker is gone. Shown without a traceback.
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

    def add(self, fault: str | InputError) -> None:
        """Remember a fault, or all the faults of a caught `InputError`."""
        if isinstance(fault, InputError):
            self._faults.extend(fault.faults)
        else:
            self._faults.append(fault)

    def raise_if_any(self) -> None:
        """Raise `InputError` with everything added so far."""
        if self._faults:
            raise InputError(*self._faults)

    def __enter__(self) -> Faults:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.raise_if_any()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest known word, or ""."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
