"""TensorFlow imported without its start-up lines.

In: whether they are wanted. Out: TensorFlow, and one line about the devices.

The lines (oneDNN, cuInit, absl's warning about itself, ...) come from C++,
before any logging can be set up: what arrives at file descriptor 2 is kept
back while TensorFlow is imported and asked for its devices, and shown if that
fails.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@functools.cache
def start_tensorflow(verbose: bool) -> None:
    """Import TensorFlow and say which devices there are; once.

    Args:
        verbose: whether TensorFlow may speak.
    """
    if verbose:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
        log.info("devices: %s", _devices())
        return
    # What informs or warns; errors are still shown, once it has started.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _stderr_kept_back():
        devices = _devices()
    log.info("devices: %s", devices)


def _devices() -> str:
    """Import TensorFlow; return its devices in words."""
    import tensorflow as tf

    cores = f"{len(os.sched_getaffinity(0))} CPU cores"
    found = tf.config.list_physical_devices("GPU")
    if not found:
        return f"{cores}, no GPU"
    details = tf.config.experimental.get_device_details
    names = [details(gpu).get("device_name", "GPU") for gpu in found]
    counts = [f"{names.count(n)} x {n}" for n in dict.fromkeys(names)]
    return f"{', '.join(counts)}; {cores}"


@contextmanager
def _stderr_kept_back() -> Iterator[None]:
    """Keep what is written to file descriptor 2; show it after an exception."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
