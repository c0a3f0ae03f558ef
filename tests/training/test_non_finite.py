"""A loss that is not finite: one message, and advice that can be followed."""

import re

import pytest
from tiny_records import tiny_experiment, write_databases

from tfpartial.errors import MachineError
from tfpartial.training.fit import fit
from tfrecords_builder.build import build_records


def experiment_of(folder, rate, run="run"):
    return tiny_experiment(
        folder,
        folder / "records",
        run_dir=str(folder / run),
        network={"name": "unet3d", "filters": [2, 4]},
        fit={
            "epochs": 1,
            "steps_per_epoch": 3,
            "patch_shape": (8, 8, 8),
            "teacher": False,
            "optimizer": {"learning_rate": rate, "warmup_steps": 0},
            "validation": {"max_cases": 0},
        },
    )


def test_before_the_first_checkpoint(tmp_path):
    write_databases(tmp_path)
    broken = experiment_of(tmp_path, 1e38)
    build_records(broken)
    with pytest.raises(MachineError) as caught:
        fit(broken, "none")
    text = str(caught.value)
    assert caught.value.exit_code == 3
    assert re.search(r"step \d: the loss is nan", text)
    assert "there is no checkpoint" in text
    assert f"Remove {tmp_path / 'run'}" in text
    # The advice, followed.
    assert fit(experiment_of(tmp_path, 1e-3, "run2"), "none").is_dir()


def test_validation_without_a_case_is_said(tmp_path, caplog):
    write_databases(tmp_path)
    experiment = experiment_of(tmp_path, 1e-3)
    splits = experiment.build.splits.model_copy(
        update={"file": None, "test_share": 0.0, "validation_share": 0.0}
    )
    build = experiment.build.model_copy(update={"splits": splits})
    validation = experiment.fit.validation.model_copy(update={"max_cases": 2})
    options = experiment.fit.model_copy(update={"validation": validation})
    experiment = experiment.model_copy(update={"build": build, "fit": options})
    build_records(experiment)
    fit(experiment, "none")
    assert "fit.validation.max_cases" in caplog.text
