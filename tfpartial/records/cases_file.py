"""What cases.json must hold, and the checksum that it carries.

In: the document as read. Out: nothing, or every difference.

Records are made by a program and read by another, perhaps years later: a
document that is not whole is refused before anything is computed from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tfpartial.errors import InputError, shown

CHECKSUM = "sha256"
Voxels = Annotated[int, Field(ge=1, le=2**20)]
Count = Annotated[int, Field(ge=0)]
Word = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Box = Annotated[list[Voxels], Field(min_length=3, max_length=3)]
Millimetres = Annotated[
    list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)
]
Words = Annotated[list[Word], Field(min_length=1, max_length=4)]
Row = Annotated[list[float], Field(min_length=4, max_length=4)]


class _Strict(BaseModel):
    """Exact types; what an other version adds may stay."""

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


def sealed(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with the checksum of everything else in it."""
    content = {k: v for k, v in declared.items() if k != CHECKSUM}
    return content | {CHECKSUM: _checksum(content)}


def check_cases_file(declared: Any, path: Path, remedy: str) -> None:
    """Check types, sizes and, where it carries one, the checksum.

    Args:
        declared: the document.
        path: named in messages.
        remedy: ends messages.

    Raises:
        InputError: with every difference.
    """
    try:
        _CasesFile.model_validate(declared)
    except ValidationError as error:
        raise InputError(
            *(
                f"{path}: expected a case list, found "
                f"{'.'.join(map(str, finding['loc'])) or 'the document'} = "
                f"{shown(finding['input'])}: {finding['msg']}. {remedy}"
                for finding in error.errors()[:20]
            )
        ) from None
    content = {k: v for k, v in declared.items() if k != CHECKSUM}
    expected = declared.get(CHECKSUM, _checksum(content))
    if _checksum(content) != expected:
        raise InputError(
            f"{path}: expected the content of checksum {shown(expected)}, "
            f"found another: it was changed after it was written. {remedy}"
        )


def _checksum(content: Mapping[str, Any]) -> str:
    """Return the sha256 of a document, whatever the order of its keys."""
    plain = json.loads(json.dumps(content))  # keys as they are read back
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
