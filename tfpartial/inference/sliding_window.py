"""Overlapping windows -> one prediction per voxel, one slab at a time.

In: a function on windows, a normalised image. Out: labels, probabilities.
Windows are visited along K, the long axis of the patient, so that only
`window` planes of probabilities are held, however long the scan is.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tfpartial.inference.windows import (
    Shape3,
    check_window,
    gaussian_weights,
    padding_to_window,
    window_starts,
)

PredictPatch = Callable[[np.ndarray], np.ndarray]


@functools.lru_cache(maxsize=8)
def patch_function(
    network: keras.Model,
    window_shape: Shape3,
    mirror_permutation: tuple[int, ...] | None = None,
) -> PredictPatch:
    """Compile a network into windows -> probabilities, once per shape.

    Args:
        network: (N, i, j, k, 1) -> (N, i, j, k, L) logits; it may return a
            centred crop and declare `context_voxels`.
        window_shape: voxels of the output window.
        mirror_permutation: (L,) channel of the mirrored scan; then the mean
            with the mirrored window (axis I, labels swapped) is returned.

    Returns:
        A function (N, i + 2c, ..., 1) float32 -> (N, i, j, k, L) float32,
        softmax in float32.

    Raises:
        InputError: the network does not accept the window.
    """
    context = context_of(network)
    check_window(window_shape, context, getattr(network, "divisor", 1))
    given = [w + 2 * c for w, c in zip(window_shape, context, strict=True)]

    run = tf.function(
        probability_function(network, mirror_permutation),
        input_signature=[tf.TensorSpec((None, *given, 1), tf.float32)],
    )
    return lambda image: run(tf.convert_to_tensor(image)).numpy()


def probability_function(
    network: keras.Model, mirror_permutation: tuple[int, ...] | None = None
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return images -> probabilities on tensors, softmax in float32.

    With a permutation it is the mean over the image and its mirror along I;
    the labels of the mirror are swapped back (tests/traps, trap 4).
    """

    def probabilities(image: tf.Tensor) -> tf.Tensor:
        logits = network(image, training=False)
        return tf.nn.softmax(tf.cast(logits, tf.float32))

    def mirrored_mean(image: tf.Tensor) -> tf.Tensor:
        turned = probabilities(image[:, ::-1])[:, ::-1]
        swapped = tf.gather(turned, list(mirror_permutation or ()), axis=-1)
        return (probabilities(image) + swapped) / 2.0

    return probabilities if mirror_permutation is None else mirrored_mean


def context_of(network: keras.Model) -> Shape3:
    """Return the voxels per side that a network needs beyond its output."""
    i, j, k = getattr(network, "context_voxels", (0, 0, 0))
    return int(i), int(j), int(k)


def finished_planes(
    predict_patch: PredictPatch,
    image: np.ndarray,
    window_shape: Shape3,
    overlap: float,
    num_labels: int,
    windows_per_batch: int,
    fill: float,
    context_voxels: Shape3 = (0, 0, 0),
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield probabilities in planes of K, each as soon as it is final.

    Formula:
        p(x) = sum_m w(x - s_m) p_m(x - s_m) / sum_m w(x - s_m)
    Numerator and denominator are summed in the same order, so the weights
    sum to exactly 1 (a constant 1 comes back as exactly 1).

    Args:
        predict_patch: see `patch_function`.
        image: (I, J, K) float32, normalised.
        window_shape: voxels of the output window; a smaller scan is padded.
        overlap: share of a window that its neighbour covers, in [0, 1).
        num_labels: L.
        windows_per_batch: windows per call of `predict_patch`.
        fill: value outside the scan (air, normalised).
        context_voxels: voxels per side the input window exceeds the output.

    Yields:
        first plane k, probabilities (I, J, planes, L) float32 of the planes
        from k on; together all K planes once, in order.
    """
    tiles = _Tiles(image, window_shape, overlap, fill, context_voxels)
    slab = _Slab(tiles.size[:2], window_shape, num_labels)
    first, last = tiles.inside[2].start, tiles.inside[2].stop
    starts = [*tiles.starts[2].tolist(), tiles.size[2]]
    for k, end in itertools.pairwise(starts):
        for at in range(0, len(tiles.columns), windows_per_batch):
            batch = tiles.columns[at : at + windows_per_batch]
            values = predict_patch(tiles.windows(batch, k))
            for place, window in zip(batch, values, strict=True):
                slab.add(place, window)
        planes = slab.finish(end - k)[tiles.inside[:2]]
        begin, stop = max(k, first), min(end, last)
        if begin < stop:
            yield begin - first, planes[:, :, begin - k : stop - k]


class _Tiles:
    """A padded image and where its windows stand.

    Attributes:
        size: (3,) voxels of the padded scan, without context.
        inside: (3,) slices of the scan in the padded scan.
        starts: (3,) arrays of window starts per axis.
        columns: (i, j) starts of the windows that share a k.
    """

    def __init__(
        self,
        image: np.ndarray,
        window_shape: Shape3,
        overlap: float,
        fill: float,
        context: Shape3,
    ) -> None:
        padding = padding_to_window(image.shape, window_shape)
        self.inside = tuple(
            slice(before, before + size)
            for (before, _), size in zip(padding, image.shape, strict=True)
        )
        self.size = tuple(map(max, image.shape, window_shape))
        self.starts = [
            window_starts(size, window, overlap)
            for size, window in zip(self.size, window_shape, strict=True)
        ]
        self.columns = [
            (int(i), int(j)) for i in self.starts[0] for j in self.starts[1]
        ]
        self._given = [
            w + 2 * c for w, c in zip(window_shape, context, strict=True)
        ]
        border = [
            (before + c, after + c)
            for (before, after), c in zip(padding, context, strict=True)
        ]
        self._padded = np.pad(image, border, constant_values=fill)

    def windows(self, places: list[tuple[int, int]], k: int) -> np.ndarray:
        """Return the input windows (N, i + 2c, j + 2c, k + 2c, 1)."""
        wi, wj, wk = self._given
        return np.stack(
            [
                self._padded[i : i + wi, j : j + wj, k : k + wk, None]
                for i, j in places
            ]
        )


class _Slab:
    """Weighted sums of the `window` planes that windows still touch."""

    def __init__(
        self, size: tuple[int, ...], window_shape: Shape3, num_labels: int
    ) -> None:
        depth = window_shape[2]
        self.weights = gaussian_weights(window_shape)
        # Planes first: finished planes leave without copying the others
        # twice, and a plane is contiguous.
        self.values = np.zeros((depth, *size, num_labels), np.float32)
        self.total = np.zeros((depth, *size), np.float32)

    def add(self, place: tuple[int, int], values: np.ndarray) -> None:
        """Add one window (i, j, k, L) whose first voxel is (*place, 0)."""
        i, j = place
        wi, wj = self.weights.shape[:2]
        weighted = values * self.weights[..., None]
        self.values[:, i : i + wi, j : j + wj] += np.moveaxis(weighted, 2, 0)
        self.total[:, i : i + wi, j : j + wj] += np.moveaxis(self.weights, 2, 0)

    def finish(self, planes: int) -> np.ndarray:
        """Return the first planes (I, J, planes, L) and move on past them."""
        done = self.values[:planes] / self.total[:planes, ..., None]
        depth = len(self.values)
        for plane in range(depth - planes):
            self.values[plane] = self.values[plane + planes]
            self.total[plane] = self.total[plane + planes]
        self.values[depth - planes :] = 0.0
        self.total[depth - planes :] = 0.0
        return np.moveaxis(done, 0, 2)


def sliding_window(
    predict_patch: PredictPatch,
    image: np.ndarray,
    window_shape: Shape3,
    overlap: float,
    num_labels: int,
    windows_per_batch: int,
    fill: float,
    context_voxels: Shape3 = (0, 0, 0),
    keep_probabilities: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Segment an image with overlapping windows.

    Arguments as in `finished_planes`. The memory beside the image and the
    labels is `window_k * I * J * (L + 1)` float32, unless all probabilities
    are kept.

    Returns:
        labels (I, J, K) uint8: the most probable label, the lowest of equals;
        probabilities (I, J, K, L) float16, or None.
    """
    labels = np.zeros(image.shape, np.uint8)
    kept = None
    if keep_probabilities:
        kept = np.zeros((*image.shape, num_labels), np.float16)
    for k, planes in finished_planes(
        predict_patch, image, window_shape, overlap, num_labels,
        windows_per_batch, fill, context_voxels,
    ):  # fmt: skip
        covered = slice(k, k + planes.shape[2])
        labels[:, :, covered] = planes.argmax(-1)
        if kept is not None:
            kept[:, :, covered] = planes
    return labels, kept


def sliding_window_labels(
    network: keras.Model,
    image: np.ndarray,
    window_shape: Shape3,
    overlap: float = 0.5,
    windows_per_batch: int = 2,
    fill: float | None = None,
) -> np.ndarray:
    """Segment a normalised image with a network; no mirroring.

    Args:
        network: see `patch_function`.
        image: (I, J, K) float32, normalised.
        window_shape: voxels of the output window.
        overlap: share of a window that its neighbour covers, in [0, 1).
        windows_per_batch: windows per call of the network.
        fill: value outside the scan; default: the lowest of the image (air).

    Returns:
        (I, J, K) uint8 label indices.
    """
    labels, _ = sliding_window(
        patch_function(network, tuple(window_shape)),
        image,
        window_shape,
        overlap,
        int(network.output_shape[-1]),
        windows_per_batch,
        float(image.min()) if fill is None else fill,
        context_of(network),
    )
    return labels
