"""What a run says about itself: read by the next fit, and by pseudo-label."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from fuzz import record_faults
from fuzz.corpus import Fault, Mutate, Reader, flip_bits, replace_by_other
from fuzz.documents import WRONG, json_faults, parent_of, places
from fuzz.weights_faults import truncate_whole
from tfpartial.databases import ScanFile

MADE, NEXT = 2, {"epoch": 3, "loss": 0.25}
HISTORIES = ("metrics.json", "validation.json")
# Only people read these; the run carries them along.
FOR_PEOPLE = ("versions", "cores", "seed", "manifest_sha256")


def prepare(folder: Path) -> None:
    """Write a run of two epochs that an earlier call has gone on with."""
    from tfpartial.runs.history import History

    record_faults.prepare(folder)
    for _ in range(2):
        _claim(folder)
    for name in HISTORIES:
        for epoch in range(MADE):
            entry = {"epoch": epoch + 1, "loss": 1.5, "dice": {"liver": None}}
            History(folder / "run" / name).add(entry)
    (folder / "run" / "checkpoints" / f"epoch-{MADE:05}").mkdir(parents=True)


def _claim(folder: Path) -> dict[str, Any]:
    """Take the run directory like fit; return the records."""
    from tfpartial.runs.claim import claim_run_dir
    from tfpartial.training.fit import open_stores

    experiment = record_faults.experiment_of(folder)
    stores = open_stores(experiment)
    about = {"versions": {"keras": "3"}, "cores": 2}
    claim_run_dir(experiment, stores, folder / "run", about)
    return stores


def read(folder: Path) -> list[Any]:
    """Go on with the run; then ask which scans it was trained on."""
    from tfpartial.pseudo_labels.guard import trained_scans
    from tfpartial.runs.history import History
    from tfpartial.runs.loaded_run import load_run

    stores = _claim(folder)
    for name in HISTORIES:
        History(folder / "run" / name).add(NEXT)
    trained = trained_scans(load_run(folder / "run"), stores)
    written = [History(folder / "run" / name).entries[-1] for name in HISTORIES]
    return [[case.case for case in trained], written]


def _file(name: str) -> Callable[[Path], Path]:
    return lambda folder: folder / "run" / name


def _config(
    change: Callable[[Path, random.Random], None],
) -> Mutate:
    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        change(folder / "run" / "config.yaml", draw)
        return ("config.yaml", "run")

    return mutate


def _other_value(path: Path, draw: random.Random) -> None:
    """Let the run be of another experiment, or of none."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    place = draw.choice(places(document))
    parent_of(document, place)[place[-1]] = draw.choice(WRONG)
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


def _other_records(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Name other records than those that the run was trained on."""
    path = folder / "run" / "run.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    hashes = about["records_sha256"]
    (name,) = hashes
    about["records_sha256"] = draw.choice(
        [{}, {name: "0" * 64}, {name: ""}, {"../clinic": hashes[name]},
         {name: hashes[name], "other": hashes[name]}, [[name, hashes[name]]]]
    )  # fmt: skip
    path.write_text(json.dumps(about), encoding="utf-8")
    return ("run.json", "run", "records")


def _no_manifest(folder: Path, draw: random.Random) -> tuple[str, ...]:
    path = folder / "records" / "manifest.json"
    draw.choice([flip_bits, replace_by_other])(path, draw)
    return ("manifest.json",)


RUN = Reader(
    "run directory",
    prepare,
    read,
    (
        *(
            Fault(f"run.json: {fault.name}", fault.mutate)
            for fault in json_faults(_file("run.json"), free=FOR_PEOPLE)
        ),
        Fault("run.json: other records", _other_records),
        Fault("config: truncated", _config(truncate_whole)),
        Fault("config: another file", _config(replace_by_other)),
        Fault("config: other values", _config(_other_value)),
        *(
            Fault(f"{name}: {fault.name}", fault.mutate)
            for name in HISTORIES
            for fault in json_faults(_file(name), free=("loss", "dice"))
        ),
        Fault("manifest of the records", _no_manifest),
    ),
    slow=True,
)


def prepare_outputs(folder: Path) -> None:
    """Write two outputs and the stamps of what made them."""
    from tfpartial.files.stamp import write_stamp

    home = folder / "predictions"
    home.mkdir()
    shutil.copytree(home, folder / "made")
    for name in ("anna.nii.gz", "ben.nii.gz"):
        for place in (home, folder / "made"):
            (place / name).write_bytes(name.encode() * 9)
        write_stamp(_stamp(home / name), _key(name), [home / name])


def _stamp(output: Path) -> Path:
    from tfpartial.inference.jobs import SegmentJob

    return SegmentJob(ScanFile(output), output).stamp


def _key(name: str) -> dict[str, Any]:
    return {"weights_sha256": "0" * 64, "scan": name, "predict": {"a": [1]}}


def read_outputs(folder: Path) -> list[str]:
    """Do again what predict would do again; return what is there then."""
    from tfpartial.files.stamp import holds, write_stamp

    home = folder / "predictions"
    for made in sorted((folder / "made").iterdir()):
        output = home / made.name
        if not holds(_stamp(output), _key(made.name)):
            shutil.rmtree(output) if output.is_dir() else output.unlink(True)
            shutil.copy(made, output)
            write_stamp(_stamp(output), _key(made.name), [output])
    return [p.read_bytes().hex() for p in sorted(home.glob("*.nii.gz"))]


def _output(folder: Path, draw: random.Random) -> tuple[str, ...]:
    path = draw.choice(sorted((folder / "predictions").glob("*.nii.gz")))
    draw.choice([flip_bits, replace_by_other])(path, draw)
    return (path.name,)


PREDICTIONS = Reader(
    "stamp of predictions",
    prepare_outputs,
    read_outputs,
    (
        *json_faults(lambda f: _stamp(f / "predictions/anna.nii.gz")),
        Fault("another output", _output),
    ),
    slow=True,
)
