"""Preprocessed scans -> TFRecord shards, their index, TFDS' description.

In: cases.json as it will be, the npz of each case. Out: a folder that
`tfds.builder_from_directory` and `RecordStore` open.

The records are written by TensorFlow and described by TFDS, in its way for
TFRecords of one's own. A TFRecord file is a sequence of: length (uint64),
masked crc32c of the length (uint32), data, masked crc32c of the data (uint32).
Hence it is known while writing where each record lies.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfpartial.records.index_file import block_positions, write_index
from tfpartial.records.schema import (
    FIELDS,
    INDEX_FILE,
    TFDS_VERSION,
    Field,
)

_HEADER_BYTES = 12
_FOOTER_BYTES = 4
# A file is closed once it is as large as this.
_SHARD_BYTES = 256 * 2**20
# CT shrinks by 4 % more with TFDS' level 6, which takes 2 to 4 times as long
# to write and up to a third longer to read.
_COMPRESSION_LEVEL = 1


def write_shards(
    folder: Path,
    declared: Mapping[str, Any],
    scan_files: Sequence[Path],
    workers: int,
    written: Callable[[], object],
) -> int:
    """Write the records of one database, their index and description.

    Args:
        folder: empty.
        declared: cases.json; its cases in the order of the records, those of
            a split together.
        scan_files: npz of each case.
        workers: threads that compress.
        written: called after each case.

    Returns:
        Number of records.
    """
    shards = _Shards(folder, declared["database"])
    rows: list[dict[str, Any]] = []
    cases = zip(declared["cases"], scan_files, strict=True)
    with ThreadPoolExecutor(workers) as pool, closing(shards):
        for number, (case, scan_file) in enumerate(cases):
            for raw, row in _records(declared, case, scan_file, pool):
                shard, offset = shards.write(case["split"], raw)
                row |= {"case": number, "shard": shard}
                rows.append(row | {"payload": row["payload"] + [offset, 0]})
            written()
    write_index(folder / INDEX_FILE, rows, shards.name_files())
    declaration = declared["declaration"]
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features(len(declared["stored_value_labels"][0])),
        split_infos=shards.split_infos(),
        version=TFDS_VERSION,
        check_data=False,
        description=(
            f"CT blocks of database '{declared['database']}' with the labels "
            "that its protocol annotates. Research use only."
        ),
        citation=declaration["citation"],
        license=declaration["licence"],
        disable_shuffling=True,
    )
    return len(rows)


class _Shards:
    """TFRecord files that are filled one after another, split by split.

    A file's name says how many its split has, so it is named at the end.
    """

    def __init__(self, folder: Path, database: str) -> None:
        self._template = tfds.core.ShardedFileTemplate(
            folder, dataset_name=database, filetype_suffix="tfrecord"
        )
        self._lengths: dict[str, list[int]] = {}  # records of each file
        self._bytes: dict[str, int] = {}  # of the records
        self._files: list[Path] = []
        self._writer: Any = None
        self._end = 0

    def close(self) -> None:
        """Close the last file."""
        if self._writer is not None:
            self._writer.close()

    def write(self, split: str, raw: bytes) -> tuple[int, int]:
        """Append a record; return the number of its file, and its offset."""
        if split not in self._lengths or self._end >= _SHARD_BYTES:
            self._open(split)
        self._writer.write(raw)
        offset = self._end + _HEADER_BYTES
        self._end = offset + len(raw) + _FOOTER_BYTES
        self._lengths[split][-1] += 1
        self._bytes[split] += len(raw)
        return len(self._files) - 1, offset

    def _open(self, split: str) -> None:
        self.close()
        path = self._template.data_dir / f"{len(self._files)}.part"
        self._writer = tf.io.TFRecordWriter(str(path))
        self._files.append(path)
        self._lengths.setdefault(split, []).append(0)
        self._bytes.setdefault(split, 0)
        self._end = 0

    def name_files(self) -> list[str]:
        """Give each closed file its name; return the names in order."""
        names = []
        for split, lengths in self._lengths.items():
            template = self._template.replace(split=split)
            names += template.sharded_filenames(len(lengths))
        for path, name in zip(self._files, names, strict=True):
            path.rename(path.with_name(name))
        return names

    def split_infos(self) -> list[Any]:
        """Return the `tfds.core.SplitInfo` of each split."""
        return [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=lengths,
                num_bytes=self._bytes[split],
                filename_template=self._template.replace(split=split),
            )
            for split, lengths in self._lengths.items()
        ]


def features(num_words: int) -> tfds.features.FeaturesDict:
    """Return the TFDS features of a record, from the schema.

    Args:
        num_words: W, 64-bit words of a bitmask.
    """

    def feature(field: Field) -> Any:
        if field.dtype == "text":
            return tfds.features.Text(doc=field.meaning)
        encoding = tfds.features.Encoding
        return tfds.features.Tensor(
            shape=tuple(num_words if n == "W" else n for n in field.shape),
            dtype=np.dtype(field.dtype),
            encoding=encoding.ZLIB if field.compressed else encoding.NONE,
            doc=field.meaning,
        )

    return tfds.features.FeaturesDict(
        {field.name: feature(field) for field in FIELDS}
    )


def _records(
    declared: Mapping[str, Any],
    case: Mapping[str, Any],
    scan_file: Path,
    pool: Executor,
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield each record of a scan, in C order of position, and its index."""
    with np.load(scan_file) as scan:
        image, labels = scan["image"], scan["labels"]
    of_block = partial(
        _record,
        fields_of_case(declared, case),
        image,
        labels,
        declared["block_shape"],
        len(declared["stored_value_labels"]),
    )
    # zlib releases the GIL: the blocks are compressed side by side.
    positions = block_positions(case["scan_shape"], declared["block_shape"])
    yield from pool.map(of_block, positions)


def fields_of_case(
    declared: Mapping[str, Any], case: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields that all records of a case share.

    Args:
        declared: cases.json.
        case: one of its cases.
    """
    return {
        "scan_shape": case["scan_shape"],
        "spacing_mm": case["spacing_mm"],
        "affine": case["affine"],
        "case": case["case"],
        "database": declared["database"],
        "schema_version": declared["schema_version"],
        "annotated_labels": case["annotated_labels"],
        "resolved_labels": case["resolved_labels"],
        "stored_value_labels": declared["stored_value_labels"],
        "body_mean_hu": case["mean"],
        "body_sd_hu": case["sd"],
        "hu_window": declared["hu_window"],
        "body_threshold_hu": declared["body_threshold_hu"],
    }


def _record(
    of_case: dict[str, Any],
    image: np.ndarray,
    labels: np.ndarray,
    block_shape: Sequence[int],
    num_values: int,
    position: np.ndarray,
) -> tuple[bytes, dict[str, Any]]:
    """Return one serialised record and its index, from its own first byte."""
    box = tuple(map(slice, position, position + block_shape))
    block, values = image[box], labels[box]
    row = {
        "position": position,
        "shape": block.shape,
        "voxel_counts": np.bincount(values.ravel(), minlength=num_values),
        "body_voxels": (block > of_case["body_threshold_hu"]).sum(),
    }
    raw, payload = serialise(of_case | row | {"image": block, "labels": values})
    return raw, row | {"payload": payload}


def serialise(record: Mapping[str, Any]) -> tuple[bytes, np.ndarray]:
    """Return a record as tf.train.Example; equal records give equal bytes.

    Args:
        record: a value for each field of the schema.

    Returns:
        The bytes, and (2, 2) offset and length of those of image and labels.
    """
    parts: dict[str, tf.train.Feature] = {}
    payloads = []
    for field in FIELDS:
        value = record[field.name]
        if field.compressed:
            parts[f"{field.name}/shape"] = _feature(value.shape, "int64")
            # In C order, whatever the order in memory.
            data = np.asarray(value, field.dtype).tobytes()
            value = zlib.compress(data, _COMPRESSION_LEVEL)
            payloads.append(value)
            parts[f"{field.name}/value"] = _feature(value, "text")
        else:
            parts[field.name] = _feature(value, field.dtype)
    example = tf.train.Example(features=tf.train.Features(feature=parts))
    # Else in the order of a hash map, which differs between processes.
    raw = example.SerializeToString(deterministic=True)
    # Wherever equal bytes are found first, they are the same payload.
    spans = [(raw.index(payload), len(payload)) for payload in payloads]
    return raw, np.asarray(spans)


def _feature(value: Any, dtype: str) -> tf.train.Feature:
    """Return what TFRecord knows: bytes, float or int64, flattened."""
    if dtype == "text":
        data = value.encode() if isinstance(value, str) else value
        values = tf.train.BytesList(value=[data])
        return tf.train.Feature(bytes_list=values)
    array = np.asarray(value, dtype).ravel()
    if array.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=array))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=array))
