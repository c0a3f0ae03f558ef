"""The wheel alone, outside of the clone: help, init and the demo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / "configs"
SPLITS = {
    "phantom_supine": {
        "train": ["supine_01", "supine_02"],
        "validation": ["supine_03"],
        "test": ["supine_04"],
    },
    "phantom_prone": {"train": ["prone_01"], "test": ["prone_02"]},
}
TOY = [
    "phantom.supine_cases=4", "phantom.prone_cases=2",
    "phantom.shape=[48, 40, 32]", "phantom.spacing_mm=[8, 8, 8]",
    "preprocess.spacing_mm=[10, 10, 10]", "build.splits.file=splits.json",
    "network.filters=[4, 8]", "network.dropout=[]", "fit.epochs=1",
    "fit.steps_per_epoch=2", "fit.patch_shape=[16, 16, 16]",
]  # fmt: skip


def run(*command: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, encoding="utf-8",
        check=False, cwd=cwd, env=os.environ | environment, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel that the source archive makes: neither needs git."""
    folder = tmp_path_factory.mktemp("dist")
    build = "import sys; from setuptools import build_meta as b;"
    run(sys.executable, "-c", f"{build} b.build_sdist(sys.argv[1])", folder,
        cwd=REPOSITORY)  # fmt: skip
    (sdist,) = folder.glob("*.tar.gz")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index",
        "--no-build-isolation", "--wheel-dir", folder, sdist,
        cwd=folder)  # fmt: skip
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(
    wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """Return its command and a PYTHONPATH that hides the clone's package."""
    target = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index",
        "--target", target, wheel, cwd=target)  # fmt: skip
    return target / "bin" / "tfpartial", str(target)


def test_holds_every_config_and_no_test(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {
        name.removeprefix("tfpartial/shipped_configs/")
        for name in names
        if name.startswith("tfpartial/shipped_configs/")
    }
    assert shipped == {
        path.relative_to(CONFIGS).as_posix()
        for path in CONFIGS.rglob("*")
        if path.is_file()
    }
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "tfpartial",
        "tfrecords_builder",
    }
    assert "tfpartial/py.typed" in names


def test_works_from_an_empty_folder(
    installed: tuple[Path, str], tmp_path: Path
) -> None:
    command, path = installed
    where = run(
        sys.executable, "-c", "import tfpartial; print(tfpartial.__file__)",
        cwd=tmp_path, PYTHONPATH=path,
    )  # fmt: skip
    assert where.startswith(path)
    text = run(command, "--help", cwd=tmp_path, PYTHONPATH=path)
    assert "init" in text
    run(command, "init", "study", cwd=tmp_path, PYTHONPATH=path)
    assert (tmp_path / "study" / "experiment.yaml").is_file()
    (tmp_path / "splits.json").write_text(json.dumps(SPLITS))
    text = run(command, "demo", *TOY, cwd=tmp_path, PYTHONPATH=path)
    assert "mean over labels" in text
    assert (tmp_path / "runs/phantom/export/saved_model.pb").is_file()
