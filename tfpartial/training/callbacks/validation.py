"""Whole-scan validation during training, on the records' own grid."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfpartial.inference.sliding_window import sliding_window_labels
from tfpartial.labels import LabelSpace
from tfpartial.metrics.groups import structures_of
from tfpartial.metrics.overlap import dice
from tfpartial.records.store import RecordStore
from tfpartial.runs.history import History
from tfpartial.runs.run_dir import RunDir
from tfpartial.scans import normalise
from tfpartial.training.callbacks.slices import slice_picture
from tfpartial.training.callbacks.tensorboard_log import TensorBoardLog


@dataclass(frozen=True)
class ValidationScan:
    """One validation scan as the records hold it.

    Attributes:
        name: `<database>/<case>`.
        hu: (I, J, K) int16.
        labels: (I, J, K) uint8 stored values.
        stored_sets: (V, L) bool.
        annotated: (L,) bool.
        mean: of the body, HU, after the window. sd: likewise.
    """

    name: str
    hu: np.ndarray
    labels: np.ndarray
    stored_sets: np.ndarray
    annotated: np.ndarray
    mean: float
    sd: float

    def reference(self) -> np.ndarray:
        """Return label indices; what is not one label becomes background."""
        single = self.stored_sets.sum(1) == 1
        index = np.where(single, self.stored_sets.argmax(1), 0)
        return index.astype(np.uint8)[self.labels]


def read_validation_scans(
    stores: dict[str, RecordStore],
    max_cases: int,
    databases: Collection[str] = (),
) -> list[ValidationScan]:
    """Read up to `max_cases` scans, one database after the other in turn.

    Args:
        stores: database -> records.
        max_cases: of all databases together.
        databases: whose scans; default: all.
    """
    queues = [
        [(database, store, n) for n in store.case_numbers("validation")]
        for database, store in stores.items()
        if not databases or database in databases
    ]
    order = [case for turn in zip_longest(*queues) for case in turn if case]
    scans = []
    for database, store, number in order[:max_cases]:
        entry = store.cases[number]
        hu, labels = store.read_scan(number)
        scans.append(
            ValidationScan(
                f"{database}/{entry.case}",
                hu,
                labels,
                store.stored_sets,
                entry.annotated,
                entry.mean,
                entry.sd,
            )  # fmt: skip
        )
    return scans


def scan_dice(
    scan: ValidationScan, prediction: np.ndarray, space: LabelSpace
) -> dict[str, float]:
    """Return the Dice of every structure of a scan, as `evaluate` does.

    Args:
        scan: holds the reference.
        prediction: (I, J, K) integers, label indices.
        space: the label space.

    Returns:
        Label, or 'A+B' of merged labels, -> Dice; those that are neither in
        the reference nor predicted are left out.
    """
    structures = structures_of(scan.stored_sets, scan.annotated, space)
    scores = {
        structure.name: dice(*structure.masks(scan.labels, prediction))
        for structure in structures
    }
    return {name: value for name, value in scores.items() if value == value}


class WholeScanValidation(keras.callbacks.Callback):
    """Segments validation scans every few epochs; logs Dice and pictures.

    Works on a copy of the network outside the strategy, so that one worker
    may validate while the others wait for its next step.
    """

    def __init__(
        self,
        scans: list[ValidationScan],
        network: keras.Model,
        log: TensorBoardLog,
        run_dir: Path,
        *,
        space: LabelSpace,
        hu_window: tuple[float, float],
        window_shape: tuple[int, int, int],
        every_epochs: int,
        images_every_epochs: int,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.scans = scans
        self.network = network
        self.log = log
        self.history = History(RunDir(run_dir).validation)
        self.space = space
        self.hu_window = hu_window
        self.window_shape = window_shape
        self.every = every_epochs
        self.images_every = images_every_epochs
        self.steps_per_epoch = steps_per_epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Validate student and teacher, when it is their epoch."""
        done = epoch + 1
        last = done == self.params.get("epochs")
        if not self.scans or not (done % self.every == 0 or last):
            return
        entry: dict[str, Any] = {"epoch": done}
        # The first validation at or after each `images_every` epochs.
        pictures = last or done % self.images_every < self.every
        for kind in ("student", "teacher"):
            source = getattr(self.model, kind)
            if source is None:
                continue
            self.network.set_weights(source.get_weights())
            entry[kind] = self._validate(kind, done, pictures)
        self._remember(entry)

    def _validate(self, kind: str, epoch: int, pictures: bool) -> dict:
        step = epoch * self.steps_per_epoch
        scores: dict[str, list[float]] = {}
        for scan in self.scans:
            prediction = self._segment(scan)
            for name, value in scan_dice(scan, prediction, self.space).items():
                scores.setdefault(name, []).append(value)
            if pictures and kind == "student":
                picture = slice_picture(
                    scan.hu, scan.reference(), prediction, self.hu_window,
                    self.space.num_labels,
                )  # fmt: skip
                self.log.write_image(step, f"validation/{scan.name}", picture)
        means = {name: float(np.mean(each)) for name, each in scores.items()}
        mean = float(np.mean(list(means.values()))) if means else None
        self.log.write(
            step,
            {f"validation_{kind}/{n}": d for n, d in means.items()}
            | {f"validation_{kind}/mean": mean},
        )
        counts = {name: len(each) for name, each in scores.items()}
        return {"mean": mean, "dice": means, "n": counts}

    def _segment(self, scan: ValidationScan) -> np.ndarray:
        def normalise_hu(hu: np.ndarray) -> np.ndarray:
            return normalise(hu, scan.mean, scan.sd, self.hu_window)

        return sliding_window_labels(
            self.network,
            normalise_hu(scan.hu),
            self.window_shape,
            overlap=0.25,
            fill=float(normalise_hu(np.array(self.hu_window[0]))),
        )

    def _remember(self, entry: dict[str, Any]) -> None:
        """Append to validation.json, and say the means."""
        self.history.add(entry)
        for kind in ("student", "teacher"):
            if kind in entry and entry[kind]["mean"] is not None:
                print(
                    f"whole-scan validation, {kind}: mean Dice "
                    f"{entry[kind]['mean']:.3f} over {len(entry[kind]['n'])} "
                    f"labels of {len(self.scans)} scans"
                )
