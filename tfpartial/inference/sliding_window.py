"""Overlapping windows -> one prediction per voxel, box after box.

In: a function on windows, a normalised image. Out: labels, probabilities.
Windows are visited along K, the long axis of the patient: only what windows
still reach is held (`slab`), however long the scan is.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfpartial.inference.window_blending import Slab
from tfpartial.inference.windows import (
    check_window,
    padding_to_window,
    window_starts,
)
from tfpartial.types import Shape3

PredictPatch = Callable[[np.ndarray], np.ndarray]
Box = tuple[slice, slice, slice]
# Of the probabilities of one batch; a network holds as many logits beside.
BATCH_BYTES = 2**27


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
    # Not numpy(): that copies.
    return lambda image: np.asarray(run(tf.convert_to_tensor(image)))


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


def finished_boxes(
    predict_patch: PredictPatch,
    image: np.ndarray,
    window_shape: Shape3,
    overlap: float,
    num_labels: int,
    windows_per_batch: int,
    fill: float,
    context_voxels: Shape3 = (0, 0, 0),
) -> Iterator[tuple[Box, np.ndarray]]:
    """Yield probabilities box by box, each as soon as it is final.

    They are the weighted mean of `slab.Slab`. Windows that hold nothing but
    `fill` (air beside the patient) are all alike: one of them is predicted.

    Args:
        predict_patch: see `patch_function`.
        image: (I, J, K) float32, normalised.
        window_shape: voxels of the output window; a smaller scan is padded.
        overlap: share of a window that its neighbour covers, in [0, 1).
        num_labels: L.
        windows_per_batch: windows per call of `predict_patch`; fewer where
            their probabilities exceed `BATCH_BYTES`.
        fill: value outside the scan (air, normalised).
        context_voxels: voxels per side the input window exceeds the output.

    Yields:
        box of the scan, its probabilities (i, J, k, L) float32; all voxels
        of the scan once.
    """
    tiles = _Tiles(image, window_shape, overlap, fill, context_voxels)
    slab = Slab(tiles.size[:2], window_shape, tiles.starts[2], num_labels)
    window_bytes = 4 * num_labels * int(np.prod(window_shape))
    most = max(1, BATCH_BYTES // window_bytes)
    windows = tiles.predicted(predict_patch, min(windows_per_batch, most))
    for k, next_k in tiles.steps(2):
        for i, next_i in tiles.steps(0):
            for j in tiles.starts[1]:
                slab.add(int(j), next(windows))
            values = slab.finish(slice(i, next_i), next_k - k)
            ends = next_i, tiles.size[1], next_k
            box, inner = tiles.within((i, 0, k), ends)
            if values[inner].size:
                yield box, values[inner]


class _Tiles:
    """A padded image and where its windows stand.

    Attributes:
        size: (3,) voxels of the padded scan, without context.
        inside: (3,) slices of the scan in the padded scan.
        starts: (3,) arrays of window starts per axis.
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
        self._given = [
            w + 2 * c for w, c in zip(window_shape, context, strict=True)
        ]
        border = [
            (before + c, after + c)
            for (before, after), c in zip(padding, context, strict=True)
        ]
        self._air = np.full((1, *self._given, 1), fill, image.dtype)
        self._padded = image
        if np.any(border):
            self._padded = np.pad(image, border, constant_values=fill)

    def steps(self, axis: int) -> Iterator[tuple[int, int]]:
        """Yield each start along an axis and the one after it, or the end."""
        ends = [*self.starts[axis].tolist(), self.size[axis]]
        return itertools.pairwise(ends)

    def within(
        self, start: Sequence[int], stop: Sequence[int]
    ) -> tuple[Box, Box]:
        """Return the scan's part of a padded box: in the scan, in the box."""
        box, inner = [], []
        for inside, begin, end in zip(self.inside, start, stop, strict=True):
            first = max(begin, inside.start)
            last = max(first, min(end, inside.stop))
            box.append(slice(first - inside.start, last - inside.start))
            inner.append(slice(first - begin, last - begin))
        return (box[0], box[1], box[2]), (inner[0], inner[1], inner[2])

    def predicted(
        self, predict_patch: PredictPatch, windows_per_batch: int
    ) -> Iterator[np.ndarray]:
        """Yield the prediction (i, j, k, L) of every window.

        In the order of `finished_boxes`: K outermost, J innermost.
        """
        air = functools.cache(lambda: predict_patch(self._air)[0])
        waiting: list[np.ndarray | None] = []  # None: air
        count = 0
        for k, i, j in itertools.product(*(self.starts[a] for a in (2, 0, 1))):
            window = self._window(i, j, k)
            is_air = bool((window == self._air[0, 0, 0, 0]).all())
            waiting.append(None if is_air else window)
            count += not is_air
            if count == windows_per_batch:
                yield from _predict(predict_patch, waiting, air)
                waiting, count = [], 0
        yield from _predict(predict_patch, waiting, air)

    def _window(self, i: int, j: int, k: int) -> np.ndarray:
        """Return the input window (i + 2c, j + 2c, k + 2c)."""
        wi, wj, wk = self._given
        return self._padded[i : i + wi, j : j + wj, k : k + wk]


def _predict(
    predict_patch: PredictPatch,
    windows: list[np.ndarray | None],
    air: Callable[[], np.ndarray],
) -> Iterator[np.ndarray]:
    """Yield the predictions of windows, that of air where there is None."""
    given = [window for window in windows if window is not None]
    values = iter(predict_patch(np.stack(given)[..., None]) if given else ())
    for window in windows:
        yield air() if window is None else next(values)


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

    Arguments as in `finished_boxes`. The memory beside the image and the
    labels is about `J * (window_k - step_k) * I * (L + 1)` float32 for what
    is begun and `J * window_k * window_i * (L + 1)` for a row of windows,
    however long the scan is, unless all probabilities are kept.

    Returns:
        labels (I, J, K) uint8: the most probable label, the lowest of equals;
        probabilities (I, J, K, L) float16, or None.
    """
    labels = np.zeros(image.shape, np.uint8)
    kept = None
    if keep_probabilities:
        kept = np.zeros((*image.shape, num_labels), np.float16)
    for box, values in finished_boxes(
        predict_patch, image, window_shape, overlap, num_labels,
        windows_per_batch, fill, context_voxels,
    ):  # fmt: skip
        labels[box] = values.argmax(-1)
        if kept is not None:
            kept[box] = values
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
    context = context_of(network)
    given = [w + 2 * c for w, c in zip(window_shape, context, strict=True)]
    # Not `output_shape`: a model that is a class of its own has none.
    logits = network.compute_output_spec(keras.KerasTensor((1, *given, 1)))
    labels, _ = sliding_window(
        patch_function(network, tuple(window_shape)),
        image,
        window_shape,
        overlap,
        int(logits.shape[-1]),
        windows_per_batch,
        float(image.min()) if fill is None else fill,
        context,
    )
    return labels
