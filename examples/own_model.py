"""A network and data of your own, trained with partial labels and a teacher.

In: nothing; four random patches stand for your data. Out: a trained student.
"""

import keras
import numpy as np
import tensorflow as tf

import tfpartial as tp

SPACE = tp.LabelSpace((tp.Label("liver"), tp.Label("spleen")))


def build_network() -> keras.Model:
    """Any model from (I, J, K, 1) to (I, J, K, L) logits."""
    image = keras.Input((16, 16, 16, 1))
    features = keras.layers.Conv3D(8, 3, padding="same")
    logits = keras.layers.Conv3D(SPACE.num_labels, 1)(features(image))
    return keras.Model(image, logits)


def make_dataset() -> tf.data.Dataset:
    """Batches of patches from a database that annotates the liver alone."""
    random = np.random.default_rng(0)
    images = random.normal(size=(4, 16, 16, 16, 1)).astype("float32")
    stored = (images[..., 0] > 1).astype("uint8")  # 0: not liver, 1: liver
    # Stored 1 is liver; 0 is background *or* the spleen, which nobody drew.
    annotated = np.array([True, True, False])
    table = tp.candidate_table(np.eye(2, 3, dtype=bool), annotated)
    tables = np.broadcast_to(table, (4, *table.shape))
    batch = {"image": images, "labels": stored, "candidates": tables}
    return tf.data.Dataset.from_tensor_slices(batch).batch(2).repeat()


def main() -> keras.Model:
    """Train for one epoch; the student is yours to save."""
    model = tp.MeanTeacher(build_network(), build_network(), SPACE.names)
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    model.fit(make_dataset(), epochs=1, steps_per_epoch=4)
    return model.student


if __name__ == "__main__":
    main()
