"""index.npz: where each record and its zlib bytes lie in the shards.

In: a folder that TFDS has just written. Out: `index.npz` beside the shards.

A TFRecord file is a sequence of: length (uint64), masked crc32c of the length
(uint32), data, masked crc32c of the data (uint32). TensorFlow's reader checks
both sums while the offsets are added up here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfpartial.records.schema import INDEX_FILE

_HEADER_BYTES = 12
_FOOTER_BYTES = 4


@dataclass
class _Columns:
    shard: list[int] = field(default_factory=list)
    offset: list[int] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    case: list[int] = field(default_factory=list)
    position: list[np.ndarray] = field(default_factory=list)
    shape: list[np.ndarray] = field(default_factory=list)
    voxel_counts: list[np.ndarray] = field(default_factory=list)
    body_voxels: list[int] = field(default_factory=list)
    payload: list[list[list[int]]] = field(default_factory=list)

    def arrays(self) -> dict[str, Any]:
        """Return each column as an array; byte offsets need 64 bits."""
        wide = {"offset", "length", "payload"}
        return {
            column.name: np.asarray(
                getattr(self, column.name),
                np.int64 if column.name in wide else np.int32,
            )
            for column in fields(self)
        }


def write_index(
    folder: Path, shard_names: Sequence[str], cases: Sequence[str]
) -> int:
    """Walk the shards and write `index.npz`.

    Args:
        folder: of the shards.
        shard_names: in the order of the records.
        cases: case ids in the order of the records.

    Returns:
        Number of records.

    Raises:
        RuntimeError: a shard is not what was just written.
    """
    number_of = {case: number for number, case in enumerate(cases)}
    columns = _Columns()
    for shard, name in enumerate(shard_names):
        for offset, raw in walk_tfrecords(folder / name):
            _add(columns, shard, offset, raw, number_of)
    found = list(dict.fromkeys(columns.case))
    if columns.case != sorted(columns.case) or len(found) != len(cases):
        raise RuntimeError(
            f"{folder}: expected the records of {len(cases)} cases in order, "
            f"found {len(found)} cases, or another order."
        )
    sizes = [(folder / name).stat().st_size for name in shard_names]
    np.savez_compressed(
        folder / INDEX_FILE,
        shard_names=np.asarray(shard_names),
        shard_bytes=np.asarray(sizes, np.int64),
        **columns.arrays(),
    )
    return len(columns.case)


def walk_tfrecords(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (byte offset of the data, data) of each record of a file.

    Raises:
        RuntimeError: the records do not add up to the file.
        tf.errors.DataLossError: a checksum is wrong.
    """
    offset = 0
    for raw in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        yield offset + _HEADER_BYTES, raw
        offset += _HEADER_BYTES + len(raw) + _FOOTER_BYTES
    size = path.stat().st_size
    if offset != size:
        raise RuntimeError(
            f"{path}: records end at byte {offset}, the file at {size}."
        )


def _add(
    columns: _Columns,
    shard: int,
    offset: int,
    raw: bytes,
    number_of: dict[str, int],
) -> None:
    """Add one serialised tf.train.Example to the columns."""
    feature: Any = tf.train.Example.FromString(raw).features.feature

    def integers(name: str) -> np.ndarray:
        return np.asarray(feature[name].int64_list.value, np.int64)

    spans = []
    for name in ("image/value", "labels/value"):
        payload = feature[name].bytes_list.value[0]
        # Wherever equal bytes are found first, they are the same payload.
        spans.append([offset + raw.index(payload), len(payload)])
    columns.shard.append(shard)
    columns.offset.append(offset)
    columns.length.append(len(raw))
    columns.case.append(number_of[feature["case"].bytes_list.value[0].decode()])
    columns.position.append(integers("position"))
    columns.shape.append(integers("shape"))
    columns.voxel_counts.append(integers("voxel_counts"))
    columns.body_voxels.append(int(integers("body_voxels")[0]))
    columns.payload.append(spans)
