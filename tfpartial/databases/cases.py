"""The cases of a database: files, patient, what is annotated, position.

In: a declared database. Out: `Case` list, or all the faults of all its cases.
No voxel is read here; `read.read_case` does that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfpartial.config.database import Database, Position
from tfpartial.databases.layouts.case_folders import find_case_folders
from tfpartial.databases.layouts.dataset_json import integer_keys
from tfpartial.databases.layouts.found_files import FoundFiles
from tfpartial.databases.layouts.msd import find_msd
from tfpartial.databases.layouts.nnunet_raw import find_nnunet_raw
from tfpartial.databases.patients import patient_of
from tfpartial.databases.stored_values import (
    StoredValues,
    annotated_labels,
    stored_values,
)
from tfpartial.errors import Faults, InputError, did_you_mean, join_names
from tfpartial.labels import LabelSpace

Finder = Callable[[Database, Path, Faults], list[FoundFiles]]
FINDERS: dict[str, Finder] = {
    "nnunet_raw": find_nnunet_raw,
    "msd": find_msd,
    "label_map_folder": find_case_folders,
    "mask_folder": find_case_folders,
}
# Fields that do nothing outside these layouts: declaring one elsewhere is a
# misunderstanding that must not pass silently.
_FIELD_LAYOUTS = {
    "image": ("label_map_folder", "mask_folder"),
    "label_map": ("label_map_folder",),
    "mask": ("mask_folder",),
    "absent_mask": ("mask_folder",),
    "priority": ("mask_folder",),
    "field_of_view": ("label_map_folder", "mask_folder"),
}


@dataclass(frozen=True, eq=False)
class Case:
    """One scan with its annotation.

    Attributes:
        case_id: unique in its database.
        database: name of the database.
        image_path: the scan, HU.
        label_paths: structure -> mask; None -> label map.
        patient_id: unit of the split; the case id unless a pattern says more.
        annotated: (L,) bool; column 0 (background) is always true.
        prone_turn: whether preprocessing must turn the patient over.
        field_of_view_path: mask outside of which nothing is annotated.
    """

    case_id: str
    database: str
    image_path: Path
    label_paths: dict[str | None, Path]
    patient_id: str
    annotated: np.ndarray
    prone_turn: bool
    field_of_view_path: Path | None = None


def find_cases(
    database: Database,
    space: LabelSpace,
    patient_pattern: str | None = None,
) -> list[Case]:
    """Return the cases of a database, sorted by case id.

    Args:
        database: as declared.
        space: the label space, L channels.
        patient_pattern: `build.splits.patient_pattern`.

    Returns:
        One `Case` per scan that is not excluded.

    Raises:
        InputError: every fault of the declaration and of the files together.
    """
    with Faults() as faults:
        _check_fields(database, faults)
        stored, annotated = _protocol(database, space, faults)
        if database.layout != "mask_folder":
            try:
                integer_keys(database)
            except InputError as error:
                faults.add(error)
        found = _find_files(database, faults)
        if stored is None or annotated is None:
            faults.raise_if_any()
            return []
        _check_absent(found, database, stored, space, faults)
        _check_shared_files(found, database, faults)
        patients = _patients(found, patient_pattern, faults)
    return [
        _case(
            files, patients[files.case_id], database, stored, annotated, space
        )
        for files in sorted(found, key=lambda files: files.case_id)
    ]


def _patients(
    found: list[FoundFiles], pattern: str | None, faults: Faults
) -> dict[str, str]:
    """Return case id -> patient id."""
    patients = {}
    for files in found:
        try:
            patients[files.case_id] = patient_of(files.case_id, pattern)
        except InputError as error:
            faults.add(error)
    return patients


def _protocol(
    database: Database, space: LabelSpace, faults: Faults
) -> tuple[StoredValues | None, np.ndarray | None]:
    """Return stored values and annotated labels; None where at fault."""
    stored = annotated = None
    try:
        stored = stored_values(database, space)
        annotated = annotated_labels(database, stored, space)
    except InputError as error:
        faults.add(error)
    return stored, annotated


def _find_files(database: Database, faults: Faults) -> list[FoundFiles]:
    """Return the files of every case that is not excluded."""
    root = Path(database.path)
    if not root.is_dir():
        faults.add(
            f"database '{database.name}': expected a folder at 'path' "
            f"{root}, found none. Correct 'path'."
        )
        return []
    try:
        return FINDERS[database.layout](database, root, faults)
    except InputError as error:
        faults.add(error)
        return []


def _check_fields(database: Database, faults: Faults) -> None:
    """Refuse fields without effect and unknown names in `priority`."""
    for name, layouts in _FIELD_LAYOUTS.items():
        default = (
            type(database)
            .model_fields[name]
            .get_default(call_default_factory=True)
        )
        if database.layout in layouts or getattr(database, name) == default:
            continue
        faults.add(
            f"database '{database.name}': '{name}' has no effect in layout "
            f"'{database.layout}' (only in {', '.join(layouts)}). Remove it."
        )
    for structure in database.priority:
        if structure not in database.values:
            faults.add(
                f"database '{database.name}': 'priority' names "
                f"'{structure}', which 'values' does not declare."
                + did_you_mean(structure, database.values)
            )


def _override(database: Database, case_id: str) -> list[str] | None:
    """Return the labels a case declares as annotated, if it does."""
    override = database.cases.get(case_id)
    return None if override is None else override.annotated


def _check_absent(
    found: list[FoundFiles],
    database: Database,
    stored: StoredValues,
    space: LabelSpace,
    faults: Faults,
) -> None:
    """Refuse absent masks that the declaration does not explain.

    A structure that means 'background' claims nothing, and one whose labels
    the case's override leaves out is expected to be absent.
    """
    unexplained: dict[str, list[str]] = {}
    for files in found:
        names = _override(database, files.case_id)
        for structure in files.absent:
            if stored.code_of[structure] == 0:
                continue
            labels = stored.labels_of(structure)
            claimed = names is not None and labels[space.vector(names)].any()
            if labels.any() and names is not None and not claimed:
                continue
            if database.absent_mask == "error":
                unexplained.setdefault(structure, []).append(files.case_id)
            elif database.absent_mask == "not_annotated" and claimed:
                faults.add(
                    f"database '{database.name}': 'cases.{files.case_id}' "
                    f"declares labels of '{structure}' as annotated, but its "
                    f"mask is absent. Restore the mask, or correct the list."
                )
    for structure, case_ids in unexplained.items():
        faults.add(
            f"database '{database.name}': expected a mask of '{structure}' "
            f"({database.mask.replace('{structure}', structure)}) in every "
            f"case, found none in {len(case_ids)} of {len(found)}: "
            f"{join_names(case_ids)}. Restore it; or declare 'absent_mask: "
            f"not_annotated' (unknown there) or 'empty' (known to be absent); "
            f"or list what these cases annotate under 'cases'."
        )


def _check_shared_files(
    found: list[FoundFiles], database: Database, faults: Faults
) -> None:
    """Refuse a scan that is two cases, such as through a symbolic link."""
    owners: dict[Path, str] = {}
    for files in found:
        path = files.image_path.resolve()
        owner = owners.setdefault(path, files.case_id)
        if owner != files.case_id:
            faults.add(
                f"database '{database.name}': cases '{owner}' and "
                f"'{files.case_id}' are the same scan {path}. List one of "
                f"them under 'exclude'."
            )


def _case(
    files: FoundFiles,
    patient_id: str,
    database: Database,
    stored: StoredValues,
    annotated: np.ndarray,
    space: LabelSpace,
) -> Case:
    """Return the case that the files and the declaration make together."""
    names = _override(database, files.case_id)
    if names is not None:
        annotated = space.vector(names)
    elif database.absent_mask == "not_annotated":
        annotated = annotated.copy()
        for structure in files.absent:
            annotated &= ~stored.labels_of(structure)
    annotated[0] = True
    return Case(
        case_id=files.case_id,
        database=database.name,
        image_path=files.image_path,
        label_paths=files.label_paths,
        patient_id=patient_id,
        annotated=annotated,
        prone_turn=is_turned(database, files.case_id),
        field_of_view_path=files.field_of_view_path,
    )


def declared_position(database: Database, case_id: str) -> Position:
    """Return the position of a case: its own, or that of its database."""
    override = database.cases.get(case_id)
    if override is not None and override.patient_position is not None:
        return override.patient_position
    return database.patient_position


def is_turned(database: Database, case_id: str) -> bool:
    """Whether preprocessing must turn the patient over, as declared."""
    prone = declared_position(database, case_id) == "prone"
    return prone and database.affine_frame == "scanner"
