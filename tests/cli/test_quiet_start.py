"""No start-up line of TensorFlow, unless asked for or needed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SHRUNKEN = [
    "phantom.supine_cases=2", "phantom.prone_cases=2",
    "phantom.shape=[48, 40, 32]", "phantom.spacing_mm=[8, 8, 8]",
    "preprocess.spacing_mm=[10, 10, 10]", "build.splits.file=null",
    "build.splits.test_share=0", "build.splits.validation_share=0",
    "network.filters=[4, 8]", "network.dropout=[]", "fit.epochs=1",
    "fit.steps_per_epoch=1", "fit.patch_shape=[16, 16, 16]",
]  # fmt: skip
# Every line of TensorFlow, absl or XLA: "E0000 00:00:17...", "WARNING: All
# log messages before absl::...", "2026-01-01 00:00:00.00: I tensorflow/...".
LINES = re.compile(
    r"^[IWEF]\d{4} |absl|oneDNN|cuInit|cudart|cpu_feature_guard|"
    r"tensorflow/|rebuild TensorFlow|MirroredStrategy",
    re.MULTILINE,
)


def fit(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "TF_CPP_MIN_LOG_LEVEL"  # that of the tests
    }
    return subprocess.run(
        [sys.executable, "-m", "tfpartial.cli.main", "fit", *arguments],
        capture_output=True, encoding="utf-8", check=False, cwd=folder,
        env=environment, timeout=600,
    )  # fmt: skip


@pytest.mark.slow
def test_fit_is_quiet_and_names_the_devices_once(tmp_path: Path) -> None:
    """Phantom, build and training, in one process, and another verbose."""
    done = fit(tmp_path, *SHRUNKEN)
    assert done.returncode == 0, done.stderr
    assert not LINES.search(done.stderr), done.stderr
    assert not LINES.search(done.stdout), done.stdout
    devices = re.findall(r"^devices: .*", done.stdout, re.MULTILINE)
    assert len(devices) == 1
    assert f"{len(os.sched_getaffinity(0))} CPU cores" in devices[0]
    loud = fit(tmp_path, "--verbose", *SHRUNKEN)
    assert loud.returncode == 0
    assert LINES.search(loud.stderr)  # so the pattern finds them


FAILING = """
import os, sys
from tfpartial.cli import quiet_start
def fail():
    os.write(2, b"what C++ said\\n")
    {end}
quiet_start._devices = fail
quiet_start.start_tensorflow(verbose=False)
os.write(2, b"later\\n")
"""


@pytest.mark.parametrize(
    ("end", "expected"),
    [("raise ImportError('x')", ["what C++ said", "x"]),
     ("return 'one'", ["later"])],
)  # fmt: skip
def test_what_was_kept_back_is_shown_if_the_start_fails(
    end: str, expected: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING.format(end=end)],
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert ("what C++ said" in done.stderr) == ("what C++ said" in expected)
    assert all(words in done.stderr for words in expected)
