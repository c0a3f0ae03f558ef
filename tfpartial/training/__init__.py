"""Training: student and EMA teacher under a tf.distribute strategy.

In: records, an `Experiment`. Out: a run directory (weights, checkpoints,
TensorBoard, run.json).
Before: tfrecords_builder. After: tfpartial.inference.
"""
