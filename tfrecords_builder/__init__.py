"""Scans of declared databases -> TFRecords that tensorflow-datasets reads.

In: an `Experiment` (databases, label space, preprocess, build, records_dir).
Out: `<records_dir>/<database>/1.0.0/`, manifest.json, manifest.md, build.log.
Before: tfpartial.databases, tfpartial.scans. After: tfpartial.data.

Only `write_shards` imports TensorFlow; nothing is imported here, because the
processes that preprocess scans import this package.
"""
