"""The losses voxel by voxel, in Python's own float64 arithmetic."""

from __future__ import annotations

import math

import numpy as np


def candidate_cross_entropy(
    labels: np.ndarray, logits: np.ndarray, candidates: np.ndarray
) -> np.ndarray:
    """-log(sum of p over S), one voxel at a time."""
    losses = np.zeros(labels.shape)
    for voxel in np.ndindex(labels.shape):
        allowed = candidates[voxel[0], labels[voxel]]
        top = max(float(z) for z in logits[voxel])
        odds = [math.exp(float(z) - top) for z in logits[voxel]]
        inside = sum(o for o, may in zip(odds, allowed, strict=True) if may)
        losses[voxel] = math.log(sum(odds)) - math.log(inside)
    return losses


def softmax(logits: np.ndarray) -> list[float]:
    """Probabilities of one voxel."""
    top = max(float(z) for z in logits)
    odds = [math.exp(float(z) - top) for z in logits]
    return [o / sum(odds) for o in odds]


def consistency(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Mean over labels of the squared difference, one voxel at a time."""
    losses = np.zeros(student.shape[:-1])
    for voxel in np.ndindex(losses.shape):
        p, q = softmax(student[voxel]), softmax(teacher[voxel])
        squares = [(a - b) ** 2 for a, b in zip(p, q, strict=True)]
        losses[voxel] = sum(squares) / len(squares)
    return losses
