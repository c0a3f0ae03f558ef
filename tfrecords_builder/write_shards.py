"""Preprocessed scans -> TFRecord shards, their index, TFDS' description.

In: cases.json as it will be, the npz of each case. Out: a folder that
`tfds.builder_from_directory` and `RecordStore` open.

The records are written by TensorFlow and described by TFDS, in its way for
TFRecords of one's own. A TFRecord file is a sequence of: length (uint64),
masked crc32c of the length (uint32), data, masked crc32c of the data (uint32).
Hence it is known while writing where each record lies.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
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
_EXTRA_BYTES = 16  # header and footer
# A shard holds whole scans, and takes no other once it has so many voxels:
# up to one byte each on disk.
_SHARD_VOXELS = 2**28
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
    template = tfds.core.ShardedFileTemplate(
        folder, dataset_name=declared["database"], filetype_suffix="tfrecord"
    )
    rows: list[dict[str, Any]] = []
    names: list[str] = []
    split_infos = []
    with ThreadPoolExecutor(workers) as pool:
        for split, groups in _cases_of_shards(declared["cases"]).items():
            files = template.replace(split=split)
            lengths, num_bytes = [], 0
            named = zip(
                files.sharded_filenames(len(groups)), groups, strict=True
            )
            for name, numbers in named:
                scans = {number: scan_files[number] for number in numbers}
                records = _records(declared, scans, pool, written)
                added = _write_shard(folder / name, records)
                rows += [row | {"shard": len(names)} for row in added]
                names.append(name)
                lengths.append(len(added))
                num_bytes += sum(row["length"] for row in added)
            info = tfds.core.SplitInfo(split, lengths, num_bytes, files)
            split_infos.append(info)
    write_index(folder / INDEX_FILE, rows, names)
    _write_metadata(folder, declared, split_infos)
    return len(rows)


def _cases_of_shards(
    cases: Sequence[Mapping[str, Any]],
) -> dict[str, list[list[int]]]:
    """Return the case numbers of each shard of each split, in order."""
    shards: dict[str, list[list[int]]] = {}
    room = 0
    for number, case in enumerate(cases):
        groups = shards.setdefault(case["split"], [])
        if not groups or room <= 0:
            groups.append([])
            room = _SHARD_VOXELS
        groups[-1].append(number)
        room -= math.prod(case["scan_shape"])
    return shards


def _write_shard(
    path: Path, records: Iterable[tuple[bytes, dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Write a file of records; return its rows of the index, but "shard"."""
    rows = []
    end = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for raw, row in records:
            writer.write(raw)
            payload = row["payload"] + [end + _HEADER_BYTES, 0]
            rows.append(row | {"payload": payload, "length": len(raw)})
            end += len(raw) + _EXTRA_BYTES
    return rows


def _write_metadata(
    folder: Path, declared: Mapping[str, Any], split_infos: Sequence[Any]
) -> None:
    """Describe the shards for TFDS."""
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features(len(declared["stored_value_labels"][0])),
        split_infos=split_infos,
        version=TFDS_VERSION,
        check_data=False,
        description=(
            f"CT blocks of database '{declared['database']}' with the labels "
            "that its protocol annotates. Research use only."
        ),
        citation=declared["declaration"]["citation"],
        license=declared["declaration"]["licence"],
        disable_shuffling=True,
    )


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
    scan_files: Mapping[int, Path],
    pool: Executor,
    written: Callable[[], object],
) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield each record of cases, blocks in C order, and its index.

    Args:
        declared: cases.json.
        scan_files: number of a case -> its npz.
        pool: threads: zlib releases the GIL.
        written: called after each case.
    """
    for number, scan_file in scan_files.items():
        with np.load(scan_file) as scan:
            image, labels = scan["image"], scan["labels"]
        of_block = partial(
            _record,
            fields_of_case(declared, declared["cases"][number]),
            image,
            labels,
            declared["block_shape"],
        )
        positions = block_positions(image.shape, declared["block_shape"])
        for raw, row in pool.map(of_block, positions):
            yield raw, row | {"case": number}
        written()


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
    position: np.ndarray,
) -> tuple[bytes, dict[str, Any]]:
    """Return one serialised record and its index, from its own first byte."""
    box = tuple(map(slice, position, position + block_shape))
    block, values = image[box], labels[box]
    num_values = len(of_case["stored_value_labels"])
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
