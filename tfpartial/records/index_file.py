"""index.npz: where each record and its zlib bytes lie, held against cases.json.

In: the file, the cases, sizes. Out: arrays that agree with them.

A zip member says how large it is: it is compared with what the cases need
before it is read. Nothing is unpickled.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfpartial.errors import InputError
from tfpartial.types import Shape3

# Deflate makes 1032 bytes of one at most; a record has more than one byte.
MAX_EXPANSION = 1032
_MAX_SHARDS = 100_000
_MAX_HEADER_BYTES = 10_000


@dataclass(frozen=True, eq=False)
class Index:
    """One row per record, in the order of the shards.

    Attributes:
        case: (N,) int32, position of its case in cases.json.
        position: (N, 3) int32, first voxel in the scan.
        shape: (N, 3) int32, voxels.
        voxel_counts: (N, V) int32.
        body_voxels: (N,) int32.
        shard: (N,) int32, position in shard_names.
        payload: (N, 2, 2) int64, (offset, length) of image and labels.
        shard_names: file names.
        shard_bytes: their sizes.
    """

    case: np.ndarray
    position: np.ndarray
    shape: np.ndarray
    voxel_counts: np.ndarray
    body_voxels: np.ndarray
    shard: np.ndarray
    payload: np.ndarray
    shard_names: list[str]
    shard_bytes: list[int]


def read_index(
    path: Path,
    scan_shapes: Sequence[Shape3],
    block_shape: Shape3,
    num_values: int,
    remedy: str,
) -> Index:
    """Read the index of the records of one database.

    Args:
        path: index.npz.
        scan_shapes: of the cases, in the order of the records.
        block_shape: voxels of a block that is not at an end of a scan.
        num_values: V.
        remedy: ends messages.

    Raises:
        InputError: unreadable, or it disagrees with the arguments.
    """
    counts = [_count_blocks(shape, block_shape) for shape in scan_shapes]
    try:
        if sum(counts) > path.stat().st_size * MAX_EXPANSION:
            raise ValueError(f"too short for {sum(counts)} blocks")
        with zipfile.ZipFile(path) as file:
            index = _read(file, sum(counts), num_values)
    except Exception as error:  # a damaged zip raises nearly anything
        raise _unlike(
            path, f"{type(error).__name__}: {error}", remedy
        ) from None
    problem = _problem(index, counts, scan_shapes, block_shape)
    if problem:
        raise _unlike(path, problem, remedy)
    return index


def _unlike(path: Path, found: str, remedy: str) -> InputError:
    return InputError(
        f"{path}: expected the index of these records, found one that is not a "
        f"readable index of them ({found.rstrip('.')}). {remedy}"
    )


def _count_blocks(scan_shape: Shape3, block_shape: Shape3) -> int:
    return math.prod(
        -(-size // step)
        for size, step in zip(scan_shape, block_shape, strict=True)
    )


def _blocks(scan_shape: Shape3, block_shape: Shape3) -> np.ndarray:
    """Return (n, 3) int32 first voxels of a scan's blocks, in C order."""
    axes = [
        np.arange(0, size, step, dtype=np.int32)
        for size, step in zip(scan_shape, block_shape, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _read(file: zipfile.ZipFile, num_records: int, num_values: int) -> Index:
    def column(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        return _array(file, name, shape, np.dtype(dtype))

    n = num_records
    names = _array(file, "shard_names", None, np.dtype(np.str_))
    sizes = column("shard_bytes", (len(names),), np.int64)
    return Index(
        case=column("case", (n,), np.int32),
        position=column("position", (n, 3), np.int32),
        shape=column("shape", (n, 3), np.int32),
        voxel_counts=column("voxel_counts", (n, num_values), np.int32),
        body_voxels=column("body_voxels", (n,), np.int32),
        shard=column("shard", (n,), np.int32),
        payload=column("payload", (n, 2, 2), np.int64),
        shard_names=[str(name) for name in names],
        shard_bytes=sizes.tolist(),
    )


def _array(
    file: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...] | None,
    dtype: np.dtype,
) -> np.ndarray:
    """Read one member: of this shape (None: a list of texts) and dtype.

    Raises:
        ValueError: it declares another shape or dtype, or is shorter.
    """
    with file.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{name}: format {version}")
        found, fortran, kind = np.lib.format.read_array_header_1_0(
            member, max_header_size=_MAX_HEADER_BYTES
        )
        fits = kind == dtype and found == shape
        if shape is None:
            fits = kind.kind == "U" and len(found) == 1
            fits &= found[0] <= _MAX_SHARDS and kind.itemsize <= 4 * 255
        if not fits or (fortran and len(found) > 1):
            raise ValueError(
                f"{name}: expected {dtype} of shape {shape}, found {kind} of "
                f"shape {found}"
            )
        size = int(np.prod(found, dtype=np.int64)) * kind.itemsize
        data = member.read(size)
        if len(data) != size or member.read(1):
            raise ValueError(f"{name}: more or fewer bytes than its shape")
    return np.frombuffer(data, kind).reshape(found)


def _problem(
    index: Index,
    counts: Sequence[int],
    scan_shapes: Sequence[Shape3],
    block_shape: Shape3,
) -> str | None:
    """Return what in the index contradicts the cases or itself."""
    case = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    position = np.concatenate([_blocks(s, block_shape) for s in scan_shapes])
    ends = np.repeat(np.asarray(scan_shapes, np.int32), counts, axis=0)
    shape = np.minimum(ends - position, np.asarray(block_shape, np.int32))
    voxels = shape.prod(axis=1, dtype=np.int64)
    if not (
        np.array_equal(index.case, case)
        and np.array_equal(index.position, position)
        and np.array_equal(index.shape, shape)
    ):
        return "its blocks do not tile the scans of cases.json"
    totals = index.voxel_counts.sum(axis=1, dtype=np.int64)
    if (index.voxel_counts < 0).any() or (totals != voxels).any():
        return "voxel_counts do not add up to the blocks"
    if ((index.body_voxels < 0) | (index.body_voxels > voxels)).any():
        return "body_voxels exceed the blocks"
    for name in index.shard_names:
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            return f"a shard's name is no plain file name: {name!r}"
    if ((index.shard < 0) | (index.shard >= len(index.shard_names))).any():
        return "records of shards that it does not name"
    sizes = np.asarray(index.shard_bytes, np.int64)[index.shard]
    first, length = index.payload[..., 0], index.payload[..., 1]
    inside = (first >= 0) & (length > 0) & (length <= sizes[:, None])
    if not (inside & (first <= sizes[:, None] - length)).all():
        return "records beyond the end of their shard"
    return None
