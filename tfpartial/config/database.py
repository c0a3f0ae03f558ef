"""What one database declares: layout, labels, protocol, licence."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from tfpartial.config.base import Declared, InnerPath, PathText
from tfpartial.types import AffineForm

IGNORE = "ignore"
# More than anyone declares; each is compared with every other.
MAX_VALUES = 1024
MAX_CASES = 20_000
Position = Literal["supine", "prone"]


def _names_three_axes(letters: str) -> str:
    """Refuse all but one letter of each pair R L, A P, S I."""
    axes = sorted("RLAPSI".find(letter) // 2 for letter in letters)
    if axes != [0, 1, 2]:
        raise ValueError(
            f"expected one letter of each pair RL, AP and SI, such as 'LAS', "
            f"found '{letters[:20]}'"
        )
    return letters


Orientation = Annotated[str, AfterValidator(_names_three_axes)]
AbsentMask = Literal["error", "not_annotated", "empty"]
Others = Literal["background", "ignore", "not_annotated"]


def composed(text: str) -> str:
    """Return text with composed letters (NFC).

    macOS writes the "ü" of a file name as two characters, a YAML file as one.
    """
    return unicodedata.normalize("NFC", text)


class CaseOverride(Declared):
    """What one case declares differently from its database."""

    annotated: list[str] | None = Field(
        None, description="labels annotated in this case"
    )
    patient_position: Position | None = None


class Database(Declared):
    """Cases that were annotated by one protocol (the paper's D_k)."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    layout: str = Field(description="name of a `databases.layouts`")
    path: PathText = Field(
        description="folder; ${NAME} is replaced from the environment, a "
        "relative path is relative to the file that declares it"
    )
    values: dict[str, str | list[str]] = Field(
        description="stored value (label maps), or structure name (one mask "
        "per structure, or a name in dataset.json) -> a label, a list of "
        "labels (merged), 'ignore' or 'background'",
        min_length=1,
        max_length=MAX_VALUES,
    )
    others: Others | None = Field(
        None,
        description="what every structure or stored value means that `values` "
        "leaves out: background (like stored 0), ignore, or not_annotated "
        "(background, or any label that `values` does not name); default: "
        "they are refused",
    )
    annotated: list[str] | None = Field(
        None,
        description="labels this protocol annotates; default: the union of "
        "all declared values",
    )
    image: InnerPath = Field(
        "ct",
        description="file name in a case folder; an ending that is read may "
        "be left out, and another may be found (so too in the next ones)",
    )
    label_map: InnerPath = Field(
        "labels", description="file name (label_map_folder)"
    )
    mask: InnerPath = Field(
        "segmentations/{structure}",
        description="file name of one structure's mask (mask_folder)",
    )
    absent_mask: AbsentMask = "error"
    priority: list[str] = Field(
        default_factory=list,
        description="structures that win where masks overlap, first wins; "
        "then the order of `values`",
    )
    field_of_view: InnerPath | None = Field(
        None,
        description="file name in a case folder: a mask outside of which "
        "nothing is annotated (stored as ignore)",
    )
    patient_position: Position = "supine"
    affine_frame: Literal["patient", "scanner"] = Field(
        "patient",
        description="'patient': the affine already points to the patient's "
        "left, anterior, head (DICOM). 'scanner': it does not know that the "
        "patient lies prone, and prone cases are turned",
    )
    affine: AffineForm | None = Field(
        None,
        description="which form of a NIfTI header decides where both are "
        "there and disagree; default: such a file is refused",
    )
    orientation: Orientation | None = Field(
        None,
        description="where the voxel axes of NIfTI files point whose sform "
        "and qform code are 0, such as LAS (left, anterior, head); default: "
        "such files are refused",
    )
    grid_tolerance_mm: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="how far voxel centres of a scan and its label maps may "
        "be apart; default: a tenth of the smallest spacing",
    )
    cases: dict[str, CaseOverride] = Field(
        default_factory=dict, max_length=MAX_CASES
    )
    exclude: list[str] = Field(
        default_factory=list,
        max_length=MAX_CASES,
        description="case ids left out, on purpose",
    )
    licence: str
    citation: str

    @field_validator("values", mode="before")
    @classmethod
    def _keys_are_text(cls, values: object) -> object:
        if isinstance(values, dict):
            return {composed(str(key)): value for key, value in values.items()}
        return values

    @field_validator("exclude", "priority")
    @classmethod
    def _names_are_composed(cls, names: list[str]) -> list[str]:
        return [composed(name) for name in names]

    @field_validator("cases")
    @classmethod
    def _cases_are_composed(
        cls, cases: dict[str, CaseOverride]
    ) -> dict[str, CaseOverride]:
        return {composed(case): override for case, override in cases.items()}

    @field_validator("mask")
    @classmethod
    def _mask_names_structure(cls, mask: str) -> str:
        if "{structure}" not in mask:
            raise ValueError(
                f"expected '{{structure}}' in the file name, found '{mask}'"
            )
        return mask
