"""cases.json: what the records of one database say about each case.

In: `<records_dir>/<database>/1.0.0/`. Out: the document, checked, and a
`CaseEntry` for each case, in the order of the records.

Records are made by a program and read by another, perhaps years later: a
document that is not whole is refused before anything is computed from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tfpartial.errors import InputError, shown
from tfpartial.files.safe_reading import read_json
from tfpartial.files.stamp import STAMP_FILE, check_stamp
from tfpartial.labels import vector_from_bitmask
from tfpartial.records.schema import CASES_FILE, SCHEMA_VERSION
from tfpartial.types import Shape3

REMEDY = "Delete the folder and build it again."
Voxels = Annotated[int, Field(ge=1, le=2**20)]
Word = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Box = Annotated[list[Voxels], Field(min_length=3, max_length=3)]
Millimetres = Annotated[
    list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)
]
Words = Annotated[list[Word], Field(min_length=1, max_length=4)]
Row = Annotated[list[float], Field(min_length=4, max_length=4)]


class _Strict(BaseModel):
    """Exact types; what else a document says is not looked at."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class _Case(_Strict):
    case: str
    split: Literal["train", "validation", "test"]
    scan_shape: Box
    spacing_mm: Millimetres
    affine: list[Row] = Field(min_length=4, max_length=4)
    annotated_labels: Words
    resolved_labels: Words
    mean: float
    sd: float = Field(ge=0)
    prone_turn: bool
    fingerprint: str
    exact_hash: str


class _CasesFile(_Strict):
    database: str
    fingerprint: str
    label_names: list[str] = Field(min_length=2, max_length=255)
    stored_values: list[str]
    stored_value_labels: list[Words] = Field(min_length=1, max_length=256)
    annotated: list[str]
    block_shape: Box
    spacing_mm: Millimetres
    hu_window: list[float] = Field(min_length=2, max_length=2)
    body_threshold_hu: float
    declaration: dict[str, Any]
    versions: dict[str, str]
    num_records: int = Field(ge=1)
    bytes_on_disk: int = Field(ge=1)
    compressed_scan_bytes: int = Field(ge=1)
    statistics: list[dict[str, Any]]
    cases: list[_Case] = Field(min_length=1)


@dataclass(frozen=True)
class CaseEntry:
    """What the records say about one case.

    Attributes:
        case: case id, unique within the database.
        database: name of the database.
        split: "train", "validation" or "test".
        scan_shape: (3,) voxels of the canonical grid.
        spacing_mm: (3,) mm.
        affine: (4, 4) float64, grid voxel -> RAS+ mm.
        annotated: (L,) bool.
        resolved: (L,) bool; annotated labels named singly.
        mean: HU, of the clipped scan over its body mask.
        sd: HU, likewise.
        fingerprint: sha256 over input files, declarations and settings.
        exact_hash: of the scan's voxels, to find the same scan again.
    """

    case: str
    database: str
    split: str
    scan_shape: Shape3
    spacing_mm: tuple[float, float, float]
    affine: np.ndarray
    annotated: np.ndarray
    resolved: np.ndarray
    mean: float
    sd: float
    fingerprint: str
    exact_hash: str


def read_cases_file(folder: Path) -> dict[str, Any]:
    """Read the cases.json of one database of records, and check the folder.

    The stamp of the folder is compared with every file; of large ones, which
    the shards are, with the size.

    Raises:
        InputError: absent, unreadable, of another schema version, incomplete,
            or not as it was written.
    """
    path = folder / CASES_FILE
    if not path.is_file():
        raise InputError(
            f"{path}: expected records, found none. Build them first: "
            "tfpartial build --config <config>."
        )
    declared = read_json(path, "a case list (JSON)", REMEDY)
    version = None
    if isinstance(declared, dict):
        version = declared.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: expected record schema version {SCHEMA_VERSION}, found "
            f"{shown(version)}. Build the records again with this version of "
            "tfpartial, or install the version that wrote them."
        )
    check_stamp(folder / STAMP_FILE, REMEDY, quick=True)
    _check_types(declared, path)
    try:
        case_entries(declared)
        sets = stored_sets_of(declared)
    except InputError as error:
        raise InputError(f"{path}: {error} {REMEDY}") from None
    if not sets.all(axis=1).any():
        raise InputError(
            f"{path}: expected a stored value for 'ignore', found none. "
            f"{REMEDY}"
        )
    return declared


def stored_sets_of(declared: dict[str, Any]) -> np.ndarray:
    """Return (V, L) bool, the declared set of each stored value.

    Raises:
        InputError: a bitmask does not fit the labels.
    """
    words = declared["stored_value_labels"]
    if len({len(row) for row in words}) > 1:
        raise InputError("expected bitmasks of one length, found several.")
    return vector_from_bitmask(np.asarray(words), len(declared["label_names"]))


def case_entries(declared: dict[str, Any]) -> list[CaseEntry]:
    """Turn the content of a cases.json into entries.

    Raises:
        InputError: a bitmask does not fit the labels.
    """
    num_labels = len(declared["label_names"])

    def vector(words: list[int]) -> np.ndarray:
        return vector_from_bitmask(np.asarray(words), num_labels)

    return [
        CaseEntry(
            case=entry["case"],
            database=declared["database"],
            split=entry["split"],
            scan_shape=tuple(entry["scan_shape"]),
            spacing_mm=tuple(entry["spacing_mm"]),
            affine=np.asarray(entry["affine"], np.float64),
            annotated=vector(entry["annotated_labels"]),
            resolved=vector(entry["resolved_labels"]),
            mean=entry["mean"],
            sd=entry["sd"],
            fingerprint=entry["fingerprint"],
            exact_hash=entry["exact_hash"],
        )
        for entry in declared["cases"]
    ]


def _check_types(declared: dict[str, Any], path: Path) -> None:
    """Check types and sizes.

    Raises:
        InputError: with every difference, at most 20.
    """
    try:
        _CasesFile.model_validate(declared)
    except ValidationError as error:
        raise InputError(
            *(
                f"{path}: expected a case list, found "
                f"{'.'.join(map(str, finding['loc'])) or 'the document'} = "
                f"{shown(finding['input'])}: {finding['msg']}. {REMEDY}"
                for finding in error.errors()[:20]
            )
        ) from None
