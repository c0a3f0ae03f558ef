"""Every verb on the shrunken shipped config, every script in a process."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from command_line import verb
from shrunken import CONFIG, REPOSITORY, overrides, script
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

pytestmark = pytest.mark.slow
SCRIPTS = sorted(p.stem for p in (REPOSITORY / "scripts").glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_teaches_without_tensorflow(name: str) -> None:
    started = time.perf_counter()
    text = script(name, "--help", TF_CPP_MIN_LOG_LEVEL="0")
    assert "usage:" in text
    assert "oneDNN" not in text  # TensorFlow says so when it is imported
    assert time.perf_counter() - started < 20


def test_console_entry_and_scripts_are_the_same() -> None:
    entry = Path(sys.executable).with_name("tfpartial")
    if not entry.exists():
        pytest.skip("tfpartial is not installed in this environment")
    done = subprocess.run(
        [entry, "fit", "--help"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout == script("fit", "--help")


def test_bad_config_is_exit_code_2_without_traceback(tmp_path: Path) -> None:
    text = script("fit", "--config", CONFIG, "fit.epoch=3", expect=2)
    assert "'epochs'" in text
    assert "Traceback" not in text
    text = verb("fit", "--config", tmp_path / "none.yaml", expect=2)
    assert "none.yaml" in text


def test_records_are_up_to_date_on_the_second_call(workspace: Path) -> None:
    before = (workspace / "records" / "manifest.json").stat().st_mtime_ns
    text = verb("build", "--config", CONFIG, *overrides(workspace))
    assert "up to date" in text
    after = (workspace / "records" / "manifest.json").stat().st_mtime_ns
    assert before == after


def test_a_run_describes_itself(finished_run: Path) -> None:
    about = json.loads((finished_run / "run.json").read_text("utf-8"))
    assert about["strategy"] == "mirrored"
    assert about["seed"] == 0
    assert about["devices"]
    assert about["versions"]["tensorflow"].startswith("2.21")
    assert len(about["manifest_sha256"]) == 64
    assert (finished_run / "config.yaml").is_file()
    history = json.loads((finished_run / "validation.json").read_text("utf-8"))
    assert [entry["epoch"] for entry in history] == [1, 2, 3]
    metrics = json.loads((finished_run / "metrics.json").read_text("utf-8"))
    assert [(e["epoch"], e["step"]) for e in metrics] == [
        (1, 2),
        (2, 4),
        (3, 6),
    ]
    assert all(entry["loss/total"] > 0 for entry in metrics)
    assert not [tag for tag in metrics[0] if tag.startswith("speed")]


def test_tensorboard_tags(finished_run: Path) -> None:
    events = EventAccumulator(str(finished_run / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {
        "loss/total",
        "loss/supervised",
        "loss/consistency",
        "schedule/consistency_weight",
        "schedule/learning_rate",
        "speed/patches_per_second",
        "speed/share_waiting_for_data",
        "validation/phantom_supine/supine_03",
    } <= tags
    for kind in ("student", "teacher"):
        assert f"dice_{kind}/bladder" in tags
        assert f"validation_{kind}/mean" in tags
    steps = [e.step for e in events.Tensors("loss/total")]
    assert steps == [2, 4, 6]


def test_the_same_command_again_does_nothing(
    workspace: Path, finished_run: Path
) -> None:
    before = (finished_run / "student.weights.h5").read_bytes()
    text = verb(
        "fit", "--config", CONFIG, "--run_dir", finished_run,
        *overrides(workspace),
    )  # fmt: skip
    assert "finished already" in text
    assert (finished_run / "student.weights.h5").read_bytes() == before


def test_the_run_directory_is_enough_to_repeat_it(
    workspace: Path, finished_run: Path, tmp_path: Path
) -> None:
    """From its config.yaml and the strategy in run.json: the same bits."""
    about = json.loads((finished_run / "run.json").read_text("utf-8"))
    assert about["cores_allowed"] >= 1
    assert about["threads"] == {"intra_op": 0, "inter_op": 0}
    copy = shutil.copytree(finished_run, tmp_path / "moved")
    again = tmp_path / "again"
    script("fit", "--config", copy / "config.yaml", "--strategy",
           about["strategy"], "--run_dir", again)  # fmt: skip
    assert _weights(again) == _weights(finished_run)
    for name in ("metrics.json", "validation.json"):
        assert (again / name).read_bytes() == (finished_run / name).read_bytes()
    repeated = json.loads((again / "run.json").read_text("utf-8"))
    about.pop("resumed", None)  # other tests call it again
    assert repeated == about


def test_two_fits_do_not_share_a_run_directory(
    workspace: Path, tmp_path: Path
) -> None:
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        text = verb("fit", "--config", CONFIG, "--run_dir", tmp_path,
                    *overrides(workspace), expect=2)  # fmt: skip
    assert f"{tmp_path}: another fit" in text


def test_another_experiment_in_the_run_dir_is_refused(
    workspace: Path, finished_run: Path
) -> None:
    text = verb(
        "fit", "--config", CONFIG, "--run_dir", finished_run,
        *overrides(workspace), "fit.optimizer.learning_rate=0.5", expect=2,
    )  # fmt: skip
    assert "fit.optimizer.learning_rate" in text


def test_predict_evaluate_and_export(
    workspace: Path, finished_run: Path
) -> None:
    predictions = workspace / "predictions"
    script("predict", "--run_dir", finished_run, "--split", "test",
           "--predictions_dir", predictions)  # fmt: skip
    path = predictions / "phantom_supine" / "supine_04.nii.gz"
    scan = next((workspace / "phantom").rglob("*supine_04*/ct.nii.gz"))
    predicted, source = nibabel.load(path), nibabel.load(scan)
    assert predicted.shape == source.shape
    np.testing.assert_allclose(predicted.affine, source.affine, atol=1e-4)
    names = json.loads(path.with_name("supine_04.json").read_text("utf-8"))
    assert "Research use only" in json.dumps(names)

    text = script("evaluate", "--run_dir", finished_run,
                  "--predictions_dir", predictions)  # fmt: skip
    assert "bladder" in text
    assert (predictions / "scores.csv").is_file()

    (predictions / "phantom_prone" / "prone_02.nii.gz").unlink()
    text = verb("evaluate", "--run_dir", finished_run,
                "--predictions_dir", predictions, expect=2)  # fmt: skip
    assert "prone_02" in text

    script("export", "--run_dir", finished_run,
           "--export_dir", workspace / "export")  # fmt: skip
    assert (workspace / "export" / "saved_model.pb").is_file()

    verb("predict", "--run_dir", finished_run, "--inputs", scan,
         "--predictions_dir", workspace / "files",
         "predict.network=student")  # fmt: skip
    assert (workspace / "files" / "ct.nii.gz").is_file()


def test_predict_needs_inputs_or_a_split(finished_run: Path) -> None:
    text = verb("predict", "--run_dir", finished_run,
                "--predictions_dir", "x", expect=2)  # fmt: skip
    assert "--inputs" in text
    assert "--split" in text


def test_demo_prints_table_and_paths(workspace: Path, tmp_path: Path) -> None:
    arguments = [*overrides(workspace), f"run_dir={tmp_path / 'demo'}"]
    text = script("demo", *arguments)
    assert "mean over labels" in text
    for what in ("overlay picture", "TensorBoard", "SavedModel",
                 "predicted NIfTI"):  # fmt: skip
        # The last one: earlier lines of a stage may begin alike.
        line = [x for x in text.splitlines() if x.startswith(what)][-1]
        assert Path(line.split()[-1]).exists(), line


def _weights(run_dir: Path) -> dict[str, bytes]:
    """All weights of student, teacher, as bytes by their place."""
    import h5py

    found: dict[str, bytes] = {}
    for kind in ("student", "teacher"):
        with h5py.File(run_dir / f"{kind}.weights.h5") as file:
            file.visititems(
                lambda name, item, kind=kind: (
                    found.update({f"{kind}/{name}": item[()].tobytes()})
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
    assert len(found) > 10
    return found
