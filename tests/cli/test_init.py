"""`tfpartial init`: a set that builds and trains once its paths are edited."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfpartial.cli.main import main
from tfpartial.config.experiment import Phantom
from tfpartial.config.shipped import STARTING_SET
from tfpartial.phantom import make_phantom

FILES = {"clinic_a.yaml", "clinic_b.yaml", "experiment.yaml",
         "label_space.yaml"}  # fmt: skip


def test_copies_every_file_once_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "new" / "study"
    assert main(["init", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == FILES
    (folder / "clinic_a.yaml").write_text("mine")
    (folder / "clinic_b.yaml").unlink()
    capsys.readouterr()
    assert main(["init", str(folder)]) == 2
    printed = capsys.readouterr().err
    assert str(folder / "clinic_a.yaml") in printed
    assert str(folder / "clinic_b.yaml") not in printed
    assert (folder / "clinic_a.yaml").read_text() == "mine"
    assert not (folder / "clinic_b.yaml").exists()


def test_a_file_is_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert main(["init", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_every_paragraph_is_explained() -> None:
    for path in STARTING_SET.iterdir():
        for paragraph in path.read_text(encoding="utf-8").split("\n\n"):
            assert "#" in paragraph, f"{path.name}: {paragraph}"


@pytest.mark.slow
def test_builds_and_trains_after_the_paths_are_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = tmp_path / "scans"
    shape, spacing = (48, 40, 32), (8.0, 8.0, 8.0)
    make_phantom(
        Phantom(supine_cases=4, prone_cases=3, shape=shape,
                spacing_mm=spacing),
        scans,
    )  # fmt: skip
    folder = tmp_path / "study"
    assert main(["init", str(folder)]) == 0
    for name, place in (("clinic_a", "supine"), ("clinic_b", "prone")):
        path = folder / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        edited = text.replace(f"/path/to/{name}", str(scans / place))
        assert edited != text
        path.write_text(edited, encoding="utf-8")
    monkeypatch.chdir(folder)
    small = ["preprocess.spacing_mm=[10, 10, 10]", "build.workers=1"]
    assert main(["build", "--config", "experiment.yaml", *small]) == 0
    assert main(
        ["fit", "--config", "experiment.yaml", "--strategy", "none", *small,
         "fit.epochs=1", "fit.steps_per_epoch=1", "network.filters=[4, 8]",
         "fit.patch_shape=[16, 16, 16]"]
    ) == 0  # fmt: skip
    assert (folder / "runs" / "first" / "student.weights.h5").is_file()
