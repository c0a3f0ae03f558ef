"""One row: its place is drawn, its voxels read, turned, changed and named.

In: step and row. Out: the unbatched tensors of one patch.

Reading and sampling are numpy (one `tf.numpy_function`), every change of the
patch is TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfpartial.data import augment as augmentation
from tfpartial.data import shutdown
from tfpartial.data.augment import Augmentation
from tfpartial.data.patch_box import source_box
from tfpartial.data.patches import PatchSampler
from tfpartial.errors import InputError
from tfpartial.labels import LabelSpace, Supervision, candidate_table
from tfpartial.scans import normalise
from tfpartial.types import Shape3

if TYPE_CHECKING:
    from tfpartial.records.store import RecordStore

Row = dict[str, tf.Tensor]
MAX_STORED_VALUES = 256
_READ = (
    tf.float32,  # image region, normalised
    tf.uint8,  # labels region
    tf.float32,  # (3, 3) affine, patch voxels -> region voxels
    tf.float32,  # (3,) centre of the patch in the region
    tf.bool,  # (V, L) candidates
    tf.bool,  # (L,) annotated labels
    tf.bool,  # (L,) resolved labels
)

# What went wrong in threads of tf.data, which passes on only the text.
_input_errors: list[InputError] = []


def take_input_error() -> InputError | None:
    """Return the first InputError of reading a patch, and forget it.

    For who caught an error of tf.data: raised in its place, the user sees a
    message instead of TensorFlow's traceback.
    """
    taken = _input_errors[0] if _input_errors else None
    _input_errors.clear()
    return taken


class PatchReader:
    """Loads one row: the tensors of one patch.

    Args:
        sampler: says where the patch lies.
        stores: database -> its records.
        space: of the run.
        supervision: database -> how its labels are used.
        patch_shape: of the labels.
        context_voxels: of the image, on each side.
        augment: field of an `augment.Step` -> how much it changes.
        hu_window: clip limits, HU.
        seed: of the run.

    Raises:
        InputError: records of another label space; more than 256 stored
            values.
    """

    def __init__(
        self,
        sampler: PatchSampler,
        stores: Mapping[str, RecordStore],
        *,
        space: LabelSpace,
        supervision: Mapping[str, Supervision],
        patch_shape: Shape3,
        context_voxels: Shape3,
        augment: Mapping[str, float],
        hu_window: tuple[float, float],
        seed: int,
    ) -> None:
        self._sampler = sampler
        self._stores = dict(stores)
        self._supervision = dict(supervision)
        self._patch_shape = np.asarray(patch_shape, np.int64)
        self._context = np.asarray(context_voxels, np.int64)
        self._image_shape = self._patch_shape + 2 * self._context
        self._augment = Augmentation(augment)
        self._hu_window = hu_window
        self._seed = seed
        self._permutation = space.mirror_permutation()
        self.num_labels = space.num_labels
        self.num_stored_values = count_stored_values(stores, space)

    def load(self, step: tf.Tensor, row: tf.Tensor) -> Row:
        """Return the unbatched tensors of one row of one step."""
        seed = augmentation.row_seed(self._seed, step, row)
        affine = self._augment.draw_affine(seed)
        mirrored = augmentation.is_mirrored(affine)
        image, labels, matrix, centre, *tables = tf.numpy_function(
            self._begin, (step, row, affine), _READ, stateful=False
        )
        if self._augment.turns:
            image.set_shape([None] * 3)
            labels.set_shape([None] * 3)
            image = augmentation.turn_image(
                image, matrix, centre, self._image_shape.tolist()
            )
            labels = augmentation.turn_labels(
                labels, matrix, centre, self._patch_shape.tolist()
            )
        elif self._augment.moves:
            image = tf.where(mirrored, image[::-1], image)
            labels = tf.where(mirrored, labels[::-1], labels)
        image = self._augment.change_intensity(image, seed)
        # The corners make it wait for the whole patch.
        row = tf.ensure_shape(
            tf.numpy_function(
                self._end,
                (row, image[0, 0, 0], labels[0, 0, 0]),
                row.dtype,
                stateful=False,
            ),
            [],
        )
        return self._named(image, labels, tables, row, mirrored)

    def read(
        self, step: np.ndarray, row: np.ndarray, affine: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Draw the place of a row and read what its patch is made from.

        Args:
            step: () int64.
            row: () int64.
            affine: (3, 3) float32 in mm, see `Augmentation.draw_affine`.

        Returns:
            Arrays as listed in `_READ`. Where no step interpolates, the
            regions are the patches themselves.
        """
        place = self._sampler.draw(int(step), int(row))
        store = self._stores[place.database]
        case = store.cases[place.case_number]
        spacing = np.asarray(case.spacing_mm, float)
        matrix = affine.astype(float) * spacing / spacing[:, None]
        centre = place.start + (self._patch_shape - 1) / 2
        if self._augment.turns:
            start, shape = source_box(matrix, centre, self._image_shape)
        else:
            start, shape = place.start - self._context, self._image_shape
        image, labels = store.read_region(
            place.case_number,
            start,
            shape,
            # Rounded down, so that the clip makes it the exact lower bound.
            fill_hu=int(np.floor(self._hu_window[0])),
            fill_label=self.num_stored_values - 1,
        )
        if not self._augment.turns:
            labels = labels[
                tuple(
                    slice(c, c + n)
                    for c, n in zip(
                        self._context, self._patch_shape, strict=True
                    )
                )
            ]
        return (
            normalise(image, case.mean, case.sd, self._hu_window),
            np.ascontiguousarray(labels),
            matrix.astype(np.float32),
            (centre - start).astype(np.float32),
            self._candidates(place.database, case.annotated),
            np.asarray(case.annotated, bool),
            np.asarray(case.resolved, bool),
        )

    def _begin(self, *arguments: np.ndarray) -> tuple[np.ndarray, ...]:
        with shutdown.Reading():
            try:
                return self.read(*arguments)
            except InputError as error:
                _input_errors.append(error)
                raise

    def _end(self, row: np.ndarray, *_: np.ndarray) -> np.ndarray:
        shutdown.end_patch()
        return row

    def _candidates(self, database: str, annotated: np.ndarray) -> np.ndarray:
        """Return (V, L) bool; rows beyond the database's own are ignore."""
        table = np.ones((self.num_stored_values, self.num_labels), bool)
        own = candidate_table(
            self._stores[database].stored_sets,
            annotated,
            self._supervision.get(database, "partial"),
        )
        table[: len(own)] = own
        return table

    def _named(
        self,
        image: tf.Tensor,
        labels: tf.Tensor,
        tables: Sequence[tf.Tensor],
        row: tf.Tensor,
        mirrored: tf.Tensor,
    ) -> Row:
        """Name the tensors and fix their static shapes."""
        sizes = [self.num_stored_values, self.num_labels]
        candidates, annotated, resolved = (
            augmentation.mirror_labels(
                tf.ensure_shape(table, shape), self._permutation, mirrored
            )
            for table, shape in zip(
                tables, (sizes, sizes[1:], sizes[1:]), strict=True
            )
        )
        return {
            "image": tf.ensure_shape(image[..., None], [*self._image_shape, 1]),
            "labels": tf.ensure_shape(labels, self._patch_shape),
            "candidates": candidates,
            "annotated_labels": annotated,
            "resolved_labels": resolved,
            "row": tf.cast(row, tf.int32),
        }


def count_stored_values(
    stores: Mapping[str, RecordStore], space: LabelSpace
) -> int:
    """Return V of a run: the last value V - 1 is "ignore" in every database.

    Raises:
        InputError: records of another label space, or no value left for
            "ignore".
    """
    for store in stores.values():
        store.check_label_space(space)
    # A database whose last value is ignore lends that row to all.
    needed = max(
        len(store.stored_sets) + (not store.stored_sets[-1].all())
        for store in stores.values()
    )
    if needed > MAX_STORED_VALUES:
        raise InputError(
            f"expected at most {MAX_STORED_VALUES} stored values with "
            f"'ignore' as the last one, which voxels outside a scan need; "
            f"found {needed}. Declare fewer values in the largest database."
        )
    return needed
