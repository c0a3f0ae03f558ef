"""Shipped configs, found by name from anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfpartial.comparison.load import load_comparison
from tfpartial.config import load_experiment
from tfpartial.config.shipped import SHIPPED, find_config, shipped_names
from tfpartial.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_repositorys_configs_are_the_shipped_ones() -> None:
    """One copy: the package's folder leads to the one people look at."""
    assert SHIPPED.resolve() == CONFIGS.resolve()


@pytest.mark.parametrize("name", shipped_names("label_space"))
def test_experiments_load_by_name_from_any_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("TFPARTIAL_OPENKBP", "TFPARTIAL_PELVIS"):
        monkeypatch.setenv(variable, "/data")
    monkeypatch.chdir(tmp_path)
    assert load_experiment(name) == load_experiment(CONFIGS / f"{name}.yaml")


@pytest.mark.parametrize("name", shipped_names("systems"))
def test_comparisons_load_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("TFPARTIAL_OPENKBP", "TFPARTIAL_PELVIS"):
        monkeypatch.setenv(variable, "/data")
    monkeypatch.chdir(tmp_path)
    assert load_comparison(name)[0].systems


def test_names_are_experiments_and_comparisons_only() -> None:
    assert "phantom" in shipped_names("label_space")
    assert "paper/phantom" in shipped_names("systems")
    both = [*shipped_names("label_space"), *shipped_names("systems")]
    parts = ("databases/", "label_spaces/", "systems/", "start/")
    assert not [name for name in both if name.startswith(parts)]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        load_experiment("phantm")
    (fault,) = caught.value.faults
    assert "'phantm'" in fault
    assert "openkbp/openkbp" in fault
    assert "Did you mean 'phantom'?" in fault


def test_a_folder_of_that_name_does_not_hide_the_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The phantom's scans lie in ./phantom after its first use."""
    (tmp_path / "phantom").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_config("phantom", "label_space") == SHIPPED / "phantom.yaml"


def test_a_file_of_that_name_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "phantom").write_text("label_space: []")
    monkeypatch.chdir(tmp_path)
    assert find_config("phantom", "label_space") == Path("phantom")
