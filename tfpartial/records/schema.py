"""The schema of a record: names, dtypes, shapes, units, version.

In: nothing. Out: `FIELDS`, used by the builder, the reader and the page
docs/record_format.md, which a test compares with it.

A record is one *block*: a box of the scan's canonical grid. The blocks of a
scan tile it without overlap, so that a patch at any position is assembled
from the blocks it touches.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 1
TFDS_VERSION = "1.0.0"
INDEX_FILE = "index.npz"
CASES_FILE = "cases.json"
SPLITS = ("train", "validation", "test")

Shape = tuple[int | None | str, ...]


@dataclass(frozen=True)
class Field:
    """One feature of a record.

    Attributes:
        name: key of the feature.
        dtype: numpy name, or "text".
        shape: None is any size; "W" is the words of a bitmask.
        unit: "HU", "mm", "voxels", "bitmask" or "".
        meaning: one sentence for docs/record_format.md.
        compressed: stored as zlib bytes under `<name>/value`, with the shape
            under `<name>/shape`.
    """

    name: str
    dtype: str
    shape: Shape
    unit: str
    meaning: str
    compressed: bool = False


BOX: Shape = (None, None, None)
FIELDS: tuple[Field, ...] = (
    Field("image", "int16", BOX, "HU", "the block, rounded, not clipped", True),
    Field("labels", "uint8", BOX, "", "stored values of the block", True),
    Field("shape", "int32", (3,), "voxels", "shape of the block"),
    Field(
        "position",
        "int32",
        (3,),
        "voxels",
        "first voxel of the block in the canonical grid of the scan",
    ),
    Field("scan_shape", "int32", (3,), "voxels", "shape of that grid"),
    Field("spacing_mm", "float32", (3,), "mm", "voxel size of that grid"),
    Field("affine", "float64", (4, 4), "mm", "grid voxel -> RAS+ (x, y, z)"),
    Field("case", "text", (), "", "case id, unique within its database"),
    Field("database", "text", (), "", "name of the database"),
    Field("schema_version", "int64", (), "", "version of this table"),
    Field(
        "annotated_labels",
        "int64",
        ("W",),
        "bitmask",
        "labels that this case annotates; bit l of word l // 64 is label l",
    ),
    Field(
        "resolved_labels",
        "int64",
        ("W",),
        "bitmask",
        "annotated labels that a stored value names singly",
    ),
    Field(
        "stored_value_labels",
        "int64",
        (None, "W"),
        "bitmask",
        "row v: the labels that stored value v declares; all bits: ignore",
    ),
    Field(
        "voxel_counts",
        "int64",
        (None,),
        "voxels",
        "voxels of each stored value in this block",
    ),
    Field(
        "body_voxels",
        "int64",
        (),
        "voxels",
        "voxels of this block above body_threshold_hu",
    ),
    Field(
        "body_mean_hu",
        "float32",
        (),
        "HU",
        "mean of the clipped scan over its body mask",
    ),
    Field(
        "body_sd_hu",
        "float32",
        (),
        "HU",
        "standard deviation of the clipped scan over its body mask",
    ),
    Field("hu_window", "float32", (2,), "HU", "clip limits of those two"),
    Field("body_threshold_hu", "float32", (), "HU", "limit of the body mask"),
)
