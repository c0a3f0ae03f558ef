"""NIfTI: a case of scan and label map, read as the builder reads it."""

from __future__ import annotations

import functools
import gzip
import random
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from fuzz.corpus import (
    OUTPUT,
    Fault,
    Mutate,
    Reader,
    flip_bits,
    replace_by_other,
    truncate,
)
from tfpartial.config import Database, Preprocess
from tfpartial.databases import find_cases
from tfpartial.errors import InputError
from tfpartial.labels import Label, LabelSpace
from tfrecords_builder.scan_cache import ScanJob, preprocess_scan

SHAPE = (14, 12, 10)
AFFINE = np.array(
    [[-1.5, 0, 0, 90.5], [0, -2.0, 0, 70.25], [0, 0, 3, -400], [0, 0, 0, 1]]
)
SPACE = LabelSpace((Label("liver"), Label("spleen")))
IMAGE, LABELS = "ct.nii.gz", "labels.nii.gz"
# Offsets in the header of NIfTI-1, bytes.
DIM, DATATYPE, BITPIX, PIXDIM, VOX_OFFSET = 40, 70, 72, 76, 108
SLOPE, INTERCEPT, UNITS, DESCRIP, AUX_FILE = 112, 116, 123, 148, 228
QFORM_CODE, SFORM_CODE, SROW, INTENT_NAME, MAGIC = 252, 254, 280, 328, 344
HEADER_BYTES = 348
# data_type and db_name, session_error and regular; nothing depends on them.
UNUSED = ((4, 28), (36, 39), (DESCRIP, AUX_FILE), (AUX_FILE, QFORM_CODE),
          (INTENT_NAME, MAGIC))  # fmt: skip


def database_of(folder: Path) -> Database:
    """Declare the one case of a folder."""
    return Database(
        name="clinic",
        layout="label_map_folder",
        path=str(folder / "scans"),
        values={"1": "liver", "2": "spleen"},
        licence="none",
        citation="none",
    )


def voxels() -> tuple[np.ndarray, np.ndarray]:
    """Return HU int16 and labels uint8 in which no two axes are alike."""
    draw = np.random.default_rng(0)
    hu = draw.integers(-100, 200, SHAPE).astype(np.int16)
    hu[:2] = -1000
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:6, 2:5, 4:9] = 1
    labels[8:12, 6:11, 1:4] = 2
    return hu, labels


def prepare(folder: Path) -> None:
    """Write one case."""
    for name, array in zip((IMAGE, LABELS), voxels(), strict=True):
        write(folder, name, array, AFFINE)


def write(
    folder: Path, name: str, array: np.ndarray, affine: np.ndarray
) -> None:
    """Write a volume of the case."""
    path = folder / "scans" / "case_1" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, affine, dtype=array.dtype)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def job_of(folder: Path, target: Path) -> ScanJob:
    """Return what the builder would do with the case."""
    database = database_of(folder)
    (case,) = find_cases(database, SPACE)
    return ScanJob(case, database, SPACE, Preprocess(), 3, 4, target)


def read(folder: Path) -> dict[str, Any]:
    """Preprocess the case as a worker of the build does."""
    target = folder / OUTPUT / "case.npz"
    faults = preprocess_scan(job_of(folder, target))
    if faults:
        raise InputError(*faults)
    with np.load(target) as scan:
        return {name: scan[name] for name in scan.files}


def harmed(change: Mutate) -> Mutate:
    """Apply a change to the scan or the label map, as the draw decides."""

    @functools.wraps(change)
    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        name = draw.choice((IMAGE, LABELS))
        change(folder / "scans" / "case_1" / name, draw)
        return (name,)

    return mutate


def header(*fields: tuple[int, str, Any]) -> Mutate:
    """Overwrite header fields: (offset, dtype, value or choices)."""

    @harmed
    def mutate(path: Path, draw: random.Random) -> tuple[str, ...]:
        overwrite(path, draw, *fields)
        return ()

    return mutate


def overwrite(
    path: Path, draw: random.Random, *fields: tuple[int, str, Any]
) -> None:
    """Overwrite header fields of one file, see `header`."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    for offset, dtype, value in fields:
        chosen = draw.choice(value) if isinstance(value, list) else value
        with np.errstate(all="ignore"):
            raw = np.asarray(chosen, dtype).tobytes()
        data[offset : offset + len(raw)] = raw
    path.write_bytes(gzip.compress(bytes(data), 1))


def rows(change: Any) -> Mutate:
    """Overwrite the sform by a changed affine, its spacing by pixdim."""

    @harmed
    def mutate(path: Path, draw: random.Random) -> tuple[str, ...]:
        affine = AFFINE.copy()
        change(affine, draw)
        data = bytearray(gzip.decompress(path.read_bytes()))
        data[SROW : SROW + 48] = affine[:3].astype("<f4").tobytes()
        with np.errstate(all="ignore"):
            spacing = np.linalg.norm(affine[:3, :3], axis=0).astype("<f4")
        data[PIXDIM + 4 : PIXDIM + 16] = spacing.tobytes()
        path.write_bytes(gzip.compress(bytes(data), 1))
        return ()

    return mutate


def _not_finite(affine: np.ndarray, draw: random.Random) -> None:
    affine[draw.randrange(3), draw.randrange(4)] = draw.choice(
        [np.nan, np.inf, -np.inf]
    )


def _singular(affine: np.ndarray, draw: random.Random) -> None:
    one, other = draw.sample(range(3), 2)
    affine[:3, one] = affine[:3, other] * draw.uniform(0.5, 2)


def _sheared(affine: np.ndarray, draw: random.Random) -> None:
    row, column = draw.sample(range(3), 2)
    affine[row, column] += draw.choice([-1, 1]) * draw.uniform(0.1, 3)


def _moved(affine: np.ndarray, draw: random.Random) -> None:
    affine[draw.randrange(3), 3] += draw.choice([-1, 1]) * draw.uniform(0.1, 99)


def _turned(affine: np.ndarray, draw: random.Random) -> None:
    axis = draw.randrange(3)
    affine[:3, axis] *= draw.choice([-1, 1e-6, 1e6, 0, 1e30, 2])


def _pixels(kind: str) -> Mutate:
    """Write the scan or the label map with other voxels."""

    def mutate(folder: Path, draw: random.Random) -> tuple[str, ...]:
        hu, labels = voxels()
        place = tuple(draw.randrange(n) for n in SHAPE)
        if kind == "NaN":
            array = hu.astype(draw.choice(["f4", "f8"]))
            array[place] = draw.choice([np.nan, np.inf, -np.inf])
            write(folder, IMAGE, array, AFFINE)
            return (IMAGE,)
        if kind == "fraction":
            array = labels.astype(draw.choice(["f4", "f8"]))
            array[place] += draw.choice([0.5, 1e-3, np.nan, np.inf])
        else:
            dtype, value = draw.choice(
                [("u1", 3), ("i2", -1), ("i4", 2**31 - 1), ("u2", 65535),
                 ("f4", 7.0), ("f8", 2.0**40), ("u4", 2**32 - 1),
                 ("i8", -(2**62))]
            )  # fmt: skip
            array = labels.astype(dtype)
            array[place] = value
        write(folder, LABELS, array, AFFINE)
        return (LABELS,)

    return mutate


def _shape(kind: str) -> Mutate:
    """Write more axes, or voxels that are no real numbers."""

    @harmed
    def mutate(path: Path, draw: random.Random) -> tuple[str, ...]:
        array = voxels()[0]
        if kind == "axes":
            copies = draw.randint(2, 4)
            array = np.stack([array] * copies, axis=-1)
            array = array if draw.random() < 0.5 else array[..., None, :]
        elif draw.random() < 0.5:
            array = array.astype(draw.choice(["c8", "c16"]))
        else:
            names = ["R", "G", "B", "A"][: draw.choice([3, 4])]
            array = np.zeros(SHAPE, [(name, "u1") for name in names])
        nibabel.Nifti1Image(array, AFFINE).to_filename(path)
        return ()

    return mutate


@harmed
def _absurd(path: Path, draw: random.Random) -> tuple[str, ...]:
    """Claim more voxels than any scan has, in NIfTI-1 or NIfTI-2."""
    if draw.random() < 0.5:
        sizes = [[32767] * 3, [32767, 1, 32767], [0, 12, 10], [-5, 12, 10],
                 [14, 12, 32767]]  # fmt: skip
        overwrite(path, draw, (DIM + 2, "<i2", sizes))
        return ()
    image = nibabel.Nifti2Image(voxels()[0], AFFINE)
    data = bytearray(image.to_bytes())
    sizes = draw.choice(
        [[2**31] * 3, [2**62, 1, 1], [2**63 - 1] * 3, [-(2**31)] * 3,
         [2**31, 1, 1]]
    )  # fmt: skip
    data[24:48] = np.asarray(sizes, "<i8").tobytes()
    path.write_bytes(gzip.compress(bytes(data), 1))
    return ()


@functools.cache
def _zeros() -> bytes:
    """Return 64 MiB of zeros as one gzip member of 64 kB."""
    return gzip.compress(bytes(2**26), 9)


@harmed
def _bomb(path: Path, draw: random.Random) -> tuple[str, ...]:
    """4 GiB in 4 MB: behind the voxels, as voxels, or as extensions."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    kind = draw.randrange(3)
    if kind == 1:
        data[DIM + 2 : DIM + 8] = np.asarray([1290] * 3, "<i2").tobytes()
    elif kind == 2:
        data[VOX_OFFSET : VOX_OFFSET + 4] = np.float32(2**31).tobytes()
        data[HEADER_BYTES : HEADER_BYTES + 12] = np.asarray(
            [1, 2**31 - 16, 6], "<i4"
        ).tobytes()
    path.write_bytes(gzip.compress(bytes(data), 1) + _zeros() * 64)
    return ()


@harmed
def _extension(path: Path, draw: random.Random) -> tuple[str, ...]:
    """Put an extension before the voxels; what it holds does not matter."""
    data = gzip.decompress(path.read_bytes())
    size = 16 * draw.randint(1, 200)
    claimed = draw.choice([size, size, 2**31 - 16, -16, 7, 0])
    extension = np.asarray([1, claimed, draw.choice([2, 4, 6, 999])], "<i4")
    block = extension.tobytes() + draw.randbytes(size - 8)
    changed = bytearray(data[:HEADER_BYTES] + block + data[352:])
    changed[VOX_OFFSET : VOX_OFFSET + 4] = np.float32(352 + size).tobytes()
    path.write_bytes(gzip.compress(bytes(changed), 1))
    return ()


@harmed
def _free_text(path: Path, draw: random.Random) -> tuple[str, ...]:
    """Fill a field that nothing depends on."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    first, end = draw.choice(UNUSED)
    data[first:end] = draw.randbytes(end - first)
    path.write_bytes(gzip.compress(bytes(data), 1))
    return ()


def _same(change: Any) -> Mutate:
    @harmed
    def mutate(path: Path, draw: random.Random) -> tuple[str, ...]:
        change(path, draw)
        return ()

    return mutate


READER = Reader(
    "NIfTI",
    prepare,
    read,
    (
        Fault("truncated", _same(truncate)),
        Fault("bits flipped", _same(flip_bits)),
        Fault("another file", _same(replace_by_other)),
        Fault(
            "wrong magic", header((MAGIC, "S4", [b"ni1", b"n+2", b"", b"x"]))
        ),
        Fault(
            "wrong header size",
            header((0, "<i4", [0, 540, 347, -348, 2**31 - 1])),
        ),
        Fault("absurd dimensions", _absurd),
        Fault(
            "fewer voxels claimed",
            header(
                (
                    DIM + 2,
                    "<i2",
                    [[13, 12, 10], [14, 11, 10], [14, 12, 9], [1, 1, 1]],
                )
            ),
        ),
        Fault(
            "number of axes", header((DIM, "<i2", [0, 1, 2, -1, 8, 9, 32767]))
        ),
        Fault("affine not finite", rows(_not_finite)),
        Fault("affine not invertible", rows(_singular)),
        Fault("affine sheared", rows(_sheared)),
        Fault("affine moved", rows(_moved)),
        Fault("affine scaled or turned", rows(_turned)),
        Fault(
            "spacing zero", header((PIXDIM + 4, "<f4", [[0, 0, 0], [0, 2, 3]]))
        ),
        Fault(
            "spacing contradicts",
            header(
                (
                    PIXDIM + 4,
                    "<f4",
                    [[-1.5, 2, 3], [np.nan, 2, 3], [1.5, 2, 9], [1e38, 2, 3]],
                )
            ),
        ),
        Fault(
            "no orientation",
            header((QFORM_CODE, "<i2", [0, 0]), (SFORM_CODE, "<i2", 0)),
        ),
        Fault(
            "unknown orientation code",
            header((SFORM_CODE, "<i2", [-1, 5, 99, 32767])),
        ),
        Fault("other units", header((UNITS, "u1", [1, 3, 9, 11]))),
        Fault("4D or 5D", _shape("axes")),
        Fault("complex or colour", _shape("kind")),
        Fault(
            "unknown data type",
            header((DATATYPE, "<i2", [0, 1, 3, 77, -4, 32767])),
        ),
        Fault(
            "data type of another size",
            header(
                (
                    DATATYPE,
                    "<i2",
                    [[8, 32], [16, 32], [64, 64], [1536, 128], [1024, 64]],
                )
            ),
        ),
        Fault(
            "offset of voxels",
            header(
                (
                    VOX_OFFSET,
                    "<f4",
                    [-1, 1, 348, 353, 368, 1e9, 1e38, np.nan, np.inf],
                )
            ),
        ),
        Fault(
            "scaling not finite",
            header(
                (
                    SLOPE,
                    "<f4",
                    [
                        [1, np.nan],
                        [2, np.inf],
                        [np.nan, 1],
                        [np.inf, 0],
                        [1e38, 1e38],
                    ],
                )
            ),
        ),
        Fault("NaN voxels", _pixels("NaN")),
        Fault("labels not whole", _pixels("fraction")),
        Fault("labels not declared", _pixels("undeclared")),
        Fault("gzip bomb", _bomb),
        Fault("extensions", _extension),
        Fault("free text", _free_text, harmless=True),
    ),
)
