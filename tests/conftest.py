"""What all tests share: two logical CPUs and the one strategy over them."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import tensorflow as tf

# Before anything else starts the TensorFlow runtime.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.Strategy:
    """MirroredStrategy over two logical CPUs.

    One per process: a second MirroredStrategy whose step also reduces a
    scalar fails with a shape mismatch in the collective (tensorflow#62790).
    """
    return tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"])


@pytest.fixture
def openkbp() -> str:
    """Return the folder of the real scans, or skip."""
    folder = os.environ.get("TFPARTIAL_OPENKBP")
    if not folder:
        pytest.skip("TFPARTIAL_OPENKBP is not set: no real scans here")
    return folder
