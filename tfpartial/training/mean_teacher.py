"""`MeanTeacher`: one Keras model that trains a student beside its teacher.

In: batches of tfpartial.data.pipeline (a dict of tensors).
Out: a trained student and its moving average.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tfpartial.losses import (
    candidate_cross_entropy,
    candidate_soft_dice,
    consistency,
    convolution_kernels,
    informative_voxels,
    reduction,
    weight_penalty,
)
from tfpartial.metrics.streaming_dice import StreamingDice
from tfpartial.models import dropout_keys
from tfpartial.training.checked_steps import CheckedSteps, NonFiniteLossError
from tfpartial.training.ema import update_teacher, warmed_decay

__all__ = [
    "MeanTeacher",
    "NonFiniteLossError",
    "reseed_dropout",
    "sum_over_replicas",
]
log = logging.getLogger(__name__)
STUDENT_STREAM = 0
TEACHER_STREAM = 1


def sum_over_replicas(value: Any) -> Any:
    """Sum tensors over all replicas; the identity for a single one."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def _replicas() -> int:
    """Return how many replicas share a step."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def reseed_dropout(
    network: keras.Model, seed: int, step: Any, stream: int
) -> None:
    """Give the seeded layers of a network masks of their own in this step.

    Networks of the registry do without (their masks come from a hash). Layers
    of Keras draw the same mask on every replica, and a clone the same as its
    original; here the state becomes a function of (seed, step, layer, student
    or teacher, replica). It needs no checkpoint; it does depend on how many
    replicas there are.
    """
    context = tf.distribute.get_replica_context()
    replica = context.replica_id_in_sync_group if context else 0
    for order, variable in enumerate(_seeds(network)):
        first = seed + 1_000_003 * (stream + 1) + 7919 * order
        place = first + 104_729 * ops.cast(replica, "int64")
        # Room for a layer that draws several times in a step.
        state = ops.stack([place, ops.cast(step, "int64") * 1024])
        variable.assign(ops.cast(state, variable.dtype))


def _seeds(network: keras.Model) -> list[keras.Variable]:
    """Return the states of a network's random layers."""
    variables = network.non_trainable_variables
    return [v for v in variables if "seed_generator" in v.path]


class MeanTeacher(CheckedSteps):
    """Student and EMA teacher, trained together: Eq. (3).

    Formula:
        J = J_ace + d * J_dice + w(t) * J_con + R

    J_ace: candidate-set cross entropy of the student, Eq. (2); J_con:
    mean squared difference of the two softmax outputs, Eq. (5). Not in the
    paper and off by default: J_dice, soft Dice over candidate sets; R, L1 and
    L2 of the student's convolution kernels.
    Without a teacher it is plain supervised training with any candidate table.

    Attributes:
        student: any `keras.Model` (B, I, J, K, 1) -> (B, I, J, K, L) logits
            that asks tensors by `ops.cond`, not by Python's `if`.
        teacher: same architecture, or None. Never trained by gradients;
            called with training=True, so that its dropout is on while batch
            norm, being frozen, uses the student's moving statistics.

    Batch: dict with image (B, I, J, K, 1) float32, labels (B, i, j, k) uint8,
    candidates (B, V, L) bool, resolved_labels (B, L) bool and row (B,) int32.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model | None,
        label_names: Sequence[str],
        *,
        consistency_weight: Callable[[Any], Any] = lambda _: 1.0,
        ema_decay: float = 0.99,
        clip_norm: float | None = None,
        soft_dice: float = 0.0,
        l1: float = 0.0,
        l2: float = 0.0,
        seed: int = 0,
        name: str = "mean_teacher",
    ) -> None:
        """Own two networks of the same architecture.

        Args:
            student: the network to train.
            teacher: built by the same builder; its weights are overwritten
                with the student's, its dropout seeds are drawn anew.
            label_names: all L names, background first.
            consistency_weight: completed steps -> w.
            ema_decay: alpha.
            clip_norm: largest global norm of the gradient summed over
                replicas, or None.
            soft_dice: d, weight of the soft Dice over candidate sets.
            l1: times the sum of |w| over the student's convolution kernels.
            l2: times the sum of w^2 over the student's convolution kernels.
            seed: of the dropout masks.
            name: Keras name.

        Raises:
            ValueError: student and teacher differ in their weights.
        """
        super().__init__(name=name)
        self.student = student
        self.teacher = teacher
        self.consistency_weight = consistency_weight
        self.ema_decay = ema_decay
        self.clip_norm = clip_norm
        self.soft_dice = soft_dice
        self.l1, self.l2 = l1, l2
        self.seed = seed
        self.supervised_loss = keras.metrics.Mean("supervised_loss")
        self.student_dice = StreamingDice(label_names, "student_dice")
        if teacher is not None:
            self._adopt(teacher)
            self.consistency_loss = keras.metrics.Mean("consistency_loss")
            self.teacher_dice = StreamingDice(label_names, "teacher_dice")
        if soft_dice:
            self.soft_dice_loss = keras.metrics.Mean("soft_dice_loss")
        if l1 or l2:
            self.weight_penalty = keras.metrics.Mean("weight_penalty")
        if not hasattr(student, "context_voxels") and _seeds(student):
            log.info(
                "student '%s' is not of the registry: its dropout masks "
                "depend on the number of replicas",
                student.name,
            )
        self.built = True

    def _adopt(self, teacher: keras.Model) -> None:
        """Make the teacher an untrained copy with dropout masks of its own."""
        expected = [tuple(w.shape) for w in self.student.weights]
        received = [tuple(w.shape) for w in teacher.weights]
        if expected != received:
            raise ValueError(
                "teacher: expected the student's architecture "
                f"({len(expected)} weights), received {len(received)} weights "
                "of other shapes. Build both with the same builder."
            )
        teacher.trainable = False
        teacher.set_weights(self.student.get_weights())

    def call(self, image: Any, training: bool = False) -> Any:
        """Return the student's logits."""
        return self.student(image, training=training)

    def _logits(self, network: keras.Model, batch: Any, stream: int) -> Any:
        step = self.optimizer.iterations
        reseed_dropout(network, self.seed, step, stream)
        with dropout_keys(self.seed, step, batch["row"], stream):
            return network(batch["image"], training=True)

    def _supervised(self, batch: Any, logits: Any) -> reduction.Reduction:
        labels, candidates = batch["labels"], batch["candidates"]
        return reduction.weighted_sum(
            candidate_cross_entropy(labels, logits, candidates),
            informative_voxels(labels, candidates),
        )

    def train_step(self, batch: Any) -> Any:
        """One step of Eq. (3): losses, update of student, then of teacher.

        Returns:
            Scalar float32, J of the global batch, the same on every replica.
        """
        # A copy: the variable itself counts this step before it ends.
        completed = tf.identity(self.optimizer.iterations)
        weight = ops.cast(self.consistency_weight(completed), "float32")
        taught = self.teacher is not None
        if taught:
            target = self._logits(self.teacher, batch, TEACHER_STREAM)
        with tf.GradientTape() as tape:
            logits = self._logits(self.student, batch, STUDENT_STREAM)
            supervised = self._supervised(batch, logits)
            loss = reduction.scalar(supervised, sum_over_replicas)
            if self.soft_dice:
                loss += self._soft_dice_share(batch, logits)
            if taught:
                squares = consistency(logits, tf.stop_gradient(target))
                agreement = reduction.weighted_sum(
                    squares, ops.ones_like(squares)
                )
                loss += weight * reduction.scalar(agreement, sum_over_replicas)
            if self.l1 or self.l2:
                loss += self._penalty_share()
        self._descend(tape, loss)

        self._count(self.supervised_loss, supervised)
        self._count_dice(self.student_dice, batch, logits)
        if taught:
            decay = warmed_decay(self.ema_decay, completed)
            update_teacher(self.student, self.teacher, decay)
            self._count(self.consistency_loss, agreement)
            self._count_dice(self.teacher_dice, batch, target)
        return self._log_total(loss)

    def test_step(self, batch: Any) -> Any:
        """Count losses and Dice of a batch without dropout or update."""
        logits = self.student(batch["image"], training=False)
        supervised = self._supervised(batch, logits)
        self._count(self.supervised_loss, supervised)
        self._count_dice(self.student_dice, batch, logits)
        if self.teacher is not None:
            target = self.teacher(batch["image"], training=False)
            squares = consistency(logits, target)
            agreement = reduction.weighted_sum(squares, ops.ones_like(squares))
            self._count(self.consistency_loss, agreement)
            self._count_dice(self.teacher_dice, batch, target)
        if self.soft_dice:
            self._soft_dice_share(batch, logits)
        if self.l1 or self.l2:
            self._penalty_share()  # counted; the total is that of the data
        return self._log_total(reduction.scalar(supervised, sum_over_replicas))

    def _soft_dice_share(self, batch: Any, logits: Any) -> Any:
        """Count J_dice; return this replica's share of d * J_dice.

        J_dice is the mean over the structures of all samples of the global
        batch.
        """
        terms, counted = candidate_soft_dice(
            batch["labels"], logits, batch["candidates"]
        )
        overlap = reduction.weighted_sum(terms, counted)
        self._count(self.soft_dice_loss, overlap)
        return self.soft_dice * reduction.scalar(overlap, sum_over_replicas)

    def _penalty_share(self) -> Any:
        """Count R; return this replica's share of it.

        Every replica holds the same kernels, and their losses and gradients
        are summed: without the division two replicas would count R twice.
        """
        kernels = convolution_kernels(self.student.trainable_variables)
        penalty = weight_penalty(kernels, self.l1, self.l2)
        self.weight_penalty.update_state(penalty)
        return penalty / _replicas()

    def _descend(self, tape: tf.GradientTape, loss: Any) -> None:
        """Update the student by this replica's gradient of its loss."""
        variables = self.student.trainable_variables
        gradients = tape.gradient(
            loss,
            variables,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        gradients = self._clipped(gradients)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))

    def _clipped(self, gradients: list[Any]) -> list[Any]:
        """Clip the norm of the gradient of the *global* batch.

        The optimizer sums gradients over replicas, so what is summed here
        already is handed on divided by their number.
        """
        if self.clip_norm is None:
            return gradients
        replicas = _replicas()
        if replicas > 1:
            gradients = sum_over_replicas(gradients)
        clipped, _ = tf.clip_by_global_norm(gradients, self.clip_norm)
        return [gradient / replicas for gradient in clipped]

    def _count(self, metric: Any, part: reduction.Reduction) -> None:
        mean = ops.divide_no_nan(part.numerator, part.count)
        metric.update_state(mean, sample_weight=part.count)

    def _count_dice(self, metric: Any, batch: Any, logits: Any) -> None:
        metric.update_state(
            batch["labels"],
            logits,
            batch["candidates"],
            batch["resolved_labels"],
        )

    def _log_total(self, loss: Any) -> Any:
        total = sum_over_replicas(loss)
        self._loss_tracker.update_state(total)
        return total
