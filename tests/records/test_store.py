"""The records as their readers see them: RecordStore, tf.data, TFDS, docs."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny_records import (
    LABELS,
    SHAPE,
    stamp_anew,
    tiny_experiment,
    tiny_scan,
    write_databases,
)

from tfpartial.errors import InputError
from tfpartial.files import stamp
from tfpartial.labels import Label, LabelSpace
from tfpartial.records.schema import FIELDS, TFDS_VERSION
from tfpartial.records.store import RecordStore
from tfrecords_builder.build import build_records

PAGE = Path(__file__).parents[2] / "docs" / "record_format.md"


@pytest.fixture(scope="module")
def records_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_databases(folder)
    return build_records(tiny_experiment(folder, folder / "records"))


@pytest.fixture
def store(records_dir: Path) -> RecordStore:
    return RecordStore(records_dir, "full")


def test_scan_comes_back_voxel_for_voxel(store: RecordStore) -> None:
    """The tiny scans lie on the canonical grid: nothing is interpolated."""
    for number, entry in enumerate(store.cases):
        assert entry.case == f"f{number}"
        hu, labels = tiny_scan(number)
        image, stored = store.read_scan(number)
        np.testing.assert_array_equal(image, hu)
        np.testing.assert_array_equal(stored, labels)


def test_blocks_tile_the_scan(store: RecordStore) -> None:
    for number in range(len(store.cases)):
        covered = np.zeros(SHAPE, int)
        for record in store.records_of_case(number):
            first, size = store.position[record], store.shape[record]
            image, labels = store.read_block(record)
            assert image.shape == labels.shape == tuple(size)
            covered[tuple(map(slice, first, first + size))] += 1
        assert (covered == 1).all()
    # 21 x 18 x 13 voxels in blocks of 8: 3 x 3 x 2 blocks a case.
    assert store.num_records == 4 * 3 * 3 * 2


def test_any_region_equals_the_padded_scan(store: RecordStore) -> None:
    rng = np.random.default_rng(0)
    margin = 50
    image, labels = store.read_scan(1)
    padded = np.pad(image, margin, constant_values=-200)
    padded_labels = np.pad(labels, margin, constant_values=4)
    for _ in range(200):
        start = rng.integers(-20, 30, 3)
        shape = rng.integers(1, 20, 3)
        box = tuple(map(slice, start + margin, start + margin + shape))
        found = store.read_region(1, start, shape, -200, 4)
        np.testing.assert_array_equal(found[0], padded[box])
        np.testing.assert_array_equal(found[1], padded_labels[box])
        assert found[0].dtype == np.int16
        assert found[1].dtype == np.uint8


def test_index_counts_what_the_blocks_hold(store: RecordStore) -> None:
    num_values = len(store.stored_sets)
    for record in range(store.num_records):
        image, labels = store.read_block(record)
        counts = np.bincount(labels.ravel(), minlength=num_values)
        np.testing.assert_array_equal(store.voxel_counts[record], counts)
        assert store.body_voxels[record] == (image > -500).sum()


def test_label_sets_come_back(records_dir: Path) -> None:
    full = RecordStore(records_dir, "full")
    part = RecordStore(records_dir, "part")
    assert full.label_names == ("background", *LABELS)
    assert full.cases[0].annotated.all()
    assert full.cases[0].resolved.all()
    # background, bone, {left, right}, ignore
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]]
    np.testing.assert_array_equal(part.stored_sets, np.array(expected, bool))
    assert part.ignore_value == 3
    assert part.cases[0].annotated.tolist() == [True] * 4
    # Both sides are annotated, and no voxel says which of them it is.
    assert part.cases[0].resolved[1:].tolist() == [True, False, False]


def test_splits_and_statistics_of_the_cases(store: RecordStore) -> None:
    splits = [entry.split for entry in store.cases]
    assert splits == ["train", "train", "validation", "test"]
    assert store.case_numbers("train") == [0, 1]
    image, _ = store.read_scan(0)
    body = np.clip(image, -200, 200)[image > -500]
    assert store.cases[0].mean == pytest.approx(body.mean(), abs=1e-3)
    assert store.cases[0].sd == pytest.approx(body.std(), abs=1e-3)


def test_threads_read_what_one_thread_reads(store: RecordStore) -> None:
    starts = np.random.default_rng(1).integers(-8, 16, (64, 3))

    def read(start: np.ndarray) -> bytes:
        image, labels = store.read_region(2, start, (12, 12, 12), -200, 0)
        return image.tobytes() + labels.tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, starts)) == [read(s) for s in starts]


def test_a_pickled_store_reads_the_same(store: RecordStore) -> None:
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.read_scan(0)[0], store.read_scan(0)[0])


def test_other_label_space_is_refused(store: RecordStore) -> None:
    store.check_label_space(LabelSpace(tuple(Label(n) for n in LABELS)))
    with pytest.raises(InputError, match="records of the labels bone"):
        store.check_label_space(LabelSpace((Label("liver"),)))


def test_no_records_say_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none.*tfpartial build"):
        RecordStore(tmp_path, "full")


@pytest.fixture
def copied(records_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(records_dir, tmp_path / "records")
    return tmp_path / "records"


def test_unknown_schema_version_is_refused(copied: Path) -> None:
    path = copied / "full" / TFDS_VERSION / "cases.json"
    declared = json.loads(path.read_text())
    path.write_text(json.dumps(declared | {"schema_version": 99}))
    with pytest.raises(InputError, match="version 1, found 99"):
        RecordStore(copied, "full")


def test_cut_shard_is_refused(copied: Path) -> None:
    shard = next((copied / "full").glob("*/*train.tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"train\.tfrecord.*expected bytes"):
        RecordStore(copied, "full")


def test_changed_bytes_are_noticed(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a shard that is too large to be read as a whole beforehand."""
    monkeypatch.setattr(stamp, "QUICK_BYTES", 2**14)
    store = RecordStore(copied, "full")
    offset, length = store._payload[0, 0].tolist()
    shard = next((copied / "full").glob("*/*train.tfrecord*"))
    content = bytearray(shard.read_bytes())
    content[offset + length // 2] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(InputError, match="record 0 is damaged"):
        RecordStore(copied, "full").read_block(0)


def test_unreadable_index_is_refused(copied: Path) -> None:
    index = copied / "full" / TFDS_VERSION / "index.npz"
    index.write_bytes(b"nothing")
    stamp_anew(index.parent)
    with pytest.raises(InputError, match="not a readable index"):
        RecordStore(copied, "full")


def test_page_lists_every_field() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\S+) \| (\(.*?\)) \| (.*?) \| (.+) \|$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    expected = [
        (
            field.name,
            field.dtype,
            str(field.shape).replace("'", ""),
            field.unit or "-",
            field.meaning,
        )
        for field in FIELDS
    ]
    assert rows == expected


@pytest.mark.parametrize("number", [0, 1])
def test_examples_of_the_page_run(
    number: int, records_dir: Path, store: RecordStore
) -> None:
    """Both examples leave the first train record in image and labels."""
    blocks = re.findall(
        r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    names = {"records_dir": str(records_dir), "database": "full"}
    exec(blocks[number], names)
    image, labels = store.read_block(0)
    np.testing.assert_array_equal(names["image"], image)
    np.testing.assert_array_equal(names["labels"], labels)
    assert names["case"] == b"f0"
