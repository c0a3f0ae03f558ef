"""Devices, strategy, precision and seeds; and what a run says about itself."""

from __future__ import annotations

import json
import os
import platform
from typing import Any, Literal

import keras
import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

from tfpartial.errors import InputError
from tfpartial.program_version import git_commit, version

_OUT_OF_TOUCH_SECONDS = 25
StrategyName = Literal["none", "mirrored", "multi_worker"]

_PACKAGES = (
    "tfpartial", "tensorflow", "keras", "numpy", "nibabel", "SimpleITK",
    "tensorflow-datasets", "pydantic", "scipy",
)  # fmt: skip
# Variables that change which kernels run, or how they split their sums.
_DECIDES = (
    "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS", "TF_CUDNN_DETERMINISTIC",
    "TF_DETERMINISTIC_OPS", "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_XLA_FLAGS", "XLA_FLAGS",
)  # fmt: skip


def set_up_determinism(
    seed: int, precision: str, deterministic: bool = True
) -> None:
    """Seed every generator, make ops deterministic, set the precision.

    Must run before any random op: TensorFlow refuses the switch afterwards.

    Args:
        seed: of Python, NumPy and TensorFlow.
        precision: float32 or bfloat16.
        deterministic: whether ops that may sum in any order are replaced by
            ones that do not, or refused.
    """
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(
        "mixed_bfloat16" if precision == "bfloat16" else "float32"
    )


def find_devices(named: list[str]) -> list[str]:
    """Return the devices to train on: those named, or every GPU, or the CPU.

    CPU:0 and CPU:1 together make two logical devices of one processor.

    Raises:
        InputError: a named device does not exist.
    """
    gpus = [
        f"GPU:{n}" for n in range(len(tf.config.list_physical_devices("GPU")))
    ]
    if not named:
        return gpus or ["CPU:0"]
    cpus = [name for name in named if name.startswith("CPU:")]
    if len(cpus) > 1:
        _split_cpu(len(cpus))
    present = gpus + [
        f"CPU:{n}" for n in range(len(tf.config.list_logical_devices("CPU")))
    ]
    missing = [name for name in named if name not in present]
    if missing:
        raise InputError(
            f"fit.devices: {', '.join(missing)} not found. Present: "
            f"{', '.join(present)}."
        )
    return named


def _split_cpu(parts: int) -> None:
    processor = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(processor)
    if configured and len(configured) >= parts:
        return
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * parts
    )


def make_strategy(
    name: StrategyName, named: list[str]
) -> tf.distribute.Strategy:
    """Make the tf.distribute strategy of a name.

    Args:
        name: "none" (the first device), "mirrored" (all devices of this
            machine), "multi_worker" (several machines, through TF_CONFIG).
        named: devices by name; none: see `find_devices`.

    Raises:
        InputError: a device is missing; multi_worker without a usable
            TF_CONFIG, or with named devices.
    """
    if name == "multi_worker":
        if named:
            raise InputError(
                f"fit.devices: expected none with --strategy multi_worker, "
                f"which takes every GPU of a worker, found {named}."
            )
        _check_tf_config(os.environ.get("TF_CONFIG"))
        _allow_for_busy_machines()
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = find_devices(named)
    if name == "none":
        return tf.distribute.OneDeviceStrategy(f"/{devices[0]}")
    return tf.distribute.MirroredStrategy([f"/{d}" for d in devices])


def _allow_for_busy_machines() -> None:
    """Let a worker be out of touch for 25 s before TensorFlow gives it up.

    The strategy would take 10 s, which a worker on a shared machine misses
    without being dead. Private: MultiWorkerMirroredStrategy of TensorFlow 2.21
    leaves a service that is configured already as it is, and has no option.
    """
    workers = json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"]
    if len(workers) == 1:
        return
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        heartbeat_timeout_in_ms=1000 * _OUT_OF_TOUCH_SECONDS,
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(
                name="worker", num_tasks=len(workers)
            )
        ],
    )


def _check_tf_config(text: str | None) -> None:
    example = (
        '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    try:
        parsed = json.loads(text or "")
        workers = parsed["cluster"]["worker"]
        index = parsed["task"]["index"]
        # A chief besides the workers would number two processes 0.
        valid = set(parsed["cluster"]) == {"worker"}
        valid &= parsed["task"]["type"] == "worker"
        valid &= 0 <= int(index) < len(workers)
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise InputError(
            "--strategy multi_worker needs the environment variable TF_CONFIG "
            f"on every worker, with workers alone (the first one leads), such "
            f"as {example}; found {text!r}."
        )


def describe_run(
    strategy_name: str, strategy: tf.distribute.Strategy
) -> dict[str, Any]:
    """Return versions, devices, commit and machine of this run.

    With the config and the records it is all that decides the bits of a run.
    """
    threading = tf.config.threading
    return {
        "strategy": strategy_name,
        "devices": list(strategy.extended.worker_devices),
        "replicas": strategy.num_replicas_in_sync,
        "versions": {name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)),
        "threads": {  # 0: as many as cores
            "intra_op": threading.get_intra_op_parallelism_threads(),
            "inter_op": threading.get_inter_op_parallelism_threads(),
        },
        "environment": {
            name: os.environ[name] for name in _DECIDES if name in os.environ
        },
        "git_commit": git_commit(),
    }
