"""A database of records: shards, index.npz, cases.json."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import random
import shutil
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tiny_records import stamp_anew

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
from tfpartial.config import Experiment
from tfpartial.records.store import RecordStore
from tfpartial.training.records_check import check_records

DATABASE = "clinic"


def experiment_of(folder: Path) -> Experiment:
    """Declare one database of three cases."""
    return Experiment.model_validate(
        {
            "label_space": [{"name": "liver"}, {"name": "spleen"}],
            "databases": [
                nifti_faults.database_of(folder).model_dump()
                | {"name": DATABASE}
            ],
            "records_dir": str(folder / "records"),
            "run_dir": str(folder / "run"),
            "preprocess": {"spacing_mm": [2.0, 2.0, 2.0]},
            "build": {
                "block_shape": [8, 8, 8],
                "workers": 1,
                "splits": {"file": str(folder / "splits.json")},
            },
        }
    )


def prepare(folder: Path) -> None:
    """Build records of two cases; their scans are not needed afterwards."""
    from tfrecords_builder.build import build_records

    nifti_faults.prepare(folder)
    scans = folder / "scans"
    shutil.copytree(scans / "case_1", scans / "case_2")
    hu = nifti_faults.voxels()[0] + 1
    nifti_faults.write(folder, "ct.nii.gz", hu, nifti_faults.AFFINE)
    splits = {DATABASE: {"train": ["case_1"], "test": ["case_2"]}}
    (folder / "splits.json").write_text(json.dumps(splits))
    build_records(experiment_of(folder))
    shutil.rmtree(scans)


def read(folder: Path) -> list[Any]:
    """Open the records, check them like fit, and read every voxel."""
    experiment = experiment_of(folder)
    store = RecordStore(experiment.records_dir, DATABASE)
    check_records(experiment, {DATABASE: store})
    scans = [store.read_scan(n) for n in range(len(store.cases))]
    entries = [vars(case) for case in store.cases]
    return [scans, entries, store.voxel_counts, store.body_voxels]


def _home(folder: Path) -> Path:
    return folder / "records" / DATABASE / "1.0.0"


def cases_file(folder: Path) -> Path:
    """Return where cases.json is."""
    return _home(folder) / "cases.json"


def _index(folder: Path) -> Path:
    return _home(folder) / "index.npz"


def _shard(folder: Path, draw: random.Random) -> Path:
    return draw.choice(sorted(_home(folder).glob("*.tfrecord*")))


def _of_shard(change: Callable[[Path, random.Random], None]) -> Mutate:
    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        path = _shard(folder, draw)
        change(path, draw)
        return (path.name, _home(folder).parent.name)

    return mutate


def _of_index(change: Callable[[Path, random.Random], None]) -> Mutate:
    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        change(_index(folder), draw)
        return ("index.npz", DATABASE)

    return mutate


def _flip_payload(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Flip bits of voxels, which no reader of shards may miss."""
    with np.load(_index(folder)) as index:
        payload, shard = index["payload"], index["shard"]
        names = index["shard_names"]
    record = draw.randrange(len(shard))
    offset, length = payload[record, draw.randrange(2)].tolist()
    path = _home(folder) / str(names[shard[record]])
    data = bytearray(path.read_bytes())
    data[offset + draw.randrange(length)] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(data))
    return (DATABASE,)


def _lengthened(path: Path, draw: random.Random) -> None:
    with path.open("ab") as file:
        file.write(draw.randbytes(draw.randint(1, 999)))


def _swapped(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Exchange two shards of equal purpose."""
    one, other = sorted(_home(folder).glob("*.tfrecord*"))[:2]
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    return (one.name, other.name, DATABASE)


def _document(
    change: Callable[[dict[str, Any], random.Random], None],
) -> Mutate:
    """Change cases.json: only what it says is wrong."""

    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        path = cases_file(folder)
        document = json.loads(path.read_text(encoding="utf-8"))
        change(document, draw)
        path.write_text(json.dumps(document), encoding="utf-8")
        return ("cases.json", "index.npz", DATABASE)

    return mutate


def _version(document: dict[str, Any], draw: random.Random) -> None:
    document["schema_version"] = draw.choice([0, 2, 99, "1", None, -1, [1]])


def _contradiction(document: dict[str, Any], draw: random.Random) -> None:
    case = draw.choice(document["cases"])
    kind = draw.randrange(7)
    if kind == 0:
        case["scan_shape"] = draw.choice([[1, 1, 1], [2**20] * 3, [99, 9, 9]])
    elif kind == 1:
        shapes = [[1, 1, 1], [9, 8, 8], [2**20] * 3]
        document["block_shape"] = draw.choice(shapes)
    elif kind == 2:
        document["cases"].append(dict(case))
    elif kind == 3:
        document["stored_value_labels"] = [[1], [2], [4]]  # nothing is ignore
    elif kind == 4:
        case["annotated_labels"] = draw.choice([[-1], [2**40], [7, 7]])
    elif kind == 5:
        document["label_names"] = document["label_names"][:-1]
    else:
        document["database"] = draw.choice(["other", "", "../clinic"])


class _Touch:
    """What an unpickler would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _columns(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as index:
        return dict(index)


def _pickled(path: Path, draw: random.Random) -> None:
    """Replace one column by objects, which only pickle can hold."""
    columns = _columns(path)
    array = np.empty(len(columns["case"]), object)
    array[:] = _Touch(path.parents[3] / EXECUTED)
    columns[draw.choice(list(columns))] = array
    np.savez_compressed(path, **columns)
    if draw.random() < 0.3:
        path.write_bytes(pickle.dumps(array[0]))


def _reshaped(path: Path, draw: random.Random) -> None:
    columns = _columns(path)
    name = draw.choice(list(columns))
    column = columns[name]
    columns[name] = draw.choice(
        [column[:-1], np.concatenate([column, column]), column[None],
         column.astype("S" if column.dtype.kind == "U" else "f8"),
         np.zeros(0, column.dtype), np.asarray(3)]
    )  # fmt: skip
    np.savez_compressed(path, **columns)


def _without_column(path: Path, draw: random.Random) -> None:
    columns = _columns(path)
    del columns[draw.choice(list(columns))]
    np.savez_compressed(path, **columns)


def _other_numbers(path: Path, draw: random.Random) -> None:
    """Send a record elsewhere: another case, place, shard or offset."""
    columns = _columns(path)
    name = draw.choice(
        ["case", "position", "shape", "shard", "payload", "voxel_counts",
         "body_voxels"]
    )  # fmt: skip
    column = columns[name].copy()
    flat = column.reshape(-1)
    wrong = draw.choice([-1, 2**31 - 1, -(2**31), 10**6])
    flat[draw.randrange(flat.size)] = wrong
    columns[name] = column
    np.savez_compressed(path, **columns)


def _elsewhere(path: Path, draw: random.Random) -> None:
    """Name a shard outside of the folder."""
    columns = _columns(path)
    names = columns["shard_names"].tolist()
    names[0] = draw.choice(
        [f"../1.0.0/{names[0]}", "/etc/passwd", "..", "", ".", "a\0b",
         "x" * 300]
    )  # fmt: skip
    columns["shard_names"] = np.asarray(names)
    np.savez_compressed(path, **columns)


def _absurd(path: Path, draw: random.Random) -> None:
    """Declare a column of many gigabytes, or let a small file hold one."""
    columns = _columns(path)
    name = draw.choice(["case", "position", "payload", "shard_names"])
    header = io.BytesIO()
    shape = draw.choice([(2**40,), (2**62, 3), (10**9, 3), (-5,)])
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": columns[name].dtype.str,
            "fortran_order": False,
            "shape": shape,
        },
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for key, column in columns.items():
            with file.open(f"{key}.npy", "w") as member:
                if key != name:
                    np.save(member, column)
                    continue
                member.write(header.getvalue())
                for _ in range(draw.choice([0, 4])):
                    member.write(bytes(2**24))


@functools.cache
def _zeros() -> bytes:
    """Return 2 GiB of zeros as 2 MB of zlib's stream."""
    compressor, block = zlib.compressobj(9), bytes(2**24)
    parts = [
        compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
        for _ in range(2)  # the first one carries the header
    ]
    return parts[0] + parts[1] * 127


def _bomb(folder: Path, draw: random.Random) -> tuple[str, ...]:
    """Let the zlib bytes of one record expand to 2 GiB."""
    columns = _columns(_index(folder))
    record = draw.randrange(len(columns["shard"]))
    bomb = _zeros()
    shard = int(columns["shard"][record])
    path = _home(folder) / str(columns["shard_names"][shard])
    data = path.read_bytes()
    columns["payload"][record, draw.randrange(2)] = len(data), len(bomb)
    path.write_bytes(data + bomb)
    np.savez_compressed(_index(folder), **columns)
    return (DATABASE,)


def _vouched(fault: Fault) -> Fault:
    """Stamp the records anew: the faults behind the stamp are met, mostly."""

    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        names = fault.mutate(folder, draw)
        if draw.random() < 0.8 and all(p.is_file() for p in _files(folder)):
            stamp_anew(_home(folder))
        return names

    return replace(fault, mutate=mutate)


def _files(folder: Path) -> list[Path]:
    return list(_home(folder).iterdir())


READER = Reader(
    "TFRecords",
    prepare,
    read,
    (
        _vouched(Fault("shard: bits flipped", _of_shard(flip_bits))),
        _vouched(Fault("shard: bits of voxels flipped", _flip_payload)),
        Fault("shard: truncated", _of_shard(truncate)),
        Fault("shard: lengthened", _of_shard(_lengthened)),
        Fault("shard: missing", _of_shard(lambda path, draw: path.unlink())),
        Fault("shard: another file", _of_shard(replace_by_other)),
        Fault("shard: exchanged", _swapped),
        _vouched(Fault("shard: zlib bomb", _bomb)),
        _vouched(Fault("index: bits flipped", _of_index(flip_bits))),
        _vouched(Fault("index: truncated", _of_index(truncate))),
        Fault("index: another file", _of_index(replace_by_other)),
        _vouched(Fault("index: pickled objects", _of_index(_pickled))),
        _vouched(Fault("index: shapes and types", _of_index(_reshaped))),
        _vouched(Fault("index: column missing", _of_index(_without_column))),
        _vouched(Fault("index: other numbers", _of_index(_other_numbers))),
        _vouched(Fault("index: path traversal", _of_index(_elsewhere))),
        _vouched(Fault("index: absurd sizes", _of_index(_absurd))),
        _vouched(Fault("cases.json: schema version", _document(_version))),
        _vouched(
            Fault("cases.json: contradictions", _document(_contradiction))
        ),
        *(
            _vouched(Fault(f"cases.json: {fault.name}", fault.mutate))
            for fault in json_faults(
                cases_file,
                # Texts and numbers for people; no reader depends on them.
                free=("versions", "statistics"),
            )
        ),
    ),
    slow=True,
)
