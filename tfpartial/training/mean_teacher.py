"""`MeanTeacher`: one Keras model that trains a student beside its teacher.

In: two networks of one architecture, the terms of the cost, batches (a dict of
tensors). Out: a trained student and its moving average.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import ops

from tfpartial.losses import (
    Reduction,
    Term,
    consistency_term,
    supervised_term,
    total_cost,
)
from tfpartial.losses.term import Batch
from tfpartial.metrics.streaming_dice import StreamingDice
from tfpartial.models import dropout_keys
from tfpartial.training.checked_steps import CheckedSteps, NonFiniteLossError
from tfpartial.training.ema import update_teacher, warmed_decay
from tfpartial.training.replicas import replica_position, sum_over_replicas
from tfpartial.training.seeded_layers import reseed_dropout, seed_states
from tfpartial.types import Tensor

__all__ = ["MeanTeacher", "NonFiniteLossError"]
log = logging.getLogger(__name__)
STUDENT_STREAM = 0
TEACHER_STREAM = 1


class MeanTeacher(CheckedSteps):
    """Student and EMA teacher, trained together: Eq. (3).

    Formula:
        J = sum over terms of w_term(t) J_term
          = J_ace + w(t) J_con, unless you give other terms

    J_ace: candidate-set cross entropy of the student, Eq. (2); J_con: mean
    squared difference of the two softmax outputs, Eq. (5). Both steps report
    the same J as `loss`, and the mean of every term under its name. Without a
    teacher it is plain supervised training with any candidate table.

    Attributes:
        student: any `keras.Model` (B, I, J, K, 1) -> (B, I, J, K, L) logits
            that asks tensors by `ops.cond`, not by Python's `if`.
        teacher: same architecture, or None. Never trained by gradients;
            called with training=True, so that its dropout is on while batch
            norm, being frozen, uses the student's moving statistics.
        terms: of the cost, in the order in which they are added.

    Batch: a dict with
        image: (B, I, J, K, 1) float32.
        labels: (B, i, j, k) integer, stored values in [0, V); (i, j, k) is
            the shape of the network's output.
        candidates: (B, V, L) bool, the labels that each stored value may be.
        resolved_labels: (B, L) bool, labels whose Dice is counted; default:
            `metrics.streaming_dice.find_resolved_labels`.
        row: (B,) int32, place in the global batch, which decides the dropout
            of a network of `tfpartial.models`; default: that of equal shares.
        Terms of your own may ask for more.

    Example:
        model = MeanTeacher(student, teacher, ["background", "liver"])
        model.compile(optimizer=keras.optimizers.AdamW(1e-3))
        model.fit(dataset_of_batches, epochs=3)
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model | None,
        label_names: Sequence[str],
        terms: Sequence[Term] | None = None,
        *,
        ema_decay: float = 0.99,
        clip_norm: float | None = None,
        seed: int = 0,
        name: str = "mean_teacher",
    ) -> None:
        """Own two networks of the same architecture.

        Args:
            student: the network to train.
            teacher: built by the same builder; its weights are overwritten
                with the student's, its dropout seeds are drawn anew.
            label_names: all L names, background first.
            terms: of the cost; default: `supervised_term()` and, with a
                teacher, `consistency_term()`.
            ema_decay: alpha.
            clip_norm: largest global norm of the gradient summed over
                replicas, or None.
            seed: of the dropout masks.
            name: Keras name.

        Raises:
            ValueError: student and teacher differ in their weights; no terms,
                or two of one name.
        """
        super().__init__(name=name)
        self.student = student
        self.teacher = teacher
        if terms is None:
            taught = [] if teacher is None else [consistency_term()]
            terms = [supervised_term(), *taught]
        self.terms = tuple(terms)
        self.ema_decay = ema_decay
        self.clip_norm = clip_norm
        self.seed = seed
        self.student_dice = StreamingDice(label_names, "student_dice")
        self.teacher_dice = None
        if teacher is not None:
            self._adopt(teacher)
            self.teacher_dice = StreamingDice(label_names, "teacher_dice")
        self._check_terms()
        self.term_means = [keras.metrics.Mean(term.name) for term in terms]
        if not hasattr(student, "context_voxels") and seed_states(student):
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

    def _check_terms(self) -> None:
        """Refuse terms that the logs could not tell apart."""
        names = ["loss", "student_dice", "teacher_dice"]
        names += [term.name for term in self.terms]
        if not self.terms or len(set(names)) < len(names):
            raise ValueError(
                "terms: expected one or more, with names of their own beside "
                f"{', '.join(names[:3])}, received {names[3:]}."
            )

    def call(self, image: Tensor, training: bool = False) -> Tensor:
        """Return the student's logits."""
        return self.student(image, training=training)

    def train_step(self, batch: Batch) -> Tensor:
        """One step of Eq. (3): cost, update of student, then of teacher.

        Returns:
            Scalar float32, J of the global batch, the same on every replica.
        """
        # A copy: the variable itself counts this step before it ends.
        completed = tf.identity(self.optimizer.iterations)
        target = None
        if self.teacher is not None:
            target = self._run_with_dropout(self.teacher, batch, TEACHER_STREAM)
        with tf.GradientTape() as tape:
            logits = self._run_with_dropout(self.student, batch, STUDENT_STREAM)
            share, parts = total_cost(
                self.terms, batch, logits, target, completed, sum_over_replicas
            )
        self._descend(tape, share)
        if self.teacher is not None:
            decay = warmed_decay(self.ema_decay, completed)
            update_teacher(self.student, self.teacher, decay)
        return self._log(batch, logits, target, share, parts)

    def test_step(self, batch: Batch) -> Tensor:
        """Count cost and Dice of a batch without dropout or update.

        Returns:
            Scalar float32, the J that `train_step` would have for these
            logits: the weights of the terms are those of the next step.
        """
        image, target = batch["image"], None
        logits = self.student(image, training=False)
        if self.teacher is not None:
            target = self.teacher(image, training=False)
        share, parts = total_cost(
            self.terms, batch, logits, target, self.optimizer.iterations,
            sum_over_replicas,
        )  # fmt: skip
        return self._log(batch, logits, target, share, parts)

    def _run_with_dropout(
        self, network: keras.Model, batch: Batch, stream: int
    ) -> Tensor:
        """Call a network with the dropout masks of this step."""
        image, step = batch["image"], self.optimizer.iterations
        row = batch.get("row")
        if row is None:
            rows = ops.shape(image)[0]
            row = replica_position()[0] * rows + ops.arange(rows, dtype="int32")
        reseed_dropout(network, self.seed, step, stream)
        with dropout_keys(self.seed, step, row, stream):
            return network(image, training=True)

    def _descend(self, tape: tf.GradientTape, share: Tensor) -> None:
        """Update the student by this replica's gradient of its share of J."""
        variables = self.student.trainable_variables
        gradients = tape.gradient(
            share,
            variables,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        if self.clip_norm is not None:
            gradients = _clip_global_norm(gradients, self.clip_norm)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))

    def _log(
        self,
        batch: Batch,
        logits: Tensor,
        target: Tensor | None,
        share: Tensor,
        parts: Sequence[Reduction],
    ) -> Tensor:
        """Count terms, Dice and J in their metrics; return J."""
        for metric, part in zip(self.term_means, parts, strict=True):
            mean = ops.divide_no_nan(part.numerator, part.count)
            metric.update_state(mean, sample_weight=part.count)
        pairs = ((self.student_dice, logits), (self.teacher_dice, target))
        for dice, predicted in pairs:
            if dice is not None:
                dice.update_state(
                    batch["labels"],
                    predicted,
                    batch["candidates"],
                    batch.get("resolved_labels"),
                )
        total = sum_over_replicas(share)
        self._loss_tracker.update_state(total)
        return total


def _clip_global_norm(gradients: list[Tensor], norm: float) -> list[Tensor]:
    """Clip the norm of the gradient of the *global* batch.

    The optimizer sums gradients over replicas, so what is summed here already
    is handed on divided by their number.
    """
    _, replicas = replica_position()
    if replicas > 1:
        gradients = sum_over_replicas(gradients)
    clipped, _ = tf.clip_by_global_norm(gradients, norm)
    return [gradient / replicas for gradient in clipped]
