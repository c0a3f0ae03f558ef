"""One case -> its scan and its stored codes, on the scan's own grid.

In: a `Case`. Out: image and uint8 code volumes, or all the case's faults.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfpartial.config.database import Database
from tfpartial.databases.cases import Case
from tfpartial.databases.stored_values import StoredValues, stored_values
from tfpartial.errors import Faults, join_names
from tfpartial.labels import LabelSpace
from tfpartial.scans import Volume, count_values


def read_case(
    case: Case,
    database: Database,
    space: LabelSpace,
    faults: Faults | None = None,
) -> tuple[Volume, Volume]:
    """Read a scan and the stored code of each of its voxels.

    Args:
        case: of `find_cases`.
        database: the case's database.
        space: the label space.
        faults: receives the faults of the annotation, if given. What could
            not be read is background: undeclared values, masks on another
            grid.

    Returns:
        image: Volume (I, J, K), HU, as stored.
        stored: Volume (I, J, K) uint8, codes of `stored_values`, same affine.

    Raises:
        InputError: the scan is unreadable; or, without `faults`, every fault
            of the case together: an unreadable file, a grid that differs from
            the scan's, a stored value that is not declared, a mask that is
            not binary, a voxel of a label that the case declares as not
            annotated.
    """
    if faults is None:
        with Faults() as faults:
            return read_case(case, database, space, faults)
    values = stored_values(database, space)
    image = case.source.read_image()
    code_of = _codes_to_paint(database, values)
    codes = case.source.read_codes(image, code_of, values.others, faults)
    _refuse_unannotated(codes, case, database, values, space, faults)
    inside = case.source.read_field_of_view(image, faults)
    if inside is not None and values.ignore_code is not None:
        codes[~inside] = values.ignore_code
    return image, replace(image, array=codes)


def _codes_to_paint(database: Database, values: StoredValues) -> dict[str, int]:
    """Return key of `values` -> code, the winners of an overlap last.

    `priority` first wins, then the order of `values`. A structure that means
    'background' erases others only if `priority` says so; otherwise its file
    is not needed.
    """
    winners = list(dict.fromkeys([*database.priority, *database.values]))
    return {
        key: values.code_of[key]
        for key in reversed(winners)
        if values.code_of[key] != 0 or key in database.priority
    }


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
        for key in case.source.absent:
            allowed |= values.labels_of(key)
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
