"""The CSV folders of OpenKBP, as import-openkbp reads them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from fuzz.corpus import Fault, Mutate, Reader, replace_by_other
from tfpartial.importers import import_openkbp
from tfpartial.importers.openkbp import GRID, read_case

VOXELS = GRID[0] * GRID[1] * GRID[2]
FIRST = 500_000
CT, SPACING = "ct.csv", "voxel_dimensions.csv"
MASKS = ("Larynx.csv", "Mandible.csv")


def prepare(folder: Path) -> None:
    """Write a patient, and another one who has been imported."""
    for name in ("pt_1", "pt_2"):
        home = folder / f"of_{name}" / name
        home.mkdir(parents=True)
        rows = [f"{FIRST + n},{900 + n % 300}.0" for n in range(400)]
        _write(home / CT, [",data", *rows])
        for start, mask in enumerate(MASKS):
            rows = [f"{FIRST + 100 * start + n}," for n in range(50)]
            _write(home / mask, [",data", *rows])
        _write(home / SPACING, ["3.906", "3.906", "2.5"])
    import_openkbp(folder / "of_pt_2", folder / "imported")


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def read(folder: Path) -> list[Any]:
    """Read one patient, and go on with the import of the other."""
    scan, labels, contoured = read_case(folder / "of_pt_1" / "pt_1")
    import_openkbp(folder / "of_pt_2", folder / "imported")
    written = (folder / "imported" / "database.yaml").read_text()
    return [scan.array, scan.affine, labels.array, contoured,
            yaml.safe_load(written)]  # fmt: skip


def _of(
    names: tuple[str, ...], change: Callable[[Path, random.Random], None]
) -> Mutate:
    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        path = folder / "of_pt_1" / "pt_1" / draw.choice(names)
        change(path, draw)
        if not (path.exists() or path.is_symlink()):
            path.write_bytes(b"")  # no file says: not contoured
        return (path.name, "of_pt_1")

    return mutate


def _truncated(path: Path, draw: random.Random) -> None:
    """Cut within a row: a file that is a row shorter is another file."""
    text = path.read_text()
    ends = [n for n in range(len(text)) if n == 0 or text[n - 1] != "\n"]
    path.write_text(text[: draw.choice(ends)])


def _rows(path: Path, draw: random.Random) -> None:
    """Change one row: its index, or how many cells there are."""
    lines = path.read_text().splitlines()
    place = draw.randrange(1, len(lines))
    lines[place] = draw.choice(
        [lines[place - 1] if place > 1 else lines[place + 1], f"{VOXELS},1.0",
         "-1,1.0", "nan,1.0", "inf,1.0", "1e400,1.0", "0.5,1.0", "x,1.0", ",",
         "9" * 200_000 + ",1.0", '"1', "\0,\0", "1e3 ,x" + "\x1b[2J,"]
    )  # fmt: skip
    _write(path, lines)


def _values(path: Path, draw: random.Random) -> None:
    lines = path.read_text().splitlines()
    place = draw.randrange(1, len(lines))
    index = lines[place].split(",")[0]
    wrong = ["nan", "inf", "-inf", "1e999", "x", "", "1x", '"']
    lines[place] = f"{index},{draw.choice(wrong)}"
    if draw.random() < 0.2:
        lines[place] = index
    _write(path, lines)


def _header(path: Path, draw: random.Random) -> None:
    lines = path.read_text().splitlines()
    lines[0] = draw.choice(
        ["", "data", ",dose", "0,1.0", "x" * 5000, '",data"', ",data,"]
    )
    _write(path, lines)


def _many(path: Path, draw: random.Random) -> None:
    """Hold more rows than voxels, or more bytes than any of these files."""
    path.write_bytes(
        draw.choice([b",data\n" + b"1\n" * (VOXELS + 2), b"1,\n" * 9 * VOXELS,
                     b"," * (65 * 2**20), b",data\n" + b"," * 2**24 + b"\n"])
    )  # fmt: skip


def _spacing(path: Path, draw: random.Random) -> None:
    wrong = ["0", "-1", "nan", "inf", "1e9", "x", "", "3.9\n3.9"]
    _write(path, draw.sample(["3.906", "2.5", draw.choice(wrong)], 3))


def _other_name(path: Path, draw: random.Random) -> None:
    other = draw.choice(["LARYNX", "Heart", "x" * 200, "\x1b[2J", "CT"])
    path.with_name(f"{other}.csv").write_bytes(path.read_bytes())


def _marker(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Change what was noted of the patient that has been imported."""
    path = folder / "imported" / "pt_2" / "contoured.txt"
    names = draw.choice(
        [b"Heart\n", b"Mandible\nLarynx\n", b"Larynx Mandible\n", b"\xff\n",
         b"Larynx\nLarynx\n", b"x" * 9999, b"\x1b[2J\n", b"- a: &a [*a]\n"]
    )  # fmt: skip
    path.write_bytes(names)
    if draw.random() < 0.5:
        replace_by_other(path, draw)
        if path.is_file() and not path.stat().st_size:
            path.write_bytes(b"\n")  # nothing contoured is possible
    return ("contoured.txt", "pt_2")


READER = Reader(
    "OpenKBP",
    prepare,
    read,
    (
        Fault("truncated within a row", _of((CT, *MASKS, SPACING), _truncated)),
        Fault("another file", _of((CT, *MASKS, SPACING), replace_by_other)),
        Fault("rows", _of((CT, *MASKS), _rows)),
        Fault("values", _of((CT,), _values)),
        Fault("header", _of((CT, *MASKS), _header)),
        Fault("too large", _of((CT, *MASKS), _many)),
        Fault("spacing", _of((SPACING,), _spacing)),
        Fault("unknown name", _of(MASKS, _other_name)),
        Fault("notes of an earlier import", _marker),
    ),
)
