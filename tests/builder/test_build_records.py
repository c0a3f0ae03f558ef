"""build_records: round trip, size, resume, idempotence, faults."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tiny_records import (
    SHAPE,
    SPLITS,
    tiny_experiment,
    tiny_scan,
    write_databases,
    write_nifti,
)

from tfpartial.config import Experiment
from tfpartial.errors import InputError
from tfpartial.files.folder_lock import folder_lock, waiting_lock
from tfpartial.records.store import RecordStore
from tfrecords_builder.build import build_records
from tfrecords_builder.build_plan import make_plans, scan_jobs
from tfrecords_builder.scan_cache import preprocess_scan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_databases(tmp_path)
    return tmp_path


@pytest.fixture
def experiment(folder: Path) -> Experiment:
    return tiny_experiment(folder, folder / "records")


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder, but the log, which holds times."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "build.log"
    }


def preprocessed(records_dir: Path) -> Counter[str]:
    """Return how often each scan was preprocessed, from the log."""
    log = (records_dir / "build.log").read_text()
    return Counter(re.findall(r"preprocessed (\S+)", log))


def test_blocks_put_together_equal_what_preprocessing_gave(
    folder: Path,
) -> None:
    """Oblique, anisotropic, another spacing: still exactly the same arrays."""
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), 0]])
    affine = np.diag([2.5, 2.5, 4.0, 1.0])
    turn[1, 1] = np.cos(angle)
    affine[:2, :2] = turn @ affine[:2, :2]
    for name, array in zip(("ct", "labels"), tiny_scan(0), strict=True):
        path = folder / "full" / "f0" / f"{name}.nii.gz"
        write_nifti(path, array, affine)
    experiment = tiny_experiment(folder, folder / "records")
    plan = make_plans(experiment, ["full"])[0]
    jobs = scan_jobs(plan, experiment, folder / "expected")
    for job in jobs:
        assert preprocess_scan(job) == ()
    store = RecordStore(build_records(experiment), "full")
    for number, job in enumerate(jobs):
        image, labels = store.read_scan(number)
        with np.load(job.target) as expected:
            np.testing.assert_array_equal(image, expected["image"])
            np.testing.assert_array_equal(labels, expected["labels"])
            assert store.cases[number].mean == expected["mean"]
            np.testing.assert_array_equal(
                store.cases[number].affine, expected["affine"]
            )
    # The corners of the box around the oblique scan hold no information.
    image, labels = store.read_scan(0)
    assert labels[0, 0, 0] == store.ignore_value == 4
    assert image[0, 0, 0] == -1000


def test_a_second_build_changes_no_byte(
    experiment: Experiment, caplog: pytest.LogCaptureFixture
) -> None:
    records_dir = build_records(experiment)
    before, log = contents(records_dir), preprocessed(records_dir)
    with caplog.at_level("INFO"):
        build_records(experiment)
    assert "full: records up to date" in caplog.text
    assert contents(records_dir) == before
    assert preprocessed(records_dir) == log
    assert not (records_dir / ".work").exists()


def test_equal_inputs_give_equal_bytes(folder: Path) -> None:
    one = build_records(tiny_experiment(folder, folder / "one"))
    two = build_records(tiny_experiment(folder, folder / "two"))
    assert contents(one) == contents(two)


def test_a_changed_scan_rebuilds_its_database_only(
    experiment: Experiment, folder: Path
) -> None:
    records_dir = build_records(experiment)
    hu, _ = tiny_scan(99)
    affine = nib.load(folder / "part" / "p1" / "ct.nii.gz").affine
    write_nifti(folder / "part" / "p1" / "ct.nii.gz", hu, affine)
    build_records(experiment)
    assert set(preprocessed(records_dir).values()) == {1, 2}
    assert preprocessed(records_dir)["full/f0"] == 1
    image, _ = RecordStore(records_dir, "part").read_scan(1)
    np.testing.assert_array_equal(image, hu)


def test_changed_declaration_rebuilds_its_database_only(
    experiment: Experiment, folder: Path
) -> None:
    records_dir = build_records(experiment)
    full, part = experiment.databases
    values = {"bone": "bone", "sides": "left"}
    changed = tiny_experiment(
        folder,
        records_dir,
        databases=[full, part.model_copy(update={"values": values})],
    )
    build_records(changed)
    assert preprocessed(records_dir)["full/f0"] == 1
    assert preprocessed(records_dir)["part/p0"] == 2
    assert not RecordStore(records_dir, "part").cases[0].annotated[3]


def test_another_priority_of_masks_rebuilds(
    experiment: Experiment, folder: Path
) -> None:
    """The same mapping in another order labels overlaps otherwise."""
    records_dir = build_records(experiment)
    full, part = experiment.databases
    values = dict(reversed(part.values.items()))
    assert values == part.values
    changed = [full, part.model_copy(update={"values": values})]
    build_records(tiny_experiment(folder, records_dir, databases=changed))
    assert preprocessed(records_dir)["full/f0"] == 1
    assert preprocessed(records_dir)["part/p0"] == 2


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("preprocess", {"body_threshold_hu": -300.0}),
        ("preprocess", {"hu_window": (-150.0, 150.0)}),
        ("build", {"block_shape": (16, 8, 8)}),
    ],
)
def test_changed_settings_rebuild(
    experiment: Experiment, folder: Path, section: str, change: dict
) -> None:
    records_dir = build_records(experiment)
    build_records(tiny_experiment(folder, records_dir, **{section: change}))
    assert set(preprocessed(records_dir).values()) == {2}
    store = RecordStore(records_dir, "full")
    expected = {
        "body_threshold_hu": store.body_threshold_hu,
        "hu_window": store.hu_window,
        "block_shape": store.block_shape,
    }
    for name, value in change.items():
        assert expected[name] == value


def test_only_builds_what_it_names(
    experiment: Experiment, folder: Path
) -> None:
    records_dir = build_records(experiment, only=["part"])
    assert not (records_dir / "full").exists()
    assert RecordStore(records_dir, "part").num_records > 0
    with pytest.raises(InputError, match="'ful'.*Did you mean 'full'"):
        build_records(experiment, only=["ful"])


def test_damaged_records_are_built_again(experiment: Experiment) -> None:
    records_dir = build_records(experiment)
    shard = next((records_dir / "full").glob("*/*train.tfrecord*"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100])
    build_records(experiment)
    assert shard.read_bytes() == whole
    assert preprocessed(records_dir)["part/p0"] == 1


def test_manifest_says_what_is_in_the_records(experiment: Experiment) -> None:
    records_dir = build_records(experiment)
    manifest = json.loads((records_dir / "manifest.json").read_text())
    full = manifest["databases"]["full"]
    hu, labels = zip(*(tiny_scan(n) for n in range(4)), strict=True)
    bone = np.concatenate([h[m == 1] for h, m in zip(hu, labels, strict=True)])
    row = full["statistics"][1]
    assert row["label"] == "bone"
    assert row["cases"] == 4
    assert row["voxels"] == bone.size
    assert row["volume_ml"] == pytest.approx(bone.size * 27 / 1000)
    assert row["hu_mean"] == pytest.approx(bone.mean(), abs=0.01)
    assert row["hu_sd"] == pytest.approx(bone.std(), abs=0.01)
    quantile = np.quantile(bone, 0.05, method="inverted_cdf")
    assert row["hu_quantiles"]["0.05"] == quantile
    part = manifest["databases"]["part"]
    assert part["statistics"][2]["label"] == "left + right"
    assert full["statistics"][0]["label"] == "background"
    assert {"tfpartial", "tensorflow-datasets", "numpy", "SimpleITK"} <= set(
        full["versions"]
    )
    page = (records_dir / "manifest.md").read_text()
    assert "| full | bone, left, right | 2 | 1 | 1 |" in page
    assert "| p2 | train | 21 x 18 x 13 |" in page


def test_records_are_at_most_three_times_the_scans(folder: Path) -> None:
    """On scans of a size where the files around the shards do not matter."""
    rng = np.random.default_rng(0)
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    for case in ("f0", "f1", "f2", "f3"):
        hu = np.full((80, 70, 60), -1000, np.int16)
        hu[10:70, 10:60] = rng.normal(40, 15, (60, 50, 60))
        labels = np.zeros(hu.shape, np.uint8)
        labels[20:40, 20:40, 20:40] = 1
        labels[42:50, 20:40, 20:40] = 2
        labels[52:60, 20:40, 20:40] = 3
        home = folder / "full" / case
        write_nifti(home / "ct.nii.gz", hu, affine)
        write_nifti(home / "labels.nii.gz", labels, affine)
    build = {"block_shape": (32, 32, 32)}
    experiment = tiny_experiment(folder, folder / "records", build=build)
    records_dir = build_records(experiment, only=["full"])
    manifest = json.loads((records_dir / "manifest.json").read_text())
    full = manifest["databases"]["full"]
    found = full["bytes_on_disk"] / full["compressed_scan_bytes"]
    assert 0.9 < found <= 1.5, "documented bound is 3"


def test_the_same_scan_in_two_splits_is_refused(
    experiment: Experiment, folder: Path
) -> None:
    """Flipped on disk and under another name, it is still the same scan."""
    path = folder / "full" / "f3" / "ct.nii.gz"  # test
    image = nib.load(path)
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    flip[0, 3] = SHAPE[0] - 1
    copy = folder / "part" / "p1" / "ct.nii.gz"  # train
    array = np.asarray(image.dataobj)[::-1]
    affine = image.affine @ flip
    write_nifti(copy, array, affine)
    for mask in (folder / "part" / "p1" / "segmentations").glob("*"):
        values = np.asarray(nib.load(mask).dataobj)[::-1]
        write_nifti(mask, values, affine)
    with pytest.raises(InputError) as error:
        build_records(experiment)
    message = str(error.value)
    assert "full/f3 (test)" in message
    assert "part/p1 (train)" in message
    assert "different splits" in message
    assert not (folder / "records" / "full").exists()


def test_the_same_scan_in_one_split_is_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ct.nii.gz", "labels.nii.gz"):
        content = (folder / "full" / "f0" / name).read_bytes()
        (folder / "full" / "f1" / name).write_bytes(content)
    experiment = tiny_experiment(folder, folder / "records")
    records_dir = build_records(experiment)
    manifest = json.loads((records_dir / "manifest.json").read_text())
    assert len(manifest["warnings"]) == 1
    assert "twice in one split" in manifest["warnings"][0]
    assert "twice in one split" in caplog.text
    assert "twice in one split" in (records_dir / "manifest.md").read_text()


def test_annotations_beside_their_scan_are_told_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for case, shift in (("f0", 0.05), ("f2", 0.2)):
        path = folder / "full" / case / "labels.nii.gz"
        labels = nib.load(path)
        affine = labels.affine.copy()
        affine[0, 3] += shift
        write_nifti(path, np.asarray(labels.dataobj), affine)
    experiment = tiny_experiment(folder, folder / "records")
    records_dir = build_records(experiment)
    manifest = json.loads((records_dir / "manifest.json").read_text())
    (warning,) = manifest["warnings"]
    assert "'full': 2 of 4" in warning
    assert "0.2 mm" in warning
    assert "f0, f2" in warning
    assert warning in caplog.text


def test_foreign_folder_is_refused_and_untouched(folder: Path) -> None:
    records_dir = folder / "records"
    records_dir.mkdir()
    (records_dir / "thesis.txt").write_text("the only copy")
    with pytest.raises(InputError, match="found thesis.txt"):
        build_records(tiny_experiment(folder, records_dir))
    assert [path.name for path in records_dir.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label_names": ["background", "liver"]}, "label_names.*'liver'"),
        ({"schema_version": 2}, "schema_version 1, found 2"),
        ({"format": "novels"}, "format.*found 'novels'"),
        ({"label_names": 3}, "label_names.*found 3"),
        ({"content": "pseudo-labelled"}, "content.*found 'pseudo-labelled'"),
    ],
)
def test_records_of_another_project_are_refused(
    experiment: Experiment, change: dict, words: str
) -> None:
    marker = Path(experiment.records_dir) / "project.json"
    marker.parent.mkdir()
    project = {
        "format": "tfpartial records",
        "schema_version": 1,
        "label_names": ["background", "bone", "left", "right"],
        "content": "built",
    }
    marker.write_text(json.dumps(project | change))
    with pytest.raises(InputError, match=words):
        build_records(experiment)


def test_faults_of_all_scans_are_shown_together(
    experiment: Experiment, folder: Path
) -> None:
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    _, labels = tiny_scan(0)
    labels[0, 0, 0] = 77
    write_nifti(folder / "full" / "f0" / "labels.nii.gz", labels, affine)
    air = np.full(SHAPE, -1000, np.int16)
    write_nifti(folder / "part" / "p2" / "ct.nii.gz", air, affine)
    with pytest.raises(InputError) as error:
        build_records(experiment)
    text = "\n".join(error.value.faults)
    assert "77" in text
    assert "p2" in text
    # Correcting the faults does not repeat the good scans.
    write_databases(folder)
    records_dir = build_records(experiment)
    assert set(preprocessed(records_dir).values()) == {1}


def test_declared_label_that_no_case_contains_is_refused(
    experiment: Experiment, folder: Path
) -> None:
    for path in (folder / "full").glob("*/labels.nii.gz"):
        image = nib.load(path)
        labels = np.asarray(image.dataobj).copy()
        labels[labels == 3] = 0
        write_nifti(path, labels, image.affine)
    with pytest.raises(InputError, match="'right'.*found none in any case"):
        build_records(experiment)


def test_workers_and_input_faults_need_no_tensorflow() -> None:
    """The processes import `scans`; `build` imports TFDS when it writes."""
    program = (
        "import sys, tfrecords_builder.scan_cache, tfrecords_builder.build; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    run = [sys.executable, "-c", program]
    assert subprocess.run(run, env=environment).returncode == 0


def test_two_builds_at_once_come_to_the_same(experiment: Experiment) -> None:
    """As the trainings of a table do, which begin together."""
    done, failed = [], []

    def build() -> None:
        try:
            done.append(build_records(experiment))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failed
    assert done[0] == done[1]
    text = (done[0] / "build.log").read_text("utf-8")
    for name in ("full", "part"):
        assert text.count(f"wrote {name}:") == 1, text


def test_a_build_that_waited_is_refused_what_became_of_another(
    experiment: Experiment, tmp_path: Path
) -> None:
    """The folder was nobody's when it began to wait."""
    records_dir = Path(experiment.records_dir)
    records_dir.mkdir()
    other = Experiment.model_validate(
        experiment.model_dump() | {"records_dir": str(tmp_path / "other")}
    )
    project = (build_records(other) / "project.json").read_text("utf-8")
    refused = []

    def build() -> None:
        with pytest.raises(InputError, match="another project") as error:
            build_records(experiment)
        refused.append(error)

    with waiting_lock(
        records_dir / ".build.lock", records_dir, "another build"
    ):
        thread = threading.Thread(target=build)
        thread.start()
        thread.join(0.5)
        foreign = project.replace('"bone"', '"colon"')
        (records_dir / "project.json").write_text(foreign, "utf-8")
    thread.join(120)
    assert len(refused) == 1


def test_a_folder_that_a_table_or_a_run_holds_is_built_in(
    experiment: Experiment,
) -> None:
    """`table` builds in its output_dir while it holds that folder."""
    records_dir = Path(experiment.records_dir)
    build_records(experiment)
    with folder_lock(records_dir, "another table"):
        build_records(experiment)
    assert not (records_dir / ".work").exists()


NUM_EXTRA = 24
BUILD = """
import sys
from pathlib import Path
from tiny_records import tiny_experiment
from tfrecords_builder.build import build_records
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    build_records(
        tiny_experiment(folder, folder / "records", build={"workers": 2})
    )
"""


def start_build(folder: Path) -> subprocess.Popen[bytes]:
    script = folder / "build.py"
    script.write_text(BUILD)
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join([str(tests), str(tests.parent)])
    return subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        env=os.environ | {"PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stderr=subprocess.DEVNULL,
    )


def wait_for(process: subprocess.Popen[bytes], condition) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert process.poll() is None, "the build ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def child_processes(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["preprocess", "write"])
def test_killed_build_goes_on_where_it_stopped(
    folder: Path, phase: str
) -> None:
    """SIGKILL while scans are preprocessed, and while shards are written."""
    for number in range(NUM_EXTRA):
        hu, labels = tiny_scan(100 + number)
        home = folder / "full" / f"x{number:02d}"
        affine = np.diag([3.0, 3.0, 3.0, 1.0])
        write_nifti(home / "ct.nii.gz", hu, affine)
        write_nifti(home / "labels.nii.gz", labels, affine)
    splits = dict(SPLITS)
    extra = [f"x{number:02d}" for number in range(NUM_EXTRA)]
    splits["full"] = SPLITS["full"] | {"train": ["f0", "f1", *extra]}
    (folder / "splits.json").write_text(json.dumps(splits))
    records_dir = folder / "records"

    def finished() -> set[Path]:
        return set(records_dir.glob(".work/*/*.npz"))

    process = start_build(folder)
    if phase == "preprocess":
        wait_for(process, lambda: len(finished()) >= 3)
    else:
        wait_for(
            process,
            lambda: any(records_dir.glob(".work/full.records/*")),
        )
    workers = child_processes(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}/exe").exists() for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)
    before = {path: path.stat().st_mtime_ns for path in finished()}
    total = 4 + NUM_EXTRA + 3
    if phase == "preprocess":
        assert 3 <= len(before) < total
    else:
        assert len(before) == total
    assert not (records_dir / "full" / "1.0.0").exists()
    once = preprocessed(records_dir)

    assert start_build(folder).wait() == 0
    twice = preprocessed(records_dir) - once
    done = {f"{p.parent.name}/{p.name.split('-')[0]}" for p in before}
    assert not done & set(twice), "a finished scan was preprocessed again"
    assert len(set(twice) | done) == total
    assert not (records_dir / ".work").exists()
    fresh = tiny_experiment(folder, folder / "fresh")
    assert contents(build_records(fresh)) == contents(records_dir)


def test_killed_while_it_claims_its_folder(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither half a project.json nor its draft stops the next call."""
    folder = Path(experiment.records_dir)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            build_records(experiment)
    lock, draft = sorted(path.name for path in folder.iterdir())
    assert lock == ".build.lock"
    assert draft.startswith(".project.json.")
    build_records(experiment)
    assert (folder / "manifest.json").is_file()


def without_bone(folder: Path, database: str, *cases: str) -> None:
    for case in cases:
        home = folder / database / case
        for path in home.rglob("labels.nii.gz"):
            labels = nib.load(path)
            array = np.asarray(labels.dataobj).copy()
            write_nifti(path, array * np.uint8(1) * (array != 1), labels.affine)
        for path in home.rglob("bone.nii.gz"):
            path.unlink()


@pytest.mark.parametrize("policy", ["error", "warn"])
def test_a_label_that_no_training_case_contains(
    folder: Path, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    without_bone(folder, "full", "f0", "f1")
    without_bone(folder, "part", "p0", "p1", "p2")
    splits = {
        "file": str(folder / "splits.json"),
        "untrained_labels": policy,
    }
    experiment = tiny_experiment(
        folder, folder / "records", build={"splits": splits}
    )
    full, part = experiment.databases
    part = part.model_copy(update={"values": {"sides": ["left", "right"]}})
    experiment = experiment.model_copy(update={"databases": [full, part]})
    if policy == "warn":
        build_records(experiment)
        assert "'bone'" in caplog.text
        assert "full/f2, full/f3" in caplog.text
        return
    with pytest.raises(InputError) as caught:
        build_records(experiment)
    (fault,) = caught.value.faults
    assert "label 'bone'" in fault
    assert "full/f2, full/f3" in fault
    assert "untrained_labels: warn" in fault


def test_a_label_that_no_test_case_contains_is_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    without_bone(folder, "full", "f3")
    build_records(tiny_experiment(folder, folder / "records"))
    assert "label 'bone': no test case contains it" in caplog.text
