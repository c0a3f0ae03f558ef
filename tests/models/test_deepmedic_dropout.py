"""DeepMedic's dropout: where its rates go, and that it is not inverted."""

from __future__ import annotations

import numpy as np
import pytest

from tfpartial.models import HashDropout, build_deepmedic, dropout_keys
from tfpartial.models.deepmedic_blocks import AddCentre, MaskDropout

SIZES = {"num_labels": 2, "widths": [2] * 8, "fc_widths": [3, 3]}


def rates_of(dropout: list[float]) -> dict[str, float]:
    network = build_deepmedic(seed=0, dropout=dropout, **SIZES)
    layers = [x for x in network.layers if isinstance(x, HashDropout)]
    ids = [layer.layer_id for layer in layers]
    assert len(set(ids)) == len(ids)
    return {layer.name: layer.rate for layer in layers}


def test_published_default_is_the_last_two() -> None:
    network = build_deepmedic(num_labels=2, seed=0, preset="small")
    found = {
        x.name: x.rate for x in network.layers if isinstance(x, HashDropout)
    }
    assert found == {"fc2_dropout": 0.5, "fc3_dropout": 0.5}


def test_nine_rates_are_all_but_the_first_two_layers() -> None:
    found = rates_of([0.5] * 9)
    pathways = {
        f"x{f}_layer{n}_dropout" for f in (1, 3, 5) for n in range(3, 9)
    }
    assert set(found) == pathways | {f"fc{n}_dropout" for n in (1, 2, 3)}
    assert set(found.values()) == {0.5}


def test_each_rate_has_its_stage_and_zero_has_no_layer() -> None:
    assert rates_of([]) == {}
    assert rates_of([0.1, 0.2, 0.0, 0.4]) == {
        "x1_layer8_dropout": 0.1,
        "x3_layer8_dropout": 0.1,
        "x5_layer8_dropout": 0.1,
        "fc1_dropout": 0.2,
        "fc3_dropout": 0.4,
    }


def test_training_masks_and_prediction_scales() -> None:
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 9, 4)).astype("f4")
    layer = MaskDropout(0.25, 3)
    with dropout_keys(0, 1, np.arange(2, dtype=np.int32), 0):
        trained = np.asarray(layer(x, training=True))
        inverted = np.asarray(HashDropout(0.25, 3)(x, training=True))
    kept = inverted != 0
    np.testing.assert_allclose(trained[kept], x[kept], rtol=1e-6)
    assert not trained[~kept].any()
    assert kept.mean() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_allclose(layer(x), 0.75 * x, rtol=1e-6)


def test_masks_are_the_same_for_rows_apart_and_together() -> None:
    """Batch norm mixes rows, so the mask is looked at behind dropout."""
    layer = MaskDropout(0.5, 7)
    x = np.ones((2, 5, 5, 5, 3), np.float32)

    def run(rows: slice, stream: int = 0) -> np.ndarray:
        samples = np.arange(2, dtype=np.int32)[rows]
        with dropout_keys(0, 3, samples, stream):
            return np.asarray(layer(x[rows], training=True))

    together = run(slice(0, 2))
    apart = np.concatenate([run(slice(0, 1)), run(slice(1, 2))])
    np.testing.assert_array_equal(together, apart)
    assert np.any(together != run(slice(0, 2), stream=1))


def test_a_shortcut_adds_the_centre_of_the_common_channels() -> None:
    later = np.zeros((1, 1, 1, 1, 2), np.float32)
    earlier = np.arange(27.0, dtype=np.float32).reshape(1, 3, 3, 3, 1)
    more = np.concatenate([earlier, earlier + 1, earlier + 2], axis=-1)
    fewer = np.asarray(AddCentre(1)([later, earlier]))
    np.testing.assert_array_equal(fewer.ravel(), [13, 0])
    np.testing.assert_array_equal(
        np.asarray(AddCentre(1)([later, more])).ravel(), [13, 14]
    )
