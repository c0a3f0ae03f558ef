"""The benchmark of a whole scan, at toy size; its peer's network."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

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
