"""A run as a SavedModel that needs neither Keras nor this package.

In: a run. Out: a folder with a SavedModel, its checksums, maybe ONNX; each
checked against `tfpartial.inference` before it is put in place.
Before: tfpartial.inference. After: a user's own program.
"""
