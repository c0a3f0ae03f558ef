"""One training step of `unet3d` against the same network in PyTorch.

    python benchmarks/train_step.py [--quick]

Ours is what `fit` calls per step (a batch that is there already, metrics and
the check of the loss included), deterministic as by default. The peer has the
same layers, weights and batch, cross entropy, AdamW (fused), the faster of its
two memory formats; where every label is annotated our loss is the same
function, so that loss and gradient must agree. The ceiling is a float32 matrix
product in the same turns. Both norms are compared. Each framework has a
process and two threads of its own. A second network has the Mean Teacher's
dropout, with a teacher and without. `processor_s` is the time of all threads
per step: other programs on the machine change it little. Alone on a machine
the load average is about 2.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from measure import Seconds, Target, in_turn, ratio, report
from network_flop import training_flop
from other_process import OtherProcess

THREADS = 2
# Sums of some million products in another order, and in bfloat16.
SAME, SAME_BFLOAT16 = 1e-3, 0.05
# Our variant -> the normalization of the peer.
PEERS = {"float32": "group", "batch norm": "batch"}
# Before a step; of the first step that is timed, and of the one after it.
CHECKED = ("loss", "gradient norm", "loss of step 1", "loss of step 2")
FORMATS = ("contiguous", "channels last")
MATRIX_PRODUCTS = 4  # about as long as a step


@dataclass(frozen=True)
class Sizes:
    """Of network, batch and the matrix product."""

    filters: tuple[int, ...] = (16, 32, 64, 128)
    patch: int = 64
    batch: int = 2
    labels: int = 8
    matrix: int = 3000


@dataclass(frozen=True)
class Variant:
    """One way to train the network.

    The dropout rates are those of the Mean Teacher systems: all hidden stages
    but the first two.
    """

    precision: str = "float32"
    normalization: str = "group"
    dropout: bool = False
    teacher: bool = False


VARIANTS = {
    "float32": Variant(),
    "bfloat16": Variant(precision="bfloat16"),
    "batch norm": Variant(normalization="batch"),
    "dropout": Variant(dropout=True),
    "dropout and teacher": Variant(dropout=True, teacher=True),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="toy size")
    parser.add_argument("--repeats", type=int, default=20)
    chosen = parser.parse_args(arguments)
    sizes = Sizes((4, 8), 16, 2, 3, 100) if chosen.quick else Sizes()
    repeats = 2 if chosen.quick else chosen.repeats
    with OtherProcess(our_calls, sizes) as ours:
        checked, seconds, more = measured(ours, sizes, repeats)
        flop = {name: ours("flop", name) for name in ("float32", "batch norm")}
    report(
        "train_step", seconds, targets(seconds, flop, sizes), checked,
        sizes=asdict(sizes), flop=flop, load_average=os.getloadavg()[0], **more,
    )  # fmt: skip
    same = (
        value <= (SAME_BFLOAT16 if what.startswith("bfloat16") else SAME)
        for what, value in checked.items()
    )
    return int(not all(same))


def measured(
    ours: OtherProcess, sizes: Sizes, repeats: int
) -> tuple[dict[str, float], Seconds, dict[str, Any]]:
    """Return what was compared, the seconds, and what else was found."""
    processor: dict[str, list[float]] = {name: [] for name in VARIANTS}

    def step(name: str) -> None:
        processor[name].append(ours("step", name))

    sides: dict[str, Callable[[], object]] = {
        name: partial(step, name) for name in VARIANTS
    }
    sides["matrix product"] = partial(ours, "matrix product")
    exact, rounded = ours("loss", "float32"), ours("loss", "bfloat16")
    checked = {
        f"bfloat16 {what}": _relative(*pair)
        for what, *pair in zip(CHECKED, rounded, exact, strict=True)
    }
    more: dict[str, Any] = {}
    if importlib.util.find_spec("torch") is None:
        more["skipped"] = "PyTorch is not installed"
        seconds = in_turn(sides, repeats)
    else:
        weights = {name: ours("weights", name) for name in PEERS}
        with OtherProcess(torch_calls, sizes, weights) as theirs:
            for name, norm in PEERS.items():
                checked |= _compare(name, ours("loss", name),
                                    theirs("loss", norm))  # fmt: skip
                for layout in FORMATS:
                    side = _peer(norm, layout)
                    sides[side] = partial(theirs, "step", norm, layout)
            seconds = in_turn(sides, repeats)
    more["processor_s"] = {
        name: float(np.median(values[-repeats:]))
        for name, values in processor.items()
    }
    return checked, seconds, more


def targets(
    seconds: Seconds, flop: dict[str, float], sizes: Sizes
) -> list[Target]:
    """Return every ratio of the run with its limit."""
    product = MATRIX_PRODUCTS * 2.0 * sizes.matrix**3

    def share(name: str) -> float:
        return flop[name] / product * ratio(seconds, "matrix product", name)

    found = [
        Target("convolution FLOP/s, group norm / matrix product, float32",
               share("float32"), 0.55),
        Target("convolution FLOP/s, batch norm / matrix product, float32",
               share("batch norm"), 0.65),
        Target("patches/s, bfloat16 / float32",
               ratio(seconds, "float32", "bfloat16"), 1.25),
        Target("time, with teacher / without (dropout in both)",
               ratio(seconds, "dropout and teacher", "dropout"), 1.35,
               at_least=False),
        Target("time, with dropout / without",
               ratio(seconds, "dropout", "float32")),
    ]  # fmt: skip
    peers = [
        Target(f"patches/s, tfpartial / PyTorch, float32, {norm} norm",
               min(ratio(seconds, _peer(norm, layout), name)
                   for layout in FORMATS), 1.6)
        for name, norm in PEERS.items()
        if _peer(norm, FORMATS[0]) in seconds
    ]  # fmt: skip
    return [*peers, *found]


def _peer(norm: str, layout: str) -> str:
    return f"PyTorch, {norm} norm, {layout}"


def _relative(value: float, reference: float) -> float:
    return abs(value - reference) / abs(reference)


def _compare(
    variant: str, ours: Sequence[float], theirs: Sequence[float]
) -> dict[str, float]:
    return {
        f"{name}, tfpartial and PyTorch, {variant}": _relative(a, b)
        for name, a, b in zip(CHECKED, ours, theirs, strict=True)
    }


def example(sizes: Sizes) -> dict[str, np.ndarray]:
    """Return a batch in which every label is annotated."""
    rng = np.random.default_rng(0)
    shape = (sizes.batch, *(sizes.patch,) * 3)
    table = np.eye(sizes.labels, dtype=bool)
    return {
        "image": rng.normal(size=(*shape, 1)).astype(np.float32),
        "labels": rng.integers(0, sizes.labels, shape).astype(np.uint8),
        "candidates": np.stack([table] * sizes.batch),
        "resolved_labels": np.ones((sizes.batch, sizes.labels), bool),
        "row": np.arange(sizes.batch, dtype=np.int32),
    }


def our_calls(sizes: Sizes) -> dict[str, Callable[..., Any]]:
    """Return the calls of the process that trains with TensorFlow."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    batch = {k: tf.constant(v) for k, v in example(sizes).items()}
    models = {name: build(v, sizes) for name, v in VARIANTS.items()}
    steps = {name: model.make_train_function()
             for name, model in models.items()}  # fmt: skip
    a = tf.random.stateless_normal((sizes.matrix,) * 2, [0, 1])
    # As they are before the first step.
    weights = {name: weights_of(models[name].student) for name in PEERS}
    losses = {name: [*loss_and_norm(models[name], batch),
                     *two_losses(models[name], steps[name], batch)]
              for name in ("float32", "bfloat16", "batch norm")}  # fmt: skip

    def step(name: str) -> float:
        begin = time.process_time()
        steps[name](itertools.repeat(batch))
        return time.process_time() - begin

    def multiply() -> None:
        for _ in range(MATRIX_PRODUCTS):
            tf.matmul(a, a)[0, 0].numpy()

    return {
        "step": step,
        "matrix product": multiply,
        "loss": losses.__getitem__,
        "flop": lambda name: training_flop(
            models[name].student, batch["image"].shape
        ),
        "weights": weights.__getitem__,
    }


def weights_of(network: Any) -> dict[str, list[np.ndarray]]:
    """Return the weights by the name of their layer."""
    return {
        layer.name: layer.get_weights()
        for layer in network.layers
        if layer.weights
    }


def build(variant: Variant, sizes: Sizes) -> Any:
    """Build and compile a model as `fit` does."""
    import keras

    from tfpartial.models import build_network
    from tfpartial.training.distributed.runtime import set_up_determinism
    from tfpartial.training.mean_teacher import MeanTeacher

    set_up_determinism(0, variant.precision)

    def network(name: str) -> keras.Model:
        stages = 2 * len(sizes.filters) - 1
        return build_network(
            "unet3d",
            num_labels=sizes.labels,
            seed=0,
            model_name=name,
            filters=sizes.filters,
            normalization=variant.normalization,
            dropout=[0.5] * (stages - 2) if variant.dropout else [],
        )

    model = MeanTeacher(
        network("student"),
        network("teacher") if variant.teacher else None,
        [str(label) for label in range(sizes.labels)],
    )
    optimizer = keras.optimizers.AdamW(1e-3)
    model.compile(optimizer=optimizer, jit_compile=False)
    optimizer.build(model.student.trainable_variables)
    return model


def two_losses(model: Any, step: Callable, batch: Any) -> list[float]:
    """Take two of the steps that are timed; return the loss of each."""
    losses = []
    for _ in range(2):
        model.reset_metrics()  # their mean is over an epoch
        losses.append(float(step(itertools.repeat(batch))["loss"]))
    return losses


def loss_and_norm(model: Any, batch: Any) -> tuple[float, float]:
    """Return the supervised loss and the norm of its gradient."""
    import tensorflow as tf

    from tfpartial.losses import candidate_cross_entropy, informative_voxels
    from tfpartial.losses.reduction import scalar, weighted_sum

    labels, candidates = batch["labels"], batch["candidates"]
    with tf.GradientTape() as tape:
        logits = model.student(batch["image"], training=True)
        losses = candidate_cross_entropy(labels, logits, candidates)
        counted = informative_voxels(labels, candidates)
        loss = scalar(weighted_sum(losses, counted))
    gradients = tape.gradient(loss, model.student.trainable_variables)
    return float(loss), float(tf.linalg.global_norm(gradients))


def torch_calls(
    sizes: Sizes, weights: dict[str, dict[str, list[np.ndarray]]]
) -> dict[str, Callable[..., Any]]:
    """Return the calls of the process that trains with PyTorch."""
    import torch
    from torch_step import TorchStep

    torch.set_num_threads(THREADS)
    batch = example(sizes)
    formats = dict(zip(
        FORMATS, (torch.contiguous_format, torch.channels_last_3d), strict=True
    ))  # fmt: skip
    steps = {
        norm: {
            name: TorchStep(
                "unet3d", sizes.labels,
                {"filters": sizes.filters, "normalization": norm},
                batch, weights[variant], layout=layout,
            )
            for name, layout in formats.items()
        }
        for variant, norm in PEERS.items()
    }  # fmt: skip
    losses = {
        norm: [*of["contiguous"].loss_and_norm(), *(of["contiguous"]()
               for _ in range(2))]
        for norm, of in steps.items()
    }  # fmt: skip

    return {
        "step": lambda norm, name: steps[norm][name](),
        "loss": losses.__getitem__,
    }


if __name__ == "__main__":
    sys.exit(main())
