"""index.npz: where each record and its zlib bytes lie, held against cases.json.

In: the file, the cases, sizes. Out: arrays that agree with them.

A zip member says how large it is: it is compared with what the cases need
before it is read. Nothing is unpickled.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpartial.errors import InputError
from tfpartial.types import Shape3

# Deflate makes 1032 bytes of one at most; a record has more than one byte.
MAX_EXPANSION = 1032
_MAX_SHARDS = 100_000
_MAX_HEADER_BYTES = 10_000
# dtype and shape of one record's row; V is the number of stored values.
_COLUMNS: dict[str, tuple[type, tuple[int | str, ...]]] = {
    "case": (np.int32, ()),
    "position": (np.int32, (3,)),
    "shape": (np.int32, (3,)),
    "voxel_counts": (np.int32, ("V",)),
    "body_voxels": (np.int32, ()),
    "shard": (np.int32, ()),
    "payload": (np.int64, (2, 2)),  # byte offsets need 64 bits
}


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
    """

    case: np.ndarray
    position: np.ndarray
    shape: np.ndarray
    voxel_counts: np.ndarray
    body_voxels: np.ndarray
    shard: np.ndarray
    payload: np.ndarray
    shard_names: list[str]


def write_index(
    path: Path, rows: Sequence[Mapping[str, Any]], shard_names: Sequence[str]
) -> None:
    """Write the index of records.

    Args:
        path: index.npz.
        rows: one per record: the columns of `Index`, but the last.
        shard_names: file names.
    """
    columns: dict[str, Any] = {
        name: np.asarray([row[name] for row in rows], dtype)
        for name, (dtype, _) in _COLUMNS.items()
    }
    np.savez_compressed(path, shard_names=np.asarray(shard_names), **columns)


def read_index(
    path: Path,
    scan_shapes: Sequence[Shape3],
    block_shape: Shape3,
    num_values: int,
    remedy: str,
) -> Index:
    """Read the index of the records of one database.

    Args:
        path: index.npz, beside its shards.
        scan_shapes: of the cases, in the order of the records.
        block_shape: voxels of a block that is not at an end of a scan.
        num_values: V.
        remedy: ends messages.

    Raises:
        InputError: unreadable, or it disagrees with the arguments or with
            the shards.
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
    problem = _block_problem(
        index, counts, scan_shapes, block_shape
    ) or _shard_problem(index, path.parent)
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


def block_positions(scan_shape: Shape3, block_shape: Shape3) -> np.ndarray:
    """Return (n, 3) int32 first voxels of a scan's blocks, in C order."""
    axes = [
        np.arange(0, size, step, dtype=np.int32)
        for size, step in zip(scan_shape, block_shape, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _read(file: zipfile.ZipFile, num_records: int, num_values: int) -> Index:
    columns = {}
    for name, (dtype, row) in _COLUMNS.items():
        shape = (num_records, *(num_values if n == "V" else n for n in row))
        columns[name] = _array(file, name, shape, np.dtype(dtype))
    names = _array(file, "shard_names", None, np.dtype(np.str_))
    return Index(**columns, shard_names=names.tolist())


def _array(
    file: zipfile.ZipFile,
    name: str,
    shape: tuple[int | str, ...] | None,
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
        held, fortran, kind = np.lib.format.read_array_header_1_0(
            member, max_header_size=_MAX_HEADER_BYTES
        )
        fits = kind == dtype and held == shape
        if shape is None:
            fits = kind.kind == "U" and len(held) == 1
            fits &= held[0] <= _MAX_SHARDS and kind.itemsize <= 4 * 255
        if not fits or (fortran and len(held) > 1):
            raise ValueError(
                f"{name}: expected {dtype} of shape {shape}, found {kind} of "
                f"shape {held}"
            )
        size = int(np.prod(held, dtype=np.int64)) * kind.itemsize
        data = member.read(size)
        if len(data) != size or member.read(1):
            raise ValueError(f"{name}: more or fewer bytes than its shape")
    return np.frombuffer(data, kind).reshape(held)


def _block_problem(
    index: Index,
    counts: Sequence[int],
    scan_shapes: Sequence[Shape3],
    block_shape: Shape3,
) -> str | None:
    """Return what contradicts the cases."""
    case = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    position = np.concatenate(
        [block_positions(shape, block_shape) for shape in scan_shapes]
    )
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
    return None


def _shard_problem(index: Index, folder: Path) -> str | None:
    """Return what contradicts the shards of the folder."""
    sizes = []
    for name in index.shard_names:
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            return f"a shard's name is no plain file name: {name!r}"
        if not (folder / name).is_file():
            return f"records of {name}, which is not there"
        sizes.append((folder / name).stat().st_size)
    if ((index.shard < 0) | (index.shard >= len(sizes))).any():
        return "records of shards that it does not name"
    ends = np.asarray(sizes, np.int64)[index.shard][:, None]
    first, length = index.payload[..., 0], index.payload[..., 1]
    inside = (first >= 0) & (length > 0) & (length <= ends)
    if not (inside & (first <= ends - length)).all():
        return "records beyond the end of their shard"
    return None
