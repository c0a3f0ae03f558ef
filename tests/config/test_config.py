"""Declarations: every fault at once, with what was meant."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from tfpartial.cli.verb import declared_experiment, experiment_of_run
from tfpartial.comparison.declare import System
from tfpartial.comparison.load import load_comparison
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
    assert "'fit.steps_per_epoch': expected greater than" in text
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


def test_an_override_names_list_items_by_position(tmp_path: Path) -> None:
    path = _write(tmp_path, MINIMAL)
    experiment = load_experiment(
        path, ["databases.0.exclude=[a]", "databases.0.values.1=spleen"]
    )
    assert experiment.databases[0].exclude == ["a"]
    assert experiment.databases[0].values["1"] == "spleen"
    text = _faults(path, "databases.1.exclude=[a]", "run_dir.x=1")
    assert "'databases' is a list: expected a position from 0 to 0" in text
    assert "'run_dir' has no fields, its value is 'runs/x'" in text
    assert "found 'clinic'" in _faults(path, "databases.clinic.exclude=[a]")


@pytest.mark.parametrize("text", ["2026", "runs/a: b", "null", "[x]", "1e3"])
def test_a_replaced_field_is_taken_as_it_stands(
    tmp_path: Path, text: str
) -> None:
    path = _write(tmp_path, MINIMAL)
    experiment = load_experiment(
        path, ["run_dir=other"], replaced={"run_dir": text}
    )
    assert experiment.run_dir == text


def test_path_flags_are_not_yaml(tmp_path: Path) -> None:
    path = _write(tmp_path, MINIMAL)
    run_dir = tmp_path / "runs: b"
    arguments = Namespace(config=path, run_dir=run_dir, overrides=[])
    experiment = declared_experiment(arguments, run_dir=run_dir)
    assert experiment.run_dir == str(run_dir)
    run_dir.mkdir()
    write_resolved(experiment, run_dir / "config.yaml")
    assert experiment_of_run(arguments).run_dir == str(run_dir)


@pytest.mark.parametrize(
    "override",
    [
        "fit.patch_shape=[64, 0, 64]",
        "build.block_shape=[-1, 32, 32]",
        "phantom.shape=[0, 80, 64]",
        "predict.window_shape=[8, 8, -8]",
        "network.filters=[8, 0]",
        "preprocess.hu_window=[-200, .inf]",
        "preprocess.body_threshold_hu=.nan",
        "preprocess.spacing_mm=[.inf, 2, 2]",
        "fit.optimizer.learning_rate=.inf",
        "augment.noise_sd=.nan",
        "sampling.weights.clinic=-1",
        "sampling.weights.clinic=.nan",
    ],
)
def test_sizes_are_positive_and_numbers_finite(
    tmp_path: Path, override: str
) -> None:
    assert override.split("=")[0] in _faults(
        _write(tmp_path, MINIMAL), override
    )


def test_some_database_has_a_weight(tmp_path: Path) -> None:
    text = _faults(_write(tmp_path, MINIMAL), "sampling.weights.clinic=0")
    assert "'sampling.weights': expected a weight above 0" in text
    assert "at least one of clinic" in text


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    assert "expected a YAML file, found none" in _faults(tmp_path / "no.yaml")


def test_labels_and_databases_must_exist(tmp_path: Path) -> None:
    content = MINIMAL | {"sampling": {"weights": {"clinics": 1.0}}}
    content["databases"] = [MINIMAL["databases"][0] | {"annotated": ["livr"]}]
    text = _faults(_write(tmp_path, content))
    assert "Did you mean 'liver'?" in text
    assert "'sampling.weights.clinics': no such database, expected" in text
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


def test_a_fault_names_the_file_of_its_database(tmp_path: Path) -> None:
    (database,) = MINIMAL["databases"]
    kept = {k: v for k, v in database.items() if k != "licence"}
    _write(tmp_path, kept, "clinic.yaml")
    path = _write(tmp_path, MINIMAL | {"databases": ["clinic.yaml"]})
    assert f"{tmp_path / 'clinic.yaml'}: 'licence'" in _faults(path)
    path = _write(tmp_path, MINIMAL | {"databases": [kept]})
    assert f"{path}: 'databases.0.licence'" in _faults(path)


def test_a_range_the_wrong_way_round_is_quoted_once(tmp_path: Path) -> None:
    text = _faults(_write(tmp_path, MINIMAL), "preprocess.hu_window=[3, -2]")
    assert "'preprocess'" in text
    assert text.count("found") == 1
    text = _faults(_write(tmp_path, MINIMAL), "preprocess.hu_window=3")
    assert "a valid list" in text


def test_a_path_is_not_taken_for_a_shipped_name(tmp_path: Path) -> None:
    text = _faults(tmp_path / "phantom")
    assert str(tmp_path / "phantom") in text
    assert "shipped" not in text


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
    monkeypatch.setenv("TFPARTIAL_PELVIS", str(tmp_path))
    if "experiment" in content:
        comparison, experiment = load_comparison(path)
        assert set(comparison.full) <= {d.name for d in experiment.databases}
    elif path.parent.name == "systems":
        System.model_validate(content)
    elif "databases" in content:
        assert isinstance(load_experiment(path), Experiment)
    elif "labels" in content:
        assert all("name" in label for label in content["labels"])
    else:
        assert {"name", "layout", "licence", "citation"} <= set(content)


@pytest.mark.parametrize(
    "field", ["augment.mirror_probability=0.5", "predict.mirror=true"]
)
def test_mirrors_need_pairs(tmp_path: Path, field: str) -> None:
    sides = ["organ_left", "organ_right"]
    space = [{"name": "liver"}, {"name": "spleen"}]
    unpaired = MINIMAL | {"label_space": space + [{"name": n} for n in sides]}
    path = _write(tmp_path, unpaired)
    text = _faults(path, field)
    assert field.split("=")[0] in text
    assert "'organ_left' and 'organ_right'" in text
    assert load_experiment(path)
    pair = [
        {"name": name, "mirror": other}
        for name, other in zip(sides, sides[::-1], strict=True)
    ]
    paired = _write(tmp_path, MINIMAL | {"label_space": space + pair})
    assert load_experiment(paired, [field])
