"""How costs grow: scans, labels, patch size, databases, replicas.

    python benchmarks/scaling.py [--quick]

Each cost is measured at several sizes, in turn, and fitted as

    log(cost) = exponent * log(size) + constant        (least squares)

so that 0 is flat and 1 is linear. Memory is that of a process of its own that
draws patches from n scans, mapped files left out. Scans are small phantoms
with noise, in records of the builder. Checked: the loss of every number of
labels equals float64 numpy; one and two replicas come to the same
weights in two steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
import numpy as np
import scans

MEMORY = Path(__file__).with_name("scaling_memory.py")
LOSS_TOLERANCE, STEP_TOLERANCE = 1e-5, 1e-5
# An exponent below this is called flat, one up to 1 + this linear.
SLACK = 0.1


@dataclass(frozen=True)
class Sizes:
    """What is measured."""

    scans: tuple[int, ...] = (4, 16, 64, 128)
    databases: tuple[int, ...] = (1, 2, 5, 10)
    labels: tuple[int, ...] = (2, 5, 10, 25, 50, 100)
    patches: tuple[int, ...] = (32, 48, 64)
    scan_shape: tuple[int, int, int] = (64, 56, 48)
    scan_mm: float = 6.0
    loss_size: int = 32
    step_size: int = 32
    filters: tuple[int, ...] = (8, 16, 32)
    patches_per_call: int = 4
    repeats: int = 20


TOY = Sizes(
    scans=(2, 4), databases=(1, 2), labels=(2, 5), patches=(8, 16),
    scan_shape=(40, 36, 32), scan_mm=8.0, loss_size=6, step_size=8,
    filters=(4, 8), patches_per_call=2, repeats=2,
)  # fmt: skip
Costs = dict[int, float]


class Scaling:
    """Collects costs, exponents and checks."""

    def __init__(self, sizes: Sizes, folder: Path) -> None:
        self.sizes = sizes
        self.folder = folder
        self.seconds: dict[str, list[float]] = {}
        self.costs: dict[str, Costs] = {}
        self.checked: dict[str, float | bool] = {}

    def timed(
        self,
        what: str,
        make: Callable[[int], Callable[[], object]],
        sizes: Sequence[int],
    ) -> None:
        """Time one side per size, in turn."""
        sides = {f"{what} {size}": make(size) for size in sizes}
        found = measure.in_turn(sides, self.sizes.repeats)
        self.seconds |= found
        self.costs[what] = {
            size: statistics.median(found[f"{what} {size}"]) for size in sizes
        }

    def exponent(self, what: str) -> float:
        """Return the slope of log(cost) over log(size)."""
        return exponent(self.costs[what])

    def records(self) -> None:
        """Patches and memory against the number of scans and databases."""
        from scaling_sides import patches

        most = max(self.sizes.scans)
        scans.write_phantoms(
            self.folder / "scans",
            most,
            self.sizes.scan_shape,
            (self.sizes.scan_mm,) * 3,
        )
        built = {
            n: build(self.folder, n, self.sizes.scan_mm)
            for n in self.sizes.scans
        }
        size, count = min(self.sizes.patches), self.sizes.patches_per_call
        self.timed(
            "scans",
            lambda n: patches([built[n]], size, count),
            self.sizes.scans,
        )
        few = built[min(self.sizes.scans)]
        self.timed(
            "databases",
            lambda n: patches([few] * n, size, count),
            self.sizes.databases,
        )
        self.timed(
            "patch voxels",
            lambda n: patches([few], round(n ** (1 / 3)), count),
            [n**3 for n in self.sizes.patches],
        )
        memory = {n: memory_of(built[n]) for n in self.sizes.scans}
        self.costs["memory of a process"] = {
            n: each["most"] for n, each in memory.items()
        }
        self.costs["memory beyond its start"] = {
            n: each["most"] - each["before"] for n, each in memory.items()
        }

    def labels(self) -> None:
        """Loss and gradient against the number of labels."""
        from scaling_sides import Loss

        losses = {n: Loss(n, self.sizes.loss_size) for n in self.sizes.labels}
        self.timed("labels", lambda n: losses[n].ours, self.sizes.labels)
        most = max(self.sizes.labels)
        self.seconds |= measure.in_turn(
            {"our loss": losses[most].ours, "plain": losses[most].plain},
            self.sizes.repeats,
        )
        self.checked["loss"] = measure.worst(
            each.off_twin() for each in losses.values()
        )

    def steps(self) -> None:
        """Training steps against patch size and replicas."""
        from scaling_sides import Step

        self.timed(
            "step voxels",
            lambda n: Step(round(n ** (1 / 3)), 1, self.sizes.filters),
            [n**3 for n in self.sizes.patches],
        )
        steps = {
            n: Step(self.sizes.step_size, n, self.sizes.filters) for n in (1, 2)
        }
        # Before the many steps that are timed: rounding grows with each.
        for step in (*steps.values(), *steps.values()):
            step()
        pairs = zip(*(steps[n].weights() for n in (1, 2)), strict=True)
        self.checked["replicas"] = measure.worst_relative(pairs)
        self.timed("replicas", lambda n: steps[n], (1, 2))

    def ns_per_voxel_and_label(self) -> float:
        """Return the slope of the loss over the number of labels."""
        return slope(self.costs["labels"]) * 1e9 / self.sizes.loss_size**3

    def targets(self) -> list[measure.Target]:
        """Return exponents against flat (0) and linear (1)."""
        flat = ("scans", "databases", "memory of a process")
        linear = ("labels", "patch voxels", "step voxels")
        target = measure.Target
        growth = self.seconds["replicas 2"], self.seconds["replicas 1"]
        return [
            *(
                target(_title(what), self.exponent(what), SLACK, at_least=False)
                for what in flat
            ),
            *(
                target(_title(what), self.exponent(what), 1 + SLACK, False)
                for what in linear
            ),
            target(
                "memory beyond the start over the number of scans, exponent",
                self.exponent("memory beyond its start"),
            ),
            target(
                "memory per scan, kB",
                slope(self.costs["memory of a process"]) / 1e3,
            ),
            target(
                "step of the same batch: two replicas / one",
                statistics.median(a / b for a, b in zip(*growth, strict=True)),
            ),
            target(
                "loss and gradient, ns per voxel and label",
                self.ns_per_voxel_and_label(),
            ),
            target(
                f"loss of {max(self.sizes.labels)} labels / softmax cross "
                "entropy of TensorFlow",
                measure.ratio(self.seconds, "our loss", "plain"),
            ),
        ]


def _title(what: str) -> str:
    return {
        "scans": "exponent: a patch over the number of scans",
        "databases": "exponent: a patch over the number of databases",
        "memory of a process": "exponent: memory over the number of scans",
        "labels": "exponent: the loss over the number of labels",
        "patch voxels": "exponent: a patch over its voxels",
        "step voxels": "exponent: a training step over its voxels",
    }[what]


def exponent(costs: Costs) -> float:
    """Return the slope of log(cost) over log(size), by least squares."""
    sizes, values = np.log(list(costs)), np.log(list(costs.values()))
    return float(np.polyfit(sizes, values, 1)[0])


def slope(costs: Costs) -> float:
    """Return the slope of cost over size, by least squares."""
    return float(np.polyfit(list(costs), list(costs.values()), 1)[0])


def build(folder: Path, cases: int, spacing: float) -> Path:
    """Build records of the first `cases` scans; return their folder."""
    from tfrecords_builder.build import build_records

    experiment = scans.experiment_of(
        folder, cases, (spacing,) * 3, ((1, 1, 1), (spacing,) * 3),
        of="phantom", workers=1, records_dir=str(folder / f"records_{cases}"),
    )  # fmt: skip
    return build_records(experiment)


def memory_of(records: Path) -> dict[str, int]:
    """Return the bytes of a process that draws patches."""
    done = subprocess.run(
        [sys.executable, MEMORY, records],
        stdout=subprocess.PIPE, encoding="utf-8", check=True,
    )  # fmt: skip
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="toy size")
    sizes = TOY if parser.parse_args(arguments).quick else Sizes()
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    if tf.config.get_logical_device_configuration(cpu) is None:
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
    with tempfile.TemporaryDirectory() as folder:
        scaling = Scaling(sizes, Path(folder))
        scaling.records()
    scaling.labels()
    scaling.steps()
    more: dict[str, Any] = {
        "scans": "phantom",
        "sizes": vars(sizes),
        "costs": scaling.costs,
    }
    checked = scaling.checked
    measure.report(
        "scaling", scaling.seconds, scaling.targets(), checked, **more
    )
    same = (
        checked["loss"] <= LOSS_TOLERANCE
        and checked["replicas"] <= STEP_TOLERANCE
    )
    return int(not same)


if __name__ == "__main__":
    sys.exit(main())
