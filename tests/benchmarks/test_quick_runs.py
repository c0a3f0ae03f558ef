"""Every speed benchmark at toy size: its sides agree, and that is checked."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import build_records
import evaluate
import keras
import numpy as np
import pipeline
import pipeline_stages
import preprocess
import pytest
import run_all
import scaling
import startup
import train_step
from network_flop import training_flop

TOY = train_step.Sizes((4, 8), 16, 2, 3, 100)
# Determinism can be chosen only once in a process; and of two trainings with
# two replicas in one the collective operations may meet.
ALONE = ("fit_overhead", "scaling")
# The peer's own calls of scipy's old names.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:surface_distance"
)


def printed_line(name: str, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the line of a benchmark whose sides agreed."""
    if name in ALONE:
        done = subprocess.run(
            [sys.executable, run_all.REPOSITORY / "benchmarks" / f"{name}.py",
             "--quick"],
            capture_output=True, encoding="utf-8", check=False, timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])
    assert importlib.import_module(name).main(["--quick"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.slow
# On accelerators: tests/benchmarks/test_gpu_step.py.
@pytest.mark.parametrize("name", sorted({*run_all.BENCHMARKS} - {"gpu_step"}))
def test_a_quick_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = printed_line(name, capsys)
    assert line["benchmark"] == name
    # A part that is a difference of two times may be nothing, but not all.
    assert max(side["median_s"] for side in line["sides"].values()) > 0
    compared = line["checked"] or line.get("skipped")
    # The sides of the sliding window are those of a peer.
    alone = name == "sliding_window" and find_spec("monai") is None
    assert compared or alone, "nothing was compared"
    # Its numbers are those of the table, with the same limits.
    results = json.loads(run_all.RESULTS.read_text("utf-8"))
    published = {t["what"]: t["limit"] for t in results[name]["targets"]}
    for target in line["targets"]:
        if target["what"] in published:  # a toy may have another size
            assert target["limit"] == published[target["what"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "place", "name", "harm"),
    [
        (build_records, build_records, "resample_labels", lambda got: got + 1),
        (evaluate, evaluate, "theirs", lambda got: got + 1e-6),
        (pipeline, pipeline_stages.Stages, "_slow",
         lambda got: (got[0][::-1], got[1])),
        (preprocess, preprocess.Work, "by_hand",
         lambda got: (got[0] + np.float32(0.05), got[1])),
    ],
    ids=["build_records", "evaluate", "pipeline", "preprocess"],
)  # fmt: skip
def test_a_side_that_does_other_work_fails(
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    place: Any,
    name: str,
    harm: Any,
) -> None:
    real = getattr(place, name)
    monkeypatch.setattr(place, name, lambda *a, **k: harm(real(*a, **k)))
    assert module.main(["--quick"]) == 1


def test_voxels_that_are_nan_differ() -> None:
    image, labels = np.zeros((2, 2, 2)), np.ones((2, 2, 2), np.uint8)
    found = preprocess.differences(
        {"ours": (image, labels), "by_hand": (image * np.nan, labels)}
    )
    assert found == {"by_hand/image": 1.0, "by_hand/labels": 0.0}


def test_an_exponent_is_the_power_of_the_size() -> None:
    sizes = (2, 5, 10, 100)
    assert scaling.exponent({n: 3.0 for n in sizes}) == pytest.approx(0)
    assert scaling.exponent({n: 3.0 * n**1.5 for n in sizes}) == pytest.approx(
        1.5
    )


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["fit", "fit.epohcs=3"], 2)]
)
def test_the_block_of_tensorflow_is_real(
    arguments: list[str], code: int
) -> None:
    """What passes the check passes for want of an import, not of a block."""
    assert startup.code_of(startup.BLOCKED, *arguments) == code
    imports = startup.BLOCKED.replace("from", "import tensorflow; from", 1)
    assert startup.code_of(imports, *arguments) == 1


def test_flop_by_hand() -> None:
    image = keras.Input((None, None, None, 1))
    x = keras.layers.Conv3D(5, 3, padding="same")(image)  # no input gradient
    y = keras.layers.Conv3D(7, 2, strides=2)(x)
    z = keras.layers.Conv3DTranspose(6, 2, strides=2)(y)
    by_hand = (
        2 * 2 * (2 * 4**3) * (27 * 5)
        + 3 * 2 * (2 * 2**3) * (8 * 5 * 7)
        # Each of the coarse voxels writes 8 fine ones.
        + 3 * 2 * (2 * 2**3) * (8 * 7 * 6)
    )
    network = keras.Model(image, z)
    assert training_flop(network, (2, 4, 4, 4, 1)) == by_hand


def test_targets_of_a_step_are_ratios_of_the_right_sides() -> None:
    seconds = {
        "float32": [2.0],
        "bfloat16": [1.0],
        "batch norm": [4.0],
        "dropout": [3.0],
        "dropout and teacher": [6.0],
        "matrix product": [1.0],
        "PyTorch, group norm, contiguous": [5.0],
        "PyTorch, group norm, channels last": [6.0],
        "PyTorch, batch norm, contiguous": [13.0],
        "PyTorch, batch norm, channels last": [12.0],
    }
    product = train_step.MATRIX_PRODUCTS * 2 * TOY.matrix**3
    flop = {"float32": product, "batch norm": product}
    found = train_step.targets(seconds, flop, TOY)
    assert [t.value for t in found] == [2.5, 3.0, 0.5, 0.25, 2.0, 2.0, 1.5]
