"""Several workers: they train the same, and none waits for a dead one.

In: TF_CONFIG's addresses. Out: an error on every worker that is left.

TensorFlow notices a dead worker only in a collective op. A worker that is
validating, or waits for one that is, would go on for as long as that takes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from tfpartial.errors import InputError, MachineError

log = logging.getLogger(__name__)

# Found dead after two misses in a row: at most 5 + 5 s of waiting and as much
# of trying to connect. TensorFlow's own error comes earlier or later.
_EVERY_SECONDS = 5.0
_CONNECT_SECONDS = 5.0
_MISSES = 2
_PATIENCE_SECONDS = 15.0
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


class PeerWatch:
    """A thread that knocks at the ports of the other workers.

    Who finds one closed says so and ends the process, even in the middle of a
    validation: what is on disk is whole at any moment.
    """

    def __init__(self, peers: Mapping[int, str]) -> None:
        """Begin to watch.

        Args:
            peers: index of a worker -> host:port.
        """
        self._peers = dict(peers)
        self._stop = threading.Event()
        self._found = threading.Event()
        self._expected = threading.Event()
        self.message = ""
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer: the others may leave."""
        self._stop.set()

    def lost(self) -> str | None:
        """Return which worker is gone; wait as long as finding it may take.

        For who caught an error of a collective op, and wonders why.
        """
        self._expected.set()
        self._found.wait(_PATIENCE_SECONDS)
        return self.message or None

    def _watch(self) -> None:
        misses = dict.fromkeys(self._peers, 0)
        while not self._stop.wait(_EVERY_SECONDS):
            for index, address in self._peers.items():
                misses[index] = 0 if answers(address) else misses[index] + 1
                if misses[index] >= _MISSES:
                    self._say(index, address)
                    return

    def _say(self, index: int, address: str) -> None:
        if self._stop.is_set():
            return
        self.message = (
            f"worker {index} ({address}) does not answer: it was ended, or its "
            f"machine is gone; its own output may say why. {_AGAIN}"
        )
        self._found.set()
        if not self._expected.is_set():  # nobody else will say it
            sys.stdout.flush()
            print(f"error: {self.message}", file=sys.stderr, flush=True)
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
def watched(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Watch the other workers while the body runs; wait for them at its end.

    Without other workers it does nothing.

    Raises:
        MachineError: a collective op failed because a worker is gone.
    """
    peers = peers_of(strategy)
    if not peers:
        yield
        return
    watch = PeerWatch(peers)
    try:
        yield
        gather(strategy, [0])  # who leaves first would seem dead
    except tf.errors.OpError as error:
        message = watch.lost()
        if message is None and not isinstance(error, _OUT_OF_TOUCH):
            raise
        raise MachineError(message or _lost_touch(error)) from error
    finally:
        watch.stop()


def _lost_touch(error: tf.errors.OpError) -> str:
    said = str(error.message).strip().splitlines()[0][:200]
    return (
        f"the workers lost touch, though all of them answer: TensorFlow said "
        f"'{said}'. A worker may be out of processor time or memory. {_AGAIN}"
    )


def peers_of(strategy: tf.distribute.Strategy) -> dict[int, str]:
    """Return index -> address of the other workers."""
    resolver = getattr(strategy, "cluster_resolver", None)
    spec = resolver.cluster_spec().as_dict() if resolver else {}
    workers = dict(enumerate(spec.get("worker", [])))
    if resolver is not None:
        workers.pop(resolver.task_id, None)
    return workers


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
    if not peers_of(strategy):
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
    text = json.dumps(value, sort_keys=True)
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
