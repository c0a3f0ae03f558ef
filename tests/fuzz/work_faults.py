"""What an interrupted build left, and whose a folder is."""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzz import nifti_faults
from fuzz.corpus import (
    EXECUTED,
    Fault,
    Mutate,
    Reader,
    flip_bits,
    replace_by_other,
    truncate,
)
from fuzz.documents import json_faults
from tfpartial.config.experiment import Phantom
from tfpartial.phantom import make_phantom
from tfpartial.phantom.make import MARKER, VERSION
from tfrecords_builder.records_folder import (
    check_records_folder,
    open_records_folder,
)
from tfrecords_builder.scan_cache import ScanJob, drop_stale, preprocess_scan


class Touch:
    """What an unpickler would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.path,)


def _jobs(folder: Path) -> list[ScanJob]:
    return [
        nifti_faults.job_of(folder, folder / "work" / f"case_{number}.npz")
        for number in (1, 2)
    ]


def prepare(folder: Path) -> None:
    """Write the preprocessed scans of a build that was killed then."""
    nifti_faults.prepare(folder)
    for job in _jobs(folder):
        preprocess_scan(job)
    with open_records_folder(folder / "records", nifti_faults.SPACE):
        pass


def read(folder: Path) -> list[Any]:
    """Go on with the build: keep what is whole, do the rest again."""
    check_records_folder(folder / "records", nifti_faults.SPACE)
    jobs = _jobs(folder)
    drop_stale([job.target for job in jobs])
    found = []
    for job in jobs:
        if not job.target.is_file():
            preprocess_scan(job)
        with np.load(job.target) as scan:
            found.append(dict(scan))
    names = sorted(path.name for path in (folder / "work").iterdir())
    return [names, found]


def _one(change: Callable[[Path, random.Random], None]) -> Mutate:
    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        path = draw.choice(sorted((folder / "work").glob("*.npz")))
        change(path, draw)
        return (path.name,)

    return mutate


def _members(path: Path, draw: random.Random) -> None:
    """Leave an array out, add one, or hold objects that run when read."""
    with np.load(path) as scan:
        columns = dict(scan)
    name = draw.choice(sorted(columns))
    kind = draw.randrange(4)
    if kind == 0:
        del columns[name]
    elif kind == 1:
        columns["extra"] = columns[name]
    elif kind == 2:
        columns = {"image": columns["image"]}
    if kind < 3:
        np.savez(path, **columns)
    else:
        path.write_bytes(pickle.dumps(Touch(path.parents[1] / EXECUTED)))


def _bomb(path: Path, draw: random.Random) -> None:
    """Let a small file expand to gigabytes of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        header = io.BytesIO()
        about = {"descr": "<i2", "fortran_order": False, "shape": (2**40,)}
        np.lib.format.write_array_header_1_0(header, about)
        with file.open("image.npy", "w", force_zip64=True) as member:
            member.write(header.getvalue())
            for _ in range(draw.choice([1, 16])):
                member.write(bytes(2**24))


def _foreign(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Leave other files and folders between the scans."""
    home = folder / "work"
    for number in range(draw.randint(1, 5)):
        path = home / f"foreign_{number}"
        path.write_bytes(b"x")
        replace_by_other(path, draw)
    shutil.copy(home / "case_1.npz", home / "case_1.npz.77.tmp")
    return ()


WORK = Reader(
    "records folder",
    prepare,
    read,
    (
        Fault("scan: truncated", _one(truncate)),
        Fault("scan: bits flipped", _one(flip_bits)),
        Fault("scan: another file", _one(replace_by_other)),
        Fault("scan: members", _one(_members)),
        Fault("scan: bomb", _one(_bomb)),
        Fault("scan: foreign files", _foreign, harmless=True),
        *(
            Fault(f"project.json: {fault.name}", fault.mutate)
            for fault in json_faults(
                lambda folder: folder / "records" / "project.json"
            )
        ),
    ),
)


def _phantom(folder: Path) -> Phantom:
    return Phantom(path=str(folder / "phantom"))


def prepare_phantom(folder: Path) -> None:
    """Say that a set is there; nothing reads its scans here."""
    options = _phantom(folder)
    home = folder / "phantom"
    (home / "scans").mkdir(parents=True)
    about = options.model_dump(mode="json", exclude={"path"})
    (home / MARKER).write_text(json.dumps({"version": VERSION} | about))


def read_phantom(folder: Path) -> list[str]:
    """Ask for the set; it is there, so nothing is made."""
    make_phantom(_phantom(folder), folder / "phantom")
    return sorted(path.name for path in (folder / "phantom").iterdir())


PHANTOM = Reader(
    "phantom set",
    prepare_phantom,
    read_phantom,
    json_faults(lambda folder: folder / "phantom" / MARKER),
)
READERS = (WORK, PHANTOM)
