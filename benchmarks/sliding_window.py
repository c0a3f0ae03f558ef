"""One whole scan with overlapping windows, against MONAI in PyTorch.

    python benchmarks/sliding_window.py [--quick] [--planes 256]

The scan is the phantom on 192 x 192 x 256 voxels of 2 mm: a CT of 512 x 512
x 256 voxels of 0.75 x 0.75 x 2 mm. Both sides segment it with the same
`unet3d` (the weights are ported), windows of 64^3, overlap 0.5 and Gaussian
weights, each in a process of its own, in turn. The network is that of
train_step.py; a second, small one shows what is left where convolutions are
few. 192 and 256 are chosen because MONAI then puts its windows where we put
ours, so that the labels can be compared voxel by voxel. MONAI gets its best
memory format and windows per batch, found on one window before; ours gets one
window per batch.

Memory is the peak of the whole process, and what of it comes after the
imports (the libraries of the two sides differ by more than a scan).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import measure
import numpy as np
from measure import Target
from other_process import ENVIRONMENT, OtherProcess

THREADS = len(os.sched_getaffinity(0))
OVERLAP = 0.5
# A processor is not faster with more (MONAI gets what is fastest for it), and
# each takes memory.
WINDOWS_PER_BATCH = 1
MAX_DIFFERENT = 1e-3
FEW_LABELS, MANY_LABELS = 8, 100


@dataclass(frozen=True)
class Size:
    """What one measurement runs on.

    Attributes:
        scan: (I, J, K) voxels of 2 mm; halves of windows fill it exactly.
        window: voxels of a cube.
        filters: channels of the network per level.
        small: channels of the second network.
        repeats: with 8 labels; with 100 it runs once, for its memory.
    """

    scan: tuple[int, int, int] = (192, 192, 256)
    window: int = 64
    filters: tuple[int, ...] = (16, 32, 64, 128)
    small: tuple[int, ...] = (8, 16, 32)
    repeats: int = 5


FULL = Size()
QUICK = Size((32, 32, 48), 16, (4, 8), (2, 4), 2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--planes", type=int, help="length of the scan")
    chosen = parser.parse_args(arguments)
    size = QUICK if chosen.quick else FULL
    if chosen.planes:
        size = replace(size, scan=(*size.scan[:2], chosen.planes))
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder), size)


def compare(folder: Path, size: Size) -> int:
    """Measure both sides; return 1 if their labels differ."""
    np.save(folder / "image.npy", make_image(size.scan))
    few = _in_turn(folder, FEW_LABELS, size, size.repeats)
    many = _in_turn(folder, MANY_LABELS, size, 1, warmup=0)
    small = _in_turn(
        folder, FEW_LABELS, replace(size, filters=size.small), size.repeats
    )
    runs = {"8": few, "100": many, "8, small network": small}
    checked = {
        f"different voxels, labels: {what}": run["different"]
        for what, run in runs.items()
        if run["different"] is not None
    }
    measure.report(
        "sliding_window",
        few["seconds"]
        | {f"{n}, small network": s for n, s in small["seconds"].items()},
        _targets(few, many, small),
        checked,
        scan=size.scan, spacing_mm=2.0, window=size.window, overlap=OVERLAP,
        filters=size.filters, small=size.small, environment=ENVIRONMENT,
        our_windows_per_batch=WINDOWS_PER_BATCH,
        windows_without_body=few["told"]["ours"]["without_body"],
        labels_found=few["found"],
        peak_mb={"8": few["peaks"], "100": many["peaks"]},
        idle_mb={"8": few["idle"], "100": many["idle"]},
        seconds_100={n: s[0] for n, s in many["seconds"].items()},
        monai=few["told"].get("monai", "torch or MONAI not installed"),
    )  # fmt: skip
    return int(not all(share <= MAX_DIFFERENT for share in checked.values()))


def _targets(
    few: dict[str, Any], many: dict[str, Any], small: dict[str, Any]
) -> list[Target]:
    """Return the ratios; none without the peer."""
    if "monai" not in few["seconds"]:
        return []
    targets = [
        Target(f"time of MONAI / ours, 8 labels{what}",
               measure.ratio(run["seconds"], "monai", "ours"), limit)
        for run, what, limit in (
            (few, "", 2.0), (small, ", small network", None)
        )
    ]  # fmt: skip
    for labels, run, limit in ((8, few, 1 / 2), (100, many, 1 / 3)):
        peak, idle = run["peaks"], run["idle"]
        beyond = (peak["ours"] - idle["ours"]) / (peak["monai"] - idle["monai"])
        what = f"peak memory of ours / MONAI, {labels} labels"
        targets += [
            Target(f"{what}, whole process", peak["ours"] / peak["monai"],
                   limit, at_least=False),
            Target(f"{what}, beyond the imports", beyond, limit,
                   at_least=False),
        ]  # fmt: skip
    return targets


def make_image(shape: tuple[int, int, int]) -> np.ndarray:
    """Return the phantom, normalised, at 2 mm: (I, J, K) float32."""
    from tfpartial.config.experiment import Phantom
    from tfpartial.phantom.make import make_case
    from tfpartial.scans import preprocess
    from tfpartial.scans.intensity import normalise

    half = tuple(n // 2 for n in shape)
    coarse = Phantom(shape=half, spacing_mm=(4.0, 4.0, 4.0))
    scan, _ = make_case(coarse, "supine", 1)
    window = (-200.0, 300.0)
    ready = preprocess(scan, (2.0, 2.0, 2.0), window, -500.0)
    if ready.hu.shape != tuple(shape):
        raise RuntimeError(f"expected {shape}, made {ready.hu.shape}")
    return normalise(ready.hu, ready.mean, ready.sd, window)


def _in_turn(
    folder: Path, labels: int, size: Size, repeats: int, warmup: int = 1
) -> dict[str, Any]:
    """Run both sides in turn; seconds, peak memory, different voxels."""
    prepared = {"ours": our_calls}
    if find_spec("torch") and find_spec("monai"):
        prepared["monai"] = monai_calls
    with ExitStack() as stack:
        processes, told = {}, {}
        for name, prepare in prepared.items():  # ours first: it saves weights
            processes[name] = stack.enter_context(
                OtherProcess(prepare, folder, labels, size)
            )
            told[name] = processes[name]("about")
        sides = {
            name: partial(process, "segment")
            for name, process in processes.items()
        }
        seconds = measure.in_turn(sides, repeats, warmup)
        peaks = {name: process("peak") for name, process in processes.items()}
        made = {name: process("made") for name, process in processes.items()}
    different = None
    if "monai" in made:
        different = float((made["ours"] != made["monai"]).mean())
    idle = {name: was.pop("idle_mb") for name, was in told.items()}
    return {"seconds": seconds, "peaks": peaks, "told": told, "idle": idle,
            "different": different,
            "found": np.unique(made["ours"]).tolist()}  # fmt: skip


def our_calls(
    folder: Path, labels: int, size: Size
) -> dict[str, Callable[[], Any]]:
    """Return the calls of TensorFlow's process; save weights for the other."""
    import tensorflow as tf

    from tfpartial.inference.sliding_window import sliding_window_labels
    from tfpartial.models import build_network

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    idle = peak_mb()
    network = build_network("unet3d", num_labels=labels, seed=1,
                            filters=list(size.filters))  # fmt: skip
    weights = {
        f"{layer.name}/{place}": values
        for layer in network.layers
        for place, values in enumerate(layer.get_weights())
    }
    np.savez(folder / f"weights_{labels}.npz", **weights)
    image = np.load(folder / "image.npy")
    shape = (size.window,) * 3
    # Compiled on one window, as MONAI's way is chosen on one.
    sliding_window_labels(network, image[tuple(map(slice, shape))], shape)
    about = {
        "idle_mb": idle,
        "without_body": share_without_body(image, size.window),
    }
    forget_peak()

    def segment() -> np.ndarray:
        return sliding_window_labels(
            network, image, shape, OVERLAP, WINDOWS_PER_BATCH
        )

    return _calls(segment, about)


def monai_calls(
    folder: Path, labels: int, size: Size
) -> dict[str, Callable[[], Any]]:
    """Return the calls of MONAI's SlidingWindowInferer, the same weights."""
    # Through TensorBoard it would import TensorFlow, which it does not need.
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    import torch
    from monai.inferers import SlidingWindowInferer
    from torch_networks import UNet3D

    from tfpartial.inference.windows import gaussian_weights

    idle = peak_mb()
    torch.set_num_threads(THREADS)
    network = UNet3D(size.filters, labels).eval()
    with np.load(folder / f"weights_{labels}.npz") as saved:
        weights: dict[str, list[np.ndarray]] = {}
        for name in saved.files:  # in the order of Keras
            weights.setdefault(name.partition("/")[0], []).append(saved[name])
    network.copy_weights(weights)
    array = np.load(folder / "image.npy")
    image = torch.from_numpy(array)[None, None]
    shape = (size.window,) * 3
    with torch.inference_mode():
        kind, batch = _best_way(network, shape)
    network = network.to(memory_format=kind)

    def predict(windows: torch.Tensor) -> torch.Tensor:
        windows = windows.contiguous(memory_format=kind)
        return torch.softmax(network(windows), 1)

    inferer = SlidingWindowInferer(
        shape, batch, OVERLAP, mode="gaussian", cval=float(array.min())
    )
    # Its own map never falls below 0.001; ours does.
    inferer.roi_weight_map = torch.from_numpy(gaussian_weights(shape))

    def segment() -> np.ndarray:
        with torch.inference_mode():
            summed = inferer(image, predict)
        return summed.argmax(1)[0].to(torch.uint8).numpy()

    forget_peak()  # that of the search
    about = {"idle_mb": idle, "format": str(kind), "windows_per_batch": batch}
    return _calls(segment, about)


def _calls(
    segment: Callable[[], np.ndarray], about: dict[str, Any]
) -> dict[str, Callable[[], Any]]:
    """Return what a side answers; labels go through the pipe once, untimed."""
    made: dict[str, np.ndarray] = {}

    def run() -> None:
        made["labels"] = segment()

    return {
        "about": lambda: about,
        "segment": run,
        "peak": peak_mb,
        "made": lambda: made["labels"],
    }


def forget_peak() -> None:
    """Let `peak_mb` begin with what the process holds now."""
    Path("/proc/self/clear_refs").write_text("5", "utf-8")


def peak_mb() -> float:
    """Return the most memory this process has held so far, in MiB.

    Not `ru_maxrss`: after a fork it starts at what the parent held.
    """
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmHWM")


def _best_way(network: Any, shape: tuple[int, ...]) -> tuple[Any, int]:
    """Return memory format and windows per batch of the least time each."""
    import torch

    best = (float("inf"), torch.contiguous_format, 1)
    for kind in (torch.contiguous_format, torch.channels_last_3d):
        network.to(memory_format=kind)
        for batch in (1, 2, 4):
            windows = torch.rand(batch, 1, *shape)
            windows = windows.contiguous(memory_format=kind)
            took = []
            for _ in range(3):
                begin = time.perf_counter()
                network(windows)
                took.append((time.perf_counter() - begin) / batch)
            best = min(best, (min(took), kind, batch), key=lambda b: b[0])
    return best[1], best[2]


def share_without_body(image: np.ndarray, window: int) -> float:
    """Return the share of windows that hold one value (air) alone."""
    from tfpartial.inference.windows import window_starts

    starts = [window_starts(n, window, OVERLAP) for n in image.shape]
    air = [
        np.ptp(image[i : i + window, j : j + window, k : k + window]) == 0
        for i in starts[0]
        for j in starts[1]
        for k in starts[2]
    ]
    return float(np.mean(air))


if __name__ == "__main__":
    sys.exit(main())
