"""The stages of the input pipeline, each on its own, on the same patches.

In: an experiment with records. Out: callables to time, and the difference to
a twin that takes a patch out of the whole scan with scipy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np
import tensorflow as tf
from scipy.ndimage import map_coordinates

from tfpartial.config import Experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.data import augment
from tfpartial.data.augment import Augmentation
from tfpartial.data.patch_reader import PatchReader
from tfpartial.data.patches import PatchSampler
from tfpartial.data.pipeline import build_training_dataset
from tfpartial.records.store import RecordStore
from tfpartial.scans import normalise

BATCH = 2


class Stages:
    """The first batches of an experiment with one database, taken apart.

    Args:
        experiment: its records are there.
        batches: of 2 patches; every side makes just these.
    """

    def __init__(self, experiment: Experiment, batches: int) -> None:
        name = experiment.databases[0].name
        self._store = RecordStore(Path(experiment.records_dir), name)
        amounts = experiment.augment.model_dump()
        self._augmentation = Augmentation(amounts)
        self._window = experiment.preprocess.hu_window
        self._shape = experiment.fit.patch_shape
        self._seed = experiment.seed
        stores = {name: self._store}
        drawn: dict[str, Any] = {
            "weights": {},
            "label_share": experiment.sampling.label_share,
        }
        read: dict[str, Any] = {
            "space": label_space_of(experiment),
            "context_voxels": (0, 0, 0),
            "augment": amounts,
            "hu_window": self._window,
        }
        both: dict[str, Any] = {
            "supervision": {},
            "patch_shape": self._shape,
            "seed": self._seed,
        }
        self._sampler = PatchSampler(stores, **drawn, **both)
        self._reader = PatchReader(self._sampler, stores, **read, **both)
        self._dataset = build_training_dataset(
            stores, **drawn, **read, **both, start_step=0, rows=range(BATCH),
            readers=experiment.sampling.readers,
        )  # fmt: skip
        self._batches = batches
        self._rows = [divmod(n, BATCH) for n in range(batches * BATCH)]
        self._affines = [self._affine(*row) for row in self._rows]
        self._blocks = [self._touched(*row) for row in self._rows]
        self._compiled = tf.function(
            self._augmented,
            input_signature=[
                tf.TensorSpec([None] * 3, tf.float32),
                tf.TensorSpec([None] * 3, tf.uint8),
                tf.TensorSpec([3, 3], tf.float32),
                tf.TensorSpec([3], tf.float32),
                tf.TensorSpec([2], tf.int64),
            ],
        )
        self._regions = [
            (*map(tf.constant, self._load(number)[:4]), self._key(*row))
            for number, row in enumerate(self._rows)
        ]

    def sides(self) -> dict[str, Callable[[], object]]:
        """Return what to time: the whole pipeline, and parts of it.

        "start" is the pipeline's first batch, with what an iterator costs;
        "load" is sampling, reading and decoding together.
        """
        return {
            "pipeline": lambda: self._pipeline(self._batches),
            "start": lambda: self._pipeline(1),
            "sample": lambda: [self._sampler.draw(*row) for row in self._rows],
            "read": lambda: [
                self._store.read_block(record)
                for records in self._blocks
                for record in records
            ],
            "load": lambda: [self._load(n) for n in range(len(self._rows))],
            "augment": lambda: [self._compiled(*r) for r in self._regions],
        }

    def about(self) -> dict[str, float]:
        """Return how much a patch reads, as means over the patches."""
        sizes = [
            np.prod(self._store.shape[records], axis=1).sum()
            for records in self._blocks
        ]
        voxels = float(np.prod(self._shape))
        return {
            "blocks_per_patch": float(np.mean([len(b) for b in self._blocks])),
            "voxels_inflated_per_voxel": float(np.mean(sizes)) / voxels,
            "voxels_assembled_per_voxel": float(
                np.mean([tf.size(region[0]) for region in self._regions])
            )
            / voxels,
        }

    def difference_to_slow_twin(self, rows: int) -> dict[str, float]:
        """Compare the first rows with patches taken out of whole scans.

        Returns:
            image: largest difference, in units of a scan's intensity sd;
            labels: share of voxels that differ.
        """
        image_off, labels_off = 0.0, 0.0
        elements = iter(self._dataset)
        for number in range(0, rows, BATCH):
            batch = next(elements)
            for place, row in enumerate(self._rows[number : number + BATCH]):
                image, labels = self._slow(*row)
                off = np.abs(batch["image"][place, ..., 0].numpy() - image)
                image_off = measure.worst([image_off, off.max()])
                wrong = batch["labels"][place].numpy() != labels
                labels_off = measure.worst([labels_off, wrong.mean()])
        return {"image": image_off, "labels": labels_off}

    def _slow(self, step: int, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the patch of a row, out of the whole scan, in float64."""
        place = self._sampler.draw(step, row)
        case = self._store.cases[place.case_number]
        hu, labels = self._store.read_scan(place.case_number)
        spacing = np.asarray(case.spacing_mm)
        matrix = self._affine(step, row) * spacing / spacing[:, None]
        middle = (np.asarray(self._shape) - 1) / 2
        offsets = np.indices(self._shape).reshape(3, -1) - middle[:, None]
        positions = (place.start + middle)[:, None] + matrix @ offsets
        scan, (air,) = (
            normalise(values, case.mean, case.sd, self._window)
            for values in (hu, np.asarray([self._window[0]]))
        )
        image = map_coordinates(
            scan, positions, order=1, mode="grid-constant", cval=air
        )
        nearest = map_coordinates(
            labels, np.floor(positions + 0.5), order=0, mode="grid-constant",
            cval=self._reader.num_stored_values - 1,
        )  # fmt: skip
        changed = self._augmentation.change_intensity(
            tf.constant(image.reshape(self._shape), tf.float32),
            self._key(step, row),
        )
        return changed.numpy(), nearest.reshape(self._shape)

    def _pipeline(self, batches: int) -> None:
        # A fresh iterator, and gone at the end: none works ahead while
        # another side is timed.
        elements = iter(self._dataset)
        for _ in range(batches):
            next(elements)
        del elements

    def _key(self, step: int, row: int) -> tf.Tensor:
        return augment.row_seed(self._seed, tf.constant(step), tf.constant(row))

    def _affine(self, step: int, row: int) -> np.ndarray:
        key = self._key(step, row)
        return self._augmentation.draw_affine(key).numpy()

    def _load(self, number: int) -> tuple[np.ndarray, ...]:
        step, row = map(np.int64, self._rows[number])
        return self._reader.read(step, row, self._affines[number])

    def _touched(self, step: int, row: int) -> list[int]:
        """Return the records that a patch is assembled from."""
        records: list[int] = []
        original = self._store.read_block

        def noted(record: int) -> tuple[np.ndarray, np.ndarray]:
            records.append(record)
            return original(record)

        affine = self._affine(step, row)
        drew_voxel = self._sampler.draw(step, row).voxel is not None
        self._store.read_block = noted  # type: ignore[method-assign]
        try:
            self._reader.read(np.int64(step), np.int64(row), affine)
        finally:
            del self._store.read_block
        # The first one was read to draw a voxel of it.
        return records[1:] if drew_voxel else records

    def _augmented(
        self,
        image: tf.Tensor,
        labels: tf.Tensor,
        matrix: tf.Tensor,
        centre: tf.Tensor,
        key: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        turned = augment.turn_image(image, matrix, centre, self._shape)
        nearest = augment.turn_labels(labels, matrix, centre, self._shape)
        return self._augmentation.change_intensity(turned, key), nearest
