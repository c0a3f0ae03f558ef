"""One case -> its scan and its stored codes, on the scan's own grid.

In: a `Case`. Out: image and uint8 code volumes, or all the case's faults.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfpartial.config.database import Database
from tfpartial.databases.cases import Case
from tfpartial.databases.layouts.dataset_json import integer_keys
from tfpartial.databases.stored_values import StoredValues, stored_values
from tfpartial.errors import Faults, InputError, join_names
from tfpartial.labels import LabelSpace
from tfpartial.scans import (
    Volume,
    check_same_grid,
    count_values,
    read_image,
    read_labels,
)


def read_case(
    case: Case, database: Database, space: LabelSpace
) -> tuple[Volume, Volume]:
    """Read a scan and the stored code of each of its voxels.

    Args:
        case: of `find_cases`.
        database: the case's database.
        space: the label space.

    Returns:
        image: Volume (I, J, K), HU, as stored.
        stored: Volume (I, J, K) uint8, codes of `stored_values`, same affine.

    Raises:
        InputError: every fault of the case together: an unreadable file, a
            grid that differs from the scan's, a stored value that is not
            declared, a mask that is not binary, a voxel of a label that the
            case declares as not annotated.
    """
    with Faults() as faults:
        return read_case_with_faults(case, database, space, faults)


def read_case_with_faults(
    case: Case, database: Database, space: LabelSpace, faults: Faults
) -> tuple[Volume, Volume]:
    """Read a case as far as that is possible; `read_case` for the rest.

    Args:
        case: of `find_cases`.
        database: the case's database.
        space: the label space.
        faults: receives the faults of label files. What could not be read is
            background: undeclared values, masks on another grid.

    Raises:
        InputError: the scan itself is unreadable.
    """
    values = stored_values(database, space)
    image = read_image(case.image_path)
    if None in case.label_paths:
        codes = _codes_of_label_map(case, database, image, values, faults)
    else:
        codes = np.zeros(image.array.shape, np.uint8)
        for structure in _painting_order(database, values):
            path = case.label_paths.get(structure)
            if path is None:
                continue
            mask = _read_mask(path, image, case, faults)
            if mask is not None:
                codes[mask] = values.code_of[structure]
    _refuse_unannotated(codes, case, database, values, space, faults)
    if case.field_of_view_path is not None:
        inside = _read_mask(case.field_of_view_path, image, case, faults)
        if inside is not None and values.ignore_code is not None:
            codes[~inside] = values.ignore_code
    return image, Volume(codes, image.affine)


def _read_labels(
    path: Path, image: Volume, case: Case, faults: Faults
) -> np.ndarray | None:
    """Return integers on the scan's grid, or None after adding a fault."""
    try:
        labels = read_labels(path)
        check_same_grid(image, labels, case.image_path, path)
    except InputError as error:
        faults.add(error)
        return None
    return labels.array


def _codes_of_label_map(
    case: Case,
    database: Database,
    image: Volume,
    values: StoredValues,
    faults: Faults,
) -> np.ndarray:
    """Return (I, J, K) uint8 codes of a label map; zeros after a fault."""
    path = case.label_paths[None]
    labels = _read_labels(path, image, case, faults)
    if labels is None:
        return np.zeros(image.array.shape, np.uint8)
    code_of = {0: 0}
    for key, integer in integer_keys(database).items():
        code_of[integer] = values.code_of[key]
    present = _present_values(labels)
    undeclared = sorted(present - code_of.keys())
    if undeclared:
        counts = [
            f"{v} ({int((labels == v).sum())} voxels)" for v in undeclared
        ]
        faults.add(
            f"case '{case.case_id}': {path}: expected the stored values that "
            f"database '{database.name}' declares, "
            f"{join_names(sorted(code_of))}, found {join_names(counts)}. Add "
            f"them under 'values' (a label, 'ignore' or 'background'), or "
            f"exclude the case."
        )
    return _look_up(labels, {v: code_of.get(v, 0) for v in present})


def _present_values(labels: np.ndarray) -> set[int]:
    """Return the integers that a label map holds."""
    if labels.dtype == np.uint8:
        return set(np.flatnonzero(count_values(labels, 256)).tolist())
    # Slice by slice: np.unique of a whole scan sorts it, and copies it.
    present: set[int] = set()
    for k in range(labels.shape[2]):
        present.update(np.unique(labels[..., k]).tolist())
    return present


def _look_up(labels: np.ndarray, code_of: dict[int, int]) -> np.ndarray:
    """Replace every integer by its code; all integers must be in the dict."""
    known = np.array(sorted(code_of))
    codes = np.array([code_of[v] for v in known.tolist()], np.uint8)
    if labels.dtype == np.uint8:
        table = np.zeros(256, np.uint8)
        table[known] = codes
        return table[labels]
    return codes[np.searchsorted(known, labels)]


def _painting_order(database: Database, values: StoredValues) -> list[str]:
    """Return structures, the winners of an overlap last.

    `priority` first wins, then the order of `values`. A structure that means
    'background' erases others only if `priority` says so; otherwise its file
    is not needed.
    """
    winners = list(dict.fromkeys([*database.priority, *database.values]))
    return [
        structure
        for structure in reversed(winners)
        if values.code_of[structure] != 0 or structure in database.priority
    ]


def _read_mask(
    path: Path, image: Volume, case: Case, faults: Faults
) -> np.ndarray | None:
    """Return a (I, J, K) bool mask, or None after adding a fault.

    Any one value besides 0 means inside: masks of 0 and 255 are common.
    """
    labels = _read_labels(path, image, case, faults)
    if labels is None:
        return None
    mask = labels != 0
    inside = labels[mask]
    if inside.size and (inside != inside[0]).any():
        faults.add(
            f"case '{case.case_id}': {path}: expected a binary mask (0 and "
            f"one other value), found the values "
            f"{join_names(np.unique(labels).tolist())}. Give each structure "
            f"a mask of its own, or use layout 'label_map_folder'."
        )
        return None
    return mask


def _refuse_unannotated(
    codes: np.ndarray,
    case: Case,
    database: Database,
    values: StoredValues,
    space: LabelSpace,
    faults: Faults,
) -> None:
    """Refuse voxels of labels that the case says it does not annotate.

    A label that is unknown because *another* of its masks is absent
    (absent_mask: not_annotated) may still have voxels: they are right.
    """
    allowed = case.annotated.copy()
    override = database.cases.get(case.case_id)
    overridden = override is not None and override.annotated is not None
    if database.absent_mask == "not_annotated" and not overridden:
        for structure in values.code_of:
            if structure not in case.label_paths:
                allowed |= values.labels_of(structure)
    counts = count_values(codes, len(values.sets))
    for key, code in values.code_of.items():
        refused = values.labels_of(key) & ~allowed
        if counts[code] and refused.any():
            names = [space.names[i] for i in np.flatnonzero(refused)]
            faults.add(
                f"case '{case.case_id}': {counts[code]} voxel(s) of values "
                f"'{key}', but its label(s) {join_names(names)} are declared "
                f"as not annotated in this case. Correct "
                f"'cases.{case.case_id}.annotated' or 'annotated' of database "
                f"'{database.name}', or the segmentation."
            )
