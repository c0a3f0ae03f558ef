"""Disk full, read-only, out of memory: one message, nothing lost, and on.

Every case runs the command that a user would, where the machine refuses
something (a limit has a process of its own); then the same command where it
does not.
"""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import pytest
from command_line import run_verb, verb
from shrunken import CONFIG, REPOSITORY, overrides, script

pytestmark = pytest.mark.slow
GIGABYTE = 2**30
# More voxels than fit: of a scan, of a patch, of a window.
TOO_MUCH = {
    "build": ["build.workers=1"],
    "fit": ["fit.patch_shape=[512, 512, 512]", "network.filters=[64, 64]"],
    "export": ["predict.window_shape=[1024, 1024, 1024]"],
}  # fmt: skip


def refused(
    name: str,
    *arguments: object,
    limits: dict[int, int] | None = None,
    expect: int = 3,
) -> str:
    """Run a verb, in a process under limits; return its one message."""

    def limit() -> None:
        for what, value in (limits or {}).items():
            resource.setrlimit(what, (value, value))

    if limits:
        done = subprocess.run(
            [sys.executable, "-m", "tfpartial.cli.main", name,
             *map(str, arguments)],
            capture_output=True, encoding="utf-8", check=False, cwd=REPOSITORY,
            preexec_fn=limit, timeout=600,
        )  # fmt: skip
        code, out, err = done.returncode, done.stdout, done.stderr
    else:
        code, out, err = run_verb(name, *arguments)
    assert code == expect, (out + err)[-3000:]
    assert "Traceback" not in out + err, (out + err)[-3000:]
    (message,) = [line for line in err.splitlines()
                  if line.startswith("error: ")]  # fmt: skip
    return message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of its own, or skip where one may not be mounted."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        already = os.path.ismount(place)
        options = f"remount,{options}" if already else options
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        return place

    yield mount
    if os.path.ismount(place):
        subprocess.run(["umount", str(place)], check=True)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def fit_arguments(workspace: Path, run_dir: Path) -> list[object]:
    return ["--config", CONFIG, "--strategy", "mirrored",
            "--run_dir", run_dir, *overrides(workspace)]  # fmt: skip


def same_weights(one: Path, other: Path) -> bool:
    names = ("student.weights.h5", "teacher.weights.h5")
    return all((one / n).read_bytes() == (other / n).read_bytes()
               for n in names)  # fmt: skip


def test_fit_on_a_full_disk(
    workspace: Path, finished_run: Path, small_disk
) -> None:
    """The checkpoints before stay; with more space the same bits come out."""
    run_dir = small_disk("size=560k") / "run"
    arguments = fit_arguments(workspace, run_dir)
    message = refused("fit", *arguments)
    assert str(run_dir) in message
    assert "expected space to write, found none" in message
    assert "the same command goes on" in message
    saved = [*(run_dir / "checkpoints").glob("epoch-*")]
    assert 0 < len(saved) < 3
    assert not [*run_dir.rglob("*tmp*")]
    small_disk("size=20m")
    assert "resuming after step" in script("fit", *arguments)
    assert same_weights(run_dir, finished_run)


def test_fit_under_a_limit_of_the_file_size(
    workspace: Path, finished_run: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    arguments = fit_arguments(workspace, run_dir)
    message = refused("fit", *arguments,
                      limits={resource.RLIMIT_FSIZE: 60_000})  # fmt: skip
    assert "expected space to write" in message
    assert not [*run_dir.rglob("*tmp*")]
    script("fit", *arguments)
    assert same_weights(run_dir, finished_run)


def test_build_on_a_full_disk(workspace: Path, tmp_path: Path) -> None:
    """The records before stay, byte for byte."""
    records = tmp_path / "records"
    shutil.copytree(workspace / "records", records)
    before = files_below(records)
    changed = ["--config", CONFIG, "--records_dir", records,
               *overrides(workspace),
               "preprocess.spacing_mm=[12, 12, 12]"]  # fmt: skip
    message = refused("build", *changed,
                      limits={resource.RLIMIT_FSIZE: 20_000})  # fmt: skip
    assert "expected space to write" in message
    after = files_below(records)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if "tmp" in name]
    verb("build", *changed)
    assert files_below(records) != before


def test_export_on_a_full_disk(
    workspace: Path, finished_run: Path, tmp_path: Path
) -> None:
    """The export before stays, and no half one beside it."""
    export = tmp_path / "export"
    arguments = ["--run_dir", finished_run, "--export_dir", export]
    verb("export", *arguments)
    before = files_below(export)
    message = refused("export", *arguments,
                      limits={resource.RLIMIT_FSIZE: 50_000})  # fmt: skip
    assert "expected space to write" in message
    assert files_below(export) == before
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    verb("export", *arguments)


def arguments_of(
    name: str, workspace: Path, run: Path, out: Path
) -> tuple[list[object], list[object]]:
    """Return a command that writes into `out`, and what changes its output."""
    config = ["--config", CONFIG, *overrides(workspace)]
    of_run = ["--run_dir", run, "--split", "test"]
    predictions = workspace / "predictions_of_machine"
    return {
        "predict": ([*of_run, "--predictions_dir", out],
                    ["predict.network=student"]),
        "pseudo-label": ([*config, "--run_dir", run,
                          "--target_records_dir", out],
                         ["predict.network=student"]),
        "evaluate": ([*of_run, "--predictions_dir", predictions,
                      "--out_dir", out],
                     ["evaluate.tolerance_mm=9"]),
        "audit": ([*config, "--out_dir", out],
                  ["--databases", "phantom_prone"]),
    }[name]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "most_bytes"),
    [("predict", 700), ("pseudo-label", 20_000), ("evaluate", 300),
     ("audit", 3_000)],
)  # fmt: skip
def test_using_a_run_on_a_full_disk(
    workspace: Path,
    finished_run: Path,
    tmp_path: Path,
    name: str,
    most_bytes: int,
) -> None:
    """Earlier results stay, nothing half-written does, and on it goes."""
    if name == "evaluate":
        verb("predict", "--run_dir", finished_run, "--split", "test",
               "--predictions_dir",
               workspace / "predictions_of_machine")  # fmt: skip
    out = tmp_path / "out"
    arguments, change = arguments_of(name, workspace, finished_run, out)
    verb(name, *arguments)
    before = files_below(out)
    message = refused(name, *arguments, *change,
                      limits={resource.RLIMIT_FSIZE: most_bytes})  # fmt: skip
    assert "expected space to write" in message
    assert str(out) in message
    after = files_below(out)
    before.pop("build.log", None)  # a line per scan
    assert {key: after[key] for key in before} == before
    assert not [key for key in after if "tmp" in key]
    verb(name, *arguments, *change)
    assert files_below(out) != after


@pytest.mark.parametrize("name", ["build", "fit", "export",
                                  "predict"])  # fmt: skip
def test_a_read_only_folder_is_bad_input(
    workspace: Path, finished_run: Path, small_disk, name: str
) -> None:
    place = small_disk("size=1m")
    small_disk("ro")
    out = place / "out"
    arguments = {
        "build": ["--config", CONFIG, *overrides(workspace),
                            "--records_dir", out],
        "fit": fit_arguments(workspace, out),
        "export": ["--run_dir", finished_run, "--export_dir", out],
        "predict": ["--run_dir", finished_run, "--split", "test",
                    "--predictions_dir", out],
    }[name]  # fmt: skip
    message = refused(name, *arguments, expect=2)
    assert str(place) in message
    assert "expected a place that can be written to" in message
    assert "Read-only file system" in message


def with_a_large_scan(phantom: Path, copy: Path) -> None:
    """Copy the scans; one becomes 5e8 voxels of nothing, a valid scan."""
    shutil.copytree(phantom, copy)
    side = 794
    for name in ("ct.nii.gz", "labels.nii.gz"):
        path = copy / "supine" / "supine_01" / name
        with gzip.open(path) as file:
            header = nibabel.Nifti1Header.from_fileobj(file)
        header.set_data_shape((side, side, side))
        header["vox_offset"] = 352
        plane = bytes(header.get_data_dtype().itemsize * side * side)
        with gzip.open(path, "wb", compresslevel=6) as file:
            file.write(header.binaryblock + bytes(4))  # no extensions
            for _ in range(side):
                file.write(plane)


@pytest.mark.parametrize(
    ("name", "gigabytes"), [("build", 2), ("fit", 6), ("export", 6)]
)
def test_out_of_memory(
    workspace: Path,
    finished_run: Path,
    tmp_path: Path,
    name: str,
    gigabytes: int,
) -> None:
    """What cannot be allocated is said, with what to lower."""
    arguments = {
        "build": ["--config", CONFIG, *overrides(workspace),
                            "--records_dir", tmp_path / "out",
                            f"phantom.path={tmp_path / 'phantom'}"],
        "fit": fit_arguments(workspace, tmp_path / "out"),
        "export": ["--run_dir", finished_run,
                   "--export_dir", tmp_path / "out"],
    }[name]  # fmt: skip
    if name == "build":
        with_a_large_scan(workspace / "phantom", tmp_path / "phantom")
    message = refused(
        name, *arguments, *TOO_MUCH[name],
        limits={resource.RLIMIT_AS: gigabytes * GIGABYTE},
    )  # fmt: skip
    assert message.startswith("error: out of memory while")
    assert "or lower" in message
    assert not [*tmp_path.glob("**/student.weights.h5")]
    if name != "export":  # another spacing and patch are other outputs
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    verb(name, *arguments)
