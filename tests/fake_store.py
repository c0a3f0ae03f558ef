"""Record stores in memory: what `RecordStore` offers, read the slow way."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np

from tfpartial.labels import Label, LabelSpace, resolved_labels

SPACE = LabelSpace(
    (
        Label("bladder"),
        Label("kidney_left", mirror="kidney_right"),
        Label("kidney_right", mirror="kidney_left"),
    )
)
HU_WINDOW = (-200.0, 200.0)


class FakeStore:
    """Scans held as arrays, cut into blocks of `block`^3."""

    def __init__(self, scans, stored_sets, annotated, block=8, split="train"):
        self.stored_sets = np.asarray(stored_sets, bool)
        self.scans = scans
        self.body_threshold_hu = -500.0
        annotated = SPACE.vector(("background", *annotated))
        self.cases = [
            SimpleNamespace(
                case=f"case_{number}",
                split=split,
                scan_shape=hu.shape,
                spacing_mm=(3.0, 3.0, 2.0),
                annotated=annotated,
                resolved=resolved_labels(self.stored_sets, annotated),
                mean=20.0 + number,
                sd=50.0,
            )
            for number, (hu, _) in enumerate(scans)
        ]
        self.first_record, self.boxes = [0], []
        for number, (hu, _) in enumerate(scans):
            starts = [range(0, n, block) for n in hu.shape]
            for first in itertools.product(*starts):
                box = tuple(slice(f, f + block) for f in first)
                self.boxes.append((number, first, box))
            self.first_record.append(len(self.boxes))
        self.position = np.array([first for _, first, _ in self.boxes])
        self.voxel_counts = np.array(
            [
                np.bincount(
                    scans[n][1][box].ravel(), minlength=len(stored_sets)
                )
                for n, _, box in self.boxes
            ]
        )
        self.body_voxels = np.array(
            [(scans[n][0][box] > -500).sum() for n, _, box in self.boxes]
        )

    def case_numbers(self, split):
        return [n for n, case in enumerate(self.cases) if case.split == split]

    def records_of_case(self, number):
        return range(self.first_record[number], self.first_record[number + 1])

    def check_label_space(self, space):
        pass

    def read_block(self, record):
        number, _, box = self.boxes[record]
        hu, labels = self.scans[number]
        return hu[box], labels[box]

    def read_region(self, number, start, shape, fill_hu, fill_label):
        grid = np.ix_(
            *(np.arange(s, s + n) for s, n in zip(start, shape, strict=True))
        )
        hu, labels = self.scans[number]
        inside = np.ones(tuple(shape), bool)
        for axis, size in zip(grid, hu.shape, strict=True):
            inside = inside & (axis >= 0) & (axis < size)
        at = tuple(
            np.clip(axis, 0, size - 1)
            for axis, size in zip(grid, hu.shape, strict=True)
        )
        return (
            np.where(inside, hu[at], fill_hu).astype(np.int16),
            np.where(inside, labels[at], fill_label).astype(np.uint8),
        )


def scan(shape=(40, 34, 30), seed=0, values=(1, 2)):
    """A body in air with one box per stored value, left of it the first."""
    random = np.random.default_rng(seed)
    hu = np.full(shape, -1000, np.int16)
    labels = np.zeros(shape, np.uint8)
    body = tuple(slice(n // 5, n - n // 5) for n in shape)
    hu[body] = random.integers(-150, 150, hu[body].shape)
    for number, value in enumerate(values):
        i = shape[0] // 4 + number * shape[0] // 4
        labels[i : i + 5, shape[1] // 3 : shape[1] // 2, 8:14] = value
    return hu, labels


def sets(*rows):
    """Stored sets (V, L): background, then the named labels of each row."""
    return np.stack(
        [SPACE.vector(["background"]), *(SPACE.vector(row) for row in rows)]
    )


EVERYTHING = SPACE.names


def full_store(count=2, **options):
    """All three labels annotated; the last stored value is ignore."""
    return FakeStore(
        [scan(seed=n, values=(1, 2, 3)) for n in range(count)],
        sets(["bladder"], ["kidney_left"], ["kidney_right"], EVERYTHING),
        SPACE.names[1:],
        **options,
    )


def merged_store(**options):
    """Kidneys as one structure, the bladder not annotated."""
    return FakeStore(
        [scan(seed=7, values=(1,))],
        sets(["kidney_left", "kidney_right"]),
        ("kidney_left", "kidney_right"),
        **options,
    )
