"""The `network:` section is another model for each name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tfpartial.config import (
    DeepMedic,
    Experiment,
    Unet3d,
    load_experiment,
    write_resolved,
)
from tfpartial.errors import InputError
from tfpartial.models import registered_networks
from tfpartial.runs.loaded_run import network_of

MINIMAL = {
    "label_space": [{"name": "liver"}],
    "databases": [
        {
            "name": "clinic",
            "layout": "label_map_folder",
            "path": "scans",
            "values": {1: "liver"},
            "licence": "none",
            "citation": "none",
        }
    ],
    "records_dir": "records",
    "run_dir": "runs/x",
}


def loaded(folder: Path, section: object, *overrides: str) -> Experiment:
    content = MINIMAL if section is None else MINIMAL | {"network": section}
    path = folder / "c.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_experiment(path, overrides)


def faults(folder: Path, section: object, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        loaded(folder, section, *overrides)
    return str(caught.value)


def test_without_a_name_it_is_unet3d(tmp_path: Path) -> None:
    assert isinstance(loaded(tmp_path, None).network, Unet3d)
    network = loaded(tmp_path, {"filters": [4, 8]}).network
    assert isinstance(network, Unet3d)
    assert (network.name, network.filters) == ("unet3d", [4, 8])


def test_deepmedic_by_name_and_by_override(tmp_path: Path) -> None:
    section = {"name": "deepmedic", "preset": "small", "fc_widths": [5, 5]}
    network = loaded(tmp_path, section, "network.dropout=[0.1]").network
    assert isinstance(network, DeepMedic)
    assert (network.preset, network.widths) == ("small", None)
    assert (network.fc_widths, network.dropout) == ([5, 5], [0.1])
    network = loaded(tmp_path, None, "network.name=deepmedic").network
    assert isinstance(network, DeepMedic)
    assert (network.preset, network.dropout) == ("wide", [0.5, 0.5])


def test_resolved_config_loads_to_the_same(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, {"name": "deepmedic", "widths": [2] * 8})
    write_resolved(experiment, tmp_path / "resolved.yaml")
    assert load_experiment(tmp_path / "resolved.yaml") == experiment


def test_declared_sizes_reach_the_network(tmp_path: Path) -> None:
    section = {
        "name": "deepmedic",
        "widths": [2, 3, 4],
        "fc_widths": [5, 6],
        "residual_layers": [3],
        "fc_residual_layers": [],
        "dropout": [0.25],
    }
    network = network_of(loaded(tmp_path, section), "student")
    assert network.name == "student"
    assert network.context_voxels == (15, 15, 15)
    names = {layer.name for layer in network.layers}
    assert {"x5_layer3_add", "fc3_dropout"} < names
    assert not {"x5_layer2_add", "fc2_add", "fc2_dropout"} & names
    assert network.get_layer("fc2_conv").filters == 6


def test_every_declared_network_is_registered() -> None:
    declared = {
        model.model_fields["name"].annotation.__args__[0]
        for model in (Unet3d, DeepMedic)
    }
    assert declared == set(registered_networks())


def test_unknown_keys_are_named_for_the_right_network(tmp_path: Path) -> None:
    text = faults(tmp_path, {"name": "deepmedic", "width": [2]})
    assert "unknown key 'network.width'. Did you mean 'widths'?" in text
    assert "preset" in text
    assert "blocks_per_level" not in text
    text = faults(tmp_path, {"filter": [2, 4]})
    assert "unknown key 'network.filter'. Did you mean 'filters'?" in text
    assert "fc_widths" not in text


def test_a_key_of_another_network_says_whose_it_is(tmp_path: Path) -> None:
    section = {"filters": [4, 8]}
    text = faults(tmp_path, section, "network.name=deepmedic")
    assert (
        "unknown key 'network.filters': deepmedic has none, it belongs to "
        "unet3d" in text
    )


@pytest.mark.parametrize("name", ["deep_medic", "deepmedics"])
def test_an_unknown_name_suggests_a_known_one(
    tmp_path: Path, name: str
) -> None:
    text = faults(tmp_path, {"name": name})
    assert f"'network.name': '{name}' is none of unet3d, deepmedic." in text
    assert "Did you mean 'deepmedic'?" in text


@pytest.mark.parametrize("name", [None, 3, ["unet3d"]])
def test_a_name_that_is_none_is_a_fault(tmp_path: Path, name: object) -> None:
    text = faults(tmp_path, {"name": name})
    assert "is none of unet3d, deepmedic." in text


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"preset": "huge"}, "'network.preset': expected 'wide' or"),
        ({"widths": [0]}, "'network.widths.0'"),
        ({"residual_layers": [1]}, "'network.residual_layers.0'"),
        ({"dropout": [1.0]}, "'network.dropout.0'"),
    ],
)
def test_sizes_are_checked(tmp_path: Path, section: dict, words: str) -> None:
    assert words in faults(tmp_path, {"name": "deepmedic", **section})


def test_a_section_is_a_mapping(tmp_path: Path) -> None:
    assert "'network': expected a valid dict" in faults(tmp_path, "x")
