"""The benchmark of the training step: what it counts, a run at toy size."""

from __future__ import annotations

import importlib.util
import json

import keras
import measure
import pytest
import train_step
from network_flop import training_flop
from other_process import OtherProcess

SIZES = train_step.Sizes((4, 8), 16, 2, 3, 100)


def test_flop_by_hand() -> None:
    image = keras.Input((None, None, None, 1))
    x = keras.layers.Conv3D(5, 3, padding="same")(image)  # no input gradient
    y = keras.layers.Conv3D(7, 2, strides=2)(x)
    z = keras.layers.Conv3DTranspose(6, 2, strides=2)(y)
    network = keras.Model(image, z)
    by_hand = (
        2 * 2 * (2 * 4**3) * (27 * 5)
        + 3 * 2 * (2 * 2**3) * (8 * 5 * 7)
        # Each of the coarse voxels writes 8 fine ones.
        + 3 * 2 * (2 * 2**3) * (8 * 7 * 6)
    )
    assert training_flop(network, (2, 4, 4, 4, 1)) == by_hand


def test_targets_are_ratios_of_the_right_sides() -> None:
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
    product = train_step.MATRIX_PRODUCTS * 2 * SIZES.matrix**3
    flop = {"float32": product, "batch norm": product}
    found = train_step.targets(seconds, flop, SIZES)
    assert [(t.value, t.limit, t.at_least) for t in found] == [
        (2.5, 1.6, True),
        (3.0, 1.6, True),
        (0.5, 0.55, True),
        (0.25, 0.65, True),
        (2.0, 1.25, True),
        (2.0, 1.35, False),
        (1.5, None, True),
    ]


@pytest.mark.slow
def test_quick_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert train_step.main(["--quick"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["sizes"]["patch"] == 16
    said = [target["what"] for target in line["targets"]]
    needed = ["matrix product", "bfloat16", "with teacher"]
    compared = {f"bfloat16 {what}" for what in train_step.CHECKED}
    if importlib.util.find_spec("torch") is None:
        assert "PyTorch" in line["skipped"]
    else:
        needed.append("PyTorch")
        compared |= {
            f"{what}, tfpartial and PyTorch, {variant}"
            for what in train_step.CHECKED
            for variant in ("float32", "batch norm")
        }
    for name in needed:
        assert any(name in what for what in said)
    assert set(line["checked"]) == compared
    assert all(s["repeats"] == 2 for s in line["sides"].values())


@pytest.mark.slow
def test_another_weight_of_the_peer_is_seen() -> None:
    pytest.importorskip("torch")
    with OtherProcess(train_step.our_calls, SIZES) as ours:
        weights = {name: ours("weights", name) for name in train_step.PEERS}
        expected = ours("loss", "float32")
    off = []
    for moved in (0.0, 0.3):
        weights["float32"]["logits"][1][0] += moved
        with OtherProcess(train_step.torch_calls, SIZES, weights) as theirs:
            found = train_step._compare(
                "float32", expected, theirs("loss", "group")
            )
        off.append(max(found.values()))
    assert off[0] <= train_step.SAME < off[1]


def test_the_example_names_every_label_of_every_sample() -> None:
    batch = train_step.example(SIZES)
    assert batch["candidates"].shape == (2, 3, 3)
    assert (batch["candidates"].sum(-1) == 1).all()
    assert measure.Target("x", 1.0).met is None
