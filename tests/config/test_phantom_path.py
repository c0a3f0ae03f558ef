"""`phantom:<name>` as a database path, and the shipped configs."""

from pathlib import Path

import pytest

from tfpartial.config import load_experiment, write_resolved
from tfpartial.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"
MINIMAL = """
label_space: [{{name: liver}}]
databases:
  - {{name: a, layout: label_map_folder, path: "phantom:supine",
     values: {{1: liver}}, licence: x, citation: x}}
records_dir: records
run_dir: runs
{phantom}
"""


def load(tmp_path, phantom, overrides=()):
    file = tmp_path / "experiment.yaml"
    file.write_text(MINIMAL.format(phantom=phantom))
    return load_experiment(file, overrides)


def test_is_below_the_phantom_path_of_the_working_directory(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    experiment = load(tmp_path, "phantom: {path: made}")
    assert experiment.databases[0].path == str(tmp_path / "made" / "supine")


def test_default_path_and_overrides_count(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    default = load(tmp_path, "phantom: {}")
    moved = load(tmp_path, "phantom: {}", ["phantom.path=/elsewhere"])
    assert default.databases[0].path == str(tmp_path / "phantom" / "supine")
    assert moved.databases[0].path == "/elsewhere/supine"


def test_a_resolved_config_loads_again_from_another_folder(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    experiment = load(tmp_path, "phantom: {}")
    (tmp_path / "run").mkdir()
    write_resolved(experiment, tmp_path / "run" / "config.yaml")
    monkeypatch.chdir(tmp_path / "run")
    again = load_experiment(tmp_path / "run" / "config.yaml")
    assert again.databases[0].path == experiment.databases[0].path


def test_without_a_phantom_section_is_an_error(tmp_path):
    with pytest.raises(InputError, match="expected a 'phantom:' section"):
        load(tmp_path, "")


@pytest.mark.parametrize("name", ["phantom.yaml", "openkbp/openkbp.yaml"])
def test_shipped_configs_load(name, monkeypatch):
    monkeypatch.setenv("TFPARTIAL_OPENKBP", "/data")
    experiment = load_experiment(CONFIGS / name)
    assert all(Path(each.path).is_absolute() for each in experiment.databases)
    assert experiment.build.splits.file is not None


def test_openkbp_names_its_missing_variable(monkeypatch):
    monkeypatch.delenv("TFPARTIAL_OPENKBP", raising=False)
    with pytest.raises(InputError, match="TFPARTIAL_OPENKBP, which is not"):
        load_experiment(CONFIGS / "openkbp" / "openkbp.yaml")


def test_paths_of_overrides_are_of_the_working_directory(tmp_path, monkeypatch):
    """A run may be moved: what it declares must not hang on the folder."""
    monkeypatch.chdir(tmp_path)
    experiment = load(
        tmp_path,
        "phantom: {}",
        ["databases.0.path=scans/a", "build.splits.file=splits.json"],
    )
    assert experiment.databases[0].path == str(tmp_path / "scans" / "a")
    assert experiment.build.splits.file == str(tmp_path / "splits.json")
