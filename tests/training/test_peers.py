"""Other workers: whether they are there, and do the same."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tfpartial.errors import InputError, MachineError
from tfpartial.training.distributed import peers


@pytest.fixture
def listening():
    """A socket that somebody listens at, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(autouse=True)
def said(monkeypatch) -> list[str]:
    """What the process would have said last; everything goes faster."""
    words: list[str] = []
    monkeypatch.setattr(peers, "_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(peers, "_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(peers, "end_process", words.append)
    return words


def test_who_listens_answers(listening) -> None:
    server, address = listening
    assert peers.answers(address)
    server.close()
    assert not peers.answers(address)


def test_a_peer_that_is_there_is_not_lost(listening, said, monkeypatch) -> None:
    monkeypatch.setattr(peers, "gather", lambda *_: None)
    with peers.watch_peers(fake_cluster(listening[1])):
        time.sleep(0.3)
    assert said == []


def test_a_lost_peer_is_named(listening, said, monkeypatch) -> None:
    server, address = listening
    monkeypatch.setattr(peers, "gather", lambda *_: None)
    with peers.watch_peers(fake_cluster(address)):
        server.close()
        time.sleep(0.5)
    assert said[0].startswith(f"worker 1 ({address}) does not answer")
    assert "Start the same command again on every worker" in said[0]


WATCHER = """
import sys, time
from tfpartial.training.distributed import peers
peers._EVERY_SECONDS = 0.02
peers.find_peers = lambda strategy: {1: sys.argv[1]}
with peers.watch_peers(None):
    print("watching", flush=True)
    time.sleep(60)  # a long validation
"""


def test_a_process_that_does_something_else_is_ended(listening) -> None:
    server, address = listening
    with subprocess.Popen(
        [sys.executable, "-c", WATCHER, address], encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "watching\n"
        time.sleep(0.3)
        assert process.poll() is None
        server.close()
        _, told = process.communicate(timeout=30)
    assert process.returncode == MachineError.exit_code == 3
    last = told.strip().splitlines()[-1]
    assert last.startswith(f"error: worker 1 ({address}) does not answer")


def fake_cluster(address: str) -> SimpleNamespace:
    spec = {"worker": ["127.0.0.1:1", address]}
    resolver = SimpleNamespace(
        cluster_spec=lambda: SimpleNamespace(as_dict=lambda: spec), task_id=0
    )
    return SimpleNamespace(cluster_resolver=resolver)


def fail_in(strategy: SimpleNamespace, error: Exception) -> None:
    """Let a collective op of the body fail."""
    with pytest.raises(type(error)), peers.watch_peers(strategy):
        raise error


def test_a_failed_collective_waits_for_the_name_of_the_lost(
    listening, said
) -> None:
    server, address = listening
    strategy = fake_cluster(address)
    assert peers.find_peers(strategy) == {1: address}
    server.close()
    fail_in(strategy, tf.errors.UnavailableError(None, None, "Socket closed"))
    # The real process ends with the first of them.
    assert said[0].startswith(f"worker 1 ({address}) does not answer")


def test_workers_that_lost_touch_say_so(listening, said) -> None:
    strategy = fake_cluster(listening[1])
    fail_in(strategy, tf.errors.AbortedError(None, None, "timeout\nmore"))
    (message,) = said
    assert "lost touch" in message
    assert "said 'timeout'" in message


def test_a_mistake_in_the_program_keeps_its_traceback(listening, said) -> None:
    mistake = tf.errors.InvalidArgumentError(None, None, "shapes differ")
    fail_in(fake_cluster(listening[1]), mistake)
    assert said == []


def test_other_errors_pass_at_once(listening, monkeypatch) -> None:
    monkeypatch.setattr(peers, "gather", lambda *_: None)
    with (
        pytest.raises(InputError),
        peers.watch_peers(fake_cluster(listening[1])),
    ):
        raise InputError("bad patch")


def test_alone_there_is_nobody_to_watch() -> None:
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    assert peers.find_peers(strategy) == {}
    with peers.watch_peers(strategy):
        peers.check_agreement(strategy, {"the step": 3})


def test_what_differs_between_workers_is_named(monkeypatch) -> None:
    strategy = fake_cluster("127.0.0.1:2")
    others = {"the config": {"seed": 0}, "the step": 4, "the records": "ab"}
    theirs = [peers._number(value) for value in others.values()]

    def gather(_, mine: list[int]) -> np.ndarray:
        return np.array([mine, theirs], np.int64)

    monkeypatch.setattr(peers, "gather", gather)
    peers.check_agreement(strategy, others)
    with pytest.raises(InputError, match="differ in: the config, the step"):
        peers.check_agreement(
            strategy, others | {"the config": {"seed": 1}, "the step": 0}
        )


def test_gather_on_one_machine(two_replicas) -> None:
    found = peers.gather(two_replicas, [7, 2**62])
    np.testing.assert_array_equal(found, [[7, 2**62]] * 2)
