"""The training data of this worker: its rows of every global batch.

In: an experiment, open records, the first step. Out: batches, without end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfpartial.config import Experiment
from tfpartial.config.cross_checks import label_space_of
from tfpartial.data.pipeline import build_training_dataset
from tfpartial.errors import InputError
from tfpartial.records.store import RecordStore
from tfpartial.types import Shape3


def build_batches(
    experiment: Experiment,
    stores: Mapping[str, RecordStore],
    strategy: tf.distribute.Strategy,
    workers: int,
    context_voxels: Shape3,
    first_step: int,
) -> Any:
    """Return the batches of this worker.

    Args:
        experiment: as declared.
        stores: database -> its records.
        strategy: shares the rows of a worker out among its replicas.
        workers: processes that share a global batch.
        context_voxels: of the network.
        first_step: step of the first batch.
    """
    sampling, options = experiment.sampling, experiment.fit
    share = options.global_batch_size // workers

    def batches_of(worker: int) -> tf.data.Dataset:
        return build_training_dataset(
            stores,
            space=label_space_of(experiment),
            supervision=sampling.supervision,
            weights=sampling.weights,
            label_share=sampling.label_share,
            patch_shape=options.patch_shape,
            context_voxels=context_voxels,
            augment=experiment.augment.model_dump(),
            hu_window=experiment.preprocess.hu_window,
            seed=experiment.seed,
            start_step=first_step,
            rows=range(worker * share, (worker + 1) * share),
            readers=sampling.readers,
            balance=sampling.balance,
        )

    if workers == 1:
        return batches_of(0)
    return strategy.distribute_datasets_from_function(
        lambda context: batches_of(context.input_pipeline_id)
    )


def check_batch_size(experiment: Experiment, replicas: int) -> None:
    """Check that replicas get equal shares of a global batch.

    Raises:
        InputError: they do not.
    """
    if experiment.fit.global_batch_size % replicas:
        raise InputError(
            f"fit.global_batch_size: expected a multiple of the {replicas} "
            f"replicas, found {experiment.fit.global_batch_size}."
        )
