"""The script, in a process of its own, with a real network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from pseudo_cases import write_run
from test_overwrite import slow_overwrite

from tfpartial.cli.main import main
from tfpartial.config import write_resolved
from tfpartial.inference.sliding_window import sliding_window_labels
from tfpartial.records.store import RecordStore
from tfpartial.runs.loaded_run import load_network, network_of
from tfpartial.runs.weights import write_weights
from tfpartial.scans import normalise

REPOSITORY = Path(__file__).resolve().parents[2]


def write_random_weights(run, which, seed):
    """Large random weights, so that every label is predicted somewhere."""
    random = np.random.default_rng(seed)
    network = network_of(run.experiment, which)
    network.set_weights(
        [random.normal(0, 1, w.shape) for w in network.get_weights()]
    )
    write_weights(network, run.run_dir, which)


def test_script_writes_what_the_network_predicts(experiment, tmp_path):
    run = write_run(tmp_path / "sl1", experiment)
    write_random_weights(run, "student", 0)
    write_random_weights(run, "teacher", 1)
    write_resolved(experiment, tmp_path / "config.yaml")
    command = [
        sys.executable, str(REPOSITORY / "scripts" / "pseudo_label.py"),
        "--config", "config.yaml", "--run_dir", "sl1",
        "--target_records_dir", "pl", "--databases", "some",
        "predict.network=teacher",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "records: pl (read pseudo_labels.md)" in done.stdout
    report = json.loads((tmp_path / "pl" / "pseudo_labels.json").read_text())
    assert report["databases"]["some"]["made_by"]["network"] == "teacher"

    network = load_network(run, "teacher")
    old = RecordStore(experiment.records_dir, "some")
    new = RecordStore(tmp_path / "pl", "some")
    window = (-200.0, 200.0)
    for number in old.case_numbers("train"):
        entry = old.cases[number]
        hu, before = old.read_scan(number)
        prediction = sliding_window_labels(
            network,
            normalise(hu, entry.mean, entry.sd, window),
            (16, 16, 8),
            fill=float(
                normalise(np.array(-200.0), entry.mean, entry.sd, window)
            ),
        )
        codes = [0, 0, 3, 4]
        expected = slow_overwrite(before, prediction, entry.annotated, codes)
        _, after = new.read_scan(number)
        # Two processes may round a tie between labels otherwise.
        assert (after != expected).mean() < 0.001
        assert (after >= 3).any()


def test_what_is_wrong_is_exit_code_2(experiment, tmp_path, capsys):
    write_resolved(experiment, tmp_path / "config.yaml")
    arguments = {
        "--config": tmp_path / "config.yaml",
        "--run_dir": tmp_path / "none",
        "--target_records_dir": tmp_path / "pl",
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    assert main(["pseudo-label", *words]) == 2
    error = capsys.readouterr().err
    assert "expected a run folder with config.yaml" in error
    assert not (tmp_path / "pl").exists()
