"""Records -> batches of training patches.

In: a records folder written by `tfrecords_builder`, options of sampling.
Out: `tf.data.Dataset` of batches; numpy regions of scans (`RecordStore`).
Before: tfrecords_builder. After: tfpartial.training.

`records` and `record_schema` need numpy alone; the rest needs TensorFlow,
therefore nothing is imported here.
"""
