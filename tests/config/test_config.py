"""Declarations: every fault at once, with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tfpartial.config import Experiment, load_experiment, write_resolved
from tfpartial.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"
MINIMAL = {
    "label_space": [{"name": "liver"}, {"name": "spleen"}],
    "databases": [
        {
            "name": "clinic",
            "layout": "label_map_folder",
            "path": "scans",
            "values": {1: "liver", 2: ["liver", "spleen"]},
            "licence": "none",
            "citation": "none",
        }
    ],
    "records_dir": "records",
    "run_dir": "runs/x",
}


def _write(folder: Path, content: dict, name: str = "c.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _faults(path: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load_experiment(path, overrides)
    return str(caught.value)


def test_minimal_config_has_defaults(tmp_path: Path) -> None:
    experiment = load_experiment(_write(tmp_path, MINIMAL))
    assert experiment.preprocess.spacing_mm == (2.0, 2.0, 2.0)
    assert experiment.preprocess.hu_window == (-200.0, 200.0)
    assert experiment.databases[0].path == str(tmp_path / "scans")
    # Keys of `values` are text, whatever YAML made of them.
    assert list(experiment.databases[0].values) == ["1", "2"]


def test_every_fault_at_once_with_a_suggestion(tmp_path: Path) -> None:
    content = MINIMAL | {
        "fit": {"epoch": 3, "steps_per_epoch": 0},
        "augment": {"rotation_degree": 5},
    }
    text = _faults(_write(tmp_path, content))
    assert "unknown key 'fit.epoch'. Did you mean 'epochs'?" in text
    assert "'fit.steps_per_epoch': Input should be greater than" in text
    assert "Did you mean 'rotation_degrees'?" in text


def test_overrides_are_yaml_and_checked(tmp_path: Path) -> None:
    path = _write(tmp_path, MINIMAL)
    experiment = load_experiment(
        path, ["fit.epochs=7", "network.filters=[4, 8]", "fit.teacher=false"]
    )
    assert experiment.fit.epochs == 7
    assert experiment.network.filters == [4, 8]
    assert not experiment.fit.teacher
    assert "Did you mean 'epochs'?" in _faults(path, "fit.epoch=7")
    assert "expected field=value" in _faults(path, "fit.epochs")


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    assert "expected a YAML file, found none" in _faults(tmp_path / "no.yaml")


def test_labels_and_databases_must_exist(tmp_path: Path) -> None:
    content = MINIMAL | {"sampling": {"weights": {"clinics": 1.0}}}
    content["databases"] = [MINIMAL["databases"][0] | {"annotated": ["livr"]}]
    text = _faults(_write(tmp_path, content))
    assert "Did you mean 'liver'?" in text
    assert "'sampling.weights.clinics': no such database." in text
    assert "Did you mean 'clinic'?" in text


def test_environment_variable_in_a_path(tmp_path: Path, monkeypatch) -> None:
    content = MINIMAL | {
        "databases": [MINIMAL["databases"][0] | {"path": "${SCANS}/a"}]
    }
    path = _write(tmp_path, content)
    monkeypatch.delenv("SCANS", raising=False)
    assert "environment variable SCANS, which is not set" in _faults(path)
    monkeypatch.setenv("SCANS", str(tmp_path))
    assert load_experiment(path).databases[0].path == f"{tmp_path}/a"


def test_files_of_databases_and_label_space(tmp_path: Path) -> None:
    _write(tmp_path, {"labels": MINIMAL["label_space"]}, "space.yaml")
    _write(tmp_path, MINIMAL["databases"][0], "clinic.yaml")
    content = MINIMAL | {
        "label_space": "space.yaml", "databases": ["clinic.yaml"],
    }  # fmt: skip
    experiment = load_experiment(_write(tmp_path, content))
    assert experiment.label_space[0].name == "liver"


def test_resolved_config_loads_to_the_same(tmp_path: Path) -> None:
    experiment = load_experiment(_write(tmp_path, MINIMAL))
    write_resolved(experiment, tmp_path / "resolved.yaml")
    assert load_experiment(tmp_path / "resolved.yaml") == experiment


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(
        "run_dir: !!python/object/apply:os.system ['true']", encoding="utf-8"
    )
    assert "not valid YAML" in _faults(path)


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda p: p.name
)
def test_every_shipped_config_loads(path: Path, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("TFPARTIAL_OPENKBP", str(tmp_path))
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "databases" in content:
        assert isinstance(load_experiment(path), Experiment)
    elif "labels" in content:
        assert all("name" in label for label in content["labels"])
    else:
        assert {"name", "layout", "licence", "citation"} <= set(content)
