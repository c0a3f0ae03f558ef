"""How long until something happens: help, a config error, the first step.

    python benchmarks/startup.py [--quick]

Every repeat is a process of its own. Help and a config error are also asked
for where TensorFlow cannot be imported. The first training step of `fit` (from
records on disk, with all that users get) is held against importing the same
modules, building the same two networks, tracing the same step and doing it once
on a batch that is there. What our own modules add to importing TensorFlow is in
the last ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import measure
import small_run
from measure import Target

REPOSITORY = Path(__file__).resolve().parents[1]
CALL = "from tfpartial.cli.main import main; sys.exit(main(sys.argv[1:]))"
PLAIN = f"import sys; {CALL}"
# What stands as None in sys.modules cannot be imported.
BLOCKED = (
    "import sys; sys.modules['tensorflow'] = sys.modules['keras'] = None; "
    + CALL
)
STRATEGY = "mirrored"
QUICKLY_SECONDS = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS
    )
    chosen = parser.parse_args(arguments)
    if chosen.child:
        CHILDREN[chosen.child[0]](chosen.child[1:])
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder), chosen.quick)


def compare(folder: Path, quick: bool) -> int:
    """Measure; return 1 if TensorFlow is needed where it must not be."""
    without = {
        "help_without_tensorflow": code_of(BLOCKED, "--help") == 0,
        "config_error_without_tensorflow": code_of(
            BLOCKED, "fit", "fit.epohcs=3"
        ) == 2,
    }  # fmt: skip
    seconds = measure.in_turn(
        {
            "--help": lambda: expect(0, PLAIN, "--help"),
            "fit --help": lambda: expect(0, PLAIN, "fit", "--help"),
            "config error": lambda: expect(2, PLAIN, "fit", "fit.epohcs=3"),
            "python": lambda: expect(0, "pass"),
        },
        repeats=2 if quick else 20,
    )
    first = ["--config", str(small_run.CONFIG), "--strategy", STRATEGY,
             *prepare(folder, quick)]  # fmt: skip
    number = iter(range(10**6))
    seconds |= measure.in_turn(
        {
            "first step of fit": lambda: child(
                "fit", *first, "--run_dir", str(folder / f"{next(number)}")
            ),
            "import and trace": lambda: child("bare", *first),
            "import tensorflow": lambda: expect(0, "import tensorflow"),
        },
        repeats=2 if quick else 20,
        warmup=1,
    )
    measure.report(
        "startup", seconds, _targets(seconds), without,
        config="configs/phantom.yaml" + (", smaller" if quick else ""),
        strategy=STRATEGY,
    )  # fmt: skip
    return int(not all(without.values()))


def _targets(seconds: measure.Seconds) -> list[Target]:
    quickly = [
        Target(f"seconds of {what}", measure.summary(seconds[what])["median_s"],
               QUICKLY_SECONDS, at_least=False)
        for what in ("--help", "fit --help", "config error")
    ]  # fmt: skip
    whole, floor = "first step of fit", "import and trace"
    return [
        *quickly,
        Target(f"time of the {whole} / {floor}",
               measure.ratio(seconds, whole, floor), 1.1, at_least=False),
        Target(f"time of {floor} / import tensorflow",
               measure.ratio(seconds, floor, "import tensorflow")),
    ]  # fmt: skip


def code_of(code: str, *arguments: str) -> int:
    """Return the exit code of Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    ).returncode


def expect(code: int, *command: str) -> None:
    """Run Python code.

    Raises:
        RuntimeError: another exit code: what failed is no time.
    """
    found = code_of(*command)
    if found != code:
        raise RuntimeError(f"{command}: exit code {found}, expected {code}")


def child(which: str, *arguments: str) -> None:
    """Call this file as one of `CHILDREN`.

    Raises:
        RuntimeError: it did not come to the end of the first step.
    """
    done = subprocess.run(
        [sys.executable, __file__, "--child", which, *arguments],
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if STEP_DONE not in done.stdout:
        raise RuntimeError(f"{which}: no first step:\n{done.stderr[-3000:]}")


def prepare(folder: Path, quick: bool) -> list[str]:
    """Make phantom and records; return the overrides that name them."""
    splits = folder / "splits.json"
    splits.write_text(json.dumps(small_run.SPLITS), encoding="utf-8")
    overrides = [
        f"phantom.path={folder / 'phantom'}",
        "phantom.supine_cases=4",
        "phantom.prone_cases=2",
        f"build.splits.file={splits}",
        f"records_dir={folder / 'records'}",
    ]
    if quick:
        overrides += ["preprocess.spacing_mm=[10, 10, 10]",
                      "network.filters=[4, 8]", "network.dropout=[]",
                      "fit.patch_shape=[16, 16, 16]",
                      "predict.window_shape=[16, 16, 16]"]  # fmt: skip
    config = ["--config", str(small_run.CONFIG)]
    for script in ("make_phantom", "build_tfrecords"):
        path = str(REPOSITORY / "scripts" / f"{script}.py")
        command = [sys.executable, path, *config, *overrides]
        small_run.finish(small_run.start(command))
    return overrides


STEP_DONE = "first step done"


def stop_after_first_step(arguments: Sequence[str]) -> None:
    """Call `fit`; end the process when its first step is done."""
    from tfpartial.cli.main import main as call
    from tfpartial.training.checked_steps import CheckedSteps

    real = CheckedSteps.make_train_function

    def make_train_function(model: Any, force: bool = False) -> Callable:
        step = real(model, force)

        def once(iterator: Iterator) -> None:
            step(iterator)
            end()

        model.train_function = once
        return once

    CheckedSteps.make_train_function = make_train_function
    sys.exit(call(["fit", *arguments]))


def bare_step(arguments: Sequence[str]) -> None:
    """Import, build, trace and do one step on a batch made here."""
    import numpy as np
    import tensorflow as tf

    from tfpartial.cli.main import parse_arguments
    from tfpartial.config import load_experiment
    from tfpartial.training.distributed import runtime
    from tfpartial.training.fit import build_model

    chosen = parse_arguments(["fit", *arguments])
    experiment = load_experiment(chosen.config, chosen.overrides)
    options = experiment.fit
    strategy = runtime.make_strategy(STRATEGY, options.devices)
    runtime.set_up_determinism(
        experiment.seed, options.precision, options.deterministic
    )
    with strategy.scope():
        model = build_model(experiment)
    size, shape = options.global_batch_size, options.patch_shape
    labels = len(experiment.label_space) + 1
    known = np.eye(labels, dtype=bool)
    batch = {
        "image": np.zeros((size, *shape, 1), np.float32),
        "labels": np.zeros((size, *shape), np.uint8),
        "candidates": np.tile(known, (size, 1, 1)),
        "annotated_labels": np.ones((size, labels), bool),
        "resolved_labels": np.ones((size, labels), bool),
        "row": np.arange(size, dtype=np.int32),
    }
    data = tf.data.Dataset.from_tensors(batch).repeat()
    model.make_train_function()(iter(data))
    end()


def end() -> None:
    """Say that the first step is done, and be gone."""
    print(STEP_DONE, flush=True)
    os._exit(0)


CHILDREN: dict[str, Callable[[Sequence[str]], None]] = {
    "fit": stop_after_first_step,
    "bare": bare_step,
}

if __name__ == "__main__":
    sys.exit(main())
