"""RecordStore: random access to the scans of one database of records.

In: `<records_dir>/<database>/1.0.0/` as written by `tfrecords_builder`.
Out: numpy blocks, regions at any position, whole scans, block statistics.

numpy only. Shards are memory-mapped and the index knows where the zlib bytes
of each block lie, so nothing is parsed when reading. Everything is read-only
after construction: any number of threads may read from one store, and
`zlib.decompress` releases the GIL.
"""

from __future__ import annotations

import itertools
import math
import mmap
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial.errors import InputError, shown
from tfpartial.labels import LabelSpace
from tfpartial.records.cases_file import (
    REMEDY,
    CaseEntry,
    case_entries,
    read_cases_file,
    stored_sets_of,
)
from tfpartial.records.index_file import read_index
from tfpartial.records.schema import (
    CASES_FILE,
    INDEX_FILE,
    TFDS_VERSION,
)
from tfpartial.types import Shape3


class RecordStore:
    """The records of one database.

    Attributes:
        database: its name.
        cases: list of CaseEntry; a *case number* is a position in it.
        label_names: the L channel names, background first.
        stored_sets: (V, L) bool, declared set of each stored value; row 0 is
            background, the last row that is all True is "ignore".
        ignore_value: stored value of "ignore"; there is always one.
        hu_window: (lower, upper) HU used for the intensity statistics.
        body_threshold_hu: HU, limit of the body mask.
        block_shape: (3,) voxels of a block that is not at an end of a scan.
        case_of_record: (N,) int32, case number of each record.
        position: (N, 3) int32, first voxel of each record in its scan.
        shape: (N, 3) int32, voxels of each record.
        voxel_counts: (N, V) int32, voxels of each stored value per record.
        body_voxels: (N,) int32, voxels above the body threshold per record.
        first_record: (cases + 1,) int64; the records of case c are
            first_record[c] ... first_record[c + 1] - 1, in C order.
    """

    def __init__(self, records_dir: str | Path, database: str) -> None:
        """Open the records of a database.

        Raises:
            InputError: no records there, another schema version, or files
                that are not as they were written.
        """
        self.database = database
        self._records_dir = Path(records_dir)
        self.folder = self._records_dir / database / TFDS_VERSION
        declared = read_cases_file(self.folder)
        if declared["database"] != database:
            raise InputError(
                f"{self.folder / CASES_FILE}: expected the records of "
                f"'{database}', found those of {shown(declared['database'])}. "
                "Restore the folder's name."
            )
        self.label_names: tuple[str, ...] = tuple(declared["label_names"])
        self.stored_sets = stored_sets_of(declared)
        self.ignore_value = int(
            np.flatnonzero(self.stored_sets.all(axis=1))[-1]
        )
        lower, upper = declared["hu_window"]
        self.hu_window = (float(lower), float(upper))
        self.body_threshold_hu = float(declared["body_threshold_hu"])
        self.block_shape: Shape3 = tuple(declared["block_shape"])
        self.cases: list[CaseEntry] = case_entries(declared)
        self._read_index()

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordStore, (self._records_dir, self.database)

    @property
    def num_records(self) -> int:
        """N: blocks of the whole database."""
        return len(self.case_of_record)

    def case_numbers(self, split: str) -> list[int]:
        """Return the case numbers of a split, ascending."""
        return [n for n, case in enumerate(self.cases) if case.split == split]

    def records_of_case(self, case_number: int) -> range:
        """Return the record numbers of a case, in C order of position."""
        return range(
            int(self.first_record[case_number]),
            int(self.first_record[case_number + 1]),
        )

    def check_label_space(self, space: LabelSpace) -> None:
        """Compare the labels of the records with those of a config.

        Raises:
            InputError: they differ.
        """
        if self.label_names != space.names:
            raise InputError(
                f"{self.folder}: records of the labels "
                f"{', '.join(self.label_names[1:])}; the config declares "
                f"{', '.join(space.names[1:])}. Build the records of this "
                "config into another records_dir."
            )

    def read_block(self, record_number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image (i, j, k) int16 HU and labels uint8 of one record.

        Both are read-only views of the decompressed bytes.

        Raises:
            InputError: the bytes are damaged.
        """
        shape = self.shape[record_number]
        voxels = math.prod(shape.tolist())
        shard = self._shards[self._shard[record_number]]
        image_span, labels_span = self._payload[record_number].tolist()
        try:
            image = _inflate(_cut(shard, image_span), 2 * voxels)
            labels = _inflate(_cut(shard, labels_span), voxels)
            return (
                np.frombuffer(image, "<i2").reshape(shape),
                np.frombuffer(labels, np.uint8).reshape(shape),
            )
        except (zlib.error, ValueError) as error:
            raise InputError(
                f"{self.folder}: expected whole records, found that record "
                f"{record_number} is damaged ({error}). {REMEDY}"
            ) from None

    def read_region(
        self,
        case_number: int,
        start: Sequence[int] | np.ndarray,
        shape: Sequence[int] | np.ndarray,
        fill_hu: int,
        fill_label: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Assemble a box at any position, also beyond the scan.

        Args:
            case_number: position in `cases`.
            start: (3,) first voxel in the canonical grid; may be negative.
            shape: (3,) voxels of the box.
            fill_hu: HU of voxels outside the scan.
            fill_label: stored value of voxels outside the scan.

        Returns:
            image (shape) int16 HU and labels (shape) uint8; new arrays.

        Raises:
            InputError: bytes of a block are damaged.
        """
        start = np.asarray(start, np.int64)
        image = np.full(tuple(shape), fill_hu, np.int16)
        labels = np.full(tuple(shape), fill_label, np.uint8)
        low = np.maximum(start, 0)
        scan_shape = self.cases[case_number].scan_shape
        high = np.minimum(start + np.asarray(shape), scan_shape)
        if (low >= high).any():
            return image, labels
        for record in self._touched(case_number, low, high):
            inner, outer = _overlap(
                self.position[record], self.shape[record], low, high, start
            )
            block_image, block_labels = self.read_block(record)
            image[outer] = block_image[inner]
            labels[outer] = block_labels[inner]
        return image, labels

    def read_scan(self, case_number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return image int16 HU and labels uint8 of a whole canonical scan."""
        shape = self.cases[case_number].scan_shape
        return self.read_region(case_number, (0, 0, 0), shape, 0, 0)

    def _touched(
        self, case_number: int, low: np.ndarray, high: np.ndarray
    ) -> Iterator[int]:
        """Yield the records of a case that touch the box [low, high)."""
        size = np.asarray(self.block_shape)
        blocks = -(-np.asarray(self.cases[case_number].scan_shape) // size)
        axes = map(range, (low // size).tolist(), (-(-high // size)).tolist())
        first = int(self.first_record[case_number])
        for i, j, k in itertools.product(*axes):
            yield first + int((i * blocks[1] + j) * blocks[2] + k)

    def _read_index(self) -> None:
        """Read index.npz and map the shards that it speaks of."""
        index = read_index(
            self.folder / INDEX_FILE,
            [case.scan_shape for case in self.cases],
            self.block_shape,
            len(self.stored_sets),
            REMEDY,
        )
        self.case_of_record: np.ndarray = index.case
        self.position: np.ndarray = index.position
        self.shape: np.ndarray = index.shape
        self.voxel_counts: np.ndarray = index.voxel_counts
        self.body_voxels: np.ndarray = index.body_voxels
        self._shard, self._payload = index.shard, index.payload
        self.first_record: np.ndarray = np.searchsorted(
            self.case_of_record, np.arange(len(self.cases) + 1)
        )
        self._shards = [_map(self.folder / name) for name in index.shard_names]


def open_records(
    records_dir: str | Path, databases: Iterable[str] | None = None
) -> dict[str, RecordStore]:
    """Open databases of records.

    Args:
        records_dir: as `build` wrote it.
        databases: names; default: all that are there.

    Returns:
        Database -> its records.

    Raises:
        InputError: a database has no records, or the folder has none.
    """
    if databases is None:
        pattern = f"*/{TFDS_VERSION}/{CASES_FILE}"
        found = sorted(Path(records_dir).glob(pattern))
        databases = [path.parents[1].name for path in found]
        if not databases:
            raise InputError(
                f"{records_dir}: expected records, found none in any of its "
                "folders. Build them first: tfpartial build --config <config>."
            )
    return {name: RecordStore(records_dir, name) for name in databases}


def _map(shard: Path) -> memoryview:
    with shard.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _cut(shard: memoryview, span: list[int]) -> memoryview:
    offset, length = span
    return shard[offset : offset + length]


def _inflate(data: memoryview, num_bytes: int) -> bytes:
    """Decompress to exactly so many bytes; one that expands more is stopped.

    Raises:
        ValueError, zlib.error: other bytes, or a wrong checksum.
    """
    stream = zlib.decompressobj()
    # One byte more than expected: the checksum is read behind the last one.
    inflated = stream.decompress(data, num_bytes + 1)
    if len(inflated) != num_bytes or not stream.eof:
        raise ValueError(f"expected {num_bytes} bytes, found more or fewer")
    return inflated


def _overlap(
    first: np.ndarray,
    block_shape: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    start: np.ndarray,
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return slices of the block and of the region for their common box.

    All arguments are voxels of the scan: first voxel and shape of the block,
    the part [low, high) of the region inside the scan, its first voxel.
    """
    begin = np.maximum(first, low)
    end = np.minimum(first + block_shape, high)
    inner = tuple(map(slice, (begin - first).tolist(), (end - first).tolist()))
    outer = tuple(map(slice, (begin - start).tolist(), (end - start).tolist()))
    return inner, outer
