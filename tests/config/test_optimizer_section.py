"""`fit.optimizer`: chosen by name, with fields of its own, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfpartial.config import Experiment, load_experiment, write_resolved
from tfpartial.config.optimizer import AdamW, NesterovRMSprop
from tfpartial.errors import InputError

TEXT = """\
label_space: [{name: liver}]
databases:
  - {name: clinic, layout: label_map_folder, path: scans,
     values: {1: liver}, licence: none, citation: none}
records_dir: records
run_dir: run
"""
HALVED = ("fit.optimizer.schedule=halvings",
          "fit.optimizer.halve_at_epochs=[2, 4]")  # fmt: skip
NESTEROV = "fit.optimizer.name=nesterov_rmsprop"


def _load(folder: Path, *overrides: str) -> Experiment:
    path = folder / "c.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return load_experiment(path, overrides)


def _faults(folder: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        _load(folder, *overrides)
    return str(caught.value)


def test_adamw_needs_no_name(tmp_path: Path) -> None:
    assert _load(tmp_path).fit.optimizer == AdamW()
    changed = _load(tmp_path, "fit.optimizer.learning_rate=0.5")
    assert changed.fit.optimizer == AdamW(learning_rate=0.5)


def test_nesterov_has_the_numbers_of_deepmedic(tmp_path: Path) -> None:
    found = _load(tmp_path, NESTEROV, "fit.optimizer.momentum=0.5")
    assert found.fit.optimizer == NesterovRMSprop(
        name="nesterov_rmsprop", rho=0.9, momentum=0.5, epsilon=1e-4
    )


@pytest.mark.parametrize("name", ["adamw", "nesterov_rmsprop"])
def test_resolved_section_loads_to_the_same(tmp_path: Path, name: str) -> None:
    before = _load(tmp_path, f"fit.optimizer.name={name}", *HALVED)
    write_resolved(before, tmp_path / "resolved.yaml")
    assert load_experiment(tmp_path / "resolved.yaml") == before


def test_a_field_of_the_other_optimizer_is_refused(tmp_path: Path) -> None:
    text = _faults(tmp_path, NESTEROV, "fit.optimizer.weight_decay=0.1")
    assert (
        "unknown key 'fit.optimizer.weight_decay': nesterov_rmsprop has none, "
        "it belongs to adamw. Known here: learning_rate, " in text
    )
    text = _faults(tmp_path, "fit.optimizer.rho=0.5")
    assert "'fit.optimizer.rho': adamw has none, it belongs to nest" in text
    # What nobody has is a slip.
    text = _faults(tmp_path, NESTEROV, "fit.optimizer.momentun=0.5")
    assert "'fit.optimizer.momentun'. Did you mean 'momentum'?" in text


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["fit.optimizer.name=sgd"],
         "'fit.optimizer': expected the name adamw or nesterov_rmsprop"),
        ([NESTEROV, "fit.optimizer.rho=1.0"], "'fit.optimizer.rho': "),
        ([NESTEROV, "fit.optimizer.epsilon=0"], "'fit.optimizer.epsilon': "),
        ([HALVED[0]], "halve_at_epochs: expected epochs with schedule halv"),
        ([HALVED[1]], r"none with any other, found \[2, 4\] with cosine"),
        ([HALVED[0], "fit.optimizer.halve_at_epochs=[4, 4]"],
         r"expected rising epochs, found \[4, 4\]"),
        ([HALVED[0], "fit.optimizer.halve_at_epochs=[0, 4]"],
         "'fit.optimizer.halve_at_epochs.0': "),
        (["fit.l1=-1"], "'fit.l1': "),
        (["fit.l2=.nan"], "'fit.l2': "),
    ],
)  # fmt: skip
def test_faults_are_named_as_in_the_yaml(
    tmp_path: Path, overrides: list[str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        _load(tmp_path, *overrides)
