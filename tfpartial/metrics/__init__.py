"""Scores of a segmentation: Dice over candidate sets, surface distances.

In: stored codes and predicted labels. Out: numbers.
Before: nothing. After: tfpartial.training watches, tfpartial.evaluation
reports. `streaming_dice` alone needs TensorFlow; import it by its module.
"""
