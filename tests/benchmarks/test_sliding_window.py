"""The benchmark of a whole scan, at toy size; its peer's network."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import sides
import sliding_window

HAS_PEERS = bool(find_spec("torch") and find_spec("monai"))


@pytest.mark.slow
def test_both_sides_segment_alike(capsys: pytest.CaptureFixture[str]) -> None:
    assert sliding_window.main(["--quick"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert max(line["checked"].values()) <= sliding_window.MAX_DIFFERENT
    assert len(line["labels_found"]) > 1
    limits = [target["limit"] for target in line["targets"]]
    assert limits == [2.0, 1 / 2, 1 / 2, 1 / 3, 1 / 3]
    for labels in ("8", "100"):
        assert line["peak_mb"][labels]["ours"] > line["idle_mb"][labels]["ours"]
    assert ("monai" in line["sides"]) == HAS_PEERS


@pytest.mark.skipif(not find_spec("torch"), reason="needs torch")
def test_the_network_in_torch_is_the_same_function() -> None:
    import torch
    from torch_unet3d import TorchUnet3d

    from tfpartial.models import build_network

    network = build_network("unet3d", num_labels=5, seed=3, filters=[4, 8, 16])
    draw = np.random.default_rng(0)
    network.set_weights(  # gamma and beta are not 1 and 0
        [w + draw.normal(0, 0.1, w.shape) for w in network.get_weights()]
    )
    weights = {
        f"{layer.name}/{weight.name}": np.asarray(weight)
        for layer in network.layers
        for weight in layer.weights
    }
    image = draw.normal(size=(2, 8, 16, 8, 1)).astype("f4")
    expected = np.asarray(network(image))
    torch.set_num_threads(1)  # more of them wait for busy cores
    with torch.inference_mode():
        given = torch.from_numpy(image.transpose(0, 4, 1, 2, 3))
        found = TorchUnet3d(weights)(given).numpy().transpose(0, 2, 3, 4, 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_side_runs_on_request_and_tells_its_peak(tmp_path: Path) -> None:
    script = tmp_path / "side.py"
    here = str(Path(sides.__file__).parent)
    script.write_text(
        f"import sys; sys.path.insert(0, {here!r})\n"
        "from sides import serve\n"
        "runs = []\n"
        "def run():\n"
        "    runs.append(bytearray(64 * 2**20))\n"
        "    print('noise')\n"
        "    return {'runs': len(runs)}\n"
        "serve(run, {'ready': True})\n"
    )
    with sides.Side([script]) as side:
        assert side.told == {"ready": True}
        assert [side()["runs"], side()["runs"]] == [1, 2]
        # Two arrays of 64 MiB of zeros that were written.
        assert 128 < side.peak_mb() < 128 + 100


def test_a_side_that_dies_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "side.py"
    script.write_text("raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="exit code 3"):
        sides.Side([script])
