"""Does a change keep every bit? Hashes of a short training and its outputs.

    python benchmarks/same_bits.py --out before.json
    ... change the program ...
    python benchmarks/same_bits.py --expected before.json

Trains the built-in phantom for three epochs with every option on (see
`small_run.overrides`), under two replicas and under one, segments the test
scans, and hashes student, teacher, optimizer, metrics, validation and label
maps. Ends with exit code 1 where a hash differs from the expected one.
The bits depend on the processor and the libraries: compare on one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import small_run

EPOCHS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the hashes here")
    parser.add_argument("--expected", type=Path, help="compare with these")
    parser.add_argument("--work_dir", type=Path, help="default: a temporary")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.work_dir or Path(temporary)).resolve()
        small_run.prepare(folder)
        hashes = {
            strategy: hashes_of_run(folder, strategy)
            for strategy in ("none", "mirrored")
        }
    result = {"machine": machine(), "hashes": hashes}
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.expected:
        return differences(json.loads(arguments.expected.read_text()), result)
    return 0


def hashes_of_run(folder: Path, strategy: str) -> dict[str, str]:
    """Train and segment; return a hash of each thing that came out."""
    run_dir = folder / f"bits_{strategy}"
    command = small_run.fit_command(
        folder, run_dir, strategy, [f"fit.epochs={EPOCHS}"]
    )
    small_run.finish(small_run.start(command))
    script = str(small_run.REPOSITORY / "scripts" / "predict.py")
    predictions = folder / f"bits_{strategy}_predictions"
    small_run.finish(
        small_run.start(
            [sys.executable, script, "--run_dir", str(run_dir),
             "--split", "test", "--predictions_dir", str(predictions),
             "predict.probabilities=true"]
        )
    )  # fmt: skip
    found = {
        "student": of_tensors(small_run.weights(run_dir, "student")),
        "teacher": of_tensors(small_run.weights(run_dir, "teacher")),
        "optimizer": of_tensors(optimizer(run_dir)),
    }
    epochs = json.loads((run_dir / "metrics.json").read_text())
    for name in sorted(epochs[0]):
        numbers = [epoch[name] for epoch in epochs]
        found[f"metrics {name}"] = of_text(json.dumps(numbers))
    validation = json.loads((run_dir / "validation.json").read_text())
    found["validation"] = of_text(json.dumps(validation, sort_keys=True))
    for path in sorted(predictions.rglob("*.nii.gz")):
        voxels = np.asarray(nib.load(path).dataobj)
        found[f"predict {path.parent.name}/{path.name}"] = of_array(voxels)
    return found


def optimizer(run_dir: Path) -> small_run.Tensors:
    """Return the moments of the newest checkpoint, not their names."""
    return {
        name: value
        for name, value in small_run.checkpoint(run_dir).items()
        if "optimizer" in name
    }


def of_tensors(tensors: small_run.Tensors) -> str:
    """Hash the values of tensors, whatever their places are called.

    Sorted by content: a variable that moved to another attribute, and so to
    another place in a file, is the same variable.
    """
    return of_text("\n".join(sorted(of_array(v) for v in tensors.values())))


def of_array(array: np.ndarray) -> str:
    """Hash dtype, shape and bytes."""
    head = f"{array.dtype}{array.shape}".encode()
    return hashlib.sha256(
        head + np.ascontiguousarray(array).tobytes()
    ).hexdigest()


def of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def machine() -> dict[str, str]:
    """Return what the bits depend on, and the commit."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],
        capture_output=True, encoding="utf-8", check=False,
        cwd=small_run.REPOSITORY,
    ).stdout.strip()  # fmt: skip
    model = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith(("model name", "cpu family"))
    ]
    return {
        "commit": commit,
        "processor": ", family ".join(reversed(model[:2])),
        "python": platform.python_version(),
    }


def differences(expected: dict[str, Any], found: dict[str, Any]) -> int:
    """Print which hashes differ; return 1 if any does."""
    worse = [
        f"{strategy}: {name}"
        for strategy, hashes in expected["hashes"].items()
        for name, value in hashes.items()
        if found["hashes"][strategy].get(name) != value
    ]
    print("differ: " + ", ".join(worse) if worse else "every hash is equal")
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
