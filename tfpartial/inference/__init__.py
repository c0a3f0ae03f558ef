"""From trained weights to segmentations on a scan's own grid.

In: a run folder (config.yaml, student/teacher weights), scans as NIfTI.
Out: label maps with names, optional probabilities; a SavedModel and an ONNX
    file that need neither Keras nor this package.
Before: tfpartial.training wrote the weights.
After: tfpartial.evaluation compares the label maps with references.

Modules: `windows` (positions and weights, numpy, shared), `slab`,
`sliding_window` and `predict` (the ordinary way), `graph_preprocess`,
`graph_window` and `export` (the same steps as a TensorFlow graph),
`load_network`.
Import the module you need: this page imports nothing, so that `--help` does
not wait for TensorFlow.
"""
