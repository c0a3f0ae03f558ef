"""Networks by name."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfpartial.errors import InputError
from tfpartial.models import build_network, register, registered_networks
from tfpartial.models.registry import _builders


def test_unet3d_is_registered_and_named() -> None:
    assert "unet3d" in registered_networks()
    network = build_network(
        "unet3d", num_labels=2, seed=0, model_name="student", filters=[2, 2]
    )
    assert network.name == "student"
    assert network(np.zeros((1, 2, 2, 2, 1))).shape[-1] == 2


def test_unknown_name_suggests_a_known_one() -> None:
    with pytest.raises(InputError, match="Did you mean 'unet3d'"):
        build_network("unet", num_labels=2, seed=0)


def test_all_unknown_sizes_are_named_together() -> None:
    with pytest.raises(InputError) as caught:
        build_network("unet3d", num_labels=2, seed=0, filter=[2, 2], depth=3)
    assert len(caught.value.faults) == 2
    assert "Did you mean 'filters'" in caught.value.faults[0]
    assert "network.depth" in caught.value.faults[1]


def test_a_name_belongs_to_one_builder() -> None:
    def build_other(**sizes: object) -> keras.Model:
        raise NotImplementedError

    before = _builders["unet3d"]
    with pytest.raises(ValueError, match="'unet3d' is registered twice"):
        register("unet3d")(build_other)
    assert register("unet3d")(before) is before
    assert _builders["unet3d"] is before


@pytest.mark.parametrize("name", registered_networks())
def test_a_batch_equals_its_samples_one_by_one(name: str) -> None:
    network = build_network(name, num_labels=3, seed=0)
    size = max(2 * network.divisor, 8) + 2 * max(network.context_voxels)
    draw = np.random.default_rng(0)
    image = draw.normal(size=(3, size, size, size, 1)).astype("float32")
    image *= np.array([1, 5, 0.1]).reshape(3, 1, 1, 1, 1)
    together = np.asarray(network(image))
    alone = [np.asarray(network(image[n : n + 1])) for n in range(3)]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3
