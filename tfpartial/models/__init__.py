"""Networks: patch of a scan -> logits, built by name.

In: a name and sizes. Out: a `keras.Model` with float32 logits.
Before: nothing. After: training and inference (weights), losses (logits).

The names below are imported when they are first used: a config asks builders
for their sizes, and must not wait for Keras.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "HashDropout": "hash_dropout",
    "PatchNetwork": "blocks",
    "build_deepmedic": "deepmedic",
    "build_network": "build",
    "build_unet3d": "unet3d",
    "dropout_keys": "hash_dropout",
}
__all__ = list(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"{__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
