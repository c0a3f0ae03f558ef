"""Several workers: they train the same, and none waits for a dead one.

In: TF_CONFIG's addresses. Out: an error on every worker that is left.

TensorFlow notices a dead worker only in a collective op. A worker that is
validating, or waits for one that is, would go on for as long as that takes:
docs/decisions/0013-workers-knock-at-ports.md has the measurement.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from tfpartial.errors import InputError, MachineError
from tfpartial.files.safe_reading import value_hash

# Found dead after two misses in a row: at most 6 s of waiting, and 10 s of
# trying to connect where a machine is gone.
_EVERY_SECONDS = 3.0
_CONNECT_SECONDS = 5.0
_MISSES = 2
_PATIENCE_SECONDS = 17.0
# What a collective op makes of a worker that is gone, or too busy to answer.
_OUT_OF_TOUCH = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)
_AGAIN = (
    "Nothing is lost but the epoch that was under way. Start the same command "
    "again on every worker: it goes on from the last checkpoint."
)


def end_process(message: str) -> None:
    """Say why, and end with the exit code of a `MachineError`, at once.

    An exception would not reach a main thread that waits in a collective op,
    and TensorFlow's clean-up may wait for the worker that is gone.
    """
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(MachineError.exit_code)


def answers(address: str) -> bool:
    """Return whether somebody listens at host:port."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection(
            (host.strip("[]"), int(port)), _CONNECT_SECONDS
        ):
            return True
    except OSError:
        return False


@contextmanager
def watch_peers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Watch the other workers while the body runs; wait for them at its end.

    Without other workers it does nothing. If one of them is gone, the process
    ends with a message and exit code 3, even in the middle of a validation:
    what is on disk is whole at any moment.
    """
    peers = find_peers(strategy)
    if not peers:
        yield
        return
    leaving = threading.Event()
    arguments = (peers, leaving)
    threading.Thread(target=_watch, args=arguments, daemon=True).start()
    try:
        yield
        gather(strategy, [0])  # who leaves first would seem dead
    except tf.errors.OpError as error:
        # A collective op often fails before the watch knows who is gone.
        time.sleep(_PATIENCE_SECONDS)
        if isinstance(error, _OUT_OF_TOUCH):
            said = str(error.message).strip().splitlines()[0][:200]
            end_process(
                f"the workers lost touch, though all of them answer: "
                f"TensorFlow said '{said}'. A worker may be out of processor "
                f"time or memory. {_AGAIN}"
            )
        raise
    finally:
        leaving.set()


def _watch(peers: Mapping[int, str], leaving: threading.Event) -> None:
    """Knock at the others' ports; end this process when one stays closed."""
    misses = dict.fromkeys(peers, 0)
    while not leaving.wait(_EVERY_SECONDS):
        for index, address in peers.items():
            misses[index] = 0 if answers(address) else misses[index] + 1
            if misses[index] >= _MISSES and not leaving.is_set():
                end_process(
                    f"worker {index} ({address}) does not answer: it was "
                    f"ended, or its machine is gone; its own output may say "
                    f"why. {_AGAIN}"
                )


def find_peers(strategy: tf.distribute.Strategy) -> dict[int, str]:
    """Return index -> host:port of the other workers."""
    index, addresses = find_workers(strategy)
    workers = dict(enumerate(addresses))
    workers.pop(index, None)
    return workers


def find_workers(strategy: tf.distribute.Strategy) -> tuple[int, list[str]]:
    """Return the index of this worker and host:port of each; alone: none."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None:
        return 0, []
    workers = resolver.cluster_spec().as_dict().get("worker", [])
    return int(resolver.task_id or 0), workers


def gather(strategy: tf.distribute.Strategy, numbers: list[int]) -> np.ndarray:
    """Return (replicas, n) int64: everyone's numbers, in everyone's hands."""
    row = np.array([numbers], np.int64)
    rows = strategy.run(lambda: tf.identity(tf.constant(row)))
    return strategy.gather(rows, axis=0).numpy()


def check_agreement(
    strategy: tf.distribute.Strategy, told: Mapping[str, Any]
) -> None:
    """Compare what all workers are about to do.

    They would otherwise train different things, and the average of those.

    Args:
        strategy: of the run; without other workers nothing is compared.
        told: what -> a value that JSON knows, such as the restored step.

    Raises:
        InputError: on every worker, naming what differs.
    """
    if not find_peers(strategy):
        return
    rows = gather(strategy, [_number(value) for value in told.values()])
    differing = [
        what
        for what, column in zip(told, rows.T, strict=True)
        if len(set(column.tolist())) > 1
    ]
    if differing:
        raise InputError(
            f"the workers differ in: {', '.join(differing)}. Expected the "
            f"same config, records and run_dir (on storage that all of them "
            f"see) on every worker."
        )


def _number(value: Any) -> int:
    """Return 63 bits that stand for a value."""
    return int(value_hash(value)[:16], 16) >> 1
