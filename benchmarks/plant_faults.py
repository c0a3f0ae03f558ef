"""Plants faults in a copy of the OpenKBP databases; nothing is overwritten.

In: the folder of the databases. Out: a folder of links and changed files, a
splits.json, and the list of what was planted where.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfpartial.databases import Case
from tfpartial.databases.sources import MaskFiles
from tfpartial.scans import (
    Grid,
    Volume,
    read_image,
    read_labels,
    resample_image,
    resample_labels,
    write_volume,
)

# db1 -> db2, by name: what a copy into another database stores.
VALUES_OF_DB2 = {1: 20, 2: 10, 3: 32, 4: 31}
LEFT_RIGHT = {"db1": (4, 3), "db2": (31, 32)}
BRAINSTEM_CORD = {"db1": (1, 2), "db2": (20, 10)}
UNDECLARED = 77


@dataclass(frozen=True)
class Plant:
    """One planted fault.

    Attributes:
        kind: a row of the tally.
        database: where it was planted.
        case: case id.
        detail: what was done.
        source: "database/case" of the original, of a copy.
    """

    kind: str
    database: str
    case: str
    detail: str
    source: str = ""

    @property
    def where(self) -> str:
        """'database/case'."""
        return f"{self.database}/{self.case}"


class Planter:
    """Draws cases, each for one fault only, and changes their files."""

    def __init__(
        self, root: Path, target: Path, cases: Sequence[Case], seed: int
    ) -> None:
        self.root, self.target = root, target
        self.rng = np.random.default_rng(seed)
        self.free: dict[str, list[Case]] = {}
        for position in self.rng.permutation(len(cases)):
            case = cases[position]
            self.free.setdefault(case.database, []).append(case)
        self.plants: list[Plant] = []
        self.copies: list[str] = []
        self.splits = json.loads((root / "splits.json").read_text("utf-8"))
        link_tree(root, target)

    def plant_all(self) -> list[Plant]:
        """Plant every kind; return the list."""
        self._copies()
        for database in ("db1", "db1", "db2"):
            self._change(database, "left/right swap", "labels exchanged",
                         labels=exchanged(LEFT_RIGHT[database]))  # fmt: skip
        for database in ("db1", "db2"):
            self._change(database, "left/right swap", "header mirrored",
                         affine=np.diag([-1.0, 1, 1, 1]))  # fmt: skip
        for database in ("db1", "db1", "db2", "db2", "db3", "db3"):
            self._shift(database)
        for database in ("db1", "db1", "db2", "db3", "db3"):
            self._change(database, "prone declared supine", "header turned",
                         affine=np.diag([-1.0, -1, 1, 1]))  # fmt: skip
        for database in ("db1", "db2", "db2", "db3", "db3"):
            self._change(database, "head and feet exchanged", "header turned",
                         affine=np.diag([1.0, -1, -1, 1]))  # fmt: skip
        for database in ("db1", "db2", "db3"):
            self._change(database, "wrong value", "undeclared value",
                         labels=undeclared)  # fmt: skip
        for database in ("db1", "db2"):
            swap = exchanged(BRAINSTEM_CORD[database])
            self._change(database, "wrong value", "declared values exchanged",
                         labels=swap)  # fmt: skip
        text = json.dumps(self.splits, indent=1)
        replace(self.target / "splits.json").write_text(text, "utf-8")
        return self.plants

    def _change(
        self,
        database: str,
        kind: str,
        detail: str,
        labels: Callable[[np.ndarray], np.ndarray] | None = None,
        affine: np.ndarray | None = None,
    ) -> None:
        """Change the voxels of a case's labels, or all its headers."""
        case = self.free[database].pop()
        turn = np.eye(4) if affine is None else affine
        scan = Path(case.source.name)
        for path in [scan, *label_files(case).values()]:
            is_image = path == scan
            volume = (read_image if is_image else read_labels)(path)
            array = volume.array
            if labels is not None and not is_image:
                array = labels(array)
            self._write(path, Volume(array, turn @ volume.affine))
        self.plants.append(Plant(kind, database, case.case_id, detail))

    def _shift(self, database: str) -> None:
        """Move all labels of a case by 12 to 20 mm in a random direction."""
        case = self.free[database].pop()
        length = self.rng.uniform(12, 20)
        direction = self.rng.normal(size=3)
        direction *= length / np.linalg.norm(direction)
        moved = ""
        for path in label_files(case).values():
            volume = read_labels(path)
            steps = np.rint(direction / volume.spacing_mm).astype(int)
            array = np.roll(volume.array, steps, (0, 1, 2))
            self._write(path, Volume(array, volume.affine))
            along = np.linalg.norm(steps * volume.spacing_mm)
            moved = f"labels moved by {along:.0f} mm"
        self.plants.append(
            Plant("shifted annotation", database, case.case_id, moved)
        )

    def _copies(self) -> None:
        """Add copies of scans as new cases, changed in four ways."""
        ways = (cropped_resampled, reordered, directions_lost, header_lost)
        test = set(self.splits["db1"]["test"])
        for number, way in enumerate((*ways, *ways)):
            home, aim = (("db1", "db2"), ("db2", "db2"), ("db3", "db3"))[
                number % 3
            ]
            pool = self.free[home]
            wanted = [c for c in pool if home != "db1" or c.case_id in test]
            case = wanted[-1]
            pool.remove(case)
            copy = f"copy_{number}"
            self._copy(case, aim, copy, way)
            self.splits[aim]["train"].append(copy)
            self.plants.append(
                Plant("the same scan twice", aim, copy,
                      way.__name__.replace("_", " "),
                      f"{home}/{case.case_id}")
            )  # fmt: skip

    def _copy(
        self,
        case: Case,
        aim: str,
        copy: str,
        way: Callable[..., tuple[Volume, list[np.ndarray]]],
    ) -> None:
        """Write a changed copy of a case into a database of folders."""
        image = case.source.read_image()
        names = list(label_files(case))
        labels = [read_labels(p).array for p in label_files(case).values()]
        scan, changed = way(image, labels, self.rng)
        folder = self.target / aim / copy
        write_volume(folder / "ct.nii.gz", scan)
        for name, array in zip(names, changed, strict=True):
            path = folder / "labels.nii.gz"
            if name is not None:
                path = folder / "segmentations" / f"{name}.nii.gz"
            elif case.database != aim:
                array = renumbered(array)
            write_volume(path, Volume(array, scan.affine))

    def _write(self, path: Path, volume: Volume) -> None:
        write_volume(replace(self.target / path.relative_to(self.root)), volume)


def label_files(case: Case) -> dict[str | None, Path]:
    """Return structure -> mask; None -> label map."""
    if isinstance(case.source, MaskFiles):
        return dict(case.source.masks)
    return {None: case.source.label_map}


def link_tree(root: Path, target: Path) -> None:
    """Make folders, and a link to every file."""
    for path in sorted(root.rglob("*")):
        place = target / path.relative_to(root)
        if path.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(path, place)


def replace(path: Path) -> Path:
    """Remove a link, so that what it leads to is not written to."""
    path.unlink(missing_ok=True)
    return path


def exchanged(values: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Return what exchanges two stored values."""
    one, other = values

    def change(array: np.ndarray) -> np.ndarray:
        result = array.copy()
        result[array == one] = other
        result[array == other] = one
        return result

    return change


def undeclared(array: np.ndarray) -> np.ndarray:
    """Give every second voxel of the largest value another one."""
    values, counts = np.unique(array[array > 0], return_counts=True)
    where = np.flatnonzero(array.ravel() == values[counts.argmax()])
    result = array.copy()
    result.ravel()[where[::2]] = UNDECLARED
    return result


def renumbered(array: np.ndarray) -> np.ndarray:
    """Return db1's values as db2 stores them; what it lacks is background."""
    result = np.zeros_like(array)
    for one, other in VALUES_OF_DB2.items():
        result[array == one] = other
    return result


def _crop(shape: Sequence[int], rng: np.random.Generator) -> tuple[slice, ...]:
    """Cut off 5 to 20 % at each of the six sides."""
    return tuple(
        slice(
            int(rng.uniform(0.05, 0.2) * n), n - int(rng.uniform(0.05, 0.2) * n)
        )
        for n in shape
    )


def _cropped(
    image: Volume, labels: list[np.ndarray], rng: np.random.Generator
) -> tuple[Volume, list[np.ndarray]]:
    cut = _crop(image.shape, rng)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [s.start for s in cut]
    return Volume(image.array[cut], affine), [array[cut] for array in labels]


def cropped_resampled(
    image: Volume, labels: list[np.ndarray], rng: np.random.Generator
) -> tuple[Volume, list[np.ndarray]]:
    """Crop, then resample to 0.75 to 1.4 times the spacing along each axis."""
    image, labels = _cropped(image, labels, rng)
    factors = rng.uniform(0.75, 1.4, 3)
    affine = image.affine.copy()
    affine[:3, :3] *= factors
    shape = tuple(int(n / f) for n, f in zip(image.shape, factors, strict=True))
    grid = Grid(shape, affine)
    hu = np.rint(resample_image(image, grid)).astype(np.int16)
    return Volume(hu, affine), [
        resample_labels(Volume(array, image.affine), grid, 0)
        for array in labels
    ]


def reordered(
    image: Volume, labels: list[np.ndarray], rng: np.random.Generator
) -> tuple[Volume, list[np.ndarray]]:
    """The same, stored with other axes; the header says so."""
    image, labels = cropped_resampled(image, labels, rng)
    order = tuple(int(axis) for axis in rng.permutation(3))
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for new, old in enumerate(order):
        change[old, new] = -1
        change[old, 3] = image.shape[old] - 1
    turn = (slice(None, None, -1),) * 3
    return Volume(
        np.ascontiguousarray(image.array.transpose(order)[turn]),
        image.affine @ change,
    ), [np.ascontiguousarray(a.transpose(order)[turn]) for a in labels]


def directions_lost(
    image: Volume, labels: list[np.ndarray], rng: np.random.Generator
) -> tuple[Volume, list[np.ndarray]]:
    """Crop; axes in another order, and the header knows the spacing only."""
    image, labels = reordered(image, labels, rng)
    affine = np.diag([*image.spacing_mm, 1.0])
    return Volume(image.array, affine), labels


def header_lost(
    image: Volume, labels: list[np.ndarray], rng: np.random.Generator
) -> tuple[Volume, list[np.ndarray]]:
    """Crop; the header is the identity: 1 mm, no directions, no origin."""
    image, labels = _cropped(image, labels, rng)
    return Volume(np.ascontiguousarray(image.array), np.eye(4)), [
        np.ascontiguousarray(array) for array in labels
    ]
