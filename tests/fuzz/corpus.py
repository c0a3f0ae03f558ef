"""What a reader under test is: valid inputs, how to read them, how to harm.

In: nothing. Out: `Reader` and `Fault`, which every `*_faults` module fills.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Changes the valid inputs in a folder; returns what a message must name:
# words of which one is enough (a file's name, a field).
Mutate = Callable[[Path, random.Random], tuple[str, ...]]
# Everything that a case may write, below the folder of its inputs.
OUTPUT = "out"
# Exists only if something that was read has been executed.
EXECUTED = "executed"


@dataclass(frozen=True)
class Fault:
    """One class of faults.

    Attributes:
        name: a row of the tally.
        mutate: makes one case of it.
        harmless: nothing that counts changes: the result must not either.
    """

    name: str
    mutate: Mutate
    harmless: bool = False


@dataclass(frozen=True)
class Reader:
    """One kind of input.

    Attributes:
        name: a row of the tally.
        prepare: writes valid inputs into an empty folder.
        read: reads them like the stage that uses them, writes below `OUTPUT`;
            what it returns is compared.
        faults: what may be wrong.
        slow: needs TensorFlow.
    """

    name: str
    prepare: Callable[[Path], None]
    read: Callable[[Path], Any]
    faults: tuple[Fault, ...]
    slow: bool = False


def flip_bits(path: Path, draw: random.Random, first: int = 0) -> None:
    """Flip one to eight bits of a file, not before a byte."""
    data = bytearray(path.read_bytes())
    for _ in range(draw.randint(1, 8)):
        data[draw.randrange(first, len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(data))


def truncate(path: Path, draw: random.Random) -> None:
    """Keep a random part of a file, at least nothing, at most all but one."""
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data))])


def replace_by_other(path: Path, draw: random.Random) -> None:
    """Replace a file by nothing, a folder, or something that it is not."""
    path.unlink()
    kind = draw.randrange(7)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        path.write_bytes(b"")
    elif kind == 2:
        path.write_text("<html>404 Not Found</html>\n" * draw.randint(1, 99))
    elif kind == 3:
        path.write_bytes(draw.randbytes(draw.randint(1, 4000)))
    elif kind == 4:
        os.mkfifo(path)  # whoever opens it waits for a writer
    elif kind == 5:
        path.symlink_to(draw.choice(["/dev/zero", path.name, "/dev"]))
