"""The shipped phantom config, shrunk until a stage takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "configs" / "phantom.yaml"


def overrides(folder: Path) -> list[str]:
    """Return the overrides that keep everything in a folder, and small."""
    splits = {
        "phantom_supine": {
            "train": ["supine_01", "supine_02"],
            "validation": ["supine_03"],
            "test": ["supine_04"],
        },
        "phantom_prone": {"train": ["prone_01"], "test": ["prone_02"]},
    }
    path = folder / "splits.json"
    if not path.exists():  # tests beside this one read it
        path.write_text(json.dumps(splits), encoding="utf-8")
    return [
        f"phantom.path={folder / 'phantom'}",
        "phantom.supine_cases=4",
        "phantom.prone_cases=2",
        "preprocess.spacing_mm=[10, 10, 10]",
        f"build.splits.file={path}",
        f"records_dir={folder / 'records'}",
        "network.filters=[4, 8]",
        "network.dropout=[0.5, 0.5]",
        "fit.epochs=3",
        "fit.steps_per_epoch=2",
        "fit.patch_shape=[16, 16, 16]",
        "fit.validation.every_epochs=1",
        "predict.window_shape=[16, 16, 16]",
    ]


def script(
    name: str, *arguments: object, expect: int = 0, **environment: str
) -> str:
    """Run a script as a user does; return what it printed."""
    done = subprocess.run(
        [sys.executable, REPOSITORY / "scripts" / f"{name}.py",
         *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=REPOSITORY,
        env=os.environ | environment,
        timeout=600,
    )  # fmt: skip
    printed = done.stdout + done.stderr
    assert done.returncode == expect, printed[-3000:]
    return printed
