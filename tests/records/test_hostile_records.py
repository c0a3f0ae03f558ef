"""Records that are damaged or made up: refused when they are opened."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_records import stamp_anew, tiny_experiment, write_databases

from tfpartial.errors import InputError
from tfpartial.records.store import RecordStore
from tfrecords_builder.build import build_records

Change = Callable[[dict], None]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    write_databases(folder)
    return build_records(tiny_experiment(folder, folder / "records"), ["full"])


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "records")
    return tmp_path / "records" / "full" / "1.0.0"


def refused(home: Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        RecordStore(home.parents[1], "full")
    assert "Delete the folder and build it again" in str(caught.value)


def change_cases(home: Path, change: Change, *, stamped: bool = True) -> None:
    path = home / "cases.json"
    declared = json.loads(path.read_text())
    change(declared)
    path.write_text(json.dumps(declared))
    if stamped:
        stamp_anew(home)


def change_index(home: Path, **columns: np.ndarray) -> None:
    with np.load(home / "index.npz") as index:
        before = dict(index)
    np.savez_compressed(home / "index.npz", **(before | columns))
    stamp_anew(home)


def columns_of(home: Path) -> dict[str, np.ndarray]:
    with np.load(home / "index.npz") as index:
        return dict(index)


def test_records_without_their_stamp_are_refused(home: Path) -> None:
    (home / "stamp.json").unlink()
    refused(home, "stamp.json: expected a stamp")


def test_a_changed_digit_is_noticed(home: Path) -> None:
    """It would be another normalisation, without a word."""

    def change(declared: dict) -> None:
        declared["cases"][0]["mean"] += 1e-9

    change_cases(home, change, stamped=False)
    refused(home, r"cases.json: expected (bytes|sha256)")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("block_shape"), "block_shape"),
        (lambda d: d.update(cases=[]), "cases"),
        (lambda d: d["cases"][0].update(sd=-1.0), r"cases.0.sd = -1.0"),
        (lambda d: d["cases"][1].update(split="all"), "cases.1.split = 'all'"),
        (lambda d: d["cases"][0].update(scan_shape=[3, 3]), "scan_shape"),
        (lambda d: d["cases"][0].update(annotated_labels=[2**40]), "bitmasks"),
        (lambda d: d.update(stored_value_labels=[[1], [2]]), "for 'ignore'"),
        (lambda d: d["cases"][0].update(scan_shape=[9, 9, 9]), "of shape"),
        (lambda d: d["cases"][0].update(scan_shape=[13, 18, 21]), "do not til"),
        (lambda d: d["cases"][0].update(scan_shape=[2**20] * 3), "too short"),
    ],
)
def test_cases_that_cannot_be(home: Path, change: Change, words: str) -> None:
    change_cases(home, change)
    refused(home, words)


def test_records_of_another_database_are_refused(home: Path) -> None:
    change_cases(home, lambda d: d.update(database="other"))
    with pytest.raises(InputError, match="records of 'full', found those of"):
        RecordStore(home.parents[1], "full")


def test_no_object_is_unpickled(home: Path) -> None:
    class Mkdir:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(home / "executed"),)

    objects = np.empty(3, object)
    objects[:] = Mkdir()
    change_index(home, case=objects)
    refused(home, "index.npz.*case: expected int32")
    assert not (home / "executed").exists()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("case", 1, "do not tile"),
        ("position", 8, "do not tile"),
        ("shape", 7, "do not tile"),
        ("voxel_counts", 10**6, "do not add up"),
        ("body_voxels", 10**6, "exceed the blocks"),
        ("shard", 99, "does not name"),
        ("payload", 2**40, "beyond the end"),
    ],
)
def test_rows_that_contradict_the_cases(
    home: Path, column: str, value: int, words: str
) -> None:
    changed = columns_of(home)[column].copy()
    changed.reshape(-1)[0] = value
    change_index(home, **{column: changed})
    refused(home, f"index.npz.*{words}")


def test_a_shard_that_is_not_there_is_refused(home: Path) -> None:
    names = columns_of(home)["shard_names"].tolist()
    (home / names[1]).unlink()
    stamp_anew(home)
    refused(home, f"index.npz.*{names[1]}")


@pytest.mark.parametrize("name", ["../1.0.0/x", "/etc/passwd", "..", ""])
def test_a_shard_elsewhere_is_refused(home: Path, name: str) -> None:
    names = columns_of(home)["shard_names"].tolist()
    change_index(home, shard_names=np.array([name, *names[1:]]))
    refused(home, "no plain file name")


def test_a_column_of_terabytes_is_not_asked_for(home: Path) -> None:
    header = io.BytesIO()
    shape = {"descr": "<i4", "fortran_order": False, "shape": (2**40,)}
    np.lib.format.write_array_header_1_0(header, shape)
    columns = columns_of(home)
    with zipfile.ZipFile(home / "index.npz", "w") as file:
        for name, column in columns.items():
            with file.open(f"{name}.npy", "w") as member:
                if name == "case":
                    member.write(header.getvalue())
                else:
                    np.save(member, column)
    stamp_anew(home)
    refused(home, r"case: expected int32 of shape \(\d+,\), found int32 of")


def test_a_block_that_expands_is_stopped(home: Path) -> None:
    """64 MiB of zeros in 64 kB: only what a block needs is inflated."""
    columns = columns_of(home)
    shard = home / str(columns["shard_names"][0])
    data, bomb = shard.read_bytes(), zlib.compress(bytes(2**26), 9)
    payload = columns["payload"]
    payload[0, 0] = len(data), len(bomb)
    shard.write_bytes(data + bomb)
    change_index(home, payload=payload)
    store = RecordStore(home.parents[1], "full")
    with pytest.raises(InputError, match="record 0 is damaged.*1024 bytes"):
        store.read_block(0)
