"""Pseudo-labels: a finished run fills in what a database does not annotate.

In: an `Experiment` (its records), a finished run.
Out: a second records folder, whose training scans say what the run predicts
where nothing is annotated; `pseudo_labels.json` and `.md` say what changed.
Before: tfrecords_builder, tfpartial.training. After: training on the result.

Two stages, as the paper's PL and ACE/PL: train a run (SL1, ACE), overwrite,
train again with `sampling.supervision: {<database>: naive}`.
"""
