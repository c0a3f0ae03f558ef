"""What a comparison may say, and what it cannot mean."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tfpartial.comparison.load import load_comparison
from tfpartial.comparison.plan import plan_runs
from tfpartial.comparison.run.commands import commands_of
from tfpartial.config import load_experiment
from tfpartial.config.training_identity import deciding_fields
from tfpartial.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"
PHANTOM = CONFIGS / "paper" / "phantom.yaml"


def changed(tmp_path: Path, **fields: Any) -> Path:
    content = yaml.safe_load(PHANTOM.read_text(encoding="utf-8"))
    content["experiment"] = str(CONFIGS / "phantom.yaml")
    content["systems"] = [
        str(path) for path in sorted((CONFIGS / "systems").glob("*.yaml"))
    ]
    path = tmp_path / "comparison.yaml"
    path.write_text(yaml.safe_dump(content | fields), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"seeds": [0, 0]}, "each seed once"),
        ({"tables": {"a/b": ["SL1"]}}, "'a/b' names files"),
        ({"tables": {"a": []}}, "one or more systems"),
        ({"tables": {"a": ["SL1", "SL1"]}}, "each once"),
        ({"tables": {"a": ["SL2"]}}, "'SL2' is not declared"),
        ({"baseline": "SL"}, "'SL' is not declared"),
        ({"partial": ["phantom_pron"]}, "Did you mean 'phantom_prone'"),
        ({"full": ["phantom_prone"], "partial": []},
         "does not annotate bones, femoral_head_left, femoral_head_right"),
        ({"exclude": {"supine_13": "bone"}}, "Did you mean 'bones'"),
        ({"dropout": {"all_but_first_two": [0.1] * 7}},
         "expected 5 rates, one for each hidden stage of 'unet3d'"),
        ({"dropout": {"last_two": [0.1], "all_but_first_two": [0.1] * 5}},
         "last_two"),
        ({"systems": [{"name": "T", "databases": "all", "network":
                       "teacher"}]}, "teacher needs consistency"),
        ({"systems": [{"name": "P", "databases": "full",
                       "pseudo_labels_of": "P"}]}, "needs databases: all"),
        ({"overrides": ["fit.epoch=3"]}, "Did you mean 'epochs'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, fields: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_comparison(changed(tmp_path, **fields))
    assert expected in "\n".join(caught.value.faults)


def one_system(*overrides: str, **fields: str) -> dict[str, Any]:
    """Return the fields of a comparison of SL1 alone."""
    system = {"name": "SL1", "databases": "full", "overrides": [*overrides]}
    return {"systems": [system | fields], "tables": {"systems": ["SL1"]}}


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("fit.epoch=3", "'fit.epoch'"),
        ("fit.epochs=0", "found 0"),
        ("fit.epochs", "'fit.epochs'"),
        ("sampling.weights.phantom_side=1", "phantom_side"),
        *((f"{field}={value}", f"'{field}'") for field, value in (
            ("seed", "7"), ("run_dir", "x"), ("records_dir", "x"),
            ("preprocess.spacing_mm", "[9, 9, 9]"), ("build.workers", "9"),
            ("evaluate.tolerance_mm", "9"), ("fit.teacher", "true"),
            ("predict.network", "teacher"),
        )),
    ],
)  # fmt: skip
def test_what_a_system_cannot_override(
    tmp_path: Path, override: str, named: str
) -> None:
    """A misspelt field, a wrong value, and what the comparison decides."""
    path = changed(tmp_path, **one_system(override))
    with pytest.raises(InputError) as caught:
        load_comparison(path)
    (fault,) = caught.value.faults
    assert "system 'SL1'" in fault
    assert named.split(".")[0] in fault


def test_an_overridden_network_has_its_own_number_of_stages(
    tmp_path: Path,
) -> None:
    """Of 5 hidden stages 3 have the rates of all_but_first_two."""
    smaller = "network.filters=[4, 8, 8]"
    place = {"dropout": "all_but_first_two"}
    path = changed(tmp_path, **one_system(smaller, **place))
    with pytest.raises(InputError, match="SL1.*expected 3 rates.*found 5"):
        load_comparison(path)
    fields = one_system(smaller, "network.dropout=[0.1, 0.1]", **place)
    load_comparison(changed(tmp_path, **fields))


def test_code_of_a_systems_override_needs_trust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comparison may be somebody else's, and its runs are told to trust."""
    text = "def build(num_labels, dropout: list): ..."
    (tmp_path / "theirs_system.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    theirs = "network={name: theirs_system:build, dropout: [0.1, 0.1]}"
    path = changed(tmp_path, **one_system(theirs))
    with pytest.raises(InputError, match="--trust_code"):
        load_comparison(path)
    assert "theirs_system" not in sys.modules
    comparison, experiment = load_comparison(path, trust_code=True)
    (run,) = plan_runs(comparison, experiment)
    commands = dict(commands_of(run, comparison, path))
    assert "--trust_code" in commands["fit"]


def test_fields_of_a_system_can_be_overridden(tmp_path: Path) -> None:
    path = changed(tmp_path)
    comparison, experiment = load_comparison(
        path, ["systems.0.dropout=all_but_first_two", "experiment.seed=4",
               "split=validation"]
    )  # fmt: skip
    assert comparison.systems[0].dropout == "all_but_first_two"
    assert comparison.split == "validation"
    assert experiment.seed == 4


def test_what_decides_a_training() -> None:
    experiment = load_experiment(CONFIGS / "phantom.yaml")
    before = deciding_fields(experiment)
    free = ["predict.overlap=0.1", "evaluate.workers=5", "build.workers=1",
            "sampling.readers=9", "records_dir=x", "run_dir=y",
            "phantom.path=z"]  # fmt: skip
    same = load_experiment(CONFIGS / "phantom.yaml", free)
    assert deciding_fields(same) == before
    for field in ("seed=1", "fit.soft_dice=1.0", "sampling.label_share=0.1",
                  "fit.deterministic=false",
                  "databases.0.exclude=[supine_01]"):  # fmt: skip
        other = load_experiment(CONFIGS / "phantom.yaml", [field])
        assert deciding_fields(other) != before, field


def test_stages_of_the_networks() -> None:
    """A dropout rate for each: held against the networks themselves."""
    import os

    from tfpartial.models import HashDropout
    from tfpartial.runs.loaded_run import network_of

    os.environ.setdefault("TFPARTIAL_PELVIS", "/nowhere")
    for section in (
        "{name: unet3d, filters: [4, 8, 8]}",
        "{name: deepmedic, preset: small}",
        "{name: deepmedic, widths: [2, 3, 3], fc_widths: [4],"
        " residual_layers: [], fc_residual_layers: []}",
    ):
        declared = yaml.safe_load(section)
        experiment = load_experiment(
            CONFIGS / "phantom.yaml", [f"network={section}"]
        )
        stages = experiment.network.hidden_stages
        most = experiment.network.model_copy(update={"dropout": [0.5] * stages})
        full = experiment.model_copy(update={"network": most})
        network = network_of(full, "student")
        drops = [x for x in network.layers if isinstance(x, HashDropout)]
        assert len({layer.layer_id for layer in drops}) == len(drops)
        more = experiment.network.model_copy(
            update={"dropout": [0.5] * (stages + 1)}
        )
        with pytest.raises(InputError, match="at most"):
            network_of(
                experiment.model_copy(update={"network": more}), "student"
            )
        assert declared["name"] == experiment.network.name
