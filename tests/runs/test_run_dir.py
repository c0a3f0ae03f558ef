"""A run directory belongs to one experiment, wherever its files lie."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf
from tiny_records import SPLITS, tiny_experiment

from tfpartial.config import Experiment
from tfpartial.errors import InputError
from tfpartial.runs.claim import claim_run_dir
from tfpartial.training.distributed.runtime import describe_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run made by `claim`, and a second copy of its records."""
    for name in ("records", "moved"):
        (tmp_path / name / "full").mkdir(parents=True)
        (tmp_path / name / "manifest.json").write_text("{}")
        (tmp_path / name / "full" / "cases.json").write_text("{}")
    claim(declared(tmp_path), tmp_path)
    return tmp_path


def declared(folder: Path) -> dict[str, Any]:
    experiment = tiny_experiment(folder, folder / "records", phantom={})
    return experiment.model_dump()


def claim(
    raw: dict[str, Any], folder: Path, context: dict[str, Any] | None = None
) -> None:
    experiment = Experiment.model_validate(raw, context=context)
    cases = [
        SimpleNamespace(case=case, split=split)
        for split, ids in SPLITS["full"].items()
        for case in ids
    ]
    folder_of_records = Path(experiment.records_dir) / "full"
    store: Any = SimpleNamespace(folder=folder_of_records, cases=cases)
    claim_run_dir(experiment, {"full": store}, folder / "run", {})


def test_moved_files_are_the_same_experiment(folder: Path) -> None:
    raw = declared(folder)
    raw["run_dir"] = "run/../run"
    raw["records_dir"] = str(folder / "moved")
    raw["phantom"]["path"] = "/mnt/phantom"
    raw["build"]["splits"]["file"] = "/mnt/splits.json"
    raw["databases"][0]["path"] = "/mnt/full"
    claim(raw, folder)
    about = json.loads((folder / "run" / "run.json").read_text())
    assert len(about["resumed"]) == 1


def test_other_content_of_the_records_is_another_experiment(
    folder: Path,
) -> None:
    raw = declared(folder)
    raw["records_dir"] = str(folder / "moved")
    (folder / "moved" / "full" / "cases.json").write_text("[]")
    with pytest.raises(InputError, match="its records"):
        claim(raw, folder)


def test_what_differs_is_named(folder: Path) -> None:
    raw = declared(folder)
    raw["databases"][0]["path"] = "/mnt/full"
    raw["databases"][0]["exclude"] = ["f0"]
    raw["databases"][1]["exclude"] = ["p0"]
    raw["build"]["splits"]["seed"] = 1
    with pytest.raises(
        InputError, match="differs in databases.exclude, build.splits.seed"
    ):
        claim(raw, folder)


def test_another_number_of_databases_differs(folder: Path) -> None:
    raw = declared(folder)
    del raw["databases"][1]
    with pytest.raises(InputError, match=r"differs in databases\."):
        claim(raw, folder)


def test_code_from_outside_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside_claimed.py").write_text("def build(num_labels): ...")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("records", "moved"):
        (tmp_path / name / "full").mkdir(parents=True)
        (tmp_path / name / "manifest.json").write_text("{}")
        (tmp_path / name / "full" / "cases.json").write_text("{}")
    raw = declared(tmp_path) | {"network": {"name": "outside_claimed:build"}}
    claim(raw, tmp_path, {"trust_code": True})
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    code = about["code_from_outside"]
    assert code["builder"] == "outside_claimed:build"
    assert "--trust_code" in code["notice"]


def test_the_splits_of_a_run_stay_with_it(folder: Path) -> None:
    """In the form that `build.splits.file` reads, whoever decided them."""
    written = json.loads((folder / "run" / "splits.json").read_text())
    assert written == {"full": SPLITS["full"]}


@pytest.mark.parametrize("resumed", [3, "text", {"a": 1}, None])
def test_what_is_no_list_of_calls_is_refused(
    folder: Path, resumed: object
) -> None:
    about = folder / "run" / "run.json"
    began = json.loads(about.read_text())
    about.write_text(json.dumps(began | {"resumed": resumed}))
    with pytest.raises(InputError, match=r"run\.json: expected what began"):
        claim(declared(folder), folder)
    assert json.loads(about.read_text())["resumed"] == resumed


def test_checkpoints_without_a_config_are_of_an_unknown_run(
    folder: Path,
) -> None:
    (folder / "run" / "config.yaml").unlink()
    claim(declared(folder), folder)  # killed before the config was written
    (folder / "run" / "config.yaml").unlink()
    (folder / "run" / "checkpoints" / "epoch-00002").mkdir(parents=True)
    with pytest.raises(InputError, match="what the checkpoints beside it"):
        claim(declared(folder), folder)


def test_records_without_their_manifest_are_refused(folder: Path) -> None:
    (folder / "records" / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"manifest\.json: expected a file"):
        claim(declared(folder), folder)


def test_a_full_disk_leaves_no_half_config(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "run" / "config.yaml").unlink()

    def full(_: int) -> None:
        half = [p.name for p in (folder / "run").iterdir() if ".tmp" in p.name]
        if any("config" in name for name in half):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            claim(declared(folder), folder)
    assert not [p for p in (folder / "run").iterdir() if "config" in p.name]
    claim(declared(folder), folder)
    assert (folder / "run" / "config.yaml").is_file()


def test_later_calls_are_listed_below_what_began_the_run(folder: Path) -> None:
    began = json.loads((folder / "run" / "run.json").read_text())
    assert "resumed" not in began
    for calls in (1, 2):
        claim(declared(folder), folder)
        about = json.loads((folder / "run" / "run.json").read_text())
        assert len(about.pop("resumed")) == calls
        assert about == began


def test_variables_that_choose_kernels_are_part_of_the_description(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("HOME", "/a/home")
    strategy = tf.distribute.OneDeviceStrategy("/CPU:0")
    about = describe_run("none", strategy)
    assert about["environment"]["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert "/a/home" not in json.dumps(about)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    about = describe_run("none", strategy)
    assert "TF_ENABLE_ONEDNN_OPTS" not in about["environment"]
