"""Networks: patch of a scan -> logits, built by name.

In: a name and sizes. Out: a `keras.Model` with float32 logits.
Before: nothing. After: training and inference (weights), losses (logits).
"""

from tfpartial.models.blocks import PatchNetwork
from tfpartial.models.deepmedic import build_deepmedic
from tfpartial.models.hash_dropout import HashDropout, dropout_keys
from tfpartial.models.registry import (
    build_network,
    register,
    registered_networks,
)
from tfpartial.models.unet3d import build_unet3d

__all__ = [
    "HashDropout",
    "PatchNetwork",
    "build_deepmedic",
    "build_network",
    "build_unet3d",
    "dropout_keys",
    "register",
    "registered_networks",
]
