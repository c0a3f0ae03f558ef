"""The `network:` section holds the sizes of the builder that it names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from tfpartial.config import Experiment, load_experiment, write_resolved
from tfpartial.errors import InputError
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
    assert loaded(tmp_path, None).network.name == "unet3d"
    network = loaded(tmp_path, {"filters": [4, 8]}).network
    assert (network.name, network.filters) == ("unet3d", [4, 8])
    assert network.downsampling == "strided"


def test_deepmedic_by_name_and_by_override(tmp_path: Path) -> None:
    section = {"name": "deepmedic", "preset": "small", "fc_widths": [5, 5]}
    network = loaded(tmp_path, section, "network.dropout=[0.1]").network
    assert (network.preset, network.widths) == ("small", None)
    assert (network.fc_widths, network.dropout) == ([5, 5], [0.1])
    network = loaded(tmp_path, None, "network.name=deepmedic").network
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


def test_unknown_keys_are_named_for_the_right_network(tmp_path: Path) -> None:
    text = faults(tmp_path, {"name": "deepmedic", "width": [2]})
    assert "'network.width'" in text
    assert "Did you mean 'widths'?" in text
    assert "preset" in text
    assert "blocks_per_level" not in text


def test_a_key_of_another_network_says_whose_it_is(tmp_path: Path) -> None:
    text = faults(tmp_path, {"filters": [4, 8]}, "network.name=deepmedic")
    assert "'network.filters'" in text
    assert "belongs to unet3d" in text


@pytest.mark.parametrize("name", ["deep_medic", "deepmedics"])
def test_an_unknown_name_suggests_a_known_one(
    tmp_path: Path, name: str
) -> None:
    text = faults(tmp_path, {"name": name})
    assert "'network.name'" in text
    assert "Did you mean 'deepmedic'?" in text


@pytest.mark.parametrize("name", [None, 3, ["unet3d"]])
def test_a_name_that_is_none_is_a_fault(tmp_path: Path, name: object) -> None:
    assert "'network.name'" in faults(tmp_path, {"name": name})


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"preset": "huge"}, "'network.preset': expected 'wide' or"),
        ({"widths": [0]}, "'network.widths.0'"),
        ({"residual_layers": [1]}, "'network.residual_layers.0'"),
        ({"fc_residual_layers": [4]}, "'network.fc_residual_layers'"),
        ({"dropout": [1.0]}, "'network.dropout.0'"),
        ({"dropout": [float("nan")]}, "'network.dropout.0'"),
        ({"dropout": [0.1] * 12}, "'network.dropout'"),
        ({"seed": 3}, "'network.seed'"),
    ],
)
def test_sizes_are_checked(tmp_path: Path, section: dict, words: str) -> None:
    assert words in faults(tmp_path, {"name": "deepmedic", **section})


def test_faults_of_the_network_stand_beside_all_others(tmp_path: Path) -> None:
    section = {"filter": [2, 4], "blocks_per_level": 0}
    text = faults(tmp_path, section, "fit.epochs=x", "seed=-1")
    for field in ("network.filter", "network.blocks_per_level", "fit.epochs",
                  "seed"):  # fmt: skip
        assert f"'{field}'" in text
    assert len(text.splitlines()) == 4


def test_a_section_is_a_mapping(tmp_path: Path) -> None:
    assert "'network': expected a valid dict" in faults(tmp_path, "x")


def test_code_from_outside_waits_for_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside_section.py").write_text(
        "def build(num_labels, width: int = 2): ..."
    )
    monkeypatch.syspath_prepend(tmp_path)
    section = {"name": "outside_section:build"}
    path = tmp_path / "c.yaml"

    unread = loaded(tmp_path, section | {"width": "?"})
    assert unread.network.sizes == {"width": "?"}
    with pytest.raises(InputError, match="--trust_code") as caught:
        load_experiment(path, trust_code=False)
    assert "outside_section" in str(caught.value)
    assert "outside_section" not in sys.modules
    with pytest.raises(InputError, match=r"network\.width"):
        load_experiment(path, trust_code=True)
    read = load_experiment(path, ["network.width=3"], trust_code=True)
    assert (read.network.sizes, read.network.trust_code) == ({"width": 3}, True)
    with pytest.raises(InputError, match="--trust_code"):
        network_of(loaded(tmp_path, section), "student")
