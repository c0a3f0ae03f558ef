"""One training step on an accelerator: Keras on JAX against PyTorch.

    python benchmarks/gpu_step.py [--quick]

Needs JAX, PyTorch and the Keras wheel; TensorFlow is not imported. Networks
and losses are the package's (`stateless_step.py`); the peer has the same
layers, weights and batch, cross entropy, AdamW (fused), channels last, and is
compiled. Without an accelerator it says so and ends; `--quick` runs a toy size
on whatever there is, not compiled by PyTorch.

Convolutions in "float32" may use TF32 on both sides, as both do by default;
the matrix product of the ceiling likewise.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from measure import Seconds, Target, in_turn, ratio, report, worst
from other_process import OtherProcess

PRECISIONS = ("float32", "bfloat16")
# TF32 has 10 bits, bfloat16 7; sums are in float32.
SAME = {"float32": 0.02, "bfloat16": 0.05}
MATRIX_PRODUCTS = 4
# images/s of a published 3D U-Net: 128^3, mixed precision, one A100 80 GB.
ANCHOR = 29.3


@dataclass(frozen=True)
class Case:
    """A network and its batch.

    Attributes:
        options: of the network's builder, without labels and dropout.
        image: voxels per axis of the image.
        output: voxels per axis of the logits.
        batch: patches.
        rates: dropout rates of the step with a teacher.
    """

    network: str
    options: dict[str, Any]
    image: int
    output: int
    batch: int
    rates: int
    labels: int = 8


DEEPMEDIC_WIDE = {
    "widths": (30, 40, 50, 60, 70, 80, 90, 100),
    "fc_widths": (300, 300),
    "residual_layers": (4, 6, 8),
    "fc_residual_layers": (2,),
}
CASES = {
    "unet3d": Case("unet3d", {"filters": (16, 32, 64, 128)}, 128, 128, 2, 5),
    # DeepMedic counts its segment in voxels of the first pathway, which loses
    # 16; the fifth voxels of the third one reach 40 beyond the output.
    "deepmedic": Case("deepmedic", DEEPMEDIC_WIDE, 101, 21, 10, 9),
}
TOYS = {
    "unet3d": Case("unet3d", {"filters": (4, 8)}, 16, 16, 2, 1, 3),
    "deepmedic": Case(
        "deepmedic",
        {"widths": (2, 3), "fc_widths": (4, 4), "residual_layers": (2,),
         "fc_residual_layers": (2,)},
        26, 6, 2, 3, 3,
    ),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="toy size")
    quick = parser.parse_args(arguments).quick
    reason = why_not(quick)
    if reason:
        report("gpu_step", {}, [], {}, skipped=reason)
        return 0
    cases = TOYS if quick else CASES
    repeats, warmup = (2, 1) if quick else (20, 3)
    matrix = 64 if quick else 8192
    with OtherProcess(jax_calls, cases, matrix) as ours:
        weights = {name: ours("weights", name) for name in cases}
        with OtherProcess(torch_calls, cases, weights, not quick) as theirs:
            sides = every_side(ours, theirs, cases)
            checked = compare(ours, theirs, cases)
            seconds = in_turn(sides, repeats, warmup)
            more = {
                "accelerator": ours("device"),
                "PyTorch": theirs("how"),
                "cases": {name: asdict(case) for name, case in cases.items()},
                "flop": {name: ours("flop", name) for name in cases},
                "anchor_patches_per_s": ANCHOR,
            }
    found = targets(seconds, cases, more["flop"], matrix)
    report("gpu_step", seconds, found, checked, **more)
    same = [value <= SAME["float32" if "float32" in what else "bfloat16"]
            for what, value in checked.items()]  # fmt: skip
    return int(not all(same))


def why_not(quick: bool) -> str:
    """Return why there is nothing to measure; "" if there is."""
    for package in ("jax", "torch"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed"
    if quick:
        return ""
    with OtherProcess(device_calls) as process:
        platform = process("platform")
    return "no accelerator" if platform == "cpu" else ""


def every_side(
    ours: OtherProcess, theirs: OtherProcess, cases: dict[str, Case]
) -> dict[str, Callable[[], object]]:
    """Return name -> one repeat; the names are those of `targets`."""
    sides: dict[str, Callable[[], object]] = {}
    for precision in PRECISIONS:
        name = f"matrix product, {precision}"
        sides[name] = partial(ours, "matrix product", precision)
        for case in cases:
            of = f"{case}, {precision}"
            sides[f"JAX, {of}"] = partial(ours, "step", case, precision)
            sides[f"PyTorch, {of}"] = partial(theirs, "step", case, precision)
    for case in cases:
        taught = partial(ours, "step", case, "float32", True)
        sides[f"JAX with teacher, {case}, float32"] = taught
    return sides


def compare(
    ours: OtherProcess, theirs: OtherProcess, cases: dict[str, Case]
) -> dict[str, float]:
    """Return how far losses and gradient norms are apart, relative."""
    found = {}
    for case in cases:
        for precision in PRECISIONS:
            one = ours("loss", case, precision)
            other = theirs("loss", case, precision)
            for what, a, b in zip(("loss", "gradient norm"), one, other,
                                  strict=True):  # fmt: skip
                found[f"{what}, {case}, {precision}"] = abs(a - b) / abs(b)
        name = f"teacher after one step, {case}, float32"
        found[name] = ours("teacher", case)
    return found


def targets(
    seconds: Seconds,
    cases: dict[str, Case],
    flop: dict[str, float],
    matrix: int,
) -> list[Target]:
    """Return every ratio; none has a limit: where it runs is not known."""
    product = MATRIX_PRODUCTS * 2.0 * matrix**3
    found = []
    for name, case in cases.items():
        for precision in PRECISIONS:
            of = f"{name}, {precision}"
            ours, ceiling = f"JAX, {of}", f"matrix product, {precision}"
            rate = case.batch / float(np.median(seconds[ours]))
            share = flop[name] / product * ratio(seconds, ceiling, ours)
            found += [
                Target(f"patches/s, JAX / PyTorch, {of}",
                       ratio(seconds, f"PyTorch, {of}", ours)),
                Target(f"convolution FLOP/s / matrix product, {of}", share),
                Target(f"patches/s, JAX, {of}", rate),
            ]  # fmt: skip
        taught = f"JAX with teacher, {name}, float32"
        found.append(
            Target(f"time, with teacher and dropout / without, {name}",
                   ratio(seconds, taught, f"JAX, {name}, float32"))
        )  # fmt: skip
    return found


def example(case: Case) -> dict[str, np.ndarray]:
    """Return a batch in which every label is annotated."""
    rng = np.random.default_rng(0)
    image = (case.batch, *(case.image,) * 3, 1)
    output = (case.batch, *(case.output,) * 3)
    table = np.eye(case.labels, dtype=bool)
    return {
        "image": rng.normal(size=image).astype(np.float32),
        "labels": rng.integers(0, case.labels, output).astype(np.uint8),
        "candidates": np.stack([table] * case.batch),
        "row": np.arange(case.batch, dtype=np.int32),
    }


def device_calls() -> dict[str, Callable[..., Any]]:
    """Return the call of a process that looks for an accelerator."""
    import jax

    return {"platform": lambda: jax.devices()[0].platform}


def jax_calls(
    cases: dict[str, Case], matrix: int
) -> dict[str, Callable[..., Any]]:
    """Return the calls of the process that trains with Keras on JAX."""
    from network_flop import training_flop
    from stateless_step import StatelessStep, jax, keras

    made: dict[Any, StatelessStep] = {}

    def step_of(name: str, precision: str, taught: bool) -> StatelessStep:
        key = name, precision, taught
        if key not in made:
            case = cases[name]
            rates = [0.5] * case.rates if taught else []
            options = case.options | {"dropout": rates,
                                      "num_labels": case.labels}  # fmt: skip
            made[key] = StatelessStep(
                name, options, example(case), precision=precision, taught=taught
            )
        return made[key]

    def step(name: str, precision: str, taught: bool = False) -> None:
        step_of(name, precision, taught)()

    def teacher(name: str) -> float:
        taught = step_of(name, "float32", True)
        taught()  # of an average over one network nothing but it is left
        pairs = zip(taught.state["teacher"], taught.state["trainable"],
                    strict=True)  # fmt: skip
        return worst(float(abs(a - b).max()) for a, b in pairs)

    def weights(name: str) -> dict[str, list[np.ndarray]]:
        layers = step_of(name, "float32", False).student.layers
        return {layer.name: layer.get_weights() for layer in layers
                if layer.weights}  # fmt: skip

    multiply = jax.jit(lambda a: a @ a)
    ones = {p: jax.numpy.ones((matrix, matrix), p) for p in PRECISIONS}

    def matrix_product(precision: str) -> None:
        results = [multiply(ones[precision]) for _ in range(MATRIX_PRODUCTS)]
        jax.block_until_ready(results)

    return {
        "step": step,
        "teacher": teacher,
        "weights": weights,
        "matrix product": matrix_product,
        "loss": lambda name, precision: step_of(
            name, precision, False
        ).loss_and_norm(),
        "flop": lambda name: training_flop(
            step_of(name, "float32", False).student,
            example(cases[name])["image"].shape,
        ),
        "device": lambda: (
            f"{jax.devices()[0].device_kind}; JAX "
            f"{jax.__version__}, Keras {keras.__version__}"
        ),
    }


def torch_calls(
    cases: dict[str, Case],
    weights: dict[str, dict[str, list[np.ndarray]]],
    compiled: bool,
) -> dict[str, Callable[..., Any]]:
    """Return the calls of the process that trains with PyTorch."""
    import torch
    from torch_step import TorchStep

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = True
    made = {
        (name, precision): TorchStep(
            name, case.labels, case.options, example(case), weights[name],
            precision=precision, device=device, compiled=compiled,
            layout=torch.channels_last_3d,
        )
        for name, case in cases.items()
        for precision in PRECISIONS
    }  # fmt: skip
    first = {key: step.loss_and_norm() for key, step in made.items()}
    return {
        "step": lambda *key: made[key](),
        "loss": lambda *key: first[key],
        "how": lambda: (
            f"{device}, channels last, "
            + ("compiled" if compiled else "not compiled")
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
