"""Records -> place -> read -> turn -> change intensities -> batch.

In: record stores and options. Out: an infinite `tf.data.Dataset`; element t
holds the rows of one worker for step `start_step + t`.

A row is a pure function of (seed, step, row): a batch is the same whatever the
number of readers, of workers that share the rows, or of restarts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import tensorflow as tf

from tfpartial.data.patch_reader import PatchReader, Row
from tfpartial.data.patches import PatchSampler
from tfpartial.labels import Balance, LabelSpace, Supervision
from tfpartial.types import Shape3

if TYPE_CHECKING:
    from tfpartial.records.store import RecordStore

_BATCHES_AHEAD = 2


def build_training_dataset(
    stores: Mapping[str, RecordStore],
    *,
    space: LabelSpace,
    patch_shape: Shape3 = (64, 64, 64),
    rows: range = range(2),
    supervision: Mapping[str, Supervision] | None = None,
    weights: Mapping[str, float] | None = None,
    label_share: float = 0.7,
    context_voxels: Shape3 = (0, 0, 0),
    augment: Mapping[str, float] | None = None,
    hu_window: tuple[float, float] | None = None,
    seed: int = 0,
    start_step: int = 0,
    readers: int = 2,
    balance: Balance = "labels",
) -> tf.data.Dataset:
    """Return the training batches of one worker, without end.

    Args:
        stores: database -> its records.
        space: L labels, and which mirrors which.
        patch_shape: (i, j, k) voxels of the labels.
        rows: this worker's rows of each step's global batch; by default the
            two of a batch of two.
        supervision: database -> how its labels are used; default "partial".
        weights: database -> relative share of the patches; default 1.
        label_share: share of the patches drawn by a stored value.
        context_voxels: voxels the image is larger by on *each side*.
        augment: field of an `augment.Step` -> how much it changes; default 0.
        hu_window: clip limits of the intensities, HU; default: that of
            the records.
        seed: of the run.
        start_step: step of the first element.
        readers: patches that are read in parallel.
        balance: which stored values share these patches; `PatchSampler`.

    Returns:
        Elements of image (B, I, J, K, 1) float32, normalised, with
        I = i + 2 context; labels (B, i, j, k) uint8; candidates (B, V, L)
        bool; annotated_labels (B, L) bool; resolved_labels (B, L) bool; row
        (B,) int32. V is that of the largest database, the last row is
        always "ignore" (all True): the value of voxels outside the scan.

    Raises:
        InputError: see `PatchSampler`, `PatchReader`.
    """
    supervision, weights = supervision or {}, weights or {}
    if hu_window is None:
        hu_window = next(iter(stores.values())).hu_window
    sampler = PatchSampler(
        stores,
        supervision=supervision,
        weights=weights,
        label_share=label_share,
        patch_shape=patch_shape,
        seed=seed,
        balance=balance,
    )
    reader = PatchReader(
        sampler,
        stores,
        space=space,
        supervision=supervision,
        patch_shape=patch_shape,
        context_voxels=context_voxels,
        augment=augment or {},
        hu_window=hu_window,
        seed=seed,
    )
    row_numbers = tf.constant(list(rows), tf.int64)

    # There is nothing to rewrite, and AutoGraph parses all that it calls.
    @tf.autograph.experimental.do_not_convert
    def load(element: tf.Tensor) -> Row:
        return reader.load(
            element // len(rows), row_numbers[element % len(rows)]
        )

    options = tf.data.Options()
    options.deterministic = True
    # `rows` is the sharding: tf.data must not drop elements on top of it.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return (
        tf.data.Dataset.range(start_step * len(rows), 2**62)
        .map(load, num_parallel_calls=readers, deterministic=True)
        .batch(len(rows), drop_remainder=True)
        .prefetch(_BATCHES_AHEAD)
        .with_options(options)
    )
