"""Two processes on loopback train the same network as one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from shrunken import CONFIG, REPOSITORY, overrides, script

pytestmark = pytest.mark.slow


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _weights(run_dir: Path, kind: str) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(run_dir / f"{kind}.weights.h5") as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


def test_two_workers_are_one(workspace: Path) -> None:
    run_dir = workspace / "two_workers"
    workers = [f"127.0.0.1:{port}" for port in _free_ports(2)]
    processes = []
    for index in range(2):
        cluster = {
            "cluster": {"worker": workers},
            "task": {"type": "worker", "index": index},
        }
        processes.append(
            subprocess.Popen(
                [
                    sys.executable,
                    str(REPOSITORY / "scripts" / "fit.py"),
                    "--config",
                    str(CONFIG),
                    "--strategy",
                    "multi_worker",
                    "--run_dir",
                    str(run_dir),
                    *overrides(workspace),
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=REPOSITORY,
                env=os.environ | {"TF_CONFIG": json.dumps(cluster)},
            )  # fmt: skip
        )
    printed = [process.communicate(timeout=500)[0] for process in processes]
    assert [p.returncode for p in processes] == [0, 0], printed
    assert "global batch 2 = 2 replica(s) x 1 patches" in printed[0]
    one = workspace / "one_worker"
    script("fit", "--config", CONFIG, "--strategy", "none",
           "--run_dir", one, *overrides(workspace))  # fmt: skip
    for kind in ("student", "teacher"):
        expected, found = _weights(one, kind), _weights(run_dir, kind)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            scale = np.abs(value).max() + 1e-12
            difference = np.abs(value - found[name]).max() / scale
            assert difference < 1e-4, (kind, name, difference)


def test_without_tf_config_is_exit_code_2(workspace: Path) -> None:
    text = script("fit", "--config", CONFIG, "--strategy", "multi_worker",
                  "--run_dir", workspace / "x", *overrides(workspace),
                  expect=2, TF_CONFIG="")  # fmt: skip
    assert "needs the environment variable TF_CONFIG" in text
